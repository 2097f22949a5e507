//! The end of a job.

use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
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
/// still write something, which a later sweep takes away by [`clean_up_for_good`].
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn clean_up(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<(), Error> {
    match report.status {
        Status::Succeeded | Status::Failed => clean_up_for_good(deps, keys, report).await,
        Status::Cancelled => remove_leftovers(deps, keys, report).await,
    }
}

/// The same, the marker included, however the job ended.
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn clean_up_for_good(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<(), Error> {
    remove_leftovers(deps, keys, report).await?;
    let active = keys.active();
    deps.store.delete(&active.bucket, std::slice::from_ref(&active.key)).await?;
    Ok(())
}

/// Takes away what nobody needs once the report is there, the marker excepted: unfinished uploads; and the chunk results,
/// with those of the runs that this one redrives, unless a redrive may still need them.
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn remove_leftovers(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<(), Error> {
    if let Some(lease) = Lease::current(deps, &keys.lease()).await? {
        lease.drop_upload(deps).await?;
    }
    // Of chunk results, and of a joblog.
    let folder = keys.folder();
    for upload in deps.store.list_uploads(&folder.bucket, &folder.key).await? {
        deps.store.abort_upload(&upload).await?;
    }
    if let Some(output) = &report.output {
        drop_uploads_to(deps, &output.uri).await?;
    }
    if report.can_be_redriven() {
        return Ok(());
    }
    for job_id in report.earlier.iter().chain([&report.job_id]) {
        let chunks = deps.keys(job_id).chunk_results();
        deps.store.delete_prefix(&chunks.bucket, &chunks.key).await?;
    }
    Ok(())
}

/// Drops unfinished uploads to the place of an output that is complete: a reducer may have died between the beginning of its
/// upload and the note of that in its lease. The price: where another run writes to the same place at the same moment, its
/// upload goes too, and its reducer has to begin again.
///
/// # Errors
/// When the store fails.
pub async fn drop_uploads_to(deps: &Deps, output: &ObjectUri) -> Result<(), Error> {
    let uploads = match deps.store.list_uploads(&output.bucket, &output.key).await {
        Ok(uploads) => uploads,
        // Whose bucket it is may not let us look; then its lifecycle has to.
        Err(error) if error.kind() == ErrorKind::Denied => {
            tracing::warn!(%output, "failed to look for unfinished uploads of the output: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    for upload in uploads.into_iter().filter(|upload| upload.at == *output) {
        deps.store.abort_upload(&upload).await?;
    }
    Ok(())
}
