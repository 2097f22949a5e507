//! The joblog's lines: what GNU parallel's readers find in them, and that no text breaks their columns.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use fanfold_flow::code::Code;
use fanfold_flow::done::{Death, Environment, Try};
use fanfold_flow::job::Task;
use fanfold_flow::joblog::{COLUMNS, Line, LineError, Outcome, Place, command_of, header};
use fanfold_flow::result::ChunkResult;
use proptest::prelude::*;

/// What GNU parallel 20221122 wrote as the first line of a joblog.
const HEADER_OF_PARALLEL: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

/// What it wrote of a job that ended itself with SIGKILL, of one that exited with status 2, and of one that it ended
/// because its time was up.
const LINES_OF_PARALLEL: [&str; 3] = [
    "3\t:\t1795393241.885\t     0.305\t0\t4\t0\t9\t",
    "2\t:\t1795393241.787\t     0.203\t0\t2\t2\t0\t",
    "1\t:\t1795393398.073\t     0.932\t0\t0\t-1\t15\t",
];

fn environment(id: &str) -> Environment {
    Environment { id: id.to_owned(), cold: true }
}

fn place<'a>(environment: &'a Environment, command: &'a str) -> Place<'a> {
    Place { partition: 7, environment: Some(environment), command }
}

fn a_try(code: Code, exit: Option<i32>, signal: Option<i32>) -> Try {
    Try {
        index: 3,
        cut: 0,
        hop: 0,
        attempt: 1,
        started_ms: 1_795_393_241_885,
        wall_ms: 305,
        bytes_in: 0,
        bytes_out: 4,
        code,
        exit,
        signal,
    }
}

fn a_result() -> ChunkResult {
    ChunkResult {
        index: 3,
        cut: 2,
        hop: 1,
        attempt: 4,
        stored: None,
        header: None,
        records: 17,
        input: None,
        bytes_in: 170,
        bytes_out: 0,
        started_ms: 1_795_393_241_009,
        wall_ms: 61_023,
    }
}

fn written(line: &Line<'_>) -> String {
    let mut text = String::new();
    line.write_to(&mut text);
    text
}

#[test]
fn the_first_columns_are_those_of_gnu_parallel_to_the_byte() {
    assert!(header().starts_with(&format!("{HEADER_OF_PARALLEL}\t")), "{}", header());
    let here = environment(":");
    let killed = a_try(Code::ProgramKilled, None, Some(9));
    let exited = Try {
        index: 2,
        started_ms: 1_795_393_241_787,
        wall_ms: 203,
        bytes_out: 2,
        ..a_try(Code::ProgramFailed, Some(2), None)
    };
    for (failed, theirs) in [(killed, LINES_OF_PARALLEL[0]), (exited, LINES_OF_PARALLEL[1])] {
        let ours = written(&Line::of_try(&failed, place(&here, "x")));
        assert!(ours.starts_with(theirs), "{ours:?} {theirs:?}");
    }
}

#[test]
fn a_line_of_parallels_own_is_read_when_our_columns_are_added() {
    for theirs in LINES_OF_PARALLEL {
        let line = format!("{theirs}sleep 2\t0\t0\t1\t0\t-\t-\tprogram_killed\t-\n");
        let read = Line::parse(&line).unwrap();
        assert_eq!((read.host, read.records, read.cold, read.reason), (Some(":"), None, None, None));
        assert_eq!(written(&read), line);
    }
}

#[test]
fn status_and_signal_are_both_0_just_where_there_is_a_result() {
    let here = environment("e");
    for outcome in [Outcome::Done, Outcome::Partial] {
        let line = Line::of_result(&a_result(), outcome, place(&here, "x"));
        assert_eq!((line.exitval, line.signal), (0, 0));
    }
    for (exit, signal, expected) in [
        (Some(3), None, (3, 0)),
        (None, Some(15), (0, 15)),
        // The program was content, and what it printed was not what it should have been.
        (Some(0), None, (-1, 0)),
        // It was never started, or stopped when time was up.
        (None, None, (-1, 0)),
    ] {
        let failed = a_try(Code::ResultMalformed, exit, signal);
        let line = Line::of_try(&failed, place(&here, "x"));
        assert_eq!((line.exitval, line.signal), expected, "{exit:?} {signal:?}");
    }
    let death = Death { hop: 1, attempt: 2, reason: "signal: killed".to_owned(), known_ms: 5 };
    let line = Line::of_death(&death, (40, 0), place(&here, "x"));
    assert_eq!((line.exitval, line.signal), (-1, 0));
}

#[test]
fn a_result_a_try_and_a_death_are_told_with_all_that_is_known_of_them() {
    let here = environment("2026/11/22/[$LATEST]0a1b");
    let result = written(&Line::of_result(&a_result(), Outcome::Done, place(&here, "awk 1")));
    let failed = Try { cut: 1, hop: 2, bytes_in: 9, ..a_try(Code::OutOfTime, None, None) };
    let death =
        Death { hop: 1, attempt: 2, reason: "Runtime.ExitError:\nsignal: killed".to_owned(), known_ms: 12 };
    let lines = [
        header(),
        result,
        written(&Line::of_try(&failed, place(&here, "awk 1"))),
        written(&Line::of_death(&death, (40, 0), place(&here, "awk 1"))),
    ];
    insta::assert_snapshot!(lines.concat().replace('\t', "|"));
}

#[test]
fn a_line_that_is_none_is_refused_by_its_column() {
    let here = environment("e");
    let line = written(&Line::of_result(&a_result(), Outcome::Done, place(&here, "x")));
    let fields: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!(Line::parse("3\t:"), Err(LineError::Columns { found: 2 }));
    for (at, column) in COLUMNS.into_iter().enumerate() {
        let mut broken = fields.clone();
        broken[at] = "?";
        let broken = broken.join("\t");
        let read = Line::parse(&broken);
        // Any text may be a host, a command or a reason.
        if !["Host", "Command", "Reason"].contains(&column) {
            assert_eq!(read, Err(LineError::Field { column, text: "?".to_owned() }));
        }
    }
}

#[test]
fn a_command_is_its_words_or_the_name_of_a_registered_task() {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let command = Task { command: Some(words(&["awk", "-F,", "NR==1 || $0 ~ /it's/"])), ..Task::default() };
    assert_eq!(command_of(&command), r"awk -F, 'NR==1 || $0 ~ /it'\''s/'");
    let named = Task { name: Some("score".to_owned()), args: words(&["", "a\tb"]), ..Task::default() };
    assert_eq!(command_of(&named), r"score '' $'a\tb'");
}

#[test]
fn a_long_command_is_cut_off_and_says_so() {
    let here = environment("e");
    let long = "한".repeat(5_000);
    let line = written(&Line::of_result(&a_result(), Outcome::Done, place(&here, &long)));
    let read = Line::parse(&line).unwrap();
    assert!(read.command.ends_with("한…") && read.command.chars().count() < 1_100, "{}", read.command.len());
}

/// Texts as programs and services may write them, line breaks of all kinds among them.
fn text() -> impl Strategy<Value = String> {
    let letters = prop_oneof![
        Just('\t'),
        Just('\n'),
        Just('\r'),
        Just('\0'),
        Just('\u{b}'),
        Just('\u{85}'),
        Just('\u{2028}'),
        Just('\\'),
        Just('\''),
        Just('"'),
        Just('$'),
        Just(' '),
        Just('-'),
        Just('\u{a0}'),
        any::<char>()
    ];
    prop::collection::vec(letters, 0..12).prop_map(|letters| letters.into_iter().collect())
}

/// Words that an argv may hold: anything but NUL.
fn word() -> impl Strategy<Value = String> {
    text().prop_map(|word| word.replace('\0', ""))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::Partial),
        prop::sample::select(Code::ALL).prop_map(Outcome::Failed)
    ]
}

fn option<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(value)
}

/// All numbers of a line, over all that their types hold.
fn numbers() -> impl Strategy<Value = Line<'static>> {
    let attempt = (any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>());
    let moved = (0..=i64::MAX, any::<u64>(), any::<u64>(), any::<u64>(), option(any::<u64>()));
    let ended = (any::<i32>(), any::<i32>(), outcome(), option(any::<bool>()));
    (attempt, moved, ended).prop_map(|(attempt, moved, ended)| {
        let (index, cut, hop, attempt, partition) = attempt;
        let (started_ms, wall_ms, bytes_in, bytes_out, records) = moved;
        let (exitval, signal, outcome, cold) = ended;
        Line {
            index,
            cut,
            hop,
            attempt,
            partition,
            host: None,
            cold,
            started_ms,
            wall_ms,
            bytes_in,
            bytes_out,
            records,
            exitval,
            signal,
            command: "",
            outcome,
            reason: None,
        }
    })
}

proptest! {
    #[test]
    fn every_line_has_the_headers_columns_whatever_the_texts(
        line in numbers(), host in option(text()), command in text(), reason in option(text())
    ) {
        let line = Line { host: host.as_deref(), command: &command, reason: reason.as_deref(), ..line };
        let text = written(&line);
        prop_assert_eq!(text.matches('\t').count() + 1, COLUMNS.len());
        prop_assert_eq!(text.find('\n'), Some(text.len() - 1), "one line: {:?}", text);
        prop_assert!(!text.contains(['\r', '\0', '\u{b}', '\u{85}', '\u{2028}']), "{:?}", text);
        let fields: Vec<&str> = text.trim_end_matches('\n').split('\t').collect();
        prop_assert!(fields.iter().all(|field| !field.is_empty()), "no reader loses a column: {:?}", text);
        prop_assert!(!fields[1].contains(char::is_whitespace), "parallel's host is one word: {:?}", fields[1]);
        prop_assert!(fields[2..8].iter().all(|field| field.trim().parse::<f64>().is_ok()), "{:?}", fields);
    }

    #[test]
    fn what_was_written_is_read_back(
        line in numbers(), host in option("[a-z$/\\[\\]0-9가-힣]{1,9}"), command in "[ -,.-~가-힣]{1,40}",
        reason in option("[ -,.-~]{1,40}")
    ) {
        let line = Line { host: host.as_deref(), command: &command, reason: reason.as_deref(), ..line };
        let text = written(&line);
        prop_assert_eq!(Line::parse(&text), Ok(line));
    }

    #[test]
    fn bash_reads_a_command_as_the_words_that_it_was(words in prop::collection::vec(word(), 1..5)) {
        let task = Task { command: Some(words.clone()), ..Task::default() };
        let command = command_of(&task);
        prop_assert!(!command.contains(['\t', '\n', '\r']));
        let output = Command::new("bash").args(["-c", &format!("printf '%s\\0' {command}")]).output().unwrap();
        prop_assert!(output.status.success());
        let read = String::from_utf8(output.stdout).unwrap();
        let read: Vec<&str> = read.strip_suffix('\0').unwrap().split('\0').collect();
        prop_assert_eq!(read, words);
    }
}
