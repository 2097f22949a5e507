//! A job is stopped because somebody asks for it.
//!
//! First it is written down, so that workers, which look for that every two seconds, stop their programs, and whoever sends
//! further ones sends none. Then the job ends like any other: what has no outcome gets one, cancelled, all groups are there,
//! and the report accounts for every chunk. What was done is kept for a redrive. A job of which every chunk has its outcome
//! already is past stopping: no program of it runs, and its output may be about to appear.

use std::time::Duration;

use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::version::Version;
use fanfold_gather::{
    Lease, clean_up, close_groups, finish, read_account, report_of, start_reducer, write_joblog,
};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::StoreExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::status::{Standing, standing, unknown};
use crate::submit::planned;
use crate::{Settings, wait};

/// How long a job that is past stopping, or that somebody else ends, is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// That a job is to stop. The first one counts.
#[derive(Debug, Serialize, Deserialize)]
struct Cancel {
    version: Version,
    /// When somebody asked for it, in milliseconds since 1970 (UTC).
    asked_ms: i64,
}

/// Stops a job, and says how it stands then.
///
/// # Errors
/// `invalid_job` when there is no such job; `store` and `invoke` when those fail. To ask again is safe.
pub(crate) async fn cancel(
    job_id: &JobId,
    deps: &Deps,
    settings: &Settings,
    budget: Budget,
) -> Result<Value, Error> {
    let keys = deps.keys(job_id);
    let Some(plan) = planned(deps, &keys).await? else { return Err(unknown("cancel", job_id, deps).await?) };
    let mut end_of = End::Before;
    if report_of(deps, &keys).await?.is_none() {
        let record = Cancel { version: Version, asked_ms: deps.world.now_ms() };
        deps.store.create_json(&keys.cancel(), &record).await?;
        tracing::info!(job = %job_id, "the job is to stop");
        end_of = end(&plan, deps, budget).await?;
        wait::for_report(deps, &keys, WAIT, budget).await?;
    }
    let standing = standing(job_id, deps, settings).await?;
    let message = message(&standing, &plan, &end_of);
    Ok(json!(Standing { message, ..standing }))
}

fn message(standing: &Standing, plan: &Plan, end: &End) -> String {
    let Standing { job_id, message, report, .. } = standing;
    match (report.as_ref().map(|report| report.status), end) {
        (Some(Status::Cancelled), _) | (None, End::Now | End::Elsewhere | End::Before) => message.clone(),
        (Some(Status::Succeeded | Status::Failed), End::Before) => {
            format!("nothing was stopped, for the job had ended: {message}")
        }
        (Some(Status::Succeeded | Status::Failed), End::Now | End::Elsewhere | End::TooLate) => {
            format!("nothing was stopped, for every chunk had its outcome already: {message}")
        }
        (None, End::TooLate) => format!(
            "job {job_id} is past stopping: every chunk has its outcome, no program runs, and the job ends by itself; \
             the output will be at {}",
            plan.output
        ),
    }
}

/// How a job that is to stop came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It had ended before.
    Before,
    /// It has ended now.
    Now,
    /// Somebody else ends it, who accounts for it as we would.
    Elsewhere,
    /// Every chunk had its outcome: whoever reduces the job ends it.
    TooLate,
}

/// Ends a job that is to stop, unless it has ended, or every chunk has its outcome; then whoever reduces it ends it. To do so
/// again is safe, and goes on where somebody else has stopped half way.
///
/// # Errors
/// When store or invoke fail.
pub(crate) async fn end(plan: &Plan, deps: &Deps, budget: Budget) -> Result<End, Error> {
    let keys = deps.keys(&plan.job_id);
    if let Some(report) = report_of(deps, &keys).await? {
        clean_up(deps, &keys, &report).await?;
        return Ok(End::Before);
    }
    close_groups(deps, plan).await?;
    let account = read_account(deps, plan).await?;
    let Some(stopped) = account.stopped() else {
        // Its last worker may have been stopped before it told the reducer.
        start_reducer(deps, &plan.job_id, 1).await?;
        return Ok(End::TooLate);
    };
    if Lease::take(deps, &keys, 1, budget).await?.is_none() {
        // Somebody else who was asked; or a worker that came late has found all groups there, and started a reducer.
        return Ok(End::Elsewhere);
    }
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let joblog = write_joblog(deps, &keys, plan, &job, &account).await;
    let report = account.report(&job, plan, Err(stopped), deps.world.now_ms());
    finish(deps, &keys, Report { joblog, ..report }).await?;
    Ok(End::Now)
}

#[cfg(test)]
mod tests;
