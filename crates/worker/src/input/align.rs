//! Which bytes of an object are a chunk's records.
//!
//! A record begins at the object's first byte and after each separator. A chunk owns the records that **begin** in its
//! nominal range. So with `border(x)` the end of the first separator that ends at or after `x` (and begins within the
//! object), a chunk is the bytes from `border(start)` to `border(end)`: each border is computed alike by the chunk before it
//! and the chunk behind it, however long a record is. A chunk within a longer record owns nothing.
//!
//! In a CSV a line feed may stand within quotes, and then it ends no record. From a border alone that cannot be seen, but the
//! chunk before it has read the record from its beginning. So every chunk proves its own end, the first chunk's beginning
//! is right, and by induction all are: where a proof fails, the chunk fails, and with it the job.

use bytes::Bytes;
use fanfold_flow::chunk::{self, ObjectVersion};
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Aligned;

use super::Tally;
use super::quotes::Quotes;
use super::separator::Separator;

/// Why bytes cannot be cut into records where they have to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AlignError {
    /// A border may lie within quotes.
    #[error(
        "the chunk would end at byte {byte}, on a line feed that may stand within quotes; \
         a chunk_bytes that puts the border elsewhere may do, \"split\": \"none\" always does"
    )]
    RecordCut {
        /// The border.
        byte: u64,
    },
    /// The object begins with another header than the first object of the job.
    #[error("its header differs at byte {byte} from that of the job's first object, {header:?}")]
    HeaderDiffers {
        /// The first byte that differs.
        byte: u64,
        /// The header that it should have.
        header: Literal,
    },
}

/// What became of bytes that were fed in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fed {
    /// Those of them that are the chunk's records.
    pub(super) records: Bytes,
    /// Whether the chunk needs no more.
    pub(super) complete: bool,
}

/// Takes an object's bytes from [`Aligner::first_byte`] on, and gives back the chunk's records.
#[derive(Debug)]
pub(super) struct Aligner {
    range: chunk::Bytes,
    header: Option<Literal>,
    /// Where the next byte fed in lies in the object.
    position: u64,
    begin: Border,
    end: Border,
    count: Count,
}

impl Aligner {
    pub(super) fn new(range: &chunk::Bytes, split: &Split, header: Option<&Literal>) -> Self {
        let separator = match split {
            Split::Lines | Split::Csv => Some(Separator::new(b"\n")),
            Split::Separator(text) => Some(Separator::new(text.as_bytes())),
            Split::None => None,
        };
        let begin = match &separator {
            Some(separator) if range.start > 0 => Border::search(separator, range.start),
            _ => Border::Known(0),
        };
        let end = match &separator {
            Some(separator) if !range.reaches_the_end() => Border::search(separator, range.end),
            _ => Border::Known(range.object.bytes),
        };
        let position = match &begin {
            Border::Search { from, .. } => *from,
            Border::Known(place) => *place,
        };
        let count = match (split, separator) {
            (Split::Csv, _) => Count::Quotes(Quotes::new()),
            (_, Some(separator)) => Count::Separators { separator, count: 0 },
            (_, None) => Count::Whole,
        };
        let header = header.filter(|_| range.start == 0 && range.object.bytes > 0).cloned();
        Self { range: range.clone(), header, position, begin, end, count }
    }

    /// Where in the object the bytes that are fed in must begin.
    pub(super) fn first_byte(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes in.
    ///
    /// # Errors
    /// When the header is not the right one, or the chunk's end may cut a record.
    pub(super) fn feed(&mut self, bytes: &Bytes) -> Result<Fed, AlignError> {
        let first = self.position;
        self.position += bytes.len() as u64;
        let begin = self.begin.find(first, bytes);
        let end = self.end.find(first, bytes);
        let Some(begin) = begin else { return Ok(Fed { records: Bytes::new(), complete: false }) };
        if begin >= self.range.end && !self.range.reaches_the_end() {
            return Ok(Fed { records: Bytes::new(), complete: true });
        }
        let until = end.unwrap_or(self.position).min(self.position);
        let records = within(bytes, first, begin, until);
        self.count.feed(&records);
        let complete = end.is_some_and(|end| end <= self.position);
        if complete && !self.range.reaches_the_end() && self.count.may_be_inside_quotes() {
            return Err(AlignError::RecordCut { byte: until });
        }
        Ok(Fed { records: self.without_header(records, first.max(begin))?, complete })
    }

    /// Compares what of `records`, which begin at `first`, belongs to the header, and leaves it out.
    fn without_header(&self, records: Bytes, first: u64) -> Result<Bytes, AlignError> {
        let Some(header) = &self.header else { return Ok(records) };
        let expected = header.0.get(usize::try_from(first).unwrap_or(usize::MAX)..).unwrap_or_default();
        let both = expected.len().min(records.len());
        if let Some(place) = expected[..both].iter().zip(&records).position(|(wanted, found)| wanted != found)
        {
            return Err(AlignError::HeaderDiffers { byte: first + place as u64, header: header.clone() });
        }
        let object_ends = first + records.len() as u64 == self.range.object.bytes;
        if object_ends && !matches!(&expected[both..], b"" | b"\n" | b"\r\n") {
            return Err(AlignError::HeaderDiffers { byte: self.range.object.bytes, header: header.clone() });
        }
        Ok(records.slice(both..))
    }

    /// What was read so far; which bytes only when they were all read.
    pub(super) fn tally(&self) -> Tally {
        let header_records = u64::from(self.header.is_some());
        let begin = self.begin.known_at(self.position, &self.range.object);
        let end = match begin {
            // Within a record that is longer than the chunk: nothing, at the place where that record ends.
            Some(begin) if begin >= self.range.end => Some(begin),
            _ => self.end.known_at(self.position, &self.range.object),
        };
        let read = begin.zip(end).filter(|(_, end)| self.position >= *end);
        Tally {
            records: self.count.records().saturating_sub(header_records),
            aligned: read.map(|(start, end)| Aligned { start, end }),
        }
    }
}

/// The part of `bytes`, which begin at `first`, from `from` up to `until`.
fn within(bytes: &Bytes, first: u64, from: u64, until: u64) -> Bytes {
    let place = |position: u64| {
        usize::try_from(position.saturating_sub(first)).unwrap_or(usize::MAX).min(bytes.len())
    };
    let (from, until) = (place(from), place(until));
    if from < until { bytes.slice(from..until) } else { Bytes::new() }
}

/// One end of a chunk.
#[derive(Debug)]
enum Border {
    /// The first separator that begins at `from` or later ends it.
    Search { separator: Separator, from: u64 },
    /// It lies here.
    Known(u64),
}

impl Border {
    fn search(separator: &Separator, nominal: u64) -> Self {
        Self::Search { separator: separator.clone(), from: nominal.saturating_sub(separator.len() as u64) }
    }

    /// Where it lies, if that is known after these bytes, which begin at `first`.
    fn find(&mut self, first: u64, bytes: &Bytes) -> Option<u64> {
        if let Self::Search { separator, from } = self {
            let searched = within(bytes, first, *from, u64::MAX);
            let before = bytes.len() - searched.len();
            let end = separator.find_end(&searched)?;
            *self = Self::Known(first + (before + end) as u64);
        }
        match self {
            Self::Known(place) => Some(*place),
            Self::Search { .. } => None,
        }
    }

    /// Where it lies, if that is known once the object was read up to `position`: a separator that never comes leaves
    /// the object's end.
    fn known_at(&self, position: u64, object: &ObjectVersion) -> Option<u64> {
        match self {
            Self::Known(place) => Some(*place),
            Self::Search { .. } => (position >= object.bytes).then_some(object.bytes),
        }
    }
}

/// Counts records as they pass.
#[derive(Debug)]
enum Count {
    Separators { separator: Separator, count: u64 },
    Quotes(Quotes),
    Whole,
}

impl Count {
    fn feed(&mut self, records: &[u8]) {
        match self {
            Self::Separators { separator, count } => *count += separator.count(records),
            Self::Quotes(quotes) => quotes.feed(records),
            Self::Whole => {}
        }
    }

    fn may_be_inside_quotes(&self) -> bool {
        matches!(self, Self::Quotes(quotes) if quotes.may_be_inside())
    }

    fn records(&self) -> u64 {
        match self {
            Self::Separators { separator, count } => count + u64::from(separator.is_open()),
            Self::Quotes(quotes) => quotes.records(),
            Self::Whole => 1,
        }
    }
}

#[cfg(test)]
mod tests;
