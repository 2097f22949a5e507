//! What a run on this machine needs beside its job to bring its output home, and to tell of it in the user's words.
//!
//! It is kept beside the copies of the run's files, so that a redrive finds it. They go when nothing of the run is left to do;
//! it stays, like the report, so that it can be told at any later time where the output is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fanfold_flow::crc::RunningCrc;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Output, Report};
use fanfold_flow::template::{self, Values};
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use fanfold_store::{ErrorKind, PutOptions, Store, StoreError, StoreExt};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::copy_out::copy_out;
use crate::find::Names;
use crate::machine::Machine;
use crate::progress::{Phase, Progress};
use crate::target::Target;

/// Bytes that are read of a file at a time.
const READ_BYTES: usize = 1 << 20;

/// What a run on this machine needs beside its job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Home {
    /// The local output as it was written, placeholders and all; none where it is at an s3:// address.
    pub(crate) output: Option<String>,
    /// The folder that paths are relative to.
    pub(crate) directory: PathBuf,
    /// What the files are called.
    pub(crate) names: Names,
    /// The commands that the job may name, by name.
    pub(crate) tasks: BTreeMap<String, Vec<String>>,
    /// Where its programs run.
    pub(crate) task_directory: PathBuf,
}

/// Below here stands what is copied in and out of a run, the first of those that redrive one another.
pub(crate) fn local(work: &ObjectUri, first: &JobId) -> ObjectUri {
    ObjectUri::new(&work.bucket, format!("{}local/{first}/", work.key))
}

/// The first of the runs that redrive one another up to this one.
pub(crate) fn first(plan: &Plan) -> &JobId {
    plan.earlier().first().unwrap_or(&plan.job_id)
}

/// Where it is kept of a run, the first of those that redrive one another.
pub(crate) fn kept_at(work: &ObjectUri, first: &JobId) -> ObjectUri {
    ObjectUri::new(&work.bucket, format!("{}local/{first}.json", work.key))
}

impl Home {
    /// Keeps it for redrives of this run.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn keep(
        &self,
        store: &Arc<dyn Store>,
        work: &ObjectUri,
        run: &JobId,
    ) -> Result<(), Error> {
        store.put_json(&kept_at(work, run), self, PutOptions::default()).await?;
        Ok(())
    }

    /// That of the run with this plan. One that was not started by this program's `run` or `map` has no local files.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn of(store: &Arc<dyn Store>, work: &ObjectUri, plan: &Plan) -> Result<Self, Error> {
        match store.get_json(&kept_at(work, first(plan))).await {
            Ok(home) => Ok(home),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let directory = crate::machine::current_directory()?;
                Ok(Self { task_directory: directory.clone(), directory, ..Self::default() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the local output is called, whichever of the runs that redrive one another has this plan: as the first of them
    /// would have filled it. None where it is at an s3:// address.
    pub(crate) fn address(&self, plan: &Plan, job: &Job) -> Option<String> {
        let values = Values { job_id: first(plan), name: &job.name, occasion: &plan.occasion };
        self.output.as_ref().map(|address| template::fill_address(address, &values))
    }

    /// Where the output goes on this machine, or why it cannot; none where it is at an s3:// address. The plan is that of any
    /// of the runs that redrive one another, `before` are those that may have put their output there.
    ///
    /// # Errors
    /// As for [`Target::at`]. That the last of those runs put what is there is no reason.
    pub(crate) async fn target(
        &self,
        plan: &Plan,
        before: &[JobId],
        job: &Job,
        machine: &Machine,
    ) -> Result<Option<(Target, String)>, Error> {
        let Some(address) = self.address(plan, job) else { return Ok(None) };
        let is_ours = match last_output(before, machine).await? {
            Some(output) if !job.output.overwrite => is_output(&self.directory.join(&address), &output).await,
            _ => false,
        };
        let target = Target::at("output.uri", &address, &self.directory, job.output.overwrite || is_ours)?;
        Ok(Some((target, address)))
    }

    /// Copies the output of a run out, where it is local, and says where it is. Of one for standard output, so much is
    /// `written` there already.
    ///
    /// # Errors
    /// As for [`Home::target`] and [`copy_out`].
    ///
    /// # Cancellation
    /// As for [`copy_out`].
    pub(crate) async fn bring(
        &self,
        output: &Output,
        written: RunningCrc,
        plan: &Plan,
        job: &Job,
        machine: &Machine,
        progress: &Progress,
    ) -> Result<String, Error> {
        let Some((target, address)) = self.target(plan, plan.earlier(), job, machine).await? else {
            return Ok(output.uri.to_string());
        };
        progress.begin(Phase::Copy {
            verb: "copying out",
            done: 0,
            total: output.bytes - written.bytes().min(output.bytes),
        });
        copy_out(output, written, &target, &machine.store, machine.embedded_s3(), progress).await?;
        Ok(address)
    }
}

/// The output that the last of these runs put, of those that did.
async fn last_output(runs: &[JobId], machine: &Machine) -> Result<Option<Output>, StoreError> {
    for run in runs.iter().rev() {
        let report: Report = machine.store.get_json(&JobKeys::new(&machine.work, run).result()).await?;
        if report.output.is_some() {
            return Ok(report.output);
        }
    }
    Ok(None)
}

/// Whether a file is this output, byte for byte; one that cannot be read is not.
async fn is_output(path: &Path, output: &Output) -> bool {
    let Ok(mut file) = tokio::fs::File::open(path).await else { return false };
    let (mut crc, mut buffer) = (RunningCrc::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer).await {
            Ok(0) => return crc.bytes() == output.bytes && crc.crc() == output.crc64nvme,
            Ok(bytes) => crc.update(&buffer[..bytes]),
            Err(_) => return false,
        }
    }
}
