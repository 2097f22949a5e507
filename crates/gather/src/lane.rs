//! Lanes: how a job's concurrency is kept without anybody who counts.

use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

/// The partitions of a job that wait for one another.
#[derive(Debug)]
pub struct Lane<'a> {
    deps: &'a Deps,
    job: &'a Job,
    /// Read when it is needed first: a plan may be large, and a lane long.
    plan: Option<Plan>,
}

impl<'a> Lane<'a> {
    /// Any lane of this job.
    pub fn of(job: &'a Job, deps: &'a Deps) -> Self {
        Self { deps, job, plan: None }
    }

    /// The partition that waits for this one, if one does.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next(&mut self, partition: &Partition) -> Result<Option<Partition>, Error> {
        let Some(next) = self.job.next_in_lane(partition.number).filter(|next| *next < partition.partitions)
        else {
            return Ok(None);
        };
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => self.deps.store.get_json(&self.deps.keys(&partition.job_id).plan()).await?,
        };
        Ok(self.plan.insert(plan).partition(next, 1))
    }
}
