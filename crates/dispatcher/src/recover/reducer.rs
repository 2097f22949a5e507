//! What becomes of a job whose reducer ended without an outcome: the next one goes on, a few times; then the job ends without.

use fanfold_flow::code::Code;
use fanfold_flow::concat::ConcatPlan;
use fanfold_flow::event::{Failed, Reduce};
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Output, Report};
use fanfold_gather::{
    Goal, Lease, NoOutput, Tried, advance_nodes, clean_up, finish, nodes_made, output_of, read_account,
    read_nodes, report_of, start_reducer, write_joblog,
};
use fanfold_runtime::{Budget, Deps, Error, backoff};
use fanfold_store::{ErrorKind, StoreExt};

/// How often reducing is tried before the job counts as failed: in each hop anew, since each hop makes some of the parts, and
/// for each node of an output by itself.
pub(crate) const REDUCER_ATTEMPTS: u32 = 3;

/// A reducer died: another one takes over, a few times; then the job counts as failed.
pub(crate) async fn reducer(failed: Failed<Reduce>, deps: &Deps, budget: Budget) -> Result<(), Error> {
    let Failed { payload: Reduce { reduce: job_id, node, hop, attempt, .. }, reason, request_id, was_run } =
        failed;
    let (keys, goal) = (deps.keys(&job_id), Goal::of(node));
    if !was_run {
        tracing::warn!(job = %job_id, %goal, hop, attempt, reason, "an event was never run");
        return Ok(());
    }
    let lease = Lease::current(deps, &goal.lease(&keys)).await?;
    let Some(over) = over(Tried { hop, attempt }, &request_id, lease.as_ref()) else {
        tracing::info!(job = %job_id, %goal, hop, attempt, reason, "a reducer died; another is at it");
        return Ok(());
    };
    tracing::warn!(job = %job_id, %goal, hop = over.hop, attempt = over.attempt, reason, "a reducer died");
    if over.attempt < REDUCER_ATTEMPTS {
        tokio::time::sleep(backoff(deps.world.as_ref(), over.attempt)).await;
        return start_reducer(deps, &job_id, goal, over.next()).await;
    }
    let reason = format!("the last of {REDUCER_ATTEMPTS} tries ended with {reason}");
    end_without_reducer(&keys, goal, over, &reason, deps, budget).await
}

/// The last try at reducing that is over now that the reducer is dead that was `sent` this; none if another is at it. With the
/// lease in hand it may have been at a later try than its event said, and have handed it on before it died.
fn over(sent: Tried, request_id: &str, lease: Option<&Lease>) -> Option<Tried> {
    match lease {
        Some(lease) if lease.request_id == request_id => Some(lease.tried().max(sent)),
        Some(lease) if lease.tried() >= sent => None,
        // It died before it had the lease. That counts too, or it would be tried for ever.
        _ => Some(sent),
    }
}

/// Ends a job whose output, or a node of it, no reducer could make, `over` being the last try at that: as failed, unless the
/// last one got so far that it stands.
pub(crate) async fn end_without_reducer(
    keys: &JobKeys,
    goal: Goal,
    over: Tried,
    reason: &str,
    deps: &Deps,
    budget: Budget,
) -> Result<(), Error> {
    if let Some(report) = report_of(deps, keys).await? {
        return clean_up(deps, keys, &report).await;
    }
    let over_at_output = match goal {
        Goal::Output => over,
        Goal::Node(number) if nodes_made(deps, keys).await?.contains(&number) => {
            return advance_nodes(deps, keys).await;
        }
        // Whoever is at the output has nothing to do without the node.
        Goal::Node(_) => {
            Lease::current(deps, &keys.lease()).await?.map_or(Tried::NEVER, |lease| lease.tried())
        }
    };
    // With the lease in hand no late reducer begins. Once what the last one had under way is dropped, none completes it: what
    // is found then stays.
    let Some(lease) = Lease::take(deps, &keys.lease(), over_at_output.next(), budget).await? else {
        tracing::info!(job = %keys.job_id(), %goal, ?over, "somebody else reduces");
        return Ok(());
    };
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    lease.drop_all_uploads(deps, &plan.output).await?;
    let account = read_account(deps, &plan).await?;
    let ended = output_that_stands(&plan, keys, &lease, deps).await?.ok_or_else(|| NoOutput {
        code: Code::Internal,
        message: format!("every chunk has its outcome, but {goal} could not be put together: {reason}"),
    });
    let joblog = write_joblog(deps, keys, &plan, &job, &account).await;
    let report = account.report(&job, &plan, ended, deps.world.now_ms());
    finish(deps, keys, Report { joblog, ..report }).await
}

/// The output, if what a reducer planned to put together is what stands there: it may have died just before it said so.
async fn output_that_stands(
    plan: &Plan,
    keys: &JobKeys,
    lease: &Lease,
    deps: &Deps,
) -> Result<Option<Output>, Error> {
    let (concat, found): (ConcatPlan, _) =
        match (deps.store.get_json(&keys.concat()).await, deps.store.head(&plan.output).await) {
            (Ok(concat), Ok(found)) => (concat, found),
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
    if found.size != concat.bytes || found.crc64 != Some(concat.crc) {
        return Ok(None);
    }
    let nodes = read_nodes(deps, keys, lease.nodes().unwrap_or(0)).await?;
    let streamed_in_nodes: u64 = nodes.iter().map(|node| node.streamed_bytes).sum();
    let output = output_of(plan, &concat, &found.etag);
    Ok(Some(Output { streamed_bytes: output.streamed_bytes + streamed_in_nodes, ..output }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfold_flow::concat::{self, Concat, Limits};
    use fanfold_flow::crc::Crc64;
    use fanfold_flow::report::{Counts, Status};
    use fanfold_gather::{advance_group, commit};
    use fanfold_store::PutOptions;
    use serde_json::json;

    use super::*;
    use crate::recover::given_up;
    use crate::world::World;

    #[tokio::test]
    async fn a_job_that_nobody_could_reduce_still_accounts_for_its_chunks() {
        let world = World::with_job(2, None).await;
        world.commits(0, 1).await;
        let plan = world.plan().await;
        let job = world.deps.store.get_json(&world.keys.job()).await.unwrap();
        let failing = plan.partition(1, 1).unwrap();
        commit(&world.deps, &job, &failing, given_up(&failing, 2)).await.unwrap();
        advance_group(&world.deps, &plan.job_id, plan.grouping(), 0).await.unwrap();
        world.reducers_die().await;
        let report = world.report().await.unwrap();
        assert_eq!(report.chunks, Counts { total: 2, done: 1, failed: 1, cancelled: 0 });
        assert_eq!((report.records, report.attempts, report.failures.len()), (7, 3, 1));
        assert!(report.message.contains("it was killed"), "{}", report.message);
        assert!(!world.is_there(&world.keys.active()).await, "no marker outlives its job");
    }

    /// A job whose groups are merged, and whose last reducer has planned this output.
    async fn planned_to_reduce(bytes: &[u8]) -> World {
        let world = World::with_job(1, None).await;
        world.commits(0, 1).await;
        let plan = world.plan().await;
        advance_group(&world.deps, &plan.job_id, plan.grouping(), 0).await.unwrap();
        let Concat::Whole(mut concat) = concat::make(&[], &Limits::S3).unwrap() else { panic!() };
        (concat.bytes, concat.crc) = (bytes.len() as u64, Crc64::of(bytes));
        world.deps.store.put_json(&world.keys.concat(), &concat, PutOptions::default()).await.unwrap();
        world
    }

    #[tokio::test]
    async fn a_job_whose_output_stands_has_succeeded_though_its_last_reducer_died_before_it_said_so() {
        for (there, status) in [(&b"whole"[..], Status::Succeeded), (b"other", Status::Failed)] {
            let world = planned_to_reduce(b"whole").await;
            let output = world.plan().await.output;
            let put = world.deps.store.put(&output, Bytes::from_static(there), PutOptions::default());
            let etag = put.await.unwrap();
            world.reducers_die().await;
            let report = world.report().await.unwrap();
            assert_eq!(report.status, status);
            assert_eq!(
                report.output.map(|output| output.etag),
                (status == Status::Succeeded).then(|| etag.to_string())
            );
        }
        let nothing_there = planned_to_reduce(b"whole").await;
        nothing_there.reducers_die().await;
        assert_eq!(nothing_there.report().await.unwrap().status, Status::Failed);
    }

    #[tokio::test]
    async fn what_the_last_reducer_had_under_way_does_not_outlive_the_job() {
        let world = planned_to_reduce(b"whole").await;
        let output = world.plan().await.output;
        let upload = world.deps.store.create_upload(&output, None).await.unwrap();
        let last = Tried { hop: 0, attempt: REDUCER_ATTEMPTS };
        let mut lease =
            Lease::take(&world.deps, &world.keys.lease(), last, world.budget()).await.unwrap().unwrap();
        lease.note(&world.deps, &world.keys.lease(), &upload).await.unwrap();
        world.reducers_die().await;
        assert_eq!(world.deps.store.list_uploads("world", "").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_job_is_not_given_up_while_a_later_reducer_is_at_it() {
        let world = planned_to_reduce(b"whole").await;
        let later = Tried { hop: 0, attempt: REDUCER_ATTEMPTS + 1 };
        Lease::take(&world.deps, &world.keys.lease(), later, world.budget()).await.unwrap().unwrap();
        let payload = json!({ "version": 1, "reduce": "one", "attempt": REDUCER_ATTEMPTS });
        let event =
            json!({ "requestContext": { "condition": "EventAgeExceeded" }, "requestPayload": payload });
        world.dispatch(&event).await;
        assert_eq!(world.report().await, None);
    }
}
