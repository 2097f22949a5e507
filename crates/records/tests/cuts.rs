//! An object cut into chunks, each read for itself: together they are the object, and each begins where a record does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bytes::Bytes;
use fanfold_records::{Cutter, Dialect, Range, Rule};
use proptest::prelude::*;

/// What a chunk read: its first byte and the one behind its last; none where no record begins in it.
type Read = Option<(usize, usize)>;

/// Reads a chunk, whose object comes in pieces of so many bytes.
fn read(object: &[u8], rule: &Rule, range: Range, piece_bytes: usize) -> Read {
    let mut cutter = Cutter::new(rule, range);
    let mut walker = rule.walker(range.start == 0);
    let mut next = None;
    loop {
        let at = usize::try_from(cutter.position()).unwrap();
        let piece = match next.take() {
            Some(piece) => piece,
            None => cutter.feed(Bytes::copy_from_slice(&object[at..object.len().min(at + piece_bytes)])),
        };
        walker.walk(&piece.records);
        if !piece.records.is_empty() {
            let position = usize::try_from(piece.position).unwrap();
            assert_eq!(piece.records, object[position..position + piece.records.len()]);
        }
        if piece.is_last {
            // What a guess is proved by.
            let is_inside = rule.may_guess() && !walker.is_at_border();
            next = if is_inside && cutter.begin().is_some() { cutter.extend() } else { None };
            if next.is_none() {
                let place = |at: u64| usize::try_from(at).unwrap();
                return cutter.begin().zip(cutter.end()).map(|(begin, end)| (place(begin), place(end)));
            }
        }
    }
}

/// The chunks that count, in order, where chunks are read for themselves.
fn counted(
    object: &[u8],
    rule: &Rule,
    step: usize,
    piece_bytes: usize,
) -> Result<Vec<(usize, usize)>, String> {
    let (mut at, mut counted) = (0, Vec::new());
    for start in (0..object.len()).step_by(step) {
        let range = Range {
            start: start as u64,
            end: (start + step).min(object.len()) as u64,
            step: Some(step as u64),
            starts_at_border: start == 0,
            object_bytes: object.len() as u64,
        };
        match read(object, rule, range, piece_bytes) {
            Some((begin, end)) if begin == at && begin < end => {
                at = end;
                counted.push((begin, end));
            }
            Some((begin, _)) if begin > at => {
                return Err(format!("a gap from {at} to {begin}, at step {step}"));
            }
            _ => {}
        }
    }
    if at == object.len() { Ok(counted) } else { Err(format!("the chunks end at {at}, at step {step}")) }
}

/// Where records begin, to a reader of the whole object.
fn true_begins(object: &[u8], rule: &Rule) -> Vec<usize> {
    let mut walker = rule.walker(true);
    let is_begin = |end: &usize| {
        walker.walk(&object[end - 1..*end]);
        walker.is_at_border()
    };
    std::iter::once(0).chain((1..=object.len()).filter(is_begin)).collect()
}

fn dialects() -> Vec<Dialect> {
    let escaped = Dialect { escape: Some(b'e'), ..Dialect::RFC_4180 };
    let unquoted = Dialect { quote: None, ..escaped };
    let commented = Dialect { comment: Some(b'a'), ..Dialect::RFC_4180 };
    vec![Dialect::RFC_4180, escaped, unquoted, commented]
}

/// All texts of this length over the letters of a dialect.
fn texts(length: usize) -> impl Iterator<Item = Vec<u8>> {
    let letters = b"\",\n\rea";
    (0..letters.len().pow(u32::try_from(length).unwrap())).map(move |number| {
        (0..length)
            .map(|place| letters[number / letters.len().pow(u32::try_from(place).unwrap()) % letters.len()])
            .collect()
    })
}

#[test]
fn every_short_csv_is_cut_right_at_every_place() {
    for dialect in dialects() {
        let rule = Rule::Csv(dialect);
        for text in (1..=5).flat_map(texts) {
            let begins = true_begins(&text, &rule);
            for step in 1..=text.len() {
                let counted =
                    counted(&text, &rule, step, 2).unwrap_or_else(|error| panic!("{text:?}: {error}"));
                for (begin, _) in counted {
                    assert!(
                        begins.contains(&begin),
                        "{text:?} at step {step}: {begin} is no record's beginning"
                    );
                }
            }
        }
    }
}

/// Records of a CSV: plain ones, quoted ones with line breaks, lone quotes, and fields that look the same from within.
fn csv() -> impl Strategy<Value = Vec<u8>> {
    let field = prop::sample::select(vec![
        "1",
        "x y",
        "\"q\"",
        "\"a\nb\"",
        "\"\"\"\n\"\"\"",
        "\"\n\n\"",
        "",
        "\"x\"\r",
        "5\" pipe",
        "\",\"",
        "\"long long long\ntext\"",
    ]);
    let record =
        prop::collection::vec(field, 1..4).prop_map(|fields| format!("{}\n", fields.join(",")).into_bytes());
    prop::collection::vec(record, 1..30).prop_map(|records| records.concat())
}

fn rule() -> impl Strategy<Value = Rule> {
    prop::sample::select(vec![
        Rule::Separator("\n".into()),
        Rule::Separator(";\n".into()),
        Rule::Separator("ab".into()),
        Rule::BeginsWith(">".into()),
        Rule::BeginsWith("ab".into()),
        Rule::Paragraphs,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_csv_of_any_records_is_cut_right_at_any_step(object in csv(), step in 1..80_usize, piece_bytes in 1..40_usize) {
        let rule = Rule::Csv(Dialect::RFC_4180);
        let begins = true_begins(&object, &rule);
        for (begin, _) in counted(&object, &rule, step, piece_bytes).map_err(TestCaseError::fail)? {
            prop_assert!(begins.contains(&begin));
        }
    }

    #[test]
    fn text_of_any_kind_is_cut_right_at_any_step(
        object in prop::collection::vec(prop::sample::select(b"ab;\n\n\r>\"".to_vec()), 1..80),
        rule in rule(), step in 1..40_usize, piece_bytes in 1..10_usize,
    ) {
        let expected: Vec<usize> = begins_by_definition(&object, &rule);
        for (begin, _) in counted(&object, &rule, step, piece_bytes).map_err(TestCaseError::fail)? {
            prop_assert!(expected.contains(&begin), "{begin} of {expected:?}");
        }
    }

    #[test]
    fn a_walk_in_portions_counts_and_stops_as_one_byte_by_byte(
        object in prop::collection::vec(prop::sample::select(b"ab;\n\n\r>\",e".to_vec()), 1..80),
        rule in rule(), dialect in prop::sample::select(dialects()), is_csv: bool, rooms in prop::collection::vec(0..20_usize, 1..5),
    ) {
        // Whether a CR at the end is a line of its own is not known before what comes next.
        let object = [object, b"a".to_vec()].concat();
        let rule = if is_csv { Rule::Csv(dialect) } else { rule };
        let mut borders = begins_by_definition(&object, &rule);
        borders.retain(|begin| *begin > 0);
        let (mut walker, mut at) = (rule.walker(true), 0);
        for room in rooms.iter().cycle() {
            if at == object.len() {
                break;
            }
            let ahead = &object[at..];
            let room = (*room).min(ahead.len() - 1);
            let taken = walker.walk_about(ahead, room);
            let within = borders.iter().rfind(|border| (at + 1..=at + room).contains(border));
            let expected = within.or_else(|| borders.iter().find(|border| **border > at));
            let all = object.len() - at;
            prop_assert_eq!(taken, expected.map_or(all, |border| border - at).min(all), "at {} with room {}", at, room);
            at += taken;
            prop_assert_eq!(walker.is_at_border(), borders.contains(&at) && rule != Rule::Whole);
            if at < object.len() {
                let mut whole = rule.walker(true);
                whole.walk(&object[..at]);
                prop_assert_eq!(walker.records(), whole.records());
            }
        }
    }
}

/// Where records begin, looked for without any state where the rule has none.
fn begins_by_definition(object: &[u8], rule: &Rule) -> Vec<usize> {
    let is_blank = |line: &[u8]| line == b"\n" || line == b"\r\n";
    let lines = || {
        object.split_inclusive(|byte| *byte == b'\n').scan(0, |at, line| {
            *at += line.len();
            Some((*at - line.len(), line))
        })
    };
    let behind_first: Vec<usize> = match rule {
        Rule::Separator(text) => {
            memchr::memmem::find_iter(object, text.as_bytes()).map(|place| place + text.len()).collect()
        }
        Rule::BeginsWith(mark) => {
            lines().filter(|(_, line)| line.starts_with(mark.as_bytes())).map(|(at, _)| at).collect()
        }
        Rule::Paragraphs => {
            let pairs = lines().zip(lines().skip(1));
            pairs
                .filter(|((_, before), (_, line))| is_blank(before) && !is_blank(line))
                .map(|(_, (at, _))| at)
                .collect()
        }
        _ => true_begins(object, rule),
    };
    std::iter::once(0).chain(behind_first).collect()
}
