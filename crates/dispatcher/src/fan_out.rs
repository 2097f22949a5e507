//! From a plan to workers under way: a tree of asynchronous invocations when there are many partitions.

use fanfold_flow::event::FanOut;
use fanfold_flow::plan::Plan;
use fanfold_flow::version::Version;
use fanfold_gather::start_reducer;
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
    let partitions = plan.partitions.len() as u64;
    if partitions == 0 {
        return start_reducer(deps, &plan.job_id, 1).await;
    }
    let lanes = max_concurrency.map_or(partitions, |most| partitions.min(u64::from(most)));
    dispatch(plan, 0, lanes, deps).await
}

/// Dispatches the partitions that another invocation left to this one.
pub(crate) async fn go_on(range: &FanOut, deps: &Deps) -> Result<(), Error> {
    let plan: Plan = deps.store.get_json(&deps.keys(&range.fan_out).plan()).await?;
    dispatch(&plan, range.from, range.to, deps).await
}

async fn dispatch(plan: &Plan, from: u64, to: u64, deps: &Deps) -> Result<(), Error> {
    if to - from > PARTITIONS_PER_INVOCATION {
        let step = (to - from).div_ceil(BRANCHES).max(PARTITIONS_PER_INVOCATION);
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
