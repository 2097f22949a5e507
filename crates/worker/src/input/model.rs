//! The pure half of an input driven by hand, over an object that is whole in memory; and what tests feed it.

use std::ops;

use bytes::Bytes;
use fanfold_flow::chunk::{self, ObjectVersion};
use fanfold_flow::result::Aligned;
use fanfold_records::{Cutter, Dialect, Range, Rule};
use memchr::memmem;
use proptest::prelude::*;

use super::portions::{CutAt, Portions, Step};

/// Sizes in bytes, each in its turn, over and over.
#[derive(Clone, Debug)]
pub(super) struct Sizes(Vec<usize>);

impl Sizes {
    pub(super) fn always(size: usize) -> Self {
        Self(vec![size])
    }

    pub(super) fn in_turn(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied().cycle()
    }
}

pub(super) fn sizes(size: ops::Range<usize>) -> impl Strategy<Value = Sizes> {
    prop::collection::vec(size, 1..4).prop_map(Sizes)
}

/// When a reading is cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct When {
    /// When it has been asked so often whether it is time.
    pub(super) asked: Option<usize>,
    /// When it has taken so many bytes, or items.
    pub(super) at_most: Option<u64>,
}

pub(super) fn cuts() -> impl Strategy<Value = Vec<When>> {
    let when = (prop::option::of(0..8_usize), prop::option::of(0..30_u64));
    prop::collection::vec(when.prop_map(|(asked, at_most)| When { asked, at_most }), 0..6)
}

/// How an object is read.
#[derive(Clone, Debug)]
pub(super) struct How<'a> {
    pub(super) rule: &'a Rule,
    /// How many bytes lie between two nominal borders.
    pub(super) step: usize,
    /// The pieces in which the object comes.
    pub(super) pieces: Sizes,
    /// The room that there is for a portion.
    pub(super) rooms: Sizes,
}

/// What a reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    /// Which bytes of the object they took; none where no record was handed out before it was cut.
    pub(super) aligned: Option<Aligned>,
    /// Where what is left begins.
    pub(super) rest: Option<u64>,
}

/// Reads the chunk with this nominal range, which may begin at a border already.
pub(super) fn read(
    object: &[u8],
    range: &chunk::Bytes,
    how: &How<'_>,
    when: When,
) -> (Reading, Option<chunk::Bytes>) {
    let mut cutter = Cutter::new(
        how.rule,
        Range {
            start: range.start,
            end: range.end,
            step: Some(how.step as u64),
            starts_at_border: range.at_border,
            object_bytes: object.len() as u64,
        },
    );
    let limit = when.at_most.map(|bytes| range.start + bytes);
    let mut portions = Portions::new(how.rule.walker(range.start == 0), limit);
    let (mut pieces, mut rooms) = (how.pieces.in_turn(), how.rooms.in_turn());
    let mut bytes = Vec::new();
    for asked in 0.. {
        let room = rooms.next().unwrap();
        match portions.next(room, when.asked.is_some_and(|limit| asked >= limit)) {
            Step::Portion(portion) => bytes.extend_from_slice(&portion),
            Step::End if portions.is_within_a_record() => match cutter.extend() {
                Some(piece) => portions.add(piece),
                None => break,
            },
            Step::End => break,
            Step::NeedsMore => {
                let position = usize::try_from(cutter.position()).unwrap();
                let until = object.len().min(position + pieces.next().unwrap());
                if position == object.len() {
                    portions.close();
                } else {
                    portions.add(cutter.feed(Bytes::copy_from_slice(&object[position..until])));
                }
            }
        }
    }
    let aligned = |end: Option<u64>| Some(Aligned { start: cutter.begin()?, end: end? });
    let (records, aligned, rest) = match portions.cut() {
        None => (portions.records(), aligned(cutter.end()), None),
        Some(CutAt::Start) => (0, None, Some(range.clone())),
        Some(CutAt::Border(border)) => {
            let end = cutter.nominal_end();
            let rest = chunk::Bytes { start: border, end, at_border: true, ..range.clone() };
            (portions.records(), aligned(Some(border)), Some(rest))
        }
    };
    (Reading { bytes, records, aligned, rest: rest.as_ref().map(|rest| rest.start) }, rest)
}

/// Reads what [`read`] would, cut again and again, the rest each time as a chunk of its own.
pub(super) fn read_in_cuts(
    object: &[u8],
    range: &chunk::Bytes,
    how: &How<'_>,
    cuts: &[When],
) -> Vec<Reading> {
    let (mut readings, mut range) = (Vec::new(), range.clone());
    let mut cuts = cuts.iter().copied();
    loop {
        let (reading, rest) = read(object, &range, how, cuts.next().unwrap_or_default());
        readings.push(reading);
        let Some(rest) = rest else { return readings };
        range = rest;
    }
}

/// The readings of one chunk as the one that it would have been, if they join.
pub(super) fn joined(readings: &[Reading]) -> Result<Reading, TestCaseError> {
    let mut whole = Reading { bytes: Vec::new(), records: 0, aligned: None, rest: None };
    for (number, reading) in readings.iter().enumerate() {
        let is_last = number + 1 == readings.len();
        prop_assert_eq!(reading.rest.is_none(), is_last, "only the last leaves nothing");
        whole.bytes.extend_from_slice(&reading.bytes);
        whole.records += reading.records;
        let Some(Aligned { start, end }) = reading.aligned else {
            // No record was handed out before it was cut, or none begins in the chunk.
            prop_assert!(reading.bytes.is_empty() && reading.records == 0);
            continue;
        };
        prop_assert!(is_last || reading.rest == Some(end), "what is left begins where this ended");
        prop_assert!(whole.aligned.is_none_or(|before| before.end == start), "cuts must join, at {start}");
        whole.aligned = Some(Aligned { start: whole.aligned.map_or(start, |before| before.start), end });
    }
    Ok(whole)
}

pub(super) fn version(object: &[u8]) -> ObjectVersion {
    ObjectVersion { uri: "s3://b/k".parse().unwrap(), etag: "e".to_owned(), bytes: object.len() as u64 }
}

/// The nominal ranges of an object's chunks.
pub(super) fn ranges(object: &ObjectVersion, chunk_bytes: usize) -> Vec<chunk::Bytes> {
    let starts = (0..object.bytes.max(1)).step_by(chunk_bytes);
    let end = |start: u64| (start + chunk_bytes as u64).min(object.bytes);
    let range =
        |start| chunk::Bytes { object: object.clone(), start, end: end(start), at_border: start == 0 };
    starts.map(range).collect()
}

/// The records of an object with their places, cut after each separator.
pub(super) fn records<'o>(object: &'o [u8], separator: &str) -> Vec<(u64, &'o [u8])> {
    let ends = memmem::find_iter(object, separator).map(|place| place + separator.len());
    let mut records = Vec::new();
    let mut begin = 0;
    for end in ends.chain([object.len()]).filter(|end| *end > 0) {
        if begin < end {
            records.push((begin as u64, &object[begin..end]));
        }
        begin = end;
    }
    records
}

/// Separators, short and long, that are frequent in [`text`].
pub(super) fn separator() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["\n", ";\n", "ab", "\r\n;"]).prop_map(str::to_owned)
}

/// Rules whose borders are frequent in [`text`].
pub(super) fn rule() -> impl Strategy<Value = Rule> {
    let separator = |text: &str| Rule::Separator(text.into());
    prop::sample::select(vec![
        separator("\n"),
        separator(";\n"),
        separator("ab"),
        separator("\r\n;"),
        Rule::BeginsWith("a".into()),
        Rule::Paragraphs,
        Rule::Csv(Dialect::RFC_4180),
    ])
}

/// Letters among which every separator is frequent, and so are empty records and records longer than a chunk.
pub(super) fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab;;\n\n\r,\"".to_vec()), 0..80)
}

/// Records of a CSV with quotes, line breaks within them, and lone quotes where a lenient reader takes them for letters.
pub(super) fn csv(lone_quotes: bool) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let mut fields = vec!["1", "x y", "\"q\"", "\"a\nb\"", "\"\"\"\n\"\"\"", "\"\n\n\"", "", "\"x\"\r"];
    if lone_quotes {
        fields.push("5\" pipe");
    }
    let record = prop::collection::vec(prop::sample::select(fields), 1..4);
    prop::collection::vec(record.prop_map(|fields| format!("{}\n", fields.join(",")).into_bytes()), 0..12)
}
