//! What to do about an event.

use fanfold_flow::event::Event;
use fanfold_runtime::{Budget, Deps, Error};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::{Settings, fan_out, recover, status, submit, sweep};

/// Handles any event that a trigger may send. `request_id` names the run where the event itself does not.
///
/// # Errors
/// `invalid_job` for what is wrong with the event, all at once; `input_missing` and the like for what is wrong with the
/// source; `store` and `invoke` when those fail. In every case the same event may be sent again.
pub async fn handle(
    event: Value,
    deps: &Deps,
    settings: &Settings,
    budget: Budget,
    request_id: &str,
) -> Result<Value, Error> {
    match Event::recognise(&event)? {
        Event::Help => Ok(answer::help()),
        Event::Submit(submit) => {
            submit::submit(*submit, deps, settings, request_id).await.map(Answer::into_json)
        }
        Event::FanOut(range) => fan_out::go_on(&range, deps).await.map(|()| json!({})),
        Event::WorkerFailed(failed) => recover::worker(*failed, deps).await.map(|()| json!({})),
        Event::ReducerFailed(failed) => recover::reducer(failed, deps, budget).await.map(|()| json!({})),
        Event::Sweep => sweep::sweep(deps, budget).await,
        Event::Status(job_id) => status::status(&job_id, deps, settings).await,
    }
}
