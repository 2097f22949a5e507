//! Which bytes of an object are a chunk's records.
//!
//! A record begins at the object's first byte and after each separator. A chunk owns the records that **begin** in its
//! nominal range. So with `border(x)` the end of the first separator that ends at or after `x` (and begins within the
//! object), a chunk is the bytes from `border(start)` to `border(end)`: each border is computed alike by the chunk before it
//! and the chunk behind it, however long a record is. A chunk within a longer record owns nothing.
//!
//! In a CSV a line feed may stand within quotes, and then it ends no record. From a border alone that cannot be seen, but the
//! chunk before it has read the record from its beginning. So every chunk proves its own end
//! ([`Portions::check_end`](super::portions::Portions::check_end)), the first chunk's beginning is right, and by induction
//! all are: where a proof fails, the chunk fails, and with it the job.
//!
//! What is left of a chunk that was cut at a border is such a chunk itself: it begins at the first separator that ends at or
//! after that border, which is the one that makes it a border.

use bytes::Bytes;
use fanfold_flow::chunk::{self, ObjectVersion};
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Aligned;

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
    /// Those of them that are the object's header, which is no record.
    pub(super) header: Bytes,
    /// Those of them that are the chunk's records.
    pub(super) records: Bytes,
    /// Where in the object `records` begin.
    pub(super) position: u64,
    /// Whether the chunk needs no more.
    pub(super) complete: bool,
}

impl Fed {
    /// Of a source whose records are all at hand, and begin at its first byte.
    pub(super) fn all_at_once(records: Bytes) -> Self {
        Self { header: Bytes::new(), records, position: 0, complete: true }
    }
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
        let header = header.filter(|_| range.start == 0 && range.object.bytes > 0).cloned();
        Self { range: range.clone(), header, position, begin, end }
    }

    /// Whether the chunk's first record is its object's header.
    pub(super) fn has_header(&self) -> bool {
        self.header.is_some()
    }

    /// Where in the object the bytes that are fed in must begin.
    pub(super) fn first_byte(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes in.
    ///
    /// # Errors
    /// [`AlignError::HeaderDiffers`].
    pub(super) fn feed(&mut self, bytes: &Bytes) -> Result<Fed, AlignError> {
        let first = self.position;
        self.position += bytes.len() as u64;
        // A chunk within a longer record begins and ends where that record does.
        let begin = self.begin.find(first, bytes);
        let end = self.end.find(first, bytes);
        let nothing =
            |position, complete| Fed { header: Bytes::new(), records: Bytes::new(), position, complete };
        let Some(begin) = begin else { return Ok(nothing(self.position, false)) };
        if begin >= self.range.end && !self.range.reaches_the_end() {
            return Ok(nothing(begin, true));
        }
        let until = end.unwrap_or(self.position).min(self.position);
        let mut records = within(bytes, first, begin, until);
        let first = first.max(begin);
        let header = records.split_to(self.header_bytes(&records, first)?);
        let position = first + header.len() as u64;
        Ok(Fed { header, records, position, complete: end.is_some_and(|end| end <= self.position) })
    }

    /// How many of `records`, which begin at `first`, belong to the header, which they must equal.
    fn header_bytes(&self, records: &[u8], first: u64) -> Result<usize, AlignError> {
        let Some(header) = &self.header else { return Ok(0) };
        let expected = header.0.get(usize::try_from(first).unwrap_or(usize::MAX)..).unwrap_or_default();
        let both = expected.len().min(records.len());
        if let Some(place) = expected[..both].iter().zip(records).position(|(wanted, found)| wanted != found)
        {
            return Err(AlignError::HeaderDiffers { byte: first + place as u64, header: header.clone() });
        }
        let object_ends = first + records.len() as u64 == self.range.object.bytes;
        if object_ends && !matches!(&expected[both..], b"" | b"\n" | b"\r\n") {
            return Err(AlignError::HeaderDiffers { byte: self.range.object.bytes, header: header.clone() });
        }
        Ok(both)
    }

    /// Which bytes of the object the chunk's records take; known only when all of them were read.
    pub(super) fn aligned(&self) -> Option<Aligned> {
        let start = self.begin()?;
        let end = self.end.known_at(self.position, &self.range.object)?;
        (self.position >= end).then_some(Aligned { start, end })
    }

    /// Where the chunk's records begin, if that was read.
    pub(super) fn begin(&self) -> Option<u64> {
        self.begin.known_at(self.position, &self.range.object)
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

#[cfg(test)]
mod tests;
