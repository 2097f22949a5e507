//! How chunk results become the output.
//!
//! [`elements`] says what the output is: literals and pieces of objects, in order. [`make`] says how S3 shall put it
//! together: as parts of a multipart upload, of which it copies the large ones by itself. [`defects`] is written apart
//! from it and says what is wrong with a plan, given the elements.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chunk::ObjectVersion;
use crate::crc::Crc64;
use crate::literal::Literal;
use crate::shared;
use crate::version::Version;

mod ahead;
mod check;
mod content;
mod elements;
mod gap;
mod lend;
mod limits;
mod make;
mod nodes;
mod row;

pub use ahead::ahead;
pub use check::defects;
pub use elements::{ElementsError, elements};
pub use limits::Limits;
pub use make::{TooLarge, make};

/// What the output is made of, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// Bytes that stand in the plan itself.
    Literal(Literal),
    /// A stretch of an object, and its CRC.
    Piece(Range, Crc64),
}

// There may be a million of them, and as many ranges in a plan.
const _: () = assert!(size_of::<Element>() <= 32 && size_of::<Segment>() <= 32 && size_of::<Part>() <= 32);

impl Element {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Literal(literal) => literal.len(),
            Self::Piece(range, _) => range.bytes(),
        }
    }

    /// The CRC64NVME of those bytes.
    pub fn crc(&self) -> Crc64 {
        match self {
            Self::Literal(literal) => Crc64::of(&literal.0),
            Self::Piece(_, crc) => *crc,
        }
    }
}

/// A stretch of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The object: one that has changed since is refused. A million ranges may be of a few objects, or be in elements and in a
    /// plan at once, so it is shared.
    #[serde(with = "shared")]
    pub object: Arc<ObjectVersion>,
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

impl Range {
    /// The whole of an object.
    pub fn whole(object: ObjectVersion) -> Self {
        let end = object.bytes;
        Self { object: Arc::new(object), start: 0, end }
    }

    /// How many bytes; none for a range backwards, which [`defects`] refuses.
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it is the whole object.
    pub fn is_whole(&self) -> bool {
        self.start == 0 && self.end == self.object.bytes
    }

    /// The stretch of `bytes` bytes that begins `start` bytes behind this one's beginning, and may go past its end.
    fn part(&self, start: u64, bytes: u64) -> Self {
        let start = self.start + start;
        Self { object: Arc::clone(&self.object), start, end: start + bytes }
    }
}

/// How elements become one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concat {
    /// By one upload, or one put.
    Whole(ConcatPlan),
    /// By several, since one upload has too few parts. Each makes an object, a node, independently of the others; one
    /// after another the nodes are the elements. Then one plans again, with the nodes' objects as pieces: what each
    /// plan says of its node's length and CRC is what the pieces have, and that plan is [`Concat::Whole`].
    Nodes(Vec<ConcatPlan>),
}

/// How one object is put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcatPlan {
    /// The version of this artefact.
    pub version: Version,
    /// The parts, in order. None, or a single streamed one, is written as one object without a multipart upload.
    pub parts: Vec<Part>,
    /// How long the object is.
    pub bytes: u64,
    /// The object's CRC64NVME, combined from those of its elements.
    pub crc: Crc64,
}

impl ConcatPlan {
    /// How many bytes go through the reducer.
    pub fn streamed_bytes(&self) -> u64 {
        let streamed = self.parts.iter().filter(|part| matches!(part, Part::Stream(_)));
        streamed.map(Part::bytes).sum()
    }
}

/// One part of the multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// S3 copies it.
    Copy(Range),
    /// The reducer reads these and uploads them.
    Stream(Vec<Segment>),
}

impl Part {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Copy(range) => range.bytes(),
            Self::Stream(segments) => segments.iter().map(Segment::bytes).sum(),
        }
    }
}

/// A stretch of a streamed part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Bytes that stand here.
    Literal(Literal),
    /// Bytes to be read.
    Range(Range),
}

impl Segment {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Literal(literal) => literal.len(),
            Self::Range(range) => range.bytes(),
        }
    }
}
