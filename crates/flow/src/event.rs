//! What starts the dispatcher.
//!
//! Any trigger's event is recognised by its shape, for nothing else marks it. What this module owes the dispatcher: an
//! event that is recognised is right, and one that is not is told everything that is wrong with it at once.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::keys::JobId;
use crate::partition::Partition;
use crate::problem::{Problem, Problems, nearest};
use crate::version::Version;

mod asked;
mod failed;
mod objects;
mod plain;
mod reduce;

pub use asked::{Asked, Run, Submit, Trigger};
pub use failed::Failed;
pub use objects::ObjectCreated;
pub use reduce::Reduce;

/// What the dispatcher is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing yet: `{}`, as the console sends at first. The answer says what to send.
    Help,
    /// A job, and what came with it.
    Submit(Box<Submit>),
    /// A deployed job, and what came with it.
    Run(Box<Run>),
    /// S3 says that these objects were created, by EventBridge or by a notification of its own.
    ObjectsCreated(Vec<ObjectCreated>),
    /// S3 tries whether its notifications of this bucket arrive.
    NoticeTest(String),
    /// The dispatcher's own: dispatch these partitions of a planned job.
    FanOut(FanOut),
    /// An on-failure record: this worker's attempt ended without an outcome.
    WorkerFailed(Box<Failed<Partition>>),
    /// An on-failure record: the reducer ended without an outcome.
    ReducerFailed(Failed<Reduce>),
    /// `{"sweep": {}}`, every minute: look for what died between two steps.
    Sweep,
    /// `{"status": "<job id>"}`: how far is this run?
    Status(JobId),
    /// Stop this run: what has no outcome yet is cancelled.
    Cancel(JobId),
    /// Do what failed in this run, or was cancelled, and only that.
    Redrive(JobId),
    /// Is the output of this run what its workers wrote?
    Verify(JobId),
}

/// The dispatcher's message to itself: dispatch the partitions `from..to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanOut {
    /// The version of this payload.
    pub version: Version,
    /// The run.
    pub fan_out: JobId,
    /// The first partition.
    pub from: u64,
    /// The partition after the last one.
    pub to: u64,
}

/// What a person may send, for answers to what is none of it.
const SHAPES: &str = "send a deployed job's name: {\"run\": \"<name>\"}; a job: {\"version\": 1, \"name\": …, \"source\": …, \
                      \"task\": …, \"output\": …}; or {} for help";

/// The fields that every job has: an event with one of them is meant to be a job.
const JOB_FIELDS: [&str; 5] = ["source", "task", "output", "version", "name"];

/// The fields that tell the other events that people and schedules send.
const OTHER_FIELDS: [&str; 6] = ["run", "status", "cancel", "redrive", "verify", "sweep"];

impl Event {
    /// Recognises an event.
    ///
    /// # Errors
    /// What is wrong with it, all at once; for what looks like nothing we know, what to send.
    pub fn recognise(event: &Value) -> Result<Self, Problems> {
        let Some(fields) = event.as_object() else {
            return Err(refused("", format!("must be a JSON object; {SHAPES}")));
        };
        let has = |name: &str| fields.contains_key(name);
        if fields.is_empty() {
            return Ok(Self::Help);
        }
        if has("fan_out") {
            return read(event, "").map(Self::FanOut);
        }
        if has("sweep") {
            return plain::sweep(fields).map(|()| Self::Sweep);
        }
        if has("status") {
            return plain::of_run(fields, "status").map(Self::Status);
        }
        if has("cancel") {
            return plain::of_run(fields, "cancel").map(Self::Cancel);
        }
        if has("redrive") {
            return plain::of_run(fields, "redrive").map(Self::Redrive);
        }
        if has("verify") {
            return plain::of_run(fields, "verify").map(Self::Verify);
        }
        if has("requestContext") && has("requestPayload") {
            return failed::recognise(fields);
        }
        if has("detail-type") {
            return objects::of_rule(event).map(|created| Self::ObjectsCreated(vec![created]));
        }
        if has("Records") {
            return objects::of_notification(event).map(Self::ObjectsCreated);
        }
        if fields.get("Event").is_some_and(|name| name == "s3:TestEvent") {
            let bucket = fields.get("Bucket").and_then(Value::as_str).unwrap_or_default();
            return Ok(Self::NoticeTest(bucket.to_owned()));
        }
        if has("run") {
            return asked::run(event).map(|run| Self::Run(Box::new(run)));
        }
        if JOB_FIELDS.iter().any(|name| has(name)) {
            return asked::submit(fields).map(|submit| Self::Submit(Box::new(submit)));
        }
        Err(Problems(vec![unknown(fields)]))
    }
}

/// What to say to an event that looks like nothing known.
fn unknown(fields: &Map<String, Value>) -> Problem {
    let names = fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let message = format!("has the fields {names}, which is nothing known here; {SHAPES}");
    let known = || JOB_FIELDS.into_iter().chain(OTHER_FIELDS);
    let meant = fields.keys().find_map(|given| nearest(given, known()));
    Problem::new("", message).meaning(meant)
}

fn refused(path: &str, message: String) -> Problems {
    Problems(vec![Problem::new(path, message)])
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value, path: &str) -> Result<T, Problems> {
    T::deserialize(value).map_err(|error| refused(path, error.to_string()))
}

fn none_or(problems: Vec<Problem>) -> Result<(), Problems> {
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}
