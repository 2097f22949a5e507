//! The net under what died between two steps, and under what Lambda lost. Every minute it looks at each job that runs.
//!
//! | what it finds | what it does |
//! |---|---|
//! | the job has ended, its marker is there | cleans up: uploads, chunk results, and the marker; if it was cancelled, that last when no worker of it can be left |
//! | the job is to stop, and its workers have had their time | merges all groups, whatever has no outcome as cancelled |
//! | a partition whose turn it is was never tried | sends its first attempt again |
//! | an attempt is past its deadline and left no outcome | its next attempt, or recorded as failed: the job's retries count |
//! | a group has all outcomes and is not merged | merges it, and takes the gather on |
//! | all groups are merged, and nobody reduces | sends the reducer its next attempt, or ends the job |
//! | the output waits for its nodes, and nobody is at one of them | the same for that node |
//!
//! The last step of each is the one that is taken when a death is told ([`crate::recover`]). How often the same is done again
//! is bounded, and what never started is given up only where nothing else of the job moves ([`decide`]). Notes of that are
//! kept in the job's marker, which is written over the very content that was read, so that of two sweeps at once one acts.
//! How much of a large job is looked at is bounded too ([`look`]): a sweep goes on where the one before it ended.
//!
//! The price: some requests a minute for each job that runs, whether or not anything is wrong; and that what an event in a
//! long queue is for may be done by its duplicate, while the event itself still costs an invocation.

mod act;
mod decide;
mod look;
#[cfg(test)]
mod tests;

use std::ops::AddAssign;
use std::time::Duration;

use fanfold_flow::keys::{JobId, JobKeys, active_jobs};
use fanfold_flow::limits::FUNCTION_MS_MAX;
use fanfold_flow::report::Report;
use fanfold_gather::{clean_up, clean_up_for_good, report_of};
use fanfold_runtime::{Budget, Deps, Error, Metric, Of};
use fanfold_store::{ErrorKind, StoreExt};
use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};

use crate::marker::Marker;
use crate::{Settings, cancel};
use decide::Graces;

/// Most jobs that are looked at at once.
const JOBS_IN_FLIGHT: usize = 8;

/// How much of the time is kept for the jobs that are looked at when it runs out.
const MARGIN: Duration = Duration::from_secs(15);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Swept {
    /// Jobs that it looked at.
    pub(crate) jobs: u64,
    /// Jobs that had ended, and were cleaned up.
    pub(crate) ended: u64,
    /// Workers and reducers that are at work, as far as it saw.
    pub(crate) running: u64,
    /// Partitions that were sent to a worker.
    pub(crate) sent: u64,
    /// Groups that were merged.
    pub(crate) merged: u64,
    /// Reducers that were started.
    pub(crate) reducers: u64,
    /// Partitions that were recorded as failed, and jobs that were ended.
    pub(crate) given_up: u64,
    /// Jobs in which nothing has moved for long.
    pub(crate) stuck: u64,
    /// Jobs that it could not look at, or for which it could not do what was due; the log says why.
    pub(crate) failed: u64,
    /// Jobs for which there was no time; the next sweep begins somewhere else.
    pub(crate) left: u64,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        let Self { jobs, ended, running, sent, merged, reducers, given_up, stuck, failed, left } = other;
        self.jobs += jobs;
        self.ended += ended;
        self.running += running;
        self.sent += sent;
        self.merged += merged;
        self.reducers += reducers;
        self.given_up += given_up;
        self.stuck += stuck;
        self.failed += failed;
        self.left += left;
    }
}

/// Looks for what died between two steps, and takes it on.
///
/// # Errors
/// When the markers cannot be listed. What fails for one job is logged, and told as a number.
pub(crate) async fn sweep(deps: &Deps, settings: &Settings, budget: Budget) -> Result<Value, Error> {
    let jobs = active(deps).await?;
    let graces = Graces::new(settings.sweep_grace);
    let each = jobs.iter().map(|job_id| sweep_or_leave(job_id, deps, graces, budget));
    let mut sweeps = stream::iter(each.collect::<Vec<_>>()).buffer_unordered(JOBS_IN_FLIGHT);
    let mut all = Swept::default();
    while let Some(swept) = sweeps.next().await {
        all += swept;
    }
    if all != (Swept { jobs: all.jobs, running: all.running, ..Swept::default() }) {
        tracing::info!(swept = %json!(all), "the sweep found something to do");
    }
    Ok(json!(all))
}

/// The jobs that have a marker, beginning with any of them, so that where time is short none is always the last.
async fn active(deps: &Deps) -> Result<Vec<JobId>, Error> {
    let prefix = active_jobs(&deps.work);
    let markers = deps.store.list_all(&prefix.bucket, &prefix.key).await?;
    let job_id = |key: &str| key.strip_prefix(prefix.key.as_str())?.parse().ok();
    let mut jobs: Vec<JobId> = markers.iter().filter_map(|marker| job_id(&marker.key)).collect();
    if !jobs.is_empty() {
        let first = deps.world.random() % jobs.len() as u64;
        jobs.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    Ok(jobs)
}

async fn sweep_or_leave(job_id: &JobId, deps: &Deps, graces: Graces, budget: Budget) -> Swept {
    if budget.remaining(deps.world.as_ref()) < MARGIN {
        return Swept { left: 1, ..Swept::default() };
    }
    let mut swept = Swept { jobs: 1, ..Swept::default() };
    match sweep_job(job_id, deps, graces, budget).await {
        Ok(job) => swept += job,
        Err(error) => {
            tracing::error!(job = %job_id, code = %error.code, "failed to sweep: {}", error.chain());
            swept.failed = 1;
        }
    }
    swept
}

async fn sweep_job(job_id: &JobId, deps: &Deps, graces: Graces, budget: Budget) -> Result<Swept, Error> {
    let keys = deps.keys(job_id);
    if let Some(report) = report_of(deps, &keys).await? {
        if no_worker_is_left(&report, graces, deps) {
            clean_up_for_good(deps, &keys, &report).await?;
        } else {
            clean_up(deps, &keys, &report).await?;
        }
        return Ok(Swept { ended: 1, ..Swept::default() });
    }
    let (marker, etag): (Marker, _) = match deps.store.get_json_tagged(&keys.active()).await {
        Ok(read) => read,
        // It has ended meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Swept::default()),
        Err(error) => return Err(error.into()),
    };
    let closed = match cancel::end(&keys, marker.grouping, deps).await? {
        // What is stopping is not taken for dead.
        cancel::End::NotYet => return Ok(Swept::default()),
        cancel::End::NotAskedFor => 0,
        // From here it is a job like any other: it waits for its reducer.
        cancel::End::Closed(groups) => groups,
    };
    let now_ms = deps.world.now_ms();
    let seen = look::look(deps, &keys, &marker, graces).await?;
    let (watch, actions) = decide::decide(&marker, &seen, graces, now_ms);
    let mut marker_after = marker.clone();
    marker_after.watch = watch;
    if marker_after != marker {
        marker_after.written_by = deps.world.random();
        match deps.store.rewrite_json(&keys.active(), &marker_after, etag).await {
            Ok(_) => {}
            Err(error) if is_somebody_elses(error.kind()) => return Ok(Swept::default()),
            Err(error) => return Err(error.into()),
        }
    }
    let mut swept = act::act(deps, &keys, &marker_after, actions, budget).await?;
    swept.merged += closed;
    swept.running = seen.running();
    swept.stuck = u64::from(tell_if_stuck(deps, &keys, &marker_after, now_ms));
    Ok(swept)
}

/// Whether every worker of a job that has ended must have ended too, even one that could not look whether it is to stop.
fn no_worker_is_left(report: &Report, graces: Graces, deps: &Deps) -> bool {
    let longest_ms = FUNCTION_MS_MAX.saturating_add(graces.after_the_deadline_ms());
    report.ended_ms.saturating_add(longest_ms) < deps.world.now_ms()
}

/// Whether a marker was not written because another sweep was first, or the job has ended.
fn is_somebody_elses(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PreconditionFailed | ErrorKind::Conflict | ErrorKind::NotFound)
}

fn tell_if_stuck(deps: &Deps, keys: &JobKeys, marker: &Marker, now_ms: i64) -> bool {
    if !decide::is_stuck(&marker.watch, now_ms) {
        return false;
    }
    let still_ms = now_ms.saturating_sub(marker.watch.moved_ms);
    let waiting = match marker.watch.still.first_key_value() {
        Some((first, _)) => {
            format!("{} partitions wait for a worker, the first is {first}", marker.watch.still.len())
        }
        None => match marker.watch.nodes.first_key_value() {
            Some((first, _)) => {
                format!(
                    "{} nodes of its output wait for a reducer, the first is {first}",
                    marker.watch.nodes.len()
                )
            }
            None => "it waits for a reducer".to_owned(),
        },
    };
    tracing::error!(
        job = %keys.job_id(), minutes = still_ms / 60_000,
        "nothing of this job runs or moves: {waiting}; look whether the functions are throttled, or fail before they begin"
    );
    deps.measure(Of::Job(&marker.name, keys.job_id()), &[(Metric::JobsStuck, 1.0)]);
    true
}
