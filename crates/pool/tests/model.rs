//! Random programs, and random ends of their input, against a model of what must come out of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Exit, InputEnd, Program};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use harness::{EndingEarly, pattern, pool_of, program, run_with, scripted};
use proptest::prelude::*;

/// A step of the test program.
#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    ReadAll,
    Echo(usize),
    EchoAll,
    Write(usize),
    Complain(usize),
    Sleep(u64),
    CloseInput,
    CloseOutput,
    CloseError,
    Exit(i32),
    Signal(i32),
}

impl Step {
    fn argument(&self) -> String {
        match self {
            Step::Read(bytes) => format!("read={bytes}"),
            Step::ReadAll => "read-all".into(),
            Step::Echo(bytes) => format!("echo={bytes}"),
            Step::EchoAll => "echo-all".into(),
            Step::Write(bytes) => format!("write={bytes}"),
            Step::Complain(bytes) => format!("error={bytes}"),
            Step::Sleep(milliseconds) => format!("sleep-ms={milliseconds}"),
            Step::CloseInput => "close-input".into(),
            Step::CloseOutput => "close-output".into(),
            Step::CloseError => "close-error".into(),
            Step::Exit(code) => format!("exit={code}"),
            Step::Signal(signal) => format!("signal={signal}"),
        }
    }
}

/// What a run must give.
#[derive(Debug, Default)]
struct Expected {
    output: Vec<u8>,
    error_bytes: usize,
    /// Whether the program has seen the end of its input.
    saw_the_end: bool,
    read_bytes: usize,
    exit: Option<Exit>,
}

/// The model: what the steps do, if pipes were endless and everything happened in order.
fn expect(steps: &[Step], input: &[u8]) -> Expected {
    let mut expected = Expected::default();
    let mut unread: VecDeque<u8> = input.iter().copied().collect();
    let mut written = 0;
    let (mut input_open, mut output_open, mut error_open) = (true, true, true);
    for step in steps {
        // What a step needs is closed: the test program then fails with exit code 1, after complaining.
        let possible = match step {
            Step::Read(_) | Step::ReadAll => input_open,
            Step::Echo(_) | Step::EchoAll => input_open && output_open,
            Step::CloseInput => std::mem::take(&mut input_open),
            Step::Write(_) => output_open,
            Step::CloseOutput => std::mem::take(&mut output_open),
            Step::Complain(_) => error_open,
            Step::CloseError => std::mem::take(&mut error_open),
            Step::Sleep(_) | Step::Exit(_) | Step::Signal(_) => true,
        };
        if !possible {
            expected.exit = Some(Exit::Code(1));
            break;
        }
        match step {
            Step::Read(bytes) | Step::Echo(bytes) => {
                // A read of more than is left meets the end.
                expected.saw_the_end |= *bytes > unread.len();
                let read: Vec<u8> = unread.drain(..unread.len().min(*bytes)).collect();
                expected.read_bytes += read.len();
                if matches!(step, Step::Echo(_)) {
                    expected.output.extend(read);
                }
            }
            Step::ReadAll | Step::EchoAll => {
                expected.saw_the_end = true;
                expected.read_bytes += unread.len();
                let read = unread.drain(..);
                if matches!(step, Step::EchoAll) {
                    expected.output.extend(read);
                }
            }
            Step::Write(bytes) => {
                expected.output.extend((written..written + bytes).map(|position| (position % 251) as u8));
                written += bytes;
            }
            Step::Complain(bytes) => expected.error_bytes += bytes,
            Step::Sleep(_) | Step::CloseInput | Step::CloseOutput | Step::CloseError => {}
            Step::Exit(code) => expected.exit = Some(Exit::Code(*code)),
            Step::Signal(signal) => expected.exit = Some(Exit::Signal(*signal)),
        }
        if expected.exit.is_some() {
            break;
        }
    }
    expected
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Around the sizes at which a pipe or a buffer is full.
    let bytes = || prop_oneof![0..100_usize, 60_000..70_000_usize, 1_040_000..1_060_000_usize];
    let step = prop_oneof![
        4 => bytes().prop_map(Step::Read),
        1 => Just(Step::ReadAll),
        4 => bytes().prop_map(Step::Echo),
        1 => Just(Step::EchoAll),
        4 => bytes().prop_map(Step::Write),
        4 => bytes().prop_map(Step::Complain),
        2 => (0..3_u64).prop_map(Step::Sleep),
        1 => Just(Step::CloseInput),
        1 => Just(Step::CloseOutput),
        1 => Just(Step::CloseError),
        1 => (0..256).prop_map(Step::Exit),
        1 => prop::sample::select(vec![6, 9, 15]).prop_map(Step::Signal),
    ];
    prop::collection::vec(step, 0..8)
}

/// An input that sometimes is not ready.
fn hesitating(bytes: Vec<u8>, piece_bytes: usize) -> BoxStream<'static, Result<Bytes, Infallible>> {
    harness::input(bytes, piece_bytes)
        .chunks(3)
        .then(|pieces| async {
            tokio::time::sleep(Duration::from_micros(100)).await;
            stream::iter(pieces)
        })
        .flatten()
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_program_gives_what_it_would_give_with_endless_pipes(
        steps in steps(),
        input_bytes in prop_oneof![Just(0_usize), 1..1000_usize, 1_000_000..3_000_000_usize],
        piece_bytes in prop_oneof![500..2000_usize, 200_000..2_000_000_usize],
    ) {
        let bytes = pattern(input_bytes);
        let expected = expect(&steps, &bytes);
        let program = scripted(steps.iter().map(Step::argument));
        // A small input in small pieces, a large one in pieces that are not too many.
        let piece_bytes = piece_bytes.max(input_bytes / 50);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pool = pool_of(1, Duration::from_secs(20));
        let run = run_with(&pool, &program, hesitating(bytes, piece_bytes));
        let (ended, output, lines) = runtime.block_on(run);
        let ended = ended.unwrap();
        prop_assert_eq!(ended.exit, expected.exit.unwrap_or(Exit::Code(0)), "{:?}", lines);
        prop_assert!(output == expected.output, "{} bytes for {}", output.len(), expected.output.len());
        prop_assert_eq!(ended.bytes_out, output.len() as u64);
        // The test program's own complaint comes on top, if it can still be heard.
        prop_assert!(ended.bytes_err >= expected.error_bytes as u64);
        prop_assert!(ended.exit == Exit::Code(1) || ended.bytes_err == expected.error_bytes as u64);
        prop_assert!((expected.read_bytes as u64..=input_bytes as u64).contains(&ended.bytes_in));
        match ended.input {
            InputEnd::AllFed => prop_assert_eq!(ended.bytes_in, input_bytes as u64),
            InputEnd::StoppedReading { fed_bytes } => {
                prop_assert!(!expected.saw_the_end);
                prop_assert_eq!(fed_bytes, ended.bytes_in);
            }
        }
        if input_bytes > expected.read_bytes + (1 << 20) {
            prop_assert!(matches!(ended.input, InputEnd::StoppedReading { .. }), "what is never read cannot all be fed");
        }
        prop_assert_eq!(ended.leftovers, []);
    }
}

/// A program that works on lines, and what it makes of them.
#[derive(Clone, Debug)]
enum Filter {
    /// Takes so many milliseconds for each line.
    Capitals(u64),
    /// Prints nothing before it has read everything.
    Reversed,
    /// Stops reading after so many lines.
    First(usize),
    /// Passes on what it reads as it comes, and not by lines.
    Unchanged,
}

impl Filter {
    fn program(&self) -> Program {
        match self {
            Filter::Capitals(milliseconds) => scripted([format!("lines={milliseconds}")]),
            Filter::Reversed => scripted(["reverse"]),
            Filter::First(lines) => program(["head", "-n", &lines.to_string()]),
            Filter::Unchanged => program(["cat"]),
        }
    }

    fn of(&self, text: &[u8]) -> Vec<u8> {
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        match self {
            Filter::Capitals(_) => text.to_ascii_uppercase(),
            Filter::Reversed => lines.rev().collect::<Vec<_>>().concat(),
            Filter::First(count) => lines.take(*count).collect::<Vec<_>>().concat(),
            Filter::Unchanged => text.to_owned(),
        }
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        (0..4_u64).prop_map(Filter::Capitals),
        Just(Filter::Reversed),
        (1..40_usize).prop_map(Filter::First),
        Just(Filter::Unchanged),
    ]
}

/// Lines that tell where they stand: short ones, and now and then one that is longer than a pipe.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![20 => 0..300_usize, 1 => 1_000_000..1_200_000_usize];
    prop::collection::vec(length, 0..60).prop_map(|lengths| {
        let line = |(number, length): (usize, usize)| format!("{number}{}\n", "abcdefg".repeat(length / 7));
        lengths.into_iter().enumerate().map(line).collect::<String>().into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn an_input_that_ends_early_leaves_exactly_the_output_over_what_was_given(
        filter in filter(),
        text in text(),
        pieces in prop_oneof![0..10_usize, Just(usize::MAX)],
    ) {
        let mut pieces_left = pieces;
        let mut input = EndingEarly::new(text.clone(), || match pieces_left.checked_sub(1) {
            Some(left) => {
                pieces_left = left;
                false
            }
            None => true,
        });
        let (mut output, mut log) = (Vec::new(), |_: &[u8]| ());
        let pool = pool_of(1, Duration::from_secs(20));
        let program = filter.program();
        let run = pool.run(&program, &mut input, &mut output, &mut log);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(run).unwrap();
        prop_assert_eq!(ended.exit, Exit::Code(0));
        prop_assert!(output == filter.of(&input.given), "{} bytes of {}", output.len(), input.given.len());
        let all_given = input.left.is_empty();
        prop_assert!(text.starts_with(&input.given));
        match ended.input {
            InputEnd::AllFed => {
                prop_assert_eq!(ended.bytes_in, input.given.len() as u64);
                prop_assert!(all_given || pieces_left == 0);
            }
            InputEnd::StoppedReading { .. } => prop_assert!(matches!(filter, Filter::First(_))),
        }
    }
}
