//! Lambda's on-failure records.

use serde_json::{Map, Value};

use super::{Event, read};
use crate::problem::Problems;

/// An invocation that ended without an outcome, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed<P> {
    /// What the function was given.
    pub payload: P,
    /// What Lambda says about it, such as `Sandbox.Timedout: … Task timed out after 900.00 seconds`.
    pub reason: String,
    /// The id of that invocation, where it is told.
    pub request_id: String,
    /// Whether it was run at all. Lambda drops an event that has waited for too long, and then it was not.
    pub was_run: bool,
}

/// The condition of a record about an event that was dropped from the queue (Lambda developer guide, "Capturing records of
/// Lambda asynchronous invocations").
const NEVER_RUN: &str = "EventAgeExceeded";

pub(super) fn recognise(record: &Map<String, Value>) -> Result<Event, Problems> {
    let payload = &record["requestPayload"];
    let reason = reason(record);
    let request_id = text(record.get("requestContext"), "requestId");
    let was_run = text(record.get("requestContext"), "condition") != NEVER_RUN;
    if payload.get("reduce").is_some() {
        return read(payload, "requestPayload")
            .map(|payload| Event::ReducerFailed(Failed { payload, reason, request_id, was_run }));
    }
    read(payload, "requestPayload")
        .map(|payload| Event::WorkerFailed(Box::new(Failed { payload, reason, request_id, was_run })))
}

fn text(value: Option<&Value>, name: &str) -> String {
    value.and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn reason(record: &Map<String, Value>) -> String {
    let response = record.get("responsePayload");
    let words = [text(response, "errorType"), text(response, "errorMessage")];
    let said: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if said.is_empty() { text(record.get("requestContext"), "condition") } else { said.join(": ") }
}
