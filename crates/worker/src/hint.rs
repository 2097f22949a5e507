//! What to say of failures that people new to Fanfold meet first, beside what happened. Pure.

use std::ffi::OsStr;
use std::path::Path;

/// Programs that exit 1 for an answer, and which.
const ANSWERS: [(&[&str], &str); 2] = [
    (
        &["grep", "egrep", "fgrep", "zgrep", "bzgrep", "xzgrep", "zstdgrep", "rg", "ag", "ack"],
        "nothing matches",
    ),
    (&["diff", "zdiff", "cmp", "zcmp"], "the inputs differ"),
];

/// Advice for a program that exited with a status that is an answer and no failure.
pub(crate) fn of_status(program: &OsStr, status: i32) -> Option<String> {
    let name = Path::new(program).file_name()?.to_str()?;
    let (_, answer) = ANSWERS.iter().find(|(names, _)| status == 1 && names.contains(&name))?;
    Some(format!(
        "{name} exits 1 where {answer}; to count that as success, use --ok-status 0,1, or \"ok_status\": [0, 1] in the job's task"
    ))
}

/// Advice for a program that was not found.
pub(crate) fn of_name(program: &OsStr) -> Option<&'static str> {
    let has_several_words = program.to_string_lossy().trim().contains(char::is_whitespace);
    has_several_words.then_some(
        "this name is one word with a space in it: write program and arguments as words of their own, or give the line to a \
         shell (sh -c '…')",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_an_answer_is_recognised() {
        let hint = |program: &str, status| of_status(OsStr::new(program), status);
        assert!(
            hint("grep", 1)
                .unwrap()
                .contains("nothing matches; to count that as success, use --ok-status 0,1")
        );
        assert!(hint("/usr/bin/cmp", 1).unwrap().starts_with("cmp exits 1 where the inputs differ"));
        for (program, status) in [("grep", 2), ("sed", 1), ("", 1), ("/", 1), ("grepl", 1)] {
            assert_eq!(hint(program, status), None, "{program} {status}");
        }
    }

    #[test]
    fn only_a_name_of_several_words_gets_the_hint() {
        assert!(of_name(OsStr::new("grep 1")).is_some());
        assert!(of_name(OsStr::new("grep")).is_none() && of_name(OsStr::new(" grep")).is_none());
    }
}
