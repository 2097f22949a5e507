//! Whether a run's output is still what its workers wrote, asked at any later time.
//!
//! What it must be is combined from the records of its chunks; what stands there the store says of it, and no byte is read:
//! an output may be larger than an invocation has time for. Where the store keeps no checksum, the answer says that only
//! reading can tell, which is the caller's affair.

use fanfold_flow::code::Code;
use fanfold_flow::concat;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::report::{Output, Report};
use fanfold_flow::verification::{Content, Found, Look, Recorded, Verification};
use fanfold_gather::{read_account, report_of};
use fanfold_runtime::{Deps, Error};
use fanfold_store::{ErrorKind, StoreError};
use serde_json::{Value, json};

use crate::redrive::redriven_by;
use crate::status::unknown;
use crate::submit::planned;

/// Holds a run's output against its records.
///
/// # Errors
/// `invalid_job` when there is no such run, or it has not ended; the run's own code when it ended without an output; `store`
/// when the store fails. That the output is not right is an answer.
pub(crate) async fn verify(of: &JobId, deps: &Deps) -> Result<Value, Error> {
    let keys = deps.keys(of);
    let Some(report) = report_of(deps, &keys).await? else {
        return Err(match planned(deps, &keys).await? {
            Some(_) => not_ended(of),
            None => unknown("verify the output of", of, deps).await?,
        });
    };
    let Some(output) = &report.output else { return Err(without_output(&report)) };
    let (recorded, found) = (recorded(deps, &keys).await?, found(deps, output).await?);
    let redriven = redriven_by(deps, &keys).await?.map(|by| by.job_id);
    Ok(json!(Verification::new(of.clone(), output.clone(), recorded, found, redriven)))
}

fn not_ended(of: &JobId) -> Error {
    let message = format!(
        "verify the output of {of}: it has not ended; {{\"status\": \"{of}\"}} says how far it is (fanfold status {of})"
    );
    Error::new(Code::InvalidJob, message)
}

/// Nothing can be verified of a run that left nothing: it ends as the run did.
fn without_output(report: &Report) -> Error {
    let Report { job_id, code, message, .. } = report;
    let message = format!("verify the output of {job_id}: it ended without one: {message}");
    Error::new(code.unwrap_or(Code::Internal), message)
}

/// What the records of the chunks say; none where they are gone, as a bucket's lifecycle may have it.
async fn recorded(deps: &Deps, keys: &JobKeys) -> Result<Option<Recorded>, Error> {
    let Some(plan) = planned(deps, keys).await? else { return Ok(None) };
    let account = match read_account(deps, &plan).await {
        Ok(account) => account,
        Err(error) if is_gone(&error) => {
            tracing::info!(job = %plan.job_id, "its report is believed, since its records are gone: {}", error.chain());
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let results = account.in_order();
    let elements = concat::elements(plan.format, plan.compress, &results)
        .map_err(|error| Error::caused(Code::OutputCorrupt, "put the recorded results together", error))?;
    Ok(Some(Recorded { results: results.len() as u64, content: Content::of(&elements) }))
}

fn is_gone(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<StoreError>());
    cause.is_some_and(|store| store.kind() == ErrorKind::NotFound)
}

/// What stands where the output was put.
async fn found(deps: &Deps, output: &Output) -> Result<Option<Found>, Error> {
    match deps.store.head(&output.uri).await {
        Ok(info) => Ok(Some(Found {
            bytes: info.size,
            crc64nvme: info.crc64,
            etag: Some(info.etag.to_string()),
            by: Look::Head,
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
