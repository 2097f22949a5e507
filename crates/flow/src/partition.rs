//! What one worker invocation is given.

use std::ops::Range;

use fanfold_records::Rule;
use serde::{Deserialize, Deserializer, Serialize};

use crate::chunk::Chunk;
use crate::done::{Death, Hop};
use crate::head::Head;
use crate::keys::JobId;
use crate::occasion::Occasion;
use crate::version::Version;

/// The worker's payload: a run of consecutive chunks, and what the worker needs to know to read them and to report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The version of this payload.
    pub version: Version,
    /// The job it belongs to.
    pub job_id: JobId,
    /// Its number, from 0.
    pub number: u64,
    /// Which invocation in a row is at it, from 0: each goes on where the time of the one before it was up.
    #[serde(default)]
    pub hop: u32,
    /// Which try at this hop it is, from 1.
    pub attempt: u32,
    /// How earlier tries at this hop ended, if without an outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deaths: Vec<Death>,
    /// What started the run, and when: what placeholders stand for.
    #[serde(flatten)]
    pub occasion: Occasion,
    /// How many partitions the job has.
    pub partitions: u64,
    /// How many partitions make a group: at least one.
    #[serde(deserialize_with = "one_or_more")]
    pub group_partitions: u64,
    /// How many chunks the job has.
    pub total_chunks: u64,
    /// What a record is in the chunks' bytes.
    #[serde(default)]
    pub rule: Rule,
    /// What every process gets first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// How many bytes lie between two nominal borders of chunks; none where the chunks begin and end at true ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Whether no chunk of the job has a record. Then the first one runs all the same, as the program would over no input.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_no_records: bool,
    /// The chunks, in order, without a gap; in a later hop those that are left, in a redrive those that it does.
    pub chunks: Vec<Chunk>,
}

/// How a job's partitions are gathered: in groups of so many, the last of which may have fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// How many partitions the job has.
    pub partitions: u64,
    /// How many make a group; none counts as one.
    pub group_partitions: u64,
}

impl Partition {
    /// How its job's partitions are gathered.
    pub fn grouping(&self) -> Grouping {
        Grouping { partitions: self.partitions, group_partitions: self.group_partitions }
    }

    /// The group that this partition's outcome is gathered in.
    pub fn group(&self) -> u64 {
        self.grouping().group_of(self.number)
    }

    /// What goes on where this hop's time was up: the next hop's first attempt.
    #[must_use]
    pub fn after(&self, hop: &Hop) -> Self {
        let chunks = hop.rest.clone();
        Self { hop: hop.hop + 1, attempt: 1, deaths: Vec::new(), chunks, ..self.clone() }
    }
}

impl Grouping {
    /// How many groups there are.
    pub fn groups(self) -> u64 {
        self.partitions.div_ceil(self.size())
    }

    /// The group that a partition's outcome is gathered in.
    pub fn group_of(self, partition: u64) -> u64 {
        partition / self.size()
    }

    /// The partitions of a group, by number; none past the last group.
    pub fn members(self, group: u64) -> Range<u64> {
        let first = group.saturating_mul(self.size()).min(self.partitions);
        first..first.saturating_add(self.size()).min(self.partitions)
    }

    fn size(self) -> u64 {
        self.group_partitions.max(1)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Groups follow by division, so a payload with groups of none is refused where it is read.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("group_partitions must be 1 or more, not 0")),
        partitions => Ok(partitions),
    }
}
