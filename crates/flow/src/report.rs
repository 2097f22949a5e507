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
    /// How many further pieces there are of chunks that met their worker's time limit: results of cuts after the first.
    #[serde(default)]
    pub cuts: u64,
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

/// What a run left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Nothing: the output is there, and has all chunks.
    Nothing,
    /// What fails again with this code, from the same input in the same chunks: only another job helps.
    ForGood(Code),
    /// What a redrive may do: chunks that were not done, or an output that was not put together.
    Redrivable,
}

impl Report {
    /// Whether a redrive of the run is accepted, and any use as far as can be told. While it is, the results stay, and
    /// messages say how it is asked for.
    pub fn can_be_redriven(&self) -> bool {
        self.undone() == Undone::Redrivable
    }

    /// What the run left undone. It follows from the report's code or, of an output with gaps, from those of the failures:
    /// one that a redrive may mend is enough, and so is one that is not listed.
    pub fn undone(&self) -> Undone {
        let lacks_chunks = self.chunks.done < self.chunks.total;
        match (self.status, self.code) {
            (Status::Succeeded, _) if lacks_chunks => self.undone_in_gaps(),
            (Status::Succeeded, _) => Undone::Nothing,
            // The results themselves do not fit together, and none would be made anew.
            (Status::Failed, Some(code @ Code::ResultMalformed)) if !lacks_chunks => Undone::ForGood(code),
            (Status::Failed, Some(code)) if !code.can_be_redriven() => Undone::ForGood(code),
            (Status::Failed | Status::Cancelled, _) => Undone::Redrivable,
        }
    }

    fn undone_in_gaps(&self) -> Undone {
        let all_are_listed = self.chunks.failed == self.failures.len() as u64;
        match self.failures.first() {
            Some(first)
                if all_are_listed && !self.failures.iter().any(|failure| failure.code.can_be_redriven()) =>
            {
                Undone::ForGood(first.code)
            }
            _ => Undone::Redrivable,
        }
    }
}

/// What a message says at its end of a run that can be redriven: how what is left of it is done.
pub fn redrive_advice(job_id: &JobId) -> String {
    format!("to do only what is left: fanfold redrive {job_id}")
}

/// Most characters of a program's last line that a message has; the failure itself has more of it.
const LAST_WORDS_CHARS_MAX: usize = 200;

/// Why a chunk failed, as a message has it behind the place: after how many tries, and what the program said last. Who shows
/// the failure itself leaves this out.
pub fn reason_of(failure: &Failure) -> String {
    let Failure { attempts, message, stderr_tail, .. } = failure;
    let last = stderr_tail.lines().map(str::trim).rfind(|line| !line.is_empty());
    let last = last.map_or_else(String::new, |line| {
        let words: String = line.chars().take(LAST_WORDS_CHARS_MAX).collect();
        format!(", and said last: {words}")
    });
    format!(", at attempt {attempts}: {message}{last}")
}

/// A number of chunks: `1 chunk`, `2 chunks`.
pub fn chunks(number: u64) -> String {
    format!("{number} {}", if number == 1 { "chunk" } else { "chunks" })
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
        write!(f, "{done} of {} done, {failed} failed, {cancelled} cancelled", chunks(*total))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run of 200 chunks that ended so, of which these have failed with the first of them listed.
    fn report(status: Status, code: Option<Code>, failed: u64, listed: &[Code]) -> Report {
        let failures: Vec<_> = (0..)
            .zip(listed)
            .map(|(index, code)| json!({ "index": index, "partition": 0, "code": code, "message": "", "attempts": 1 }))
            .collect();
        serde_json::from_value(json!({
            "version": 1, "job_id": "one", "name": "one", "status": status, "code": code, "failures": failures,
            "chunks": Counts { total: 200, done: 200 - failed, failed, cancelled: 0 },
            "partitions": 1, "attempts": 1, "records": 0, "bytes_in": 0, "started_ms": 0, "ended_ms": 0
        }))
        .unwrap()
    }

    #[test]
    fn a_redrive_is_for_what_may_go_well_from_the_same_input_in_the_same_chunks() {
        for code in Code::ALL.iter().copied() {
            let failed = report(Status::Failed, Some(code), 1, &[code]);
            let gap = report(Status::Succeeded, None, 1, &[code]);
            let expected = if code.can_be_redriven() { Undone::Redrivable } else { Undone::ForGood(code) };
            assert_eq!((failed.undone(), gap.undone()), (expected, expected), "{code}");
        }
        assert_eq!(report(Status::Cancelled, Some(Code::Cancelled), 0, &[]).undone(), Undone::Redrivable);
    }

    #[test]
    fn of_an_output_with_gaps_one_that_can_be_filled_is_reason_enough() {
        let gaps = |failed, listed: &[Code]| report(Status::Succeeded, None, failed, listed).undone();
        assert_eq!(gaps(0, &[]), Undone::Nothing);
        let cut = Code::RecordCut;
        assert_eq!(gaps(2, &[cut, Code::ProgramFailed]), Undone::Redrivable);
        assert_eq!(gaps(2, &[cut, Code::InputChanged]), Undone::ForGood(cut));
        assert_eq!(gaps(101, &[cut; 100]), Undone::Redrivable, "of the last one nothing is known");
    }

    #[test]
    fn results_that_do_not_fit_together_are_not_put_together_again() {
        let malformed = |failed, listed: &[Code]| {
            report(Status::Failed, Some(Code::ResultMalformed), failed, listed).undone()
        };
        assert_eq!(malformed(0, &[]), Undone::ForGood(Code::ResultMalformed));
        assert_eq!(malformed(1, &[Code::ResultMalformed]), Undone::Redrivable);
    }

    #[test]
    fn counts_add_up_only_when_every_chunk_is_in_one_of_them() {
        let counts = Counts { total: 100, done: 97, failed: 2, cancelled: 1 };
        assert!(counts.add_up());
        assert!(!Counts { done: 98, ..counts }.add_up());
        assert!(!Counts { cancelled: 0, ..counts }.add_up());
        assert!(!Counts { failed: u64::MAX, ..counts }.add_up());
        assert_eq!(counts.to_string(), "97 of 100 chunks done, 2 failed, 1 cancelled");
        let one = Counts { total: 1, done: 1, ..Counts::default() };
        assert_eq!(one.to_string(), "1 of 1 chunk done, 0 failed, 0 cancelled");
    }
}
