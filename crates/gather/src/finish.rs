//! The end of a job.

use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::{Report, Status};
use fanfold_runtime::{Deps, Error, Metric, Of};
use fanfold_store::{Created, ErrorKind, StoreExt};

use crate::lease::Lease;

/// The report of a job that has ended; none while it has not.
///
/// # Errors
/// When the store fails.
pub async fn report_of(deps: &Deps, keys: &JobKeys) -> Result<Option<Report>, Error> {
    match deps.store.get_json(&keys.result()).await {
        Ok(report) => Ok(Some(report)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ends a job: puts its report, of which the first counts and is measured, and cleans up.
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn finish(deps: &Deps, keys: &JobKeys, report: Report) -> Result<(), Error> {
    let first = match deps.store.create_json(&keys.result(), &report).await? {
        Created::New => report.clone(),
        Created::Existed => deps.store.get_json(&keys.result()).await?,
    };
    if first == report {
        tracing::info!(job = %report.job_id, status = ?report.status, reason = report.message, "the job has ended");
        measure(deps, &report);
    } else {
        tracing::info!(job = %report.job_id, "the job had ended before");
    }
    clean_up(deps, keys, &first).await
}

fn measure(deps: &Deps, report: &Report) {
    let ended = match report.status {
        Status::Succeeded => Metric::JobsSucceeded,
        Status::Failed | Status::Cancelled => Metric::JobsFailed,
    };
    let seconds = (report.ended_ms - report.started_ms).max(0) as f64 / 1_000.0;
    deps.measure(Of::Job(&report.name, &report.job_id), &[(ended, 1.0), (Metric::JobSeconds, seconds)]);
}

/// Takes away what nobody needs once the report is there, and at last the marker, so that a sweep finds what is left where
/// this ends half way. The marker of a job that was stopped stays: a worker that has not seen yet that it is to stop may
/// still write something, which a later sweep takes away by [`clean_up_for_good`]. So does that of a job whose output was
/// made of nodes, each by a reducer of its own.
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn clean_up(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<(), Error> {
    let had_nodes = remove_leftovers(deps, keys, report).await?;
    match report.status {
        Status::Succeeded | Status::Failed if !had_nodes => remove_marker(deps, keys).await,
        Status::Succeeded | Status::Failed | Status::Cancelled => Ok(()),
    }
}

/// The same, the marker included, however the job ended.
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn clean_up_for_good(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<(), Error> {
    remove_leftovers(deps, keys, report).await?;
    remove_marker(deps, keys).await
}

async fn remove_marker(deps: &Deps, keys: &JobKeys) -> Result<(), Error> {
    let active = keys.active();
    Ok(deps.store.delete(&active.bucket, std::slice::from_ref(&active.key)).await?)
}

/// Takes away what nobody needs once the report is there, the marker excepted: unfinished uploads; the nodes of an output;
/// and the chunk results, with those of the runs that this one redrives, unless a redrive may still need them. Says whether
/// there were nodes.
///
/// # Errors
/// When the store fails. Calling it again is safe.
async fn remove_leftovers(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<bool, Error> {
    let lease = Lease::current(deps, &keys.lease()).await?;
    let had_nodes = lease.as_ref().is_some_and(|lease| lease.nodes().is_some());
    if let Some(lease) = lease {
        lease.drop_upload(deps).await?;
    }
    // Of chunk results, of nodes, and of a joblog.
    let folder = keys.folder();
    for upload in deps.store.list_uploads(&folder.bucket, &folder.key).await? {
        deps.store.abort_upload(&upload).await?;
    }
    if had_nodes {
        let nodes = keys.nodes();
        deps.store.delete_prefix(&nodes.bucket, &nodes.key).await?;
    }
    if report.can_be_redriven() {
        return Ok(had_nodes);
    }
    for job_id in report.earlier.iter().chain([&report.job_id]) {
        let chunks = deps.keys(job_id).chunk_results();
        deps.store.delete_prefix(&chunks.bucket, &chunks.key).await?;
    }
    Ok(had_nodes)
}
