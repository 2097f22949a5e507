//! The pure half of an input driven by hand, over an object that is whole in memory; and what tests feed it.

use std::ops::Range;

use bytes::Bytes;
use fanfold_flow::chunk::{self, ObjectVersion};
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Aligned;
use memchr::memmem;
use proptest::prelude::*;

use super::align::{AlignError, Aligner};
use super::portions::{CutAt, Portions, Step};
use super::walker::Walker;

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

pub(super) fn sizes(size: Range<usize>) -> impl Strategy<Value = Sizes> {
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
    pub(super) split: &'a Split,
    pub(super) header: Option<&'a Literal>,
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

/// Reads the records that begin in `start..end` of `object`.
pub(super) fn read(
    object: &[u8],
    (start, end): (u64, u64),
    how: &How<'_>,
    when: When,
) -> Result<Reading, AlignError> {
    let range = chunk::Bytes { object: version(object), start, end };
    let mut aligner = Aligner::new(&range, how.split, how.header);
    let limit = when.at_most.map(|bytes| start + bytes);
    let mut portions = Portions::new(Walker::new(how.split), aligner.has_header(), limit);
    let mut position = usize::try_from(aligner.first_byte()).unwrap();
    let (mut pieces, mut rooms) = (how.pieces.in_turn(), how.rooms.in_turn());
    let mut bytes = Vec::new();
    for asked in 0.. {
        let room = rooms.next().unwrap();
        let step = portions.next(room, when.asked.is_some_and(|limit| asked >= limit));
        portions.check_end(range.object.bytes)?;
        match step {
            Step::Portion(portion) => bytes.extend_from_slice(&portion),
            Step::End => break,
            Step::NeedsMore if position == object.len() => portions.close(),
            Step::NeedsMore => {
                let until = object.len().min(position + pieces.next().unwrap());
                portions.add(aligner.feed(&Bytes::copy_from_slice(&object[position..until]))?);
                position = until;
            }
        }
    }
    let (records, aligned, rest) = match portions.cut() {
        None => (portions.records(), aligner.aligned(), None),
        Some(CutAt::Start) => (0, None, Some(start)),
        Some(CutAt::Border(border)) => {
            let begin = aligner.begin().unwrap();
            (portions.records(), Some(Aligned { start: begin, end: border }), Some(border))
        }
    };
    Ok(Reading { bytes, records, aligned, rest })
}

/// Reads what [`read`] would, cut again and again, the rest each time as a chunk of its own.
pub(super) fn read_in_cuts(
    object: &[u8],
    (mut start, end): (u64, u64),
    how: &How<'_>,
    cuts: &[When],
) -> Result<Vec<Reading>, AlignError> {
    let mut readings = Vec::new();
    let mut cuts = cuts.iter().copied();
    loop {
        let reading = read(object, (start, end), how, cuts.next().unwrap_or_default())?;
        let rest = reading.rest;
        readings.push(reading);
        let Some(border) = rest else { return Ok(readings) };
        start = border;
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
            prop_assert!(reading.bytes.is_empty() && reading.records == 0 && !is_last);
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
pub(super) fn ranges(bytes: usize, chunk_bytes: usize) -> Vec<(u64, u64)> {
    let starts = (0..bytes.max(1)).step_by(chunk_bytes);
    starts.map(|start| (start as u64, (start + chunk_bytes).min(bytes) as u64)).collect()
}

/// The records of an object with their places, cut after each separator.
pub(super) fn records<'o>(object: &'o [u8], separator: &[u8]) -> Vec<(usize, &'o [u8])> {
    let ends = memmem::find_iter(object, separator).map(|place| place + separator.len());
    let mut records = Vec::new();
    let mut begin = 0;
    for end in ends.chain([object.len()]).filter(|end| *end > 0) {
        if begin < end {
            records.push((begin, &object[begin..end]));
        }
        begin = end;
    }
    records
}

/// Short separators and long ones, whose letters occur in [`text`].
pub(super) fn separator() -> impl Strategy<Value = Split> {
    let separators = prop::sample::select(vec!["\n", ";\n", "ab", "\r\n;"]);
    separators.prop_map(|text| match text {
        "\n" => Split::Lines,
        text => Split::Separator(text.to_owned()),
    })
}

/// The bytes of [`separator`]'s separators.
pub(super) fn separator_of(split: &Split) -> &[u8] {
    match split {
        Split::Separator(text) => text.as_bytes(),
        _ => b"\n",
    }
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

/// Where csv-core, a reader of its own, says that records begin.
pub(super) fn true_begins(object: &[u8]) -> Vec<u64> {
    let mut reader = csv_core::ReaderBuilder::new().terminator(csv_core::Terminator::Any(b'\n')).build();
    let (mut fields, mut ends) = (vec![0; object.len() + 8], vec![0; object.len() + 8]);
    let (mut begins, mut position) = (vec![0], 0);
    while position < object.len() {
        let (result, taken, _, _) = reader.read_record(&object[position..], &mut fields, &mut ends);
        position += taken;
        if result == csv_core::ReadRecordResult::Record {
            begins.push(position as u64);
        }
    }
    begins
}
