//! What was decided, done: by the very functions that act when a death is told.

use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_gather::{Lane, Tried, advance_group, at_its_hop, start_reducer};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::StoreExt;
use futures::{StreamExt, TryStreamExt, stream};

use super::Swept;
use super::decide::{Action, SENDS_MAX};
use crate::marker::Marker;
use crate::recover::{REDUCER_ATTEMPTS, died, end_without_reducer, give_up, try_again};

/// Most requests to Lambda at once, for one job.
const INVOKES_IN_FLIGHT: usize = 16;

/// Why an attempt that left no outcome counts as dead.
const OVERDUE: &str = "it ran past its time limit, and nobody was told";

/// Does what was decided about a job.
///
/// # Errors
/// The first failure. What it left undone comes again after its pause.
pub(super) async fn act(
    deps: &Deps,
    keys: &JobKeys,
    marker: &Marker,
    actions: Vec<Action>,
    budget: Budget,
) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    let mut partitions = Vec::new();
    for action in actions {
        match action {
            Action::Merge(group) => {
                advance_group(deps, keys.job_id(), marker.grouping, group).await?;
                swept.merged += 1;
            }
            Action::Reduce { goal, over } if over.attempt < REDUCER_ATTEMPTS => {
                start_reducer(deps, keys.job_id(), goal, over.next()).await?;
                swept.reducers += 1;
            }
            Action::Reduce { goal, over } => {
                let reason = format!("the last of {REDUCER_ATTEMPTS} tries: {OVERDUE}");
                end_without_reducer(keys, goal, over, &reason, deps, budget).await?;
                swept.given_up += 1;
            }
            Action::EndUnreduced { goal, over } => {
                end_without_reducer(keys, goal, over, &never_started("reducer"), deps, budget).await?;
                swept.given_up += 1;
            }
            Action::TryAgain { partition, over } => partitions.push((partition, over, true)),
            Action::GiveUp { partition, over } => partitions.push((partition, over, false)),
        }
    }
    about_partitions(deps, keys, partitions, &mut swept).await?;
    Ok(swept)
}

/// Partitions by number, with their last try and whether it may be followed by another.
async fn about_partitions(
    deps: &Deps,
    keys: &JobKeys,
    partitions: Vec<(u64, Tried, bool)>,
    swept: &mut Swept,
) -> Result<(), Error> {
    if partitions.is_empty() {
        return Ok(());
    }
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    let standing: Vec<_> = partitions
        .into_iter()
        .filter_map(|(number, over, again)| {
            Some(at_the_hop(deps, keys, plan.partition(number, 1)?, over, again))
        })
        .collect();
    let standing: Vec<Still> = stream::iter(standing).buffered(INVOKES_IN_FLIGHT).try_collect().await?;
    let (again, over): (Vec<_>, Vec<_>) =
        standing.into_iter().partition(|still| still.again && still.over <= job.retries);
    let sends: Vec<_> = again.into_iter().map(|still| try_again(still.partition, still.over, deps)).collect();
    swept.sent += sends.len() as u64;
    stream::iter(sends).buffer_unordered(INVOKES_IN_FLIGHT).try_collect::<()>().await?;
    let mut lane = Lane::of(&job, deps);
    for still in over {
        give_up(&job, &still.partition, still.over.max(1), &mut lane, deps).await?;
        swept.given_up += 1;
    }
    Ok(())
}

/// A partition that stands still, at its hop.
struct Still {
    partition: Partition,
    /// The last attempt at that hop; 0 where there was none.
    over: u32,
    /// Whether another may follow.
    again: bool,
}

/// A partition at its hop, of which `over` was the last try: at that hop, or at the one before it.
async fn at_the_hop(
    deps: &Deps,
    keys: &JobKeys,
    planned: Partition,
    over: Tried,
    again: bool,
) -> Result<Still, Error> {
    let mut partition = at_its_hop(deps, keys, planned).await?;
    let over = if over.hop == partition.hop { over.attempt } else { 0 };
    if !again {
        died(&mut partition, over, never_started("worker"), deps);
    } else if over > 0 {
        died(&mut partition, over, OVERDUE.to_owned(), deps);
    }
    Ok(Still { partition, over, again })
}

fn never_started(what: &str) -> String {
    format!(
        "no {what} started, though the event was sent again {SENDS_MAX} times or more in the course of hours"
    )
}
