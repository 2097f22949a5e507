//! What became of a job's chunks, and the report that follows from it. Pure.

use std::collections::{BTreeMap, HashSet};

use fanfold_flow::code::Code;
use fanfold_flow::concat::ConcatPlan;
use fanfold_flow::done::{Death, Done, Environment, Failure, Group, Try};
use fanfold_flow::job::Job;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Counts, FAILURES_LISTED_MAX, Output, Report, Status};
use fanfold_flow::result::ChunkResult;
use fanfold_flow::version::Version;
use fanfold_store::ETag;

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
    pub fn of(groups: Vec<Group>) -> Self {
        let mut account = Self::default();
        for done in groups.into_iter().flat_map(|group| group.done) {
            let Done { partition, attempts, results, failures, tries, deaths, environments, .. } = done;
            account.attempts += u64::from(attempts);
            let failed: HashSet<u64> = failures.iter().map(|failure| failure.index).collect();
            let (partial, whole): (Vec<_>, Vec<_>) =
                results.into_iter().partition(|result| failed.contains(&result.index));
            account.results.extend(whole);
            account.partial.extend(partial);
            account.failures.extend(failures);
            account.tries.extend(tries);
            account.deaths.extend(deaths.into_iter().map(|death| (partition, death)));
            account.environments.insert(partition, environments);
        }
        account.results.sort_by_key(|result| (result.index, result.cut));
        account.failures.sort_by_key(|failure| failure.index);
        account
    }

    /// The report of a job that ended so at this moment, in milliseconds since 1970 (UTC).
    pub fn report(self, job: &Job, plan: &Plan, ended: Result<Output, NoOutput>, ended_ms: i64) -> Report {
        let (status, output, code, message) = match ended {
            Ok(output) => (Status::Succeeded, Some(output), None, String::new()),
            Err(NoOutput { code, message }) => (Status::Failed, None, Some(code), message),
        };
        let failed = self.failures.len() as u64;
        Report {
            version: Version,
            job_id: plan.job_id.clone(),
            earlier: plan.earlier().to_vec(),
            name: job.name.clone(),
            status,
            output,
            chunks: Counts { total: plan.chunks, done: plan.chunks - failed, failed, cancelled: 0 },
            partitions: plan.partitions.len() as u64,
            attempts: self.attempts,
            records: self.results.iter().map(|result| result.records).sum(),
            bytes_in: self.results.iter().map(|result| result.bytes_in).sum(),
            failures: self.failures.into_iter().take(FAILURES_LISTED_MAX).collect(),
            joblog: None,
            code,
            message,
            started_ms: plan.occasion.started_ms,
            ended_ms,
        }
    }
}
