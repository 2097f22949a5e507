//! What became of a job's chunks, and the report that follows from it. Pure.

use std::collections::{BTreeMap, HashSet};

use fanfold_flow::code::Code;
use fanfold_flow::concat::ConcatPlan;
use fanfold_flow::cover::{cover, leave_out};
use fanfold_flow::done::{Death, Done, Environment, Failure, Group, Try};
use fanfold_flow::job::Job;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Counts, FAILURES_LISTED_MAX, Output, Report, Status, redrive_advice};
use fanfold_flow::result::{self, ChunkResult};
use fanfold_flow::version::Version;
use fanfold_store::ETag;

use crate::earlier::Left;

/// Why a job has no output: its own failure, which trying again would not mend.
#[derive(Debug)]
pub struct NoOutput {
    /// What kind of failure.
    pub code: Code,
    /// What happened and what to do, for a person.
    pub message: String,
}

/// The output that was put together by this concat plan, as the report tells of it.
pub fn output_of(plan: &Plan, concat: &ConcatPlan, etag: &ETag) -> Output {
    Output {
        uri: plan.output.clone(),
        bytes: concat.bytes,
        crc64nvme: concat.crc,
        etag: etag.to_string(),
        streamed_bytes: concat.streamed_bytes(),
    }
}

/// What became of a job's chunks.
#[derive(Debug, Default)]
pub struct Account {
    /// What was done, in order of `(index, cut)`: all of each index.
    pub results: Vec<ChunkResult>,
    /// What was not, in order of the index.
    pub failures: Vec<Failure>,
    /// What was done of indexes that failed: earlier cuts, which are no part of the output.
    pub partial: Vec<ChunkResult>,
    /// Of a redrive, what the runs before it did: part of the output, though nothing that this run did.
    pub earlier: Vec<ChunkResult>,
    /// How many tries at partitions there were.
    pub attempts: u64,
    /// Tries at chunks that left no result.
    pub tries: Vec<Try>,
    /// Attempts whose worker died, with their partition.
    pub deaths: Vec<(u64, Death)>,
    /// Where each hop of a partition ran.
    pub environments: BTreeMap<u64, Vec<Option<Environment>>>,
}

impl Account {
    /// Sorts what the groups hold.
    pub fn of(groups: impl IntoIterator<Item = Group>) -> Self {
        let mut account = Self::default();
        groups.into_iter().for_each(|group| account.add(group));
        account.in_its_order()
    }

    /// Adds what another group holds. Of a million results much is the same, and is in memory once.
    pub(crate) fn add(&mut self, mut group: Group) {
        result::share(group.done.iter_mut().flat_map(|done| &mut done.results));
        for done in group.done {
            let Done { partition, attempts, results, failures, tries, deaths, environments, .. } = done;
            self.attempts += u64::from(attempts);
            let failed: HashSet<u64> = failures.iter().map(|failure| failure.index).collect();
            for result in results {
                let has_failed = failed.contains(&result.index);
                if has_failed { &mut self.partial } else { &mut self.results }.push(result);
            }
            self.failures.extend(failures);
            self.tries.extend(tries);
            self.deaths.extend(deaths.into_iter().map(|death| (partition, death)));
            self.environments.insert(partition, environments);
        }
    }

    /// The same, with all that has an order in it.
    #[must_use]
    pub(crate) fn in_its_order(mut self) -> Self {
        // Nothing is copied where it is in order already, as it nearly is.
        self.results.sort_by_key(|result| (result.index, result.cut));
        self.failures.sort_by_key(|failure| failure.index);
        self
    }

    /// The same with what an earlier run left. What is there already is of later runs, and counts more.
    #[must_use]
    pub fn with_earlier(mut self, left: Left) -> Self {
        let failed: HashSet<u64> = self.failures.iter().map(|failure| failure.index).collect();
        self.earlier.extend(left.kept.into_iter().filter(|result| !failed.contains(&result.index)));
        self.earlier.sort_by_key(|result| (result.index, result.cut));
        self
    }

    /// What the output is made of, in order of `(index, cut)`.
    pub fn in_order(&self) -> Vec<&ChunkResult> {
        let mut all: Vec<&ChunkResult> = self.earlier.iter().chain(&self.results).collect();
        all.sort_by_key(|result| (result.index, result.cut));
        all
    }

    /// The same without what does not count, since a chunk before it took its records over: that is empty, and has not failed.
    #[must_use]
    pub(crate) fn without_void(mut self, plan: &Plan) -> Self {
        let void = cover(plan, &self.in_order(), &self.failures).void;
        leave_out(&void, &mut self.earlier, &mut Vec::new());
        leave_out(&void, &mut self.results, &mut self.failures);
        self
    }

    /// What became of all chunks of the job.
    pub fn counts(&self, plan: &Plan) -> Counts {
        let cancelled = self.failures.iter().filter(|failure| was_cancelled(failure)).count() as u64;
        let failed = self.failures.len() as u64 - cancelled;
        let done = plan.chunks.saturating_sub(failed + cancelled);
        Counts { total: plan.chunks, done, failed, cancelled }
    }

    /// Why a job that was stopped has no output; none of a job that came to its end.
    pub fn stopped(&self) -> Option<NoOutput> {
        let was_stopped = self.failures.iter().any(was_cancelled);
        was_stopped
            .then(|| NoOutput { code: Code::Cancelled, message: "it was stopped on request".to_owned() })
    }

    /// The report of a job that ended so at this moment, in milliseconds since 1970 (UTC). One that was stopped counts as
    /// cancelled, for whatever reason else there is no output. Where a redrive is any use, the message ends with how.
    pub fn report(self, job: &Job, plan: &Plan, ended: Result<Output, NoOutput>, ended_ms: i64) -> Report {
        let (status, output, code, message) = match ended.map_err(|no| self.stopped().unwrap_or(no)) {
            Ok(output) => (Status::Succeeded, Some(output), None, String::new()),
            Err(NoOutput { code, message }) => {
                let status = if code == Code::Cancelled { Status::Cancelled } else { Status::Failed };
                (status, None, Some(code), message)
            }
        };
        let chunks = self.counts(plan);
        let sum = |of: fn(&ChunkResult) -> u64| self.results.iter().chain(&self.earlier).map(of).sum();
        let failed = self.failures.iter().filter(|failure| !was_cancelled(failure));
        let mut report = Report {
            version: Version,
            job_id: plan.job_id.clone(),
            earlier: plan.earlier().to_vec(),
            name: job.name.clone(),
            status,
            output,
            chunks,
            cuts: sum(|result| u64::from(result.cut > 0)),
            partitions: plan.partitions.len() as u64,
            attempts: self.attempts,
            records: sum(|result| result.records),
            bytes_in: sum(|result| result.bytes_in),
            failures: failed.take(FAILURES_LISTED_MAX).cloned().collect(),
            joblog: None,
            code,
            message,
            started_ms: plan.started_ms(),
            ended_ms,
        };
        if report.output.is_none() && report.can_be_redriven() {
            report.message = format!("{}; {}", report.message, redrive_advice(&report.job_id));
        }
        report
    }
}

/// Whether a chunk has no outcome but that the job was stopped.
fn was_cancelled(failure: &Failure) -> bool {
    failure.code == Code::Cancelled
}
