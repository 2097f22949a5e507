//! A job is stopped because somebody asks for it.
//!
//! First it is written down, so that workers, which look for that every two seconds, stop their programs and commit what
//! they have, and whoever sends further ones sends none. They are given their time; then what has no outcome gets one,
//! cancelled, all groups are there, and the job ends like any other: a reducer accounts for every chunk, and its report says
//! that the job was stopped. What was done is kept for a redrive. A job of which every chunk has its outcome already is past
//! stopping: no program of it runs, and its output may be about to appear.
//!
//! Whoever dies half way leaves the rest to the sweep. The price is that to stop takes some seconds, even where nothing runs.

use std::time::Duration;

use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::partition::Grouping;
use fanfold_flow::plan::Plan;
use fanfold_flow::version::Version;
use fanfold_gather::{Goal, Tried, close_groups, is_cancelled, merged_groups, report_of, start_reducer};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{ErrorKind, StoreExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::status::{Standing, State, standing, unknown};
use crate::submit::planned;
use crate::{Settings, wait};

/// How long workers have from when a job is to stop until its groups are closed: they look every two seconds, and then have
/// to stop their programs and to commit what they have. So when the report says that a job was cancelled none of its
/// programs runs any more, and a redrive may begin at once.
const STOPPING: Duration = Duration::from_secs(5);

/// How long the report is waited for then.
const WAIT: Duration = Duration::from_secs(10);

/// What is kept of an invocation's time for closing the groups. With less, that is left to the sweep.
const MARGIN: Duration = Duration::from_secs(15);

/// That a job is to stop. The first one counts.
#[derive(Debug, Serialize, Deserialize)]
struct Cancel {
    version: Version,
    /// When somebody asked for it, in milliseconds since 1970 (UTC).
    asked_ms: i64,
}

impl Cancel {
    /// What is left of the time that workers have.
    fn left(&self, deps: &Deps) -> Duration {
        let since_ms = deps.world.now_ms().saturating_sub(self.asked_ms);
        STOPPING.saturating_sub(Duration::from_millis(u64::try_from(since_ms).unwrap_or(0)))
    }
}

/// Stops a job, and says how it stands then.
///
/// # Errors
/// `invalid_job` when there is no such job; `store` and `invoke` when those fail. To ask again is safe.
///
/// # Cancellation
/// Once it is written down that the job is to stop, the sweep does what is left.
pub(crate) async fn cancel(
    job_id: &JobId,
    deps: &Deps,
    settings: &Settings,
    budget: Budget,
) -> Result<Value, Error> {
    let keys = deps.keys(job_id);
    let Some(plan) = planned(deps, &keys).await? else { return Err(unknown("cancel", job_id, deps).await?) };
    let had_ended = report_of(deps, &keys).await?.is_some();
    if !had_ended
        && (is_gathered(deps, &keys, plan.grouping()).await? || stop(&plan, deps, &keys, budget).await?)
    {
        // Also where every group was there before: whoever merged the last may have died before it told the reducer.
        start_reducer(deps, job_id, Goal::Output, Tried::FIRST).await?;
        wait::for_report(deps, &keys, WAIT, budget).await?;
    }
    let is_to_stop = is_cancelled(deps, &keys).await?;
    let standing = standing(job_id, deps, settings).await?;
    let message = message(&standing, &plan, had_ended, is_to_stop);
    Ok(json!(Standing { message, ..standing }))
}

fn message(standing: &Standing, plan: &Plan, had_ended: bool, is_to_stop: bool) -> String {
    let Standing { job_id, message, .. } = standing;
    match standing.status {
        State::Cancelled => message.clone(),
        State::Running if is_to_stop => message.clone(),
        State::Running => format!(
            "job {job_id} is past stopping: every chunk has its outcome, no program runs, and the job ends by itself; \
             the output will be at {}",
            plan.output
        ),
        State::Succeeded | State::Failed if had_ended => {
            format!("nothing was stopped, for the job had ended: {message}")
        }
        State::Succeeded | State::Failed => {
            format!("nothing was stopped, for every chunk had its outcome already: {message}")
        }
    }
}

/// Has a job's workers stop, and closes its groups. Says whether it did, or there is no time for that and it is left to the
/// sweep.
async fn stop(plan: &Plan, deps: &Deps, keys: &JobKeys, budget: Budget) -> Result<bool, Error> {
    let record = Cancel { version: Version, asked_ms: deps.world.now_ms() };
    deps.store.create_json(&keys.cancel(), &record).await?;
    let first: Cancel = deps.store.get_json(&keys.cancel()).await?;
    let left = first.left(deps);
    tracing::info!(job = %plan.job_id, seconds = left.as_secs(), "the job is to stop; its workers are waited for");
    if budget.remaining(deps.world.as_ref()) < left + MARGIN {
        return Ok(false);
    }
    tokio::time::sleep(left).await;
    close_groups(deps, plan).await?;
    Ok(true)
}

/// What [`end`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The job is not to stop.
    NotAskedFor,
    /// Its workers may still be stopping.
    NotYet,
    /// All its groups are there now, of which this many were closed here: it is to be reduced.
    Closed(u64),
}

/// Closes the groups of a job that has not ended, if it is to stop and its workers have had their time. To do so again is
/// safe, and goes on where somebody else has stopped half way; once all groups are there it is a read and a list request.
///
/// # Errors
/// When the store fails.
pub(crate) async fn end(keys: &JobKeys, grouping: Grouping, deps: &Deps) -> Result<End, Error> {
    let asked: Cancel = match deps.store.get_json(&keys.cancel()).await {
        Ok(asked) => asked,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(End::NotAskedFor),
        Err(error) => return Err(error.into()),
    };
    if is_gathered(deps, keys, grouping).await? {
        return Ok(End::Closed(0));
    }
    if asked.left(deps) > Duration::ZERO {
        return Ok(End::NotYet);
    }
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    close_groups(deps, &plan).await.map(End::Closed)
}

async fn is_gathered(deps: &Deps, keys: &JobKeys, grouping: Grouping) -> Result<bool, Error> {
    Ok(merged_groups(deps, keys).await?.len() as u64 >= grouping.groups())
}

#[cfg(test)]
mod tests;
