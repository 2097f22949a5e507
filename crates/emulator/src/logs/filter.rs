//! Filter patterns. Rules: "Filter pattern syntax" in the CloudWatch Logs user guide.

use serde_json::Value;

use crate::events::{Path, wildcard_matches};

/// Which lines are wanted. By default all are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Filter {
    #[default]
    All,
    /// Lines that have every one of these texts, and none of those that stand with `false`.
    Words(Vec<(String, bool)>),
    /// JSON for which every comparison holds.
    Json(Vec<Comparison>),
}

/// A field compared with a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    path: Path,
    equal: bool,
    /// A text may have asterisks, which stand for anything.
    value: Value,
}

impl Filter {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It has something that is not known here, in a sentence.
    pub(crate) fn read(pattern: &str) -> Result<Self, String> {
        let pattern = pattern.trim();
        if pattern.is_empty() {
            return Ok(Self::All);
        }
        if let Some(inner) = pattern.strip_prefix('{') {
            let inner = inner.strip_suffix('}').ok_or("the pattern begins with { and does not end with }")?;
            return read_comparisons(inner).map(Self::Json);
        }
        if pattern.starts_with(['[', '%']) {
            return Err("the emulator knows neither patterns in [ ] nor regular expressions".into());
        }
        read_words(pattern).map(Self::Words)
    }

    /// Whether a line is wanted.
    pub(crate) fn takes(&self, line: &str) -> bool {
        match self {
            Self::All => true,
            Self::Words(words) => words.iter().all(|(word, wanted)| line.contains(word.as_str()) == *wanted),
            Self::Json(comparisons) => serde_json::from_str(line)
                .is_ok_and(|line: Value| comparisons.iter().all(|comparison| comparison.holds(&line))),
        }
    }
}

impl Comparison {
    fn holds(&self, line: &Value) -> bool {
        // A field that is not there is neither equal nor unequal.
        self.path.find(line).is_some_and(|found| same(found, &self.value) == self.equal)
    }
}

fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => found.as_f64() == wanted.as_f64(),
        (Value::String(found), Value::String(wanted)) => {
            wildcard_matches(&wanted.split('*').collect::<Vec<_>>(), found)
        }
        (found, wanted) => found == wanted,
    }
}

fn read_words(pattern: &str) -> Result<Vec<(String, bool)>, String> {
    let mut words = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        if rest.starts_with('?') {
            return Err("the emulator does not know ? before a word".into());
        }
        let (wanted, after) = rest.strip_prefix('-').map_or((true, rest), |after| (false, after));
        let word;
        (word, rest) = if after.starts_with('"') {
            quoted(after)?
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        words.push((word, wanted));
        rest = rest.trim_start();
    }
    Ok(words)
}

fn read_comparisons(pattern: &str) -> Result<Vec<Comparison>, String> {
    let mut comparisons = Vec::new();
    let mut rest = pattern.trim();
    loop {
        let bracketed = rest.strip_prefix('(');
        let (comparison, after) = read_comparison(bracketed.unwrap_or(rest).trim_start())?;
        comparisons.push(comparison);
        rest = after.trim_start();
        if bracketed.is_some() {
            rest = rest.strip_prefix(')').ok_or("a ( is not closed after one comparison")?.trim_start();
        }
        if rest.is_empty() {
            return Ok(comparisons);
        }
        let next = rest.strip_prefix("&&");
        rest = next
            .ok_or_else(|| format!("the emulator knows && between comparisons, not `{rest}`"))?
            .trim_start();
    }
}

fn read_comparison(text: &str) -> Result<(Comparison, &str), String> {
    let end = text.find(|character: char| character.is_whitespace() || "=!<>".contains(character));
    let (path, rest) = text.split_at(end.ok_or_else(|| format!("there is no comparison in `{text}`"))?);
    let path = Path::read(path).map_err(|error| error.to_string())?;
    let rest = rest.trim_start();
    let (equal, rest) = if let Some(rest) = rest.strip_prefix("!=") {
        (false, rest)
    } else if let Some(rest) = rest.strip_prefix('=') {
        (true, rest)
    } else {
        return Err(format!("the emulator knows = and != after {}, not `{rest}`", path.as_str()));
    };
    let rest = rest.trim_start();
    if rest.starts_with('"') {
        let (text, rest) = quoted(rest)?;
        return Ok((Comparison { path, equal, value: text.into() }, rest));
    }
    let end = rest.find(|character: char| character.is_whitespace() || ")&|".contains(character));
    let (value, rest) = rest.split_at(end.unwrap_or(rest.len()));
    if value.is_empty() || value.starts_with('%') {
        return Err(format!("{} is compared with nothing that the emulator knows", path.as_str()));
    }
    // What is no number is a text without quotes.
    let value = value.parse::<serde_json::Number>().map_or_else(|_| value.into(), Value::Number);
    Ok((Comparison { path, equal, value }, rest))
}

/// The text within the quotes that `text` begins with, and what follows them.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Ok((value, &text[at + 1..])),
            character => {
                value.push(character);
                escaped = false;
            }
        }
    }
    Err(format!("the quotes of {text} are not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, line: &str) -> bool {
        Filter::read(pattern).unwrap().takes(line)
    }

    #[test]
    fn a_pattern_takes_the_lines_that_cloudwatch_would_find() {
        let line = r#"{"job":"orders-1","n":3,"deep":{"list":["x"]},"text":"it \"is\" so"}"#;
        for pattern in [
            "",
            "orders",
            r#""deep" orders -ERROR"#,
            r#"{ $.job = "orders-1" }"#,
            r#"{ $.job = "orders-*" }"#,
            r#"{$.job="*-1"}"#,
            "{ $.job = orders-1 }",
            r#"{ $.n = 3 && $.job != "x" }"#,
            r#"{ ($.n = 3.0) && ($.deep.list[0] = "x") }"#,
            r#"{ $.text = "it \"is\" so" }"#,
        ] {
            assert!(takes(pattern, line), "{pattern}");
        }
        for pattern in [
            "ERROR",
            "-orders",
            r#"{ $.job = "orders" }"#,
            "{ $.n != 3 }",
            r#"{ $.none != "x" }"#,
            "{ $.n = 4 }",
        ] {
            assert!(!takes(pattern, line), "{pattern}");
        }
        assert!(!takes(r#"{ $.job = "x" }"#, "START RequestId: x"), "what is no JSON has no fields");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (pattern, part) in [
            ("[a, b]", "[ ]"),
            ("%x%", "regular expressions"),
            ("?a ?b", "?"),
            ("{ $.a > 3 }", "= and !="),
            ("{ $.a = 1 || $.b = 2 }", "&&"),
            ("{ $.a IS NULL }", "= and !="),
            ("{ $.a = ", "does not end with }"),
            ("{ }", "no comparison"),
            ("\"open", "not closed"),
            ("{ $.a = %x% }", "nothing that the emulator knows"),
        ] {
            let error = Filter::read(pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
