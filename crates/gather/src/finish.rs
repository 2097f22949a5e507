//! The end of a job.

use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::Report;
use fanfold_runtime::{Deps, Error};
use fanfold_store::{Created, StoreExt};

/// Puts the report, unless the job has one already, and takes the job's marker away.
///
/// # Errors
/// When the store fails. Calling it again is safe.
pub async fn finish(deps: &Deps, keys: &JobKeys, report: &Report) -> Result<(), Error> {
    if deps.store.create_json(&keys.result(), report).await? == Created::Existed {
        tracing::info!(job = %report.job_id, "the job had ended before");
    }
    let active = keys.active();
    deps.store.delete(&active.bucket, std::slice::from_ref(&active.key)).await?;
    Ok(())
}
