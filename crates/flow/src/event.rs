//! What starts the dispatcher.
//!
//! Any trigger's event is recognised by its shape, for nothing else marks it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::Job;
use crate::keys::JobId;
use crate::partition::Partition;
use crate::problem::{Problem, Problems, nearest};
use crate::version::Version;

/// What the dispatcher is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing yet: `{}`, as the console sends at first. The answer says what to send.
    Help,
    /// A job, and what came with it.
    Submit(Box<Submit>),
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
}

/// A job, and what came with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    /// The job.
    pub job: Job,
    /// The caller's own name for this run: the same token again is the same run.
    pub token: Option<String>,
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

/// The reducer's payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduce {
    /// The version of this payload.
    pub version: Version,
    /// The run.
    pub reduce: JobId,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// An invocation that ended without an outcome, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed<P> {
    /// What the function was given.
    pub payload: P,
    /// What Lambda says about it, such as `Sandbox.Timedout: … Task timed out after 900.00 seconds`.
    pub reason: String,
}

/// What a person may send, for answers to what is none of it.
const SHAPES: &str = "send a job: {\"version\": 1, \"name\": …, \"source\": …, \"task\": …, \"output\": …}";

/// The fields that every job has: an event with one of them is meant to be a job.
const JOB_FIELDS: [&str; 5] = ["source", "task", "output", "version", "name"];

impl Event {
    /// Recognises an event.
    ///
    /// # Errors
    /// What is wrong with it, all at once; for what looks like nothing we know, what to send.
    pub fn recognise(event: &Value) -> Result<Self, Problems> {
        let Some(fields) = event.as_object() else {
            return Err(refused("", format!("must be a JSON object; {SHAPES}")));
        };
        if fields.is_empty() {
            return Ok(Self::Help);
        }
        if fields.contains_key("fan_out") {
            return read(event, "").map(Self::FanOut);
        }
        if fields.contains_key("sweep") {
            return sweep(fields).map(|()| Self::Sweep);
        }
        if fields.contains_key("status") {
            return status(fields).map(Self::Status);
        }
        if fields.contains_key("requestContext") && fields.contains_key("requestPayload") {
            return on_failure(fields);
        }
        if JOB_FIELDS.iter().any(|name| fields.contains_key(*name)) && !fields.contains_key("detail-type") {
            return submit(fields).map(|submit| Self::Submit(Box::new(submit)));
        }
        Err(Problems(vec![unknown(fields)]))
    }
}

/// What to say to an event that looks like nothing known.
fn unknown(fields: &Map<String, Value>) -> Problem {
    if fields.contains_key("detail-type") {
        let message =
            "is an EventBridge event, which names no job; give the rule's target a job as its input";
        return Problem::new("", message);
    }
    let message = format!("has the fields {}, which is nothing known here; {SHAPES}", names(fields));
    let meant = fields.keys().find_map(|given| nearest(given, JOB_FIELDS));
    Problem::new("", message).meaning(meant)
}

fn names(fields: &Map<String, Value>) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn refused(path: &str, message: String) -> Problems {
    Problems(vec![Problem::new(path, message)])
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value, path: &str) -> Result<T, Problems> {
    T::deserialize(value).map_err(|error| refused(path, error.to_string()))
}

/// The fields beside `only`, each as a problem: what comes alone is not half understood.
fn alone(fields: &Map<String, Value>, only: &str) -> Vec<Problem> {
    let others = fields.keys().filter(|name| *name != only);
    others.map(|name| Problem::new(name, format!("is unknown; '{only}' stands alone"))).collect()
}

fn none_or(problems: Vec<Problem>) -> Result<(), Problems> {
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn sweep(fields: &Map<String, Value>) -> Result<(), Problems> {
    let mut problems = alone(fields, "sweep");
    if fields["sweep"].as_object().is_none_or(|nothing| !nothing.is_empty()) {
        problems.push(Problem::new("sweep", "must be an empty object: {\"sweep\": {}}"));
    }
    none_or(problems)
}

fn status(fields: &Map<String, Value>) -> Result<JobId, Problems> {
    let mut problems = alone(fields, "status");
    let job_id = match fields["status"].as_str() {
        Some(text) => text.parse::<JobId>().map_err(|error| error.to_string()),
        None => Err("must be a job id: {\"status\": \"<job id>\"}".to_owned()),
    };
    problems.extend(job_id.as_ref().err().map(|refusal| Problem::new("status", refusal)));
    none_or(problems)?;
    job_id.map_err(|refusal| refused("status", refusal))
}

fn submit(fields: &Map<String, Value>) -> Result<Submit, Problems> {
    let mut job = fields.clone();
    let (token, refusal) = match job.remove("token") {
        None | Some(Value::Null) => (None, None),
        Some(Value::String(token)) if !token.is_empty() => (Some(token), None),
        Some(_) => (None, Some(Problem::new("token", "must be a text of one character or more"))),
    };
    match (Job::from_json(&Value::Object(job)), refusal) {
        (Ok(job), None) => Ok(Submit { job, token }),
        (Ok(_), Some(refusal)) => Err(Problems(vec![refusal])),
        (Err(Problems(problems)), refusal) => Err(Problems(problems.into_iter().chain(refusal).collect())),
    }
}

fn on_failure(record: &Map<String, Value>) -> Result<Event, Problems> {
    let payload = &record["requestPayload"];
    let reason = reason(record);
    if payload.get("reduce").is_some() {
        return read(payload, "requestPayload")
            .map(|payload| Event::ReducerFailed(Failed { payload, reason }));
    }
    read(payload, "requestPayload").map(|payload| Event::WorkerFailed(Box::new(Failed { payload, reason })))
}

fn reason(record: &Map<String, Value>) -> String {
    let text = |value: Option<&Value>, name: &str| {
        value.and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let response = record.get("responsePayload");
    let words = [text(response, "errorType"), text(response, "errorMessage")];
    let said: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if said.is_empty() { text(record.get("requestContext"), "condition") } else { said.join(": ") }
}
