//! What a synchronous caller is told.

use std::collections::BTreeMap;

use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::plan::Plan;
use fanfold_flow::price::Expected;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to a job: what will happen, and where; or what has happened, where the caller waited for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The same as all other fields, for a person.
    pub message: String,
    /// The run.
    pub job_id: JobId,
    /// The job's name.
    pub name: String,
    /// The run that this one redrives, if it does: only what failed or was cancelled there is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrives: Option<JobId>,
    /// How many worker invocations it takes at least.
    pub partitions: u64,
    /// How many processes it takes at least.
    pub chunks: u64,
    /// How many bytes of objects are read.
    pub input_bytes: u64,
    /// Where the output will be.
    pub output: ObjectUri,
    /// Where the report will be.
    pub result: ObjectUri,
    /// What it is expected to cost.
    pub cost: Expected,
    /// Where a person finds out more, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// How it ended, where the caller waited and it ended in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// How a run stands when it is answered for.
pub(crate) enum Standing {
    /// It is under way.
    UnderWay,
    /// It is to stop, as somebody asked for.
    IsToStop,
    /// An earlier delivery of the same trigger was answered for, and the run has ended since.
    HadEnded,
    /// It is under way, though the caller waited.
    NotInTime,
    /// It ended while the caller waited, or before.
    Ended(Box<Report>),
    /// It ended before, and there is nothing to redrive.
    NothingLeft(Box<Report>),
}

impl Answer {
    /// The answer for a planned job.
    pub(crate) fn of(plan: &Plan, job: &Job, standing: Standing, about: About) -> Self {
        let About { result, cost, links } = about;
        let message = message(plan, &standing, &result);
        Self {
            message,
            job_id: plan.job_id.clone(),
            name: job.name.clone(),
            redrives: plan.earlier().last().cloned(),
            partitions: plan.partitions.len() as u64,
            chunks: plan.chunks_to_do(),
            input_bytes: plan.input_bytes(),
            output: plan.output.clone(),
            result,
            cost,
            links,
            report: match standing {
                Standing::Ended(report) | Standing::NothingLeft(report) => Some(*report),
                Standing::UnderWay | Standing::IsToStop | Standing::HadEnded | Standing::NotInTime => None,
            },
        }
    }

    pub(crate) fn into_json(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// What is known of a run beside its plan.
pub(crate) struct About {
    pub(crate) result: ObjectUri,
    pub(crate) cost: Expected,
    pub(crate) links: BTreeMap<String, String>,
}

fn message(plan: &Plan, standing: &Standing, result: &ObjectUri) -> String {
    let Plan { job_id, output, chunks, .. } = plan;
    let partitions = counted(plan.partitions.len() as u64, "partition", "partitions");
    let all = counted(*chunks, "chunk", "chunks");
    let extent = match plan.earlier().last() {
        None => format!("{all} in {partitions}"),
        Some(of) => format!("{} of {all}, what is left of {of}, in {partitions}", plan.chunks_to_do()),
    };
    let later = format!("{extent}; the output will be at {output}, the report at {result}");
    match standing {
        Standing::UnderWay => format!("job {job_id} is under way: {later}"),
        Standing::IsToStop => format!("job {job_id} was cancelled, and is stopping; nothing was started"),
        Standing::NotInTime => format!("job {job_id} is under way, and takes longer than the wait: {later}"),
        Standing::HadEnded => {
            format!(
                "job {job_id} was run before and has ended: how, and where its output is, says its report at {result}"
            )
        }
        Standing::NothingLeft(_) => {
            format!(
                "there is nothing to redrive: job {job_id} succeeded, {extent}; the output is at {output}"
            )
        }
        Standing::Ended(report) => match report.status {
            Status::Succeeded => format!("job {job_id} succeeded: {extent}; the output is at {output}"),
            Status::Failed => format!("job {job_id} failed: {}", report.message),
            Status::Cancelled => format!("job {job_id} was cancelled: {}", report.message),
        },
    }
}

/// `1 chunk`, `2 chunks`.
pub(crate) fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}
