//! What becomes of an invocation that ended without an outcome: it is tried again, or recorded as failed.

use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure};
use fanfold_flow::event::{Failed, Reduce};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Counts, Report, Status};
use fanfold_flow::version::Version;
use fanfold_gather::{advance, commit, finish, is_done, last_attempt, next_in_lane, start_reducer};
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

/// How often reducing is tried before the job counts as failed.
const REDUCER_ATTEMPTS: u32 = 3;

/// A worker died: what it was at is tried again while the job's retries allow, then recorded as failed.
pub(crate) async fn worker(failed: Failed<Partition>, deps: &Deps) -> Result<(), Error> {
    let Failed { payload: sent, reason } = failed;
    let keys = deps.keys(&sent.job_id);
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let Some(mut partition) = first_undone(&sent, &job, deps).await? else { return Ok(()) };
    // A worker tries again by itself what it can, so there may have been later attempts than the one it was sent.
    let attempt = last_attempt(deps, &keys, partition.number).await?;
    tracing::warn!(job = %partition.job_id, partition = partition.number, attempt, reason, "a worker died");
    if attempt <= job.retries {
        partition.attempt = attempt + 1;
        return deps.send(&deps.functions.worker, &partition).await;
    }
    commit(deps, &partition, &given_up(&partition, attempt, &reason)).await?;
    advance(deps, &partition).await?;
    match next_in_lane(deps, &job, &partition).await? {
        Some(next) => deps.send(&deps.functions.worker, &next).await,
        None => Ok(()),
    }
}

/// The partition that the worker was at when it died: the first in its lane without an outcome. The one before it may have
/// been committed and no more, so the gather is taken on from there.
async fn first_undone(sent: &Partition, job: &Job, deps: &Deps) -> Result<Option<Partition>, Error> {
    let mut partition = sent.clone();
    while is_done(deps, &partition).await? {
        let Some(next) = next_in_lane(deps, job, &partition).await? else {
            advance(deps, &partition).await?;
            return Ok(None);
        };
        if !is_done(deps, &next).await? {
            advance(deps, &partition).await?;
        }
        partition = next;
    }
    Ok(Some(partition))
}

/// The outcome of a partition whose workers all died.
fn given_up(partition: &Partition, attempts: u32, reason: &str) -> Done {
    let message = format!("the worker ended without an outcome in partition {}: {reason}", partition.number);
    let failures = partition.chunks.iter().map(|chunk| Failure {
        index: chunk.index,
        code: Code::WorkerDied,
        message: message.clone(),
        stderr_tail: String::new(),
        attempts,
    });
    Done {
        version: Version,
        partition: partition.number,
        attempt: attempts,
        results: Vec::new(),
        failures: failures.collect(),
    }
}

/// A reducer died: another one takes over, a few times; then the job counts as failed.
pub(crate) async fn reducer(failed: Failed<Reduce>, deps: &Deps) -> Result<(), Error> {
    let Failed { payload: Reduce { reduce: job_id, attempt, .. }, reason } = failed;
    tracing::warn!(job = %job_id, attempt, reason, "a reducer died");
    if attempt < REDUCER_ATTEMPTS {
        return start_reducer(deps, &job_id, attempt + 1).await;
    }
    let keys = deps.keys(&job_id);
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    let report = Report {
        version: Version,
        job_id,
        name: job.name,
        status: Status::Failed,
        output: None,
        chunks: Counts { total: plan.chunks, done: 0, failed: plan.chunks, cancelled: 0 },
        partitions: plan.partitions.len() as u64,
        attempts: 0,
        records: 0,
        bytes_in: 0,
        failures: Vec::new(),
        code: Some(Code::Internal),
        message: format!(
            "the output could not be put together in {REDUCER_ATTEMPTS} tries; the last ended with {reason}"
        ),
        started_ms: plan.started_ms,
        ended_ms: deps.world.now_ms(),
    };
    finish(deps, &keys, &report).await
}
