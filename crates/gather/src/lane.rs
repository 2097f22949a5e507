//! Lanes: how a job's concurrency is kept without anybody who counts.

use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

/// The partition that waits for this one, if one does.
///
/// # Errors
/// When the store fails.
pub async fn next_in_lane(deps: &Deps, job: &Job, partition: &Partition) -> Result<Option<Partition>, Error> {
    let Some(next) = job.next_in_lane(partition.number).filter(|next| *next < partition.partitions) else {
        return Ok(None);
    };
    let plan: Plan = deps.store.get_json(&deps.keys(&partition.job_id).plan()).await?;
    Ok(plan.partition(next, 1))
}
