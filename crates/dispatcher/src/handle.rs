//! What to do about an event.

use fanfold_flow::event::Event;
use fanfold_runtime::{Budget, Deps, Error};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::request::Request;
use crate::{Settings, cancel, fan_out, help, recover, redrive, runs, status, sweep, verify};

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
        Event::Help => Ok(help::help(settings)),
        Event::Submit(submit) => {
            let request = Request::of_submit(*submit, settings, request_id)?;
            runs::one(&request, deps, settings, budget).await.map(Answer::into_json)
        }
        Event::Run(run) => {
            let request = Request::of_run(&run, settings, request_id)?;
            runs::one(&request, deps, settings, budget).await.map(Answer::into_json)
        }
        Event::ObjectsCreated(objects) => runs::of_objects(&objects, deps, settings, budget).await,
        Event::NoticeTest(bucket) => Ok(
            json!({ "message": format!("the notifications of the bucket {bucket} arrive here; nothing was started") }),
        ),
        Event::FanOut(range) => fan_out::go_on(&range, deps).await.map(|()| json!({})),
        Event::WorkerFailed(failed) => recover::worker(*failed, deps).await.map(|()| json!({})),
        Event::ReducerFailed(failed) => recover::reducer(failed, deps, budget).await.map(|()| json!({})),
        Event::Sweep => sweep::sweep(deps, settings, budget).await,
        Event::Status(job_id) => status::status(&job_id, deps, settings).await,
        Event::Cancel(job_id) => cancel::cancel(&job_id, deps, settings, budget).await,
        Event::Redrive(job_id) => redrive::redrive(&job_id, deps, settings).await,
        Event::Verify(job_id) => verify::verify(&job_id, deps).await,
    }
}
