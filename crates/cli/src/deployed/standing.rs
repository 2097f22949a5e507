//! How a job stands, as its dispatcher tells.

use fanfold_dispatcher::{Standing, State};
use fanfold_flow::code::Code;
use fanfold_flow::keys::JobId;
use fanfold_flow::report::Report;
use fanfold_runtime::Error;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Deployed;
use crate::progress::{Extent, Phase};

/// Asks how a job stands; the answer as it came, and as it is read.
///
/// # Errors
/// When there is no such job, or the dispatcher cannot be asked.
pub(crate) async fn ask(deployed: &Deployed, job_id: &JobId) -> Result<(Value, Standing), Error> {
    let answer = deployed.ask(&json!({ "status": job_id })).await?;
    let standing = Standing::deserialize(&answer).map_err(|error| {
        Error::caused(Code::Internal, format!("read the status of {job_id}: {answer}"), error)
    })?;
    Ok((answer, standing))
}

/// The same for the display of progress.
pub(crate) fn phase(standing: &Standing) -> Phase {
    // Bytes are not told of on the way.
    let extent = |chunks, partitions| Extent { chunks, partitions, bytes: 0 };
    Phase::Run {
        done: extent(standing.chunks.done, standing.partitions.done),
        total: extent(standing.chunks.total, standing.partitions.total),
    }
}

/// How it ended; none while it runs.
///
/// # Errors
/// `internal` when it has ended without a report.
pub(crate) fn ended(standing: &Standing) -> Result<Option<&Report>, Error> {
    match (standing.status, &standing.report) {
        (State::Running, _) => Ok(None),
        (_, Some(report)) => Ok(Some(report)),
        (_, None) => {
            let Standing { job_id, message, .. } = standing;
            let message = format!("tell how job {job_id} ended: its dispatcher gave no report: {message}");
            Err(Error::new(Code::Internal, message))
        }
    }
}
