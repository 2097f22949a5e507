//! How a job ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::crc::Crc64;
use crate::done::Failure;
use crate::keys::JobId;
use crate::uri::ObjectUri;
use crate::version::Version;

/// How a job ended. [`Counts::add_up`] holds of its chunks, always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this artefact.
    pub version: Version,
    /// The run.
    pub job_id: JobId,
    /// The runs that this one redrives: the first run, and those that redrove it since, in their order. What they did counts
    /// here as done; partitions, attempts and times are of this run alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<JobId>,
    /// The job's name.
    pub name: String,
    /// Whether there is an output.
    pub status: Status,
    /// The output, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// What became of the chunks.
    pub chunks: Counts,
    /// How many partitions there were.
    pub partitions: u64,
    /// How many tries at partitions it took.
    pub attempts: u64,
    /// How many records the processes were given.
    pub records: u64,
    /// How many bytes they were given, headers included.
    pub bytes_in: u64,
    /// The chunks that failed, by index: the first [`FAILURES_LISTED_MAX`] of them.
    pub failures: Vec<Failure>,
    /// Where each try at a chunk has its line, see [`joblog`](crate::joblog); none where that could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joblog: Option<ObjectUri>,
    /// Why there is no output; none where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What happened and what to do, for a person; empty when all went well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the job was accepted, in milliseconds since 1970 (UTC).
    pub started_ms: i64,
    /// When it ended, likewise.
    pub ended_ms: i64,
}

/// Most failures that a report lists in full; the counts are always whole, the done records have the rest.
pub const FAILURES_LISTED_MAX: usize = 100;

impl Report {
    /// Whether there is anything left for another run to do: chunks that were not done, or an output that was not put
    /// together. While there is, the results stay.
    pub fn can_be_redriven(&self) -> bool {
        self.status != Status::Succeeded || self.chunks.done < self.chunks.total
    }
}

/// What a message says at its end of a run that can be redriven: how what is left of it is done.
pub fn redrive_advice(job_id: &JobId) -> String {
    format!("what is left of the job is done, and no more than that, by: fanfold redrive {job_id}")
}

/// Whether there is an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is.
    Succeeded,
    /// There is none.
    Failed,
    /// There is none, because the job was stopped.
    Cancelled,
}

/// The output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where it is.
    pub uri: ObjectUri,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its CRC64NVME, combined from what the workers took.
    pub crc64nvme: Crc64,
    /// Its ETag.
    pub etag: String,
    /// How many of its bytes went through the reducer; S3 copied the rest.
    pub streamed_bytes: u64,
}

/// What became of the chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// Their results are there.
    pub done: u64,
    /// They failed for good.
    pub failed: u64,
    /// The job was stopped before they ended.
    pub cancelled: u64,
}

impl Counts {
    /// Whether each chunk is accounted for once: what holds of every report.
    pub fn add_up(&self) -> bool {
        let ended = self.done.checked_add(self.failed).and_then(|sum| sum.checked_add(self.cancelled));
        ended == Some(self.total)
    }
}

impl fmt::Display for Counts {
    /// `98 of 100 chunks done, 2 failed, 0 cancelled`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, done, failed, cancelled } = self;
        write!(f, "{done} of {total} chunks done, {failed} failed, {cancelled} cancelled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_only_when_every_chunk_is_in_one_of_them() {
        let counts = Counts { total: 100, done: 97, failed: 2, cancelled: 1 };
        assert!(counts.add_up());
        assert!(!Counts { done: 98, ..counts }.add_up());
        assert!(!Counts { cancelled: 0, ..counts }.add_up());
        assert!(!Counts { failed: u64::MAX, ..counts }.add_up());
        assert_eq!(counts.to_string(), "97 of 100 chunks done, 2 failed, 1 cancelled");
    }
}
