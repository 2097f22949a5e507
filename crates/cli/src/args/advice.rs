//! What to type instead, where clap's own tips would not help. Pure, but for looking whether a file is there.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::grammar;

/// What `map` is typed like.
const MAP: &str = "fanfold map a.csv b.csv -o out.csv -- PROGRAM ARG…";

/// Refuses words that are not UTF-8, by name: job files could not hold them.
///
/// # Errors
/// For the first of them.
pub(super) fn is_utf8(words: &[OsString]) -> Result<(), clap::Error> {
    let Some(word) = words.iter().skip(1).find(|word| word.to_str().is_none()) else { return Ok(()) };
    let message = format!(
        "{word:?} on the command line is not UTF-8; a file of that name can be read by a link to it, or through its folder once it is renamed"
    );
    Err(grammar().error(ErrorKind::InvalidUtf8, message))
}

/// Inputs both behind `--input` and without it: of these `words` one is probably the program.
pub(super) fn mixed(words: &[String]) -> clap::Error {
    let words = words.join(" ");
    let message = format!(
        "inputs stand both behind --input and without it ({words}); name them in one way, and write -- before the program: {MAP}"
    );
    grammar().error(ErrorKind::ArgumentConflict, message)
}

/// The error with the tip that fits.
pub(super) fn fit(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let is_map = words.iter().skip(1).any(|word| word == "map");
    let tip = match error.kind() {
        ErrorKind::MissingRequiredArgument if is_map && names(&error, "<PROGRAM>") => {
            Some(format!("the program stands behind --: {MAP}"))
        }
        ErrorKind::UnknownArgument => match file_like(&error, words) {
            Some(file) => Some(format!("to name the file '{file}', write './{file}'")),
            None if is_map && has_wrong_tip(&error) => {
                Some("if it is the program's own, write it behind --, with the program".to_owned())
            }
            None => None,
        },
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// Whether the error is about this argument.
fn names(error: &clap::Error, argument: &str) -> bool {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(several)) => several.iter().any(|name| name.contains(argument)),
        Some(ContextValue::String(one)) => one.contains(argument),
        _ => false,
    }
}

/// The word that was taken for an option, where a file has its name.
fn file_like<'w>(error: &clap::Error, words: &'w [OsString]) -> Option<&'w str> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let mut texts = words.iter().filter_map(|word| word.to_str());
    texts.find(|word| word.starts_with(option.as_str()) && Path::new(word).exists())
}

/// Whether clap would have it written behind `--`, as if it were an input: there begins the program.
fn has_wrong_tip(error: &clap::Error) -> bool {
    let Some(ContextValue::StyledStrs(tips)) = error.get(ContextKind::Suggested) else { return false };
    tips.iter().any(|tip| tip.to_string().contains("-- "))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::args::{Command, parse_words};

    fn refusal(line: &[&str]) -> String {
        let words: Vec<OsString> = ["fanfold"].iter().chain(line).map(OsString::from).collect();
        parse_words(&words).map(drop).unwrap_err().to_string()
    }

    fn inputs(line: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = ["fanfold", "map"].iter().chain(line).map(OsString::from).collect();
        let Ok(Command::Map(args)) = parse_words(&words) else { panic!("{line:?}") };
        args.inputs().to_vec()
    }

    #[test]
    fn inputs_follow_one_option_or_several_or_none() {
        for line in [
            &["-i", "a", "b", "-o", "o", "--", "cat", "-n"][..],
            &["-i", "a", "-o", "o", "-i", "b", "--", "cat"],
            &["a", "b", "-o", "o", "--", "cat", "c"],
            &["a", "-o", "o", "b", "--", "cat"],
            &["-o", "o", "a", "b", "--", "cat"],
        ] {
            assert_eq!(inputs(line), ["a", "b"], "{line:?}");
        }
        assert_eq!(inputs(&["-", "-o", "-", "--", "cat"]), ["-"]);
    }

    #[test]
    fn each_common_slip_is_told_what_to_type() {
        for (line, says) in [
            (&["map", "a", "-o", "o", "cat"][..], "the program stands behind --: fanfold map"),
            (&["map", "-i", "a", "-o", "o", "cat"], "the program stands behind --: fanfold map"),
            (
                &["map", "-i", "a", "-o", "o", "b", "--", "cat"],
                "inputs stand both behind --input and without it (b)",
            ),
            (
                &["map", "-i", "a", "-n", "-o", "o", "--", "cat"],
                "if it is the program's own, write it behind --",
            ),
            (&["map", "-i", "a", "-o", "o", "--retries", "-1", "--", "cat"], "-1 is not in 0..=10"),
            (&["map", "-i", "a", "-o", "o", "--workers", "-1", "--", "cat"], "-1 is not in 1..=500"),
            (&["map", "-i", "a", "-o", "o", "--ok-status", "256", "--", "cat"], "256 is not in 0..=255"),
            (&["map", "-o", "o", "--", "cat"], "<INPUT>..."),
        ] {
            let refusal = refusal(line);
            assert!(refusal.contains(says), "{line:?}: {refusal}");
            assert!(!refusal.contains("use '-- "), "{line:?}: {refusal}");
        }
    }

    #[test]
    fn a_file_whose_name_begins_with_a_dash_is_told_how_to_be_written() {
        let words = ["map", "-i", "-dash.txt"].map(OsString::from);
        let mut error = clap::Error::new(ErrorKind::UnknownArgument);
        error.insert(ContextKind::InvalidArg, ContextValue::String("-d".to_owned()));
        assert_eq!(file_like(&error, &words), None);
        let here = std::env::current_dir().unwrap();
        let file = here.join("-dash.txt");
        std::fs::write(&file, "").unwrap();
        let found = file_like(&error, &words);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(found, Some("-dash.txt"));
    }

    #[test]
    fn a_word_that_is_not_utf8_is_named() {
        let words = ["fanfold".into(), "map".into(), OsString::from_vec(b"caf\xe9".to_vec())];
        assert!(
            parse_words(&words)
                .map(drop)
                .unwrap_err()
                .to_string()
                .contains(r#""caf\xE9" on the command line"#)
        );
    }
}
