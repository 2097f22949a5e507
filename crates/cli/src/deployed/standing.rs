//! How a job stands, as a dispatcher tells.

use std::collections::BTreeMap;

use fanfold_flow::code::Code;
use fanfold_flow::keys::JobId;
use fanfold_flow::report::Report;
use fanfold_runtime::Error;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Deployed;
use crate::progress::{Extent, Phase};

/// How a job stands. What a newer dispatcher says besides is left aside.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Standing {
    /// The run.
    pub(crate) job_id: JobId,
    /// Whether it has ended, and how.
    pub(crate) status: State,
    /// How far its chunks are.
    #[serde(default)]
    pub(crate) chunks: Share,
    /// How far its partitions are.
    #[serde(default)]
    pub(crate) partitions: Share,
    /// When it was accepted, in milliseconds since 1970 (UTC).
    pub(crate) started_ms: i64,
    /// Where the output is, or will be.
    #[serde(default)]
    pub(crate) output: Option<String>,
    /// Where a person finds out more, by name.
    #[serde(default)]
    pub(crate) links: BTreeMap<String, String>,
    /// How it ended, once it has.
    #[serde(default)]
    pub(crate) report: Option<Report>,
    /// The same for a person.
    #[serde(default)]
    pub(crate) message: String,
}

/// Whether a job has ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Share {
    pub(crate) total: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

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

impl Standing {
    /// The same for the display of progress.
    pub(crate) fn phase(&self) -> Phase {
        // Bytes are not told of on the way.
        let extent = |chunks, partitions| Extent { chunks, partitions, bytes: 0 };
        Phase::Run {
            done: extent(self.chunks.done, self.partitions.done),
            total: extent(self.chunks.total, self.partitions.total),
        }
    }

    /// How it ended; none while it runs.
    ///
    /// # Errors
    /// `internal` when it has ended without a report.
    pub(crate) fn ended(self) -> Result<Option<Report>, Error> {
        match (self.status, self.report) {
            (State::Running, _) => Ok(None),
            (_, Some(report)) => Ok(Some(report)),
            (_, None) => Err(Error::new(
                Code::Internal,
                format!(
                    "tell how job {} ended: the dispatcher gave no report: {}",
                    self.job_id, self.message
                ),
            )),
        }
    }
}
