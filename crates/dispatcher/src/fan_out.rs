//! From a plan to workers under way: a tree of asynchronous invocations when there are many partitions.

use std::ops::Range;

use fanfold_flow::event::FanOut;
use fanfold_flow::job::Job;
use fanfold_flow::plan::Plan;
use fanfold_flow::version::Version;
use fanfold_gather::{Goal, Tried, is_cancelled, start_reducer};
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

/// Most partitions that one invocation dispatches by itself; more are split among further invocations of the dispatcher.
const PARTITIONS_PER_INVOCATION: u64 = 500;

/// Most branches of the tree.
const BRANCHES: u64 = 20;

/// Most requests to Lambda at once.
const INVOKES_IN_FLIGHT: usize = 32;

/// Dispatches a job's first partitions: all of them, or as many as may run at once. Workers go on to the others.
pub(crate) async fn start(plan: &Plan, max_concurrency: Option<u32>, deps: &Deps) -> Result<(), Error> {
    if plan.partitions.is_empty() {
        return start_reducer(deps, &plan.job_id, Goal::Output, Tried::FIRST).await;
    }
    dispatch(plan, 0..lanes(plan, max_concurrency), deps).await
}

/// Dispatches the partitions that another invocation left to this one: of those, what [`start`] dispatches. The range came
/// as an event, and one that is larger would grow a tree without end. A job that has ended meanwhile, or is to stop, is left
/// alone.
pub(crate) async fn go_on(range: &FanOut, deps: &Deps) -> Result<(), Error> {
    let keys = deps.keys(&range.fan_out);
    let (is_to_stop, has_ended) =
        tokio::try_join!(is_cancelled(deps, &keys), async { Ok(deps.store.exists(&keys.result()).await?) })?;
    if is_to_stop || has_ended {
        tracing::info!(job = %range.fan_out, is_to_stop, has_ended, "nothing more is dispatched");
        return Ok(());
    }
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    dispatch(&plan, range.from..range.to.min(lanes(&plan, job.max_concurrency)), deps).await
}

/// How many partitions are dispatched from here.
fn lanes(plan: &Plan, max_concurrency: Option<u32>) -> u64 {
    let partitions = plan.partitions.len() as u64;
    max_concurrency.map_or(partitions, |most| partitions.min(u64::from(most)))
}

/// Dispatches the partitions of a range within the plan; none where it ends before it begins.
async fn dispatch(plan: &Plan, Range { start: from, end: to }: Range<u64>, deps: &Deps) -> Result<(), Error> {
    let count = to.saturating_sub(from);
    if count > PARTITIONS_PER_INVOCATION {
        let step = count.div_ceil(BRANCHES).max(PARTITIONS_PER_INVOCATION);
        let starts = (from..to).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let fan_out = &plan.job_id;
        let branches = starts.map(|from| FanOut {
            version: Version,
            fan_out: fan_out.clone(),
            from,
            to: to.min(from + step),
        });
        return send_all(deps, &deps.functions.dispatcher, branches).await;
    }
    let partitions = (from..to).filter_map(|number| plan.partition(number, 1));
    send_all(deps, &deps.functions.worker, partitions).await
}

async fn send_all<P>(deps: &Deps, function: &str, payloads: impl Iterator<Item = P>) -> Result<(), Error>
where
    P: Serialize + Send + Sync,
{
    let sends: Vec<_> = payloads.map(|payload| async move { deps.send(function, &payload).await }).collect();
    stream::iter(sends).buffer_unordered(INVOKES_IN_FLIGHT).try_collect().await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::world::World;

    fn range(from: u64, to: u64) -> Value {
        json!({ "version": 1, "fan_out": "one", "from": from, "to": to })
    }

    #[tokio::test]
    async fn a_range_past_the_plan_ends_where_the_plan_ends() {
        let world = World::with_job(600, None).await;
        let branches = world.payloads("dispatcher").await;
        assert_eq!(branches, [range(0, 500), range(500, 600)]);
        world.dispatch(&range(0, u64::MAX)).await;
        assert_eq!(world.payloads("dispatcher").await, [branches.clone(), branches].concat());
        world.dispatch(&range(598, u64::MAX)).await;
        assert_eq!(world.sent("worker").await, [(598, 1), (599, 1)]);
        for (from, to) in [(600, u64::MAX), (u64::MAX, u64::MAX), (7, 7), (7, 3)] {
            world.dispatch(&range(from, to)).await;
        }
        assert_eq!((world.sent("worker").await.len(), world.payloads("dispatcher").await.len()), (2, 4));
    }

    #[tokio::test]
    async fn a_range_dispatches_no_more_lanes_than_the_job_has() {
        let world = World::with_job(9, Some(3)).await;
        world.dispatch(&range(2, 9)).await;
        assert_eq!(world.sent("worker").await, [(0, 1), (1, 1), (2, 1), (2, 1)]);
    }
}
