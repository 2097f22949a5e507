//! The job's chunks and partitions, fixed once and for all when the job starts.
//!
//! [`make`] is a pure function of the job and of what was listed; [`problems`] says what of it the user must mend;
//! [`defects`] is written apart from it and says what is wrong with a plan. A plan grows with the objects and the partitions, not with the chunks: those follow by arithmetic.

use fanfold_records::Rule;
use serde::{Deserialize, Serialize};

use crate::chunk::{Bytes, Chunk, Input, ObjectVersion};
use crate::head::Head;
use crate::job::{Compress, Format, Job, Source};
use crate::keys::JobId;
use crate::occasion::Occasion;
use crate::partition::{Grouping, Partition};
use crate::uri::ObjectUri;
use crate::version::Version;

mod check;
mod make;
mod redrive;

pub use check::{defects, problems};
pub use make::{Listed, Listing, make};
pub use redrive::{Redrive, Series};

/// The job's partitions and all that a worker or the reducer needs to know of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this artefact.
    pub version: Version,
    /// The run.
    pub job_id: JobId,
    /// What started it, and when.
    #[serde(flatten)]
    pub occasion: Occasion,
    /// Where the output goes, placeholders filled in.
    pub output: ObjectUri,
    /// How results become one output.
    pub format: Format,
    /// How they are compressed.
    #[serde(default, skip_serializing_if = "Compress::is_none")]
    pub compress: Compress,
    /// What is read.
    pub input: PlannedInput,
    /// How many chunks the job has.
    pub chunks: u64,
    /// What the run does over of an earlier one; none where it does the whole job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive: Option<Box<Redrive>>,
    /// Which chunks each partition has: by their indexes, or, of a redrive, by their places among those that it does.
    pub partitions: Vec<Span>,
    /// How many partitions make a group.
    pub group_partitions: u64,
}

/// What a plan's chunks read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedInput {
    /// Objects, cut into chunks of so many bytes.
    Objects {
        /// What a record is.
        rule: Rule,
        /// What every process gets first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Head>,
        /// How many bytes a chunk has.
        chunk_bytes: u64,
        /// The objects, in order.
        slices: Vec<Slice>,
    },
    /// An object of JSON Lines, cut at these bytes.
    ItemLines {
        /// The object.
        object: ObjectVersion,
        /// Where chunks begin and end: one more than there are chunks, the first 0, the last the object's length.
        borders: Vec<u64>,
    },
    /// The job's own items.
    Items {
        /// How many items there are.
        count: u64,
        /// How many a chunk has.
        chunk: u64,
    },
    /// A range of whole numbers.
    Range {
        /// The first number.
        start: u64,
        /// The number after the last one.
        end: u64,
        /// How many a chunk has.
        chunk: u64,
    },
}

/// An object's place among the chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The object.
    pub object: ObjectVersion,
    /// The index of its first chunk.
    pub first: u64,
    /// How many chunks it has, at least one.
    pub chunks: u64,
    /// How many bytes stand before its first record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub head_bytes: u64,
    /// Where the chunks begin and end, if planning has read the object: one more than there are chunks, the first behind the head,
    /// the last the object's length. Else each has the plan's number of bytes, and readers look for the borders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub borders: Vec<u64>,
}

/// Chunks in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first one's index, or its place.
    pub first: u64,
    /// How many.
    pub chunks: u64,
}

impl Plan {
    /// The whole chunk at `index`, or none past the end.
    pub fn chunk(&self, index: u64) -> Option<Chunk> {
        if index >= self.chunks {
            return None;
        }
        let input = match &self.input {
            PlannedInput::Objects { rule, chunk_bytes, slices, .. } => {
                let slice = slice_of(slices, index)?;
                Input::Bytes(slice.bytes(index - slice.first, rule, *chunk_bytes)?)
            }
            PlannedInput::ItemLines { object, borders } => {
                let at = usize::try_from(index).ok()?;
                let (start, end) = (*borders.get(at)?, *borders.get(at.checked_add(1)?)?);
                Input::Bytes(Bytes { object: object.clone(), start, end, at_border: true })
            }
            PlannedInput::Items { count, chunk } => {
                let first = index.checked_mul(*chunk)?;
                Input::Items { first, count: (*chunk).min(count.checked_sub(first)?) }
            }
            PlannedInput::Range { start, end, chunk } => {
                let offset = start.checked_add(index.checked_mul(*chunk)?)?;
                Input::Range { offset, limit: (*chunk).min(end.checked_sub(offset)?) }
            }
        };
        Some(Chunk::whole(index, input))
    }

    /// The payload for a partition's attempt, or none past the end. An attempt counts from 1.
    pub fn partition(&self, number: u64, attempt: u32) -> Option<Partition> {
        let span = self.partitions.get(usize::try_from(number).ok()?)?;
        let (rule, head, step) = match &self.input {
            PlannedInput::Objects { rule, head, chunk_bytes, slices } => {
                let is_read = slices.iter().any(|slice| !slice.borders.is_empty());
                (rule.clone(), head.clone(), (!is_read).then_some(*chunk_bytes))
            }
            PlannedInput::ItemLines { .. } | PlannedInput::Items { .. } | PlannedInput::Range { .. } => {
                (Rule::Lines(1), None, None)
            }
        };
        Some(Partition {
            version: Version,
            job_id: self.job_id.clone(),
            number,
            hop: 0,
            attempt,
            deaths: Vec::new(),
            occasion: self.occasion.clone(),
            partitions: self.partitions.len() as u64,
            group_partitions: self.group_partitions,
            total_chunks: self.chunks,
            rule,
            head,
            step,
            has_no_records: self.has_no_records(),
            chunks: (span.first..span.end()).filter_map(|place| self.chunk_to_do(place)).collect(),
        })
    }

    /// Whether there is nothing to read in any of the objects.
    fn has_no_records(&self) -> bool {
        match &self.input {
            PlannedInput::Objects { slices, .. } => {
                slices.iter().all(|slice| slice.head_bytes >= slice.object.bytes)
            }
            PlannedInput::ItemLines { .. } | PlannedInput::Items { .. } | PlannedInput::Range { .. } => false,
        }
    }

    /// How the partitions are gathered.
    pub fn grouping(&self) -> Grouping {
        Grouping { partitions: self.partitions.len() as u64, group_partitions: self.group_partitions }
    }

    /// How many bytes of objects the run's chunks read; 0 for sources without.
    pub fn input_bytes(&self) -> u64 {
        if let Some(redrive) = &self.redrive {
            let chunks = (0..redrive.count()).filter_map(|place| self.chunk_to_do(place));
            return chunks.map(|chunk| chunk.input.bytes()).sum();
        }
        match &self.input {
            PlannedInput::Objects { slices, .. } => slices.iter().map(|slice| slice.object.bytes).sum(),
            PlannedInput::ItemLines { object, .. } => object.bytes,
            PlannedInput::Items { .. } | PlannedInput::Range { .. } => 0,
        }
    }
}

impl Span {
    /// The index, or the place, after its last chunk.
    fn end(self) -> u64 {
        self.first.saturating_add(self.chunks)
    }
}

impl Slice {
    /// The bytes of its chunk at `position`, counted from its first; none past its end.
    fn bytes(&self, position: u64, rule: &Rule, chunk_bytes: u64) -> Option<Bytes> {
        let (start, end) = if *rule == Rule::Whole {
            (0, self.object.bytes)
        } else if let Some(place) = usize::try_from(position).ok().filter(|_| !self.borders.is_empty()) {
            (*self.borders.get(place)?, *self.borders.get(place.checked_add(1)?)?)
        } else {
            let start = position.checked_mul(chunk_bytes)?.checked_add(self.head_bytes)?;
            (start, start.saturating_add(chunk_bytes).min(self.object.bytes))
        };
        (position < self.chunks && start <= end).then(|| Bytes {
            object: self.object.clone(),
            start,
            end,
            at_border: position == 0 || !self.borders.is_empty(),
        })
    }
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// The slice that has the chunk at `index`.
fn slice_of(slices: &[Slice], index: u64) -> Option<&Slice> {
    slices.get(slices.partition_point(|slice| slice.first <= index).checked_sub(1)?)
}
