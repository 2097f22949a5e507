//! What one process handles.

use serde::{Deserialize, Serialize};

use crate::uri::ObjectUri;

/// What one process handles. In the program's environment it stands whole as `FANFOLD_CHUNK`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its place among all chunks of the job, from 0: the output's order.
    pub index: u64,
    /// 0, or more where a chunk was cut at a deadline and this is a later piece of it.
    #[serde(default)]
    pub cut: u32,
    /// What it reads.
    pub input: Input,
    /// What earlier tries at it have shown.
    #[serde(default, skip_serializing_if = "Prior::is_nothing")]
    pub prior: Prior,
}

/// What earlier tries at a chunk have shown, and what follows for the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prior {
    /// How often it was tried and failed.
    pub failed: u32,
    /// How often it ran out of time before any of it was done, and was started afresh.
    pub late: u32,
    /// How much of it may be taken at once: bytes of an object, or items. Only of what ran out of time and can be cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// Whether it is to run with no other beside it, since memory may have run out.
    pub alone: bool,
}

impl Prior {
    /// Whether nothing is known.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Chunk {
    /// A chunk as it is planned: whole.
    pub fn whole(index: u64, input: Input) -> Self {
        Self { index, cut: 0, input, prior: Prior::default() }
    }

    /// What comes behind a piece of this chunk that was cut off and done: the next cut. It has neither failed nor been late
    /// yet; how it is best run is known from the piece before, and `at_most` from how long that took.
    #[must_use]
    pub fn rest(&self, input: Input, at_most: Option<u64>) -> Self {
        let prior = Prior { failed: 0, late: 0, at_most, alone: self.prior.alone };
        Self { index: self.index, cut: self.cut + 1, input, prior }
    }
}

/// What a chunk reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The records that **begin** in these bytes of an object.
    Bytes(Bytes),
    /// Nothing: the program gets the numbers themselves.
    Range {
        /// The first number.
        offset: u64,
        /// How many.
        limit: u64,
    },
    /// Some of the job's own items, a JSON line each.
    Items {
        /// The first item's place in the list.
        first: u64,
        /// How many.
        count: u64,
    },
}

impl Input {
    /// What the program finds in `FANFOLD_OFFSET` and `FANFOLD_LIMIT`: numbers, items, or nominal bytes.
    pub fn offset_and_limit(&self) -> (u64, u64) {
        match self {
            Self::Bytes(bytes) => (bytes.start, bytes.end.saturating_sub(bytes.start)),
            Self::Range { offset, limit } => (*offset, *limit),
            Self::Items { first, count } => (*first, *count),
        }
    }

    /// How many bytes of an object it reads, nominally; 0 where it reads none.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.end.saturating_sub(bytes.start),
            Self::Range { .. } | Self::Items { .. } => 0,
        }
    }
}

/// A nominal range of an object's bytes: the reader aligns both ends to records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// The object, as it was when the plan was made.
    pub object: ObjectVersion,
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
    /// Whether a record begins at `start`, so that the reader need not look for one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub at_border: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Bytes {
    /// Whether the range reaches to the object's end.
    pub fn reaches_the_end(&self) -> bool {
        self.end == self.object.bytes
    }
}

/// An object as it was at one moment: if its ETag has changed since, it is another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// Where it is.
    pub uri: ObjectUri,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its length in bytes.
    pub bytes: u64,
}
