//! From the flags that say what a record is to the job's `split`. Pure.

use fanfold_flow::code::Code;
use fanfold_flow::problem::nearest;
use fanfold_runtime::Error;
use serde_json::{Map, Value, json};

use crate::args::RecordArgs;

/// The words that stand for themselves.
const WORDS: [&str; 6] = ["lines", "csv", "tsv", "jsonl", "paragraphs", "none"];

/// Adds to a job's objects what a record is in them.
///
/// # Errors
/// When a flag has a value that is none, or goes with another split.
pub(crate) fn add_to(objects: &mut Map<String, Value>, args: &RecordArgs) -> Result<(), Error> {
    objects.insert("split".into(), split(args)?);
    match args.header {
        None | Some(0) => {}
        Some(1) => drop(objects.insert("header".into(), json!(true))),
        Some(records) => drop(objects.insert("header".into(), json!(records))),
    }
    if let Some(line_end) = &args.line_end {
        objects.insert("line_end".into(), json!(line_end));
    }
    Ok(())
}

fn split(args: &RecordArgs) -> Result<Value, Error> {
    let dialect = dialect(args)?;
    let what = args.split.as_str();
    match (what, dialect.is_empty()) {
        ("csv", false) => return Ok(json!({ "csv": dialect })),
        ("tsv", false) => {
            let tabs = [("delimiter".to_owned(), json!("\t")), ("quote".to_owned(), Value::Null)];
            return Ok(json!({ "csv": tabs.into_iter().chain(dialect).collect::<Map<_, _>>() }));
        }
        (_, false) => {
            let flags: Vec<&str> = dialect.keys().map(String::as_str).collect();
            return Err(refused(format!(
                "{} goes with --split csv or --split tsv, not with --split {what}",
                flags.join(", ")
            )));
        }
        (word, true) if WORDS.contains(&word) => return Ok(json!(word)),
        _ => {}
    }
    if let Some(text) = what.strip_prefix("sep:") {
        return Ok(json!({ "separator": unescaped(text)? }));
    }
    if let Some(text) = what.strip_prefix("begins:") {
        return Ok(json!({ "begins_with": unescaped(text)? }));
    }
    if let Some(lines) = what.strip_prefix("lines:") {
        let lines: u64 = lines
            .parse()
            .map_err(|_| refused(format!("read --split {what}: '{lines}' is not a number of lines")))?;
        return Ok(json!({ "lines": lines }));
    }
    let meant = nearest(what, WORDS).map_or_else(String::new, |word| format!("; did you mean '{word}'?"));
    Err(refused(format!(
        "read --split '{what}': there are {}, sep:TEXT, begins:TEXT and lines:N{meant}; records that end with that text are \
         --split 'sep:{what}'",
        WORDS.join(", ")
    )))
}

/// What the flags say of a CSV.
fn dialect(args: &RecordArgs) -> Result<Map<String, Value>, Error> {
    let mut dialect = Map::new();
    for (name, given) in [
        ("delimiter", &args.delimiter),
        ("quote", &args.quote),
        ("escape", &args.escape),
        ("comment", &args.comment),
    ] {
        if let Some(text) = given {
            let letter = unescaped(text)?;
            if letter.len() != 1 {
                return Err(refused(format!("read --{name} '{text}': it must be one ASCII character")));
            }
            dialect.insert(name.into(), json!(letter));
        }
    }
    for (name, is_none) in [("quote", args.no_quote), ("escape", args.no_escape)] {
        if is_none {
            dialect.insert(name.into(), Value::Null);
        }
    }
    if let Some(lines) = args.skip_lines {
        dialect.insert("skip_lines".into(), json!(lines));
    }
    Ok(dialect)
}

fn refused(message: String) -> Error {
    Error::new(Code::InvalidJob, message)
}

/// The text with `\n`, `\r`, `\t`, `\0` and `\\` taken for what they stand for: a shell makes line feeds hard to type. A
/// backslash alone is one.
fn unescaped(text: &str) -> Result<String, Error> {
    if text == "\\" {
        return Ok(text.to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        plain.push(match letters.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some('\\') => '\\',
            other => {
                let given = other.map(String::from).unwrap_or_default();
                return Err(refused(format!(
                    "read '{text}': '\\{given}' stands for nothing; there are \\n, \\r, \\t, \\0 and \\\\"
                )));
            }
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        records: RecordArgs,
    }

    fn objects(line: &[&str]) -> Result<Value, String> {
        let Line { records } =
            Line::try_parse_from([&["map"], line].concat()).map_err(|error| error.to_string())?;
        let mut objects = Map::new();
        add_to(&mut objects, &records).map_err(|error| error.to_string())?;
        Ok(Value::Object(objects))
    }

    #[test]
    fn flags_say_the_same_as_a_job() {
        for (line, expected) in [
            (&[][..], json!({ "split": "lines" })),
            (&["--split", "csv", "--header"], json!({ "split": "csv", "header": true })),
            (&["--split", "tsv", "--header=2"], json!({ "split": "tsv", "header": 2 })),
            (&["--split", "sep:\\n--\\n"], json!({ "split": { "separator": "\n--\n" } })),
            (&["--split", "begins:>"], json!({ "split": { "begins_with": ">" } })),
            (
                &["--split", "lines:4", "--line-end", "lf"],
                json!({ "split": { "lines": 4 }, "line_end": "lf" }),
            ),
            (
                &[
                    "--split",
                    "csv",
                    "--delimiter",
                    "\\t",
                    "--escape",
                    "\\",
                    "--no-quote",
                    "--comment",
                    "#",
                    "--skip-lines",
                    "1",
                ],
                json!({ "split": { "csv": { "delimiter": "\t", "escape": "\\", "quote": null, "comment": "#", "skip_lines": 1 } } }),
            ),
            (
                &["--split", "csv", "--quote", "'", "--no-escape"],
                json!({ "split": { "csv": { "quote": "'", "escape": null } } }),
            ),
            (
                &["--split", "tsv", "--comment", "#"],
                json!({ "split": { "csv": { "delimiter": "\t", "quote": null, "comment": "#" } } }),
            ),
        ] {
            assert_eq!(objects(line).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_split_is_refused_with_what_was_meant() {
        for (line, words) in [
            (&["--split", "line"][..], "did you mean 'lines'?"),
            (&["--split", ";"], "--split 'sep:;'"),
            (&["--split", "sep:\\x"], "stands for nothing"),
            (&["--split", "lines:four"], "not a number of lines"),
            (&["--delimiter", ";"], "goes with --split csv"),
            (&["--split", "csv", "--delimiter", "||"], "one ASCII character"),
        ] {
            let refusal = objects(line).unwrap_err();
            assert!(refusal.contains(words), "{line:?}: {refusal}");
        }
    }
}
