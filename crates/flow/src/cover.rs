//! Whether results read each byte of their objects once, and which of them do not count. Pure.
//!
//! A chunk of a CSV may have guessed where its first record begins ([`fanfold_records::Found::Border`]). The chunk before it knows, and
//! where the guess was wrong it took over that chunk's records: it ends behind the place where the other began. Then what the other
//! chunk made of its bytes is void, failure or not. No other results ever read a byte twice.

use std::collections::BTreeSet;

use crate::chunk::Input;
use crate::done::Failure;
use crate::plan::{Plan, PlannedInput, Slice};
use crate::result::{Aligned, ChunkResult};

/// What came of looking at the bytes that outcomes read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// The chunks that do not count.
    pub void: BTreeSet<u64>,
    /// Bytes that were read twice or not at all, though nothing was guessed: somebody has changed the records, or Fanfold has a fault.
    pub defects: Vec<String>,
}

/// A chunk, or a piece of one, and what it read.
struct Read {
    index: u64,
    /// Whether it had records at all, as far as is known.
    has_records: bool,
    /// Whether it failed: then earlier pieces of the chunk do not count either, and are not among the results.
    has_failed: bool,
    input: Option<Aligned>,
}

impl From<&ChunkResult> for Read {
    fn from(result: &ChunkResult) -> Self {
        Self { index: result.index, has_records: result.records > 0, has_failed: false, input: result.input }
    }
}

impl From<&Failure> for Read {
    fn from(failure: &Failure) -> Self {
        Self { index: failure.index, has_records: true, has_failed: true, input: failure.input }
    }
}

/// Looks at the bytes that these outcomes read: all results of a job in order of `(index, cut)`, and its failures in order of the
/// index.
pub fn cover(plan: &Plan, results: &[&ChunkResult], failures: &[Failure]) -> Cover {
    let mut cover = Cover::default();
    let PlannedInput::Objects { rule, slices, .. } = &plan.input else { return cover };
    let mut results = results.iter().map(|result| Read::from(*result)).peekable();
    let mut failures = failures.iter().map(Read::from).peekable();
    let reads = std::iter::from_fn(|| match (results.peek(), failures.peek()) {
        (Some(result), Some(failure)) if failure.index < result.index => failures.next(),
        (Some(_), _) => results.next(),
        (None, _) => failures.next(),
    });
    let mut walk = Walk { may_guess: rule.may_guess(), at: None, cover: &mut cover };
    let mut slices = slices.iter().peekable();
    let mut within: Option<&Slice> = None;
    for read in reads {
        while let Some(slice) = slices.next_if(|slice| slice.first <= read.index) {
            walk.end(within);
            (walk.at, within) = (Some(slice.head_bytes), Some(slice));
        }
        walk.step(&read);
    }
    walk.end(within);
    cover
}

struct Walk<'c> {
    may_guess: bool,
    /// Up to where the object was read, if that is known.
    at: Option<u64>,
    cover: &'c mut Cover,
}

impl Walk<'_> {
    fn step(&mut self, read: &Read) {
        if self.cover.void.contains(&read.index) {
            return;
        }
        let Some(Aligned { start, end }) = read.input else {
            // A chunk in which no record begins has read nothing.
            self.at = self.at.filter(|_| !read.has_records);
            return;
        };
        match self.at {
            Some(at) if start < at && self.may_guess => {
                self.cover.void.insert(read.index);
                return;
            }
            Some(at) if start != at && !read.has_failed => self.cover.defects.push(format!(
                "index {} read from byte {start}, those before it up to byte {at}",
                read.index
            )),
            _ => {}
        }
        self.at = Some(end);
    }

    /// Behind the last chunk of an object.
    fn end(&mut self, slice: Option<&Slice>) {
        let Some(object) = slice.map(|slice| &slice.object) else { return };
        if let Some(at) = self.at.filter(|at| *at != object.bytes) {
            let (uri, bytes) = (&object.uri, object.bytes);
            self.cover.defects.push(format!("{uri} was read up to byte {at} of {bytes}"));
        }
    }
}

/// Takes what does not count out of a job's outcomes: its failures are none, and its results are empty.
pub fn leave_out(void: &BTreeSet<u64>, results: &mut Vec<ChunkResult>, failures: &mut Vec<Failure>) {
    if void.is_empty() {
        return;
    }
    for result in results.iter_mut().filter(|result| void.contains(&result.index)) {
        *result = empty(result.index, result.cut, result);
    }
    let (left_out, left): (Vec<_>, Vec<_>) =
        std::mem::take(failures).into_iter().partition(|failure| void.contains(&failure.index));
    *failures = left;
    for failure in left_out {
        results.push(ChunkResult {
            index: failure.index,
            cut: failure.rest.map_or(0, |rest| rest.cut),
            hop: 0,
            attempt: failure.attempts,
            stored: None,
            header: None,
            records: 0,
            input: None,
            bytes_in: 0,
            bytes_out: 0,
            started_ms: 0,
            wall_ms: 0,
        });
    }
    results.sort_by_key(|result| (result.index, result.cut));
}

/// The same result with nothing in it.
fn empty(index: u64, cut: u32, result: &ChunkResult) -> ChunkResult {
    ChunkResult {
        index,
        cut,
        stored: None,
        header: None,
        records: 0,
        input: None,
        bytes_in: 0,
        bytes_out: 0,
        ..result.clone()
    }
}

/// Whether a chunk ends its object.
pub fn ends_its_object(plan: &Plan, index: u64) -> bool {
    plan.chunk(index)
        .is_some_and(|chunk| matches!(chunk.input, Input::Bytes(bytes) if bytes.reaches_the_end()))
}
