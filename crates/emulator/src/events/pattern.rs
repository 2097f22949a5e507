//! Event patterns. Rules: "Creating Amazon EventBridge event patterns" in the EventBridge user guide.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What an event must look like for a rule to take it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Fields);

/// Every field must match.
type Fields = BTreeMap<String, Node>;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Fields(Fields),
    /// One of these must match.
    Leaf(Vec<Matcher>),
}

#[derive(Debug, Clone, PartialEq)]
enum Matcher {
    Exact(Value),
    Text(Text),
    /// None of these may match, and there must be a value.
    AnythingBut(Vec<Matcher>),
    Exists(bool),
}

/// What a text must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    Prefix(String),
    Suffix(String),
    /// The pieces between the asterisks.
    Wildcard(Vec<String>),
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at `{path}`: {problem}")]
pub struct PatternError {
    /// The field, with dots.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

fn wrong(path: &str, problem: impl Into<String>) -> PatternError {
    PatternError { path: path.to_owned(), problem: problem.into() }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, or has an operator that is not known here.
    pub fn read(pattern: &Value) -> Result<Self, PatternError> {
        match pattern {
            Value::Object(fields) if !fields.is_empty() => Ok(Self(read_fields("", fields)?)),
            _ => Err(wrong("", "a pattern is an object with at least one field")),
        }
    }

    /// Whether `event` is one that the pattern describes.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        fields_match(&self.0, Some(event))
    }

    /// The texts that the field at `path` must equal, if it can be nothing else.
    pub(crate) fn exact_texts(&self, path: &[&str]) -> Vec<&str> {
        let (mut fields, mut path) = (&self.0, path.iter());
        loop {
            match path.next().and_then(|name| fields.get(*name)) {
                Some(Node::Fields(inner)) => fields = inner,
                Some(Node::Leaf(matchers)) => {
                    let texts = matchers.iter().map(|matcher| match matcher {
                        Matcher::Exact(Value::String(text)) => Some(text.as_str()),
                        _ => None,
                    });
                    return texts.collect::<Option<_>>().unwrap_or_default();
                }
                None => return Vec::new(),
            }
        }
    }
}

fn read_fields(path: &str, fields: &Map<String, Value>) -> Result<Fields, PatternError> {
    let read = |(name, value): (&String, &Value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if name.starts_with('$') {
            return Err(wrong(&path, format!("the operator `{name}` is not known to the emulator")));
        }
        let node = match value {
            Value::Object(inner) => Node::Fields(read_fields(&path, inner)?),
            Value::Array(matchers) if !matchers.is_empty() => {
                let matchers = matchers.iter().map(|matcher| read_matcher(&path, matcher));
                Node::Leaf(matchers.collect::<Result<_, _>>()?)
            }
            _ => return Err(wrong(&path, "a field's values are a list that is not empty")),
        };
        Ok((name.clone(), node))
    };
    fields.iter().map(read).collect()
}

fn read_matcher(path: &str, matcher: &Value) -> Result<Matcher, PatternError> {
    let Value::Object(operator) = matcher else {
        let scalar = !matcher.is_array();
        return scalar
            .then(|| Matcher::Exact(matcher.clone()))
            .ok_or_else(|| wrong(path, "a list within a list matches nothing"));
    };
    let mut entries = operator.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return Err(wrong(path, "an operator is an object with one field"));
    };
    match (name.as_str(), value) {
        ("exists", Value::Bool(exists)) => Ok(Matcher::Exists(*exists)),
        ("anything-but", value) => Ok(Matcher::AnythingBut(read_excluded(path, value)?)),
        (_, Value::String(text)) => Ok(Matcher::Text(read_text(path, name, text)?)),
        _ => Err(unknown(path, name)),
    }
}

fn read_excluded(path: &str, excluded: &Value) -> Result<Vec<Matcher>, PatternError> {
    let list = match excluded {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let read = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => Ok(vec![Matcher::Exact(value.clone())]),
        Value::Object(operator) if operator.len() == 1 => {
            let texts = operator.iter().flat_map(|(name, value)| match value {
                Value::Array(values) => values.iter().map(|value| (name, value)).collect(),
                one => vec![(name, one)],
            });
            let read = |(name, value): (&String, &Value)| match value {
                Value::String(text) => Ok(Matcher::Text(read_text(path, name, text)?)),
                _ => Err(unknown(path, &format!("anything-but` with `{name}"))),
            };
            texts.map(read).collect()
        }
        _ => Err(wrong(path, "`anything-but` takes texts, numbers, `prefix`, `suffix` or `wildcard`")),
    };
    Ok(list.iter().map(read).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn read_text(path: &str, operator: &str, text: &str) -> Result<Text, PatternError> {
    match operator {
        "prefix" => Ok(Text::Prefix(text.to_owned())),
        "suffix" => Ok(Text::Suffix(text.to_owned())),
        "wildcard" => read_wildcard(path, text),
        other => Err(unknown(path, other)),
    }
}

fn unknown(path: &str, operator: &str) -> PatternError {
    wrong(
        path,
        format!(
            "the operator `{operator}` is not known to the emulator, which knows exact values, prefix, suffix, \
             wildcard, anything-but and exists"
        ),
    )
}

/// Splits at asterisks; `\*` is an asterisk itself and `\\` a backslash.
fn read_wildcard(path: &str, text: &str) -> Result<Text, PatternError> {
    let mut pieces = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '*' => {
                if pieces.len() > 1 && pieces.last().is_some_and(String::is_empty) {
                    return Err(wrong(path, format!("the wildcard `{text}` has two asterisks in a row")));
                }
                pieces.push(String::new());
                continue;
            }
            '\\' => characters.next().filter(|next| ['*', '\\'].contains(next)).ok_or_else(|| {
                wrong(path, format!("in the wildcard `{text}` a backslash stands before neither * nor \\"))
            })?,
            other => other,
        };
        if let Some(piece) = pieces.last_mut() {
            piece.push(literal);
        }
    }
    Ok(Text::Wildcard(pieces))
}

fn fields_match(fields: &Fields, event: Option<&Value>) -> bool {
    match event {
        // A field below a list is there once for each of its elements.
        Some(Value::Array(elements)) if !elements.is_empty() => {
            elements.iter().any(|element| fields_match(fields, Some(element)))
        }
        event => fields.iter().all(|(name, node)| {
            let value = event.and_then(|event| event.get(name));
            match node {
                Node::Fields(inner) => fields_match(inner, value),
                Node::Leaf(matchers) => leaf_matches(matchers, value),
            }
        }),
    }
}

fn leaf_matches(matchers: &[Matcher], value: Option<&Value>) -> bool {
    // EventBridge sees leaves alone: an object or an empty list at the place of a value is no value.
    let leaves: Vec<&Value> = match value {
        None | Some(Value::Object(_)) => Vec::new(),
        Some(Value::Array(elements)) => elements.iter().filter(|element| !element.is_object()).collect(),
        Some(scalar) => vec![scalar],
    };
    matchers.iter().any(|matcher| match matcher {
        Matcher::Exists(exists) => *exists != leaves.is_empty(),
        matcher => leaves.iter().any(|leaf| matcher.matches(leaf)),
    })
}

impl Matcher {
    fn matches(&self, leaf: &Value) -> bool {
        match self {
            Self::Exact(Value::Number(expected)) => {
                leaf.as_number().is_some_and(|number| number.as_f64() == expected.as_f64())
            }
            Self::Exact(expected) => leaf == expected,
            Self::Text(text) => leaf.as_str().is_some_and(|leaf| text.matches(leaf)),
            Self::AnythingBut(excluded) => !excluded.iter().any(|matcher| matcher.matches(leaf)),
            Self::Exists(exists) => *exists,
        }
    }
}

impl Text {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Wildcard(pieces) => wildcard_matches(pieces, text),
        }
    }
}

/// Whether a text is like a pattern that was cut at its asterisks: the first piece begins the text, the last ends it, the others come between, each as early as it can.
pub(crate) fn wildcard_matches<Piece: AsRef<str>>(pieces: &[Piece], text: &str) -> bool {
    let Some((first, others)) = pieces.split_first() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(first.as_ref()) else { return false };
    let Some((last, middle)) = others.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece.as_ref()) else { return false };
        rest = after;
    }
    rest.ends_with(last.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(pattern: Value, event: Value) -> bool {
        Pattern::read(&pattern).unwrap().matches(&event)
    }

    #[test]
    fn every_field_must_match_and_of_its_values_any() {
        let pattern = json!({ "source": ["aws.s3"], "detail": { "n": [1, 2], "b": [true, null] } });
        let event =
            |n: Value, b: Value| json!({ "source": "aws.s3", "detail": { "n": n, "b": b }, "more": 1 });
        assert!(matches(pattern.clone(), event(json!(2), json!(true))));
        assert!(matches(pattern.clone(), event(json!(1.0), Value::Null)), "numbers are compared as numbers");
        assert!(!matches(pattern.clone(), event(json!(3), json!(true))));
        assert!(!matches(pattern.clone(), event(json!("1"), json!(true))));
        assert!(
            !matches(pattern.clone(), json!({ "source": "aws.s3", "detail": { "n": 1 } })),
            "absent is not null"
        );
        assert!(!matches(pattern, json!({ "source": "other", "detail": { "n": 1, "b": null } })));
    }

    #[test]
    fn each_operator_takes_what_its_name_says() {
        for (matcher, taken, left) in [
            (json!({ "prefix": "or" }), vec![json!("orders"), json!("or")], vec![json!("Orders"), json!(1)]),
            (json!({ "suffix": ".csv" }), vec![json!("a.csv")], vec![json!("a.csv.gz"), json!(null)]),
            (
                json!({ "wildcard": "o/*.csv" }),
                vec![json!("o/.csv"), json!("o/x/y.csv")],
                vec![json!("o.csv"), json!("o/x")],
            ),
            (json!({ "wildcard": "*a*b*" }), vec![json!("ab"), json!("xaxbx")], vec![json!("ba")]),
            (json!({ "wildcard": "aXa*Xa" }), vec![json!("aXaXa")], vec![json!("aXa")]),
            (json!({ "wildcard": r"a\*b\\" }), vec![json!(r"a*b\")], vec![json!(r"axb\")]),
            (json!({ "anything-but": "x" }), vec![json!("y"), json!(1)], vec![json!("x")]),
            (json!({ "anything-but": [1, "x"] }), vec![json!(2)], vec![json!(1), json!("x")]),
            (json!({ "anything-but": { "prefix": "tmp/" } }), vec![json!("a")], vec![json!("tmp/a")]),
            (
                json!({ "anything-but": { "suffix": [".tmp", ".part"] } }),
                vec![json!("a")],
                vec![json!("a.part")],
            ),
            (
                json!({ "exists": true }),
                vec![json!("x"), json!(null), json!([1])],
                vec![json!({}), json!([])],
            ),
            (json!({ "exists": false }), vec![json!({}), json!([])], vec![json!("x")]),
        ] {
            let pattern = json!({ "a": { "b": [matcher] } });
            for value in taken {
                assert!(matches(pattern.clone(), json!({ "a": { "b": value } })), "{pattern} takes {value}");
            }
            for value in left {
                assert!(
                    !matches(pattern.clone(), json!({ "a": { "b": value } })),
                    "{pattern} leaves {value}"
                );
            }
        }
    }

    #[test]
    fn a_value_that_is_not_there_matches_only_exists_false() {
        for event in [json!({}), json!({ "a": {} }), json!({ "a": 1 })] {
            assert!(matches(json!({ "a": { "b": [{ "exists": false }] } }), event.clone()), "{event}");
            assert!(!matches(json!({ "a": { "b": [{ "anything-but": "x" }] } }), event.clone()), "{event}");
        }
    }

    #[test]
    fn of_a_list_one_element_is_enough() {
        assert!(matches(json!({ "a": ["x"] }), json!({ "a": ["y", "x"] })));
        assert!(matches(json!({ "a": { "b": ["x"] } }), json!({ "a": [{ "b": "y" }, { "b": "x" }] })));
        assert!(!matches(json!({ "a": ["x"] }), json!({ "a": ["y"] })));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (pattern, part) in [
            (json!({ "a": [{ "numeric": [">", 0] }] }), "`a`: the operator `numeric`"),
            (json!({ "a": { "b": [{ "cidr": "10.0.0.0/8" }] } }), "`a.b`: the operator `cidr`"),
            (json!({ "a": [{ "equals-ignore-case": "x" }] }), "the operator `equals-ignore-case`"),
            (json!({ "a": [{ "prefix": { "equals-ignore-case": "x" } }] }), "the operator `prefix`"),
            (
                json!({ "a": [{ "anything-but": { "equals-ignore-case": "x" } }] }),
                "the operator `equals-ignore-case`",
            ),
            (json!({ "$or": [{ "a": ["x"] }] }), "the operator `$or`"),
            (json!({ "a": "x" }), "`a`: a field's values are a list"),
            (json!({ "a": [] }), "a list that is not empty"),
            (json!({ "a": [{ "wildcard": "a**" }] }), "two asterisks in a row"),
            (json!({ "a": [{ "wildcard": "a\\b" }] }), "a backslash stands before"),
            (json!({}), "at least one field"),
            (json!([]), "at least one field"),
        ] {
            let error = Pattern::read(&pattern).unwrap_err().to_string();
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn the_texts_that_a_field_must_equal_are_known() {
        let pattern =
            json!({ "detail": { "bucket": { "name": ["in", "more"] }, "key": [{ "prefix": "x" }, "y"] } });
        let pattern = Pattern::read(&pattern).unwrap();
        assert_eq!(pattern.exact_texts(&["detail", "bucket", "name"]), ["in", "more"]);
        assert!(pattern.exact_texts(&["detail", "key"]).is_empty(), "it can be something else");
        assert!(pattern.exact_texts(&["detail", "bucket"]).is_empty());
        assert!(pattern.exact_texts(&["nothing"]).is_empty());
    }
}
