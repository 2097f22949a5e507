//! A lane: one partition, then the next one that waits for it.

use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_gather::{Claim, Commit, advance, claim_attempt, commit};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{ErrorKind, StoreExt};
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
    loop {
        let before = budget.remaining(deps.world.as_ref());
        run(&partition, &job, deps, settings, budget).await?;
        let left = budget.remaining(deps.world.as_ref());
        let Some(next) = next_in_lane(&partition, &job, deps).await? else { return Ok(()) };
        if !is_time_for_another(before.saturating_sub(left), left) {
            return hand_on(&next, deps).await;
        }
        partition = next;
    }
}

/// Runs a partition, unless another attempt is at it or was.
async fn run(
    partition: &Partition,
    job: &Job,
    deps: &Deps,
    settings: &Settings,
    budget: Budget,
) -> Result<(), Error> {
    let keys = deps.keys(&partition.job_id);
    if claim_attempt(deps, &keys, partition.number, partition.attempt).await? == Claim::Taken {
        tracing::info!(job = %partition.job_id, partition = partition.number, "this event came before; leaving it");
        return Ok(());
    }
    if is_done(partition, deps).await? {
        return advance(deps, partition).await;
    }
    let work = Work { job, partition, deps, settings, budget };
    let done = attempts::run(&work).await?;
    if commit(deps, partition, &done).await? == Commit::Lost {
        tracing::info!(job = %partition.job_id, partition = partition.number, "another attempt was first; deleting this one's results");
        let own: Vec<String> = done
            .results
            .into_iter()
            .filter_map(|result| result.stored)
            .map(|stored| stored.object.key)
            .collect();
        deps.store.delete(&deps.work.bucket, &own).await?;
    }
    advance(deps, partition).await
}

async fn is_done(partition: &Partition, deps: &Deps) -> Result<bool, Error> {
    match deps.store.head(&deps.keys(&partition.job_id).done(partition.group(), partition.number)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// With at most `C` workers at once, partition `p + C` waits for partition `p`.
async fn next_in_lane(partition: &Partition, job: &Job, deps: &Deps) -> Result<Option<Partition>, Error> {
    let Some(lanes) = job.max_concurrency else { return Ok(None) };
    let next = partition.number + u64::from(lanes);
    if next >= partition.partitions {
        return Ok(None);
    }
    let plan: Plan = deps.store.get_json(&deps.keys(&partition.job_id).plan()).await?;
    Ok(plan.partition(next, 1))
}

/// Partitions of a job take about as long as one another; one that took twice as long must still fit.
fn is_time_for_another(last: Duration, left: Duration) -> bool {
    left > last * 2
}

async fn hand_on(next: &Partition, deps: &Deps) -> Result<(), Error> {
    let payload = serde_json::to_vec(next)
        .map_err(|error| Error::caused(Code::Internal, "write a worker's payload", error))?;
    deps.invoke.send(&deps.functions.worker, Bytes::from(payload)).await?;
    Ok(())
}
