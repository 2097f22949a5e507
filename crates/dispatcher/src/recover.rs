//! What becomes of an invocation that ended without an outcome: it is tried again, or recorded as failed.

use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure, Group};
use fanfold_flow::event::{Failed, Reduce};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Counts, FAILURES_LISTED_MAX, Report, Status};
use fanfold_flow::version::Version;
use fanfold_gather::{
    Attempt, Lane, Sent, advance, commit, finish, is_done, last_attempt, read_groups, start_reducer,
};
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

/// How often reducing is tried before the job counts as failed.
const REDUCER_ATTEMPTS: u32 = 3;

/// A worker died: what it was at is tried again while the job's retries allow, then recorded as failed.
pub(crate) async fn worker(failed: Failed<Partition>, deps: &Deps) -> Result<(), Error> {
    let Failed { payload: sent, reason } = failed;
    let keys = deps.keys(&sent.job_id);
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let mut lane = Lane::of(&job, deps);
    let Some(mut partition) = first_undone(&sent, &mut lane, deps).await? else { return Ok(()) };
    let begun = last_attempt(deps, &keys, partition.number).await?;
    let Some(attempt) = last_of(&sent, partition.number, begun) else {
        tracing::info!(job = %partition.job_id, partition = partition.number, reason, "a worker died; another is at it");
        return Ok(());
    };
    tracing::warn!(job = %partition.job_id, partition = partition.number, attempt, reason, "a worker died");
    if attempt <= job.retries {
        partition.attempt = attempt + 1;
        return deps.send(&deps.functions.worker, &partition).await;
    }
    commit(deps, &partition, &given_up(&partition, attempt, &reason)).await?;
    advance(deps, &partition).await?;
    match lane.next(&partition).await? {
        Some(next) => deps.send(&deps.functions.worker, &next).await,
        None => Ok(()),
    }
}

/// The partition that the worker was at when it died: the first in its lane without an outcome. The one before it may have
/// been committed and no more, so the gather is taken on from there.
async fn first_undone(
    sent: &Partition,
    lane: &mut Lane<'_>,
    deps: &Deps,
) -> Result<Option<Partition>, Error> {
    let mut partition = sent.clone();
    while is_done(deps, &partition).await? {
        let Some(next) = lane.next(&partition).await? else {
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

/// The last attempt at a partition that is over now that the worker that was `sent` this is dead; none if the last one is
/// another worker's, of which nobody said that it died: what says that this one did may come late, or twice.
fn last_of(sent: &Partition, partition: u64, begun: Option<Attempt>) -> Option<u32> {
    let was_sent_this = partition == sent.number;
    match begun {
        Some(begun) if begun.by == Sent::of(sent) => Some(begun.attempt),
        Some(begun) if !was_sent_this || begun.attempt >= sent.attempt => None,
        // It died before it could write down that it had begun. That counts too, or it would be tried for ever.
        _ if was_sent_this => Some(sent.attempt),
        _ => Some(0),
    }
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
    let groups = read_groups(deps, &keys, plan.groups()).await?;
    let message = format!(
        "every chunk has its outcome, but the output could not be put together in {REDUCER_ATTEMPTS} tries; \
         the last ended with {reason}"
    );
    finish(deps, &keys, &unreduced(&job, &plan, groups, message, deps.world.now_ms())).await
}

/// The report of a job whose chunks all ended, and whose output nobody could put together.
fn unreduced(job: &Job, plan: &Plan, groups: Vec<Group>, message: String, ended_ms: i64) -> Report {
    let done: Vec<Done> = groups.into_iter().flat_map(|group| group.done).collect();
    let results = || done.iter().flat_map(|done| &done.results);
    let failed = done.iter().map(|done| done.failures.len() as u64).sum();
    Report {
        version: Version,
        job_id: plan.job_id.clone(),
        name: job.name.clone(),
        status: Status::Failed,
        output: None,
        chunks: Counts { total: plan.chunks, done: plan.chunks - failed, failed, cancelled: 0 },
        partitions: plan.partitions.len() as u64,
        attempts: done.iter().map(|done| u64::from(done.attempt)).sum(),
        records: results().map(|result| result.records).sum(),
        bytes_in: results().map(|result| result.bytes_in).sum(),
        failures: done.iter().flat_map(|done| &done.failures).take(FAILURES_LISTED_MAX).cloned().collect(),
        code: Some(Code::Internal),
        message,
        started_ms: plan.started_ms,
        ended_ms,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use fanfold_flow::keys::JobKeys;
    use fanfold_flow::uri::ObjectUri;
    use fanfold_gather::{Claim, claim_attempt};
    use fanfold_invoke::memory::MemoryInvoke;
    use fanfold_runtime::{Functions, Metrics, SystemWorld};
    use fanfold_store::PutOptions;
    use fanfold_store::memory::MemoryStore;
    use serde_json::{Value, json};

    use super::*;

    /// A job of one chunk that may be tried twice, with functions that do nothing.
    struct World {
        deps: Deps,
        invoke: Arc<MemoryInvoke>,
        keys: JobKeys,
    }

    impl World {
        async fn new() -> Self {
            let invoke = Arc::new(MemoryInvoke::new());
            for name in ["worker", "reducer"] {
                invoke.register(name, |_| async { Ok(Bytes::from_static(b"{}")) });
            }
            let functions = Functions {
                dispatcher: "dispatcher".to_owned(),
                worker: "worker".to_owned(),
                reducer: "reducer".to_owned(),
            };
            let deps = Deps {
                store: Arc::new(MemoryStore::new(["world"])),
                invoke: invoke.clone(),
                world: Arc::new(SystemWorld),
                work: ObjectUri::new("world", "work/"),
                functions,
                metrics: Metrics::off(),
            };
            let keys = deps.keys(&"one".parse().unwrap());
            let job = json!({
                "version": 1,
                "name": "one",
                "source": { "range": { "end": 1, "chunk": 1 } },
                "task": { "command": ["true"] },
                "output": { "uri": "s3://world/out" },
                "retries": 1
            });
            deps.store.put_json(&keys.job(), &job, PutOptions::default()).await.unwrap();
            Self { deps, invoke, keys }
        }

        /// What the dispatcher is told when the worker with this attempt has died.
        async fn dies(&self, attempt: u32) {
            let payload = json!({
                "version": 1, "job_id": "one", "number": 0, "attempt": attempt, "partitions": 1, "group_partitions": 10,
                "total_chunks": 1, "chunks": [{ "index": 0, "input": { "range": { "offset": 0, "limit": 1 } } }]
            });
            let payload = serde_json::from_value(payload).unwrap();
            worker(Failed { payload, reason: "it was killed".to_owned() }, &self.deps).await.unwrap();
        }

        async fn begins(&self, attempt: u32) {
            let by = Sent { partition: 0, attempt };
            assert_eq!(claim_attempt(&self.deps, &self.keys, 0, attempt, by).await.unwrap(), Claim::Ours);
        }

        /// Which attempts were sent to workers so far.
        async fn sent(&self) -> Vec<u64> {
            self.invoke.idle().await;
            let deliveries = self.invoke.deliveries().into_iter().map(|delivery| delivery.invocation);
            let workers = deliveries.filter(|invocation| invocation.function == "worker");
            let payload = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
            workers.map(|invocation| payload(invocation.payload)["attempt"].as_u64().unwrap()).collect()
        }

        async fn outcome(&self) -> Option<Done> {
            self.deps.store.get_json(&self.keys.done(0, 0)).await.ok()
        }
    }

    #[tokio::test]
    async fn workers_that_die_before_they_begin_are_given_up_like_others() {
        let world = World::new().await;
        world.dies(1).await;
        assert_eq!((world.sent().await, world.outcome().await), (vec![2], None));
        world.dies(2).await;
        assert_eq!(world.sent().await, [2]);
        let outcome = world.outcome().await.unwrap();
        assert_eq!((outcome.failures[0].code, outcome.failures[0].attempts), (Code::WorkerDied, 2));
    }

    #[tokio::test]
    async fn a_death_told_twice_costs_the_next_attempt_nothing() {
        let world = World::new().await;
        world.begins(1).await;
        world.dies(1).await;
        world.begins(2).await;
        world.dies(1).await;
        assert_eq!((world.sent().await, world.outcome().await), (vec![2], None), "attempt 2 still runs");
        world.dies(2).await;
        assert!(world.outcome().await.is_some());
    }

    #[tokio::test]
    async fn a_job_that_nobody_could_reduce_still_accounts_for_its_chunks() {
        let world = World::new().await;
        let plan = json!({
            "version": 1, "job_id": "one", "started_ms": 0, "output": "s3://world/out", "format": "bytes",
            "input": { "range": { "start": 0, "end": 2, "chunk": 1 } }, "chunks": 2,
            "partitions": [{ "first": 0, "chunks": 2 }], "group_partitions": 10
        });
        let group = json!({ "version": 1, "number": 0, "done": [{
            "version": 1, "partition": 0, "attempt": 2,
            "results": [{ "index": 0, "attempt": 1, "records": 7, "bytes_in": 9, "started_ms": 0, "wall_ms": 1 }],
            "failures": [{ "index": 1, "code": "program_failed", "message": "it failed", "attempts": 2 }]
        }] });
        for (at, document) in [(world.keys.plan(), plan), (world.keys.group(0), group)] {
            world.deps.store.put_json(&at, &document, PutOptions::default()).await.unwrap();
        }
        let payload = Reduce { version: Version, reduce: "one".parse().unwrap(), attempt: REDUCER_ATTEMPTS };
        reducer(Failed { payload, reason: "it was killed".to_owned() }, &world.deps).await.unwrap();
        let report: Report = world.deps.store.get_json(&world.keys.result()).await.unwrap();
        assert_eq!(report.chunks, Counts { total: 2, done: 1, failed: 1, cancelled: 0 });
        assert_eq!((report.records, report.attempts, report.failures.len()), (7, 2, 1));
        assert!(report.message.contains("it was killed"), "{}", report.message);
    }
}
