//! A lane: one partition, then the next one that waits for it.

use std::io;
use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::done::Done;
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_gather::{Claim, Commit, Lane, Sent, advance, claim_attempt, commit, is_done};
use fanfold_pool::{Usage, usage};
use fanfold_runtime::{Budget, Deps, Error, Metric, Of};
use fanfold_store::StoreExt;
use serde::Deserialize;
use serde_json::Value;

use crate::Settings;
use crate::attempts::{self, Work};

/// Handles a partition: runs its chunks, commits the outcome, takes the gather as far as it goes. Where the job limits its
/// concurrency, goes on with the partition that waits for this one, in the same invocation while there is time for it.
///
/// # Errors
/// When the event is no partition, when store or invoke fail, and when time runs out. Chunks that fail are no error: they
/// are part of the outcome.
///
/// # Cancellation
/// Dropping the future kills its processes. What was committed stays.
pub async fn handle(event: Value, deps: &Deps, settings: &Settings, budget: Budget) -> Result<(), Error> {
    let mut partition = Partition::deserialize(&event)
        .map_err(|error| Error::caused(Code::InvalidJob, "read the event as a partition", error))?;
    let job: Job = deps.store.get_json(&deps.keys(&partition.job_id).job()).await?;
    let sent = Sent::of(&partition);
    let mut lane = Lane::of(&job, deps);
    loop {
        let before = budget.remaining(deps.world.as_ref());
        if run(&Work { job: &job, partition: &partition, sent, deps, settings, budget }).await?
            == Ran::NotOurs
        {
            return Ok(());
        }
        let left = budget.remaining(deps.world.as_ref());
        let Some(next) = lane.next(&partition).await? else { return Ok(()) };
        if !is_time_for_another(before.saturating_sub(left), left) {
            return deps.send(&deps.functions.worker, &next).await;
        }
        partition = next;
    }
}

/// Whose a partition was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    /// Ours; or it was done before, and what comes after it is ours.
    Ours,
    /// Another invocation's, to which the same event came or that tries it again; so is the rest of the lane.
    NotOurs,
}

/// Runs a partition, unless another attempt is at it or was.
async fn run(work: &Work<'_>) -> Result<Ran, Error> {
    let Work { job, partition, deps, sent, budget, .. } = *work;
    let keys = deps.keys(&partition.job_id);
    if claim_attempt(deps, &keys, partition.number, partition.attempt, sent, budget).await? == Claim::Taken {
        tracing::info!(job = %partition.job_id, partition = partition.number, "this event came before; leaving it");
        return Ok(Ran::NotOurs);
    }
    if !is_done(deps, &keys, partition.group(), partition.number).await? {
        let before = usage();
        let done = attempts::run(work).await;
        measure(work, before, usage());
        let Some(done) = done? else {
            tracing::info!(job = %partition.job_id, partition = partition.number, "another worker tries it again");
            return Ok(Ran::NotOurs);
        };
        if commit(deps, job, partition, &done).await? == Commit::Lost {
            tracing::info!(job = %partition.job_id, partition = partition.number, "another attempt was first");
            delete_results(deps, done).await?;
        }
    }
    advance(deps, partition).await?;
    Ok(Ran::Ours)
}

/// Tells what the partition's processes took, whatever became of it. In this function's environment nobody else runs any.
fn measure(work: &Work<'_>, before: io::Result<Usage>, after: io::Result<Usage>) {
    match (before, after) {
        (Ok(before), Ok(after)) => {
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
            let numbers = [
                (Metric::ProcessCpuSeconds, cpu),
                (Metric::ProcessPeakMemoryBytes, after.peak_memory_bytes as f64),
            ];
            work.deps.measure(Of::Job(&work.job.name, &work.partition.job_id), &numbers);
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!("failed to read what the processes took: {error}");
        }
    }
}

/// Deletes what a partition's attempt has stored and nobody will read.
async fn delete_results(deps: &Deps, done: Done) -> Result<(), Error> {
    let stored = done.results.into_iter().filter_map(|result| result.stored);
    let keys: Vec<String> = stored.map(|stored| stored.object.key).collect();
    Ok(deps.store.delete(&deps.work.bucket, &keys).await?)
}

/// Partitions of a job take about as long as one another; one that took twice as long must still fit.
fn is_time_for_another(last: Duration, left: Duration) -> bool {
    left > last * 2
}
