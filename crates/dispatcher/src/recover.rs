//! What becomes of an invocation that ended without an outcome: it is tried again, or recorded as failed.

use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure};
use fanfold_flow::event::{Failed, Reduce};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Counts, Report, Status};
use fanfold_flow::version::Version;
use fanfold_gather::{advance, commit, finish, last_attempt, start_reducer};
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

use crate::fan_out::send;

/// How often reducing is tried before the job counts as failed.
const REDUCER_ATTEMPTS: u32 = 3;

/// A worker died: its partition is tried again while the job's retries allow, then recorded as failed.
pub(crate) async fn worker(failed: Failed<Partition>, deps: &Deps) -> Result<(), Error> {
    let Failed { payload: mut partition, reason } = failed;
    let keys = deps.keys(&partition.job_id);
    let job: Job = deps.store.get_json(&keys.job()).await?;
    // A worker tries again by itself what it can, so there may have been later attempts than the one it was sent.
    let attempt = last_attempt(deps, &keys, partition.number).await?.max(partition.attempt);
    tracing::warn!(job = %partition.job_id, partition = partition.number, attempt, reason, "a worker died");
    if attempt <= job.retries {
        partition.attempt = attempt + 1;
        return send(deps, &deps.functions.worker, &partition).await;
    }
    let message = format!("the worker ended without an outcome in partition {}: {reason}", partition.number);
    let failure = |index| Failure {
        index,
        code: Code::WorkerDied,
        message: message.clone(),
        stderr_tail: String::new(),
        attempts: attempt,
    };
    let failures = partition.chunks.iter().map(|chunk| failure(chunk.index)).collect();
    let done = Done { version: Version, partition: partition.number, attempt, results: Vec::new(), failures };
    commit(deps, &partition, &done).await?;
    advance(deps, &partition).await
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
        message: format!(
            "the output could not be put together in {REDUCER_ATTEMPTS} tries; the last ended with {reason}"
        ),
        started_ms: plan.started_ms,
        ended_ms: deps.world.now_ms(),
    };
    finish(deps, &keys, &report).await
}
