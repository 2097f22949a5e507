//! What an event asks for, run and answered.

use fanfold_flow::code::Code;
use fanfold_flow::event::ObjectCreated;
use fanfold_flow::job::Job;
use fanfold_flow::keys::job_of_marker;
use fanfold_flow::plan::Plan;
use fanfold_flow::price::{self, Workers};
use fanfold_runtime::{Budget, Deps, Error};
use serde_json::{Value, json};

use crate::answer::{About, Answer, Standing};
use crate::request::Request;
use crate::submit::{Start, Submitted, submit};
use crate::{Settings, wait};

/// Sets a run under way, waits for its end where the caller does, and answers.
pub(crate) async fn one(
    request: &Request,
    deps: &Deps,
    settings: &Settings,
    budget: Budget,
) -> Result<Answer, Error> {
    let Submitted { job, plan, start } = submit(request, deps, settings).await?;
    let standing = match (request.wait, start) {
        (None, Start::UnderWay) => Standing::UnderWay,
        (None, Start::IsToStop) => Standing::IsToStop,
        (None, Start::HadEnded(_)) => Standing::HadEnded,
        (Some(wait), _) => {
            let report = wait::for_report(deps, &deps.keys(&request.job_id), wait, budget).await?;
            report.map_or(Standing::NotInTime, |report| Standing::Ended(Box::new(report)))
        }
    };
    Ok(answer(&plan, &job, standing, deps, settings))
}

/// What is told of a planned run that stands so.
pub(crate) fn answer(plan: &Plan, job: &Job, standing: Standing, deps: &Deps, settings: &Settings) -> Answer {
    let workers = Workers {
        memory_mb: settings.worker_memory_mb,
        architecture: std::env::consts::ARCH,
        processes: job.processes.on(settings.worker_cores),
    };
    let about = About {
        result: deps.keys(&plan.job_id).result(),
        cost: price::expected(plan, workers),
        links: settings.links.of(&plan.job_id),
    };
    Answer::of(plan, job, standing, about)
}

/// Sets under way what the creation of these objects starts. Each run stands for itself: what is wrong with one keeps none
/// of the others back, and is told when all have been looked at. Then the event may come again, which changes nothing for
/// those that are under way.
pub(crate) async fn of_objects(
    objects: &[ObjectCreated],
    deps: &Deps,
    settings: &Settings,
    budget: Budget,
) -> Result<Value, Error> {
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for created in objects {
        if let Some(job_id) = job_of_marker(&created.object, &deps.work) {
            answers.push(json!({ "message": format!("{} says that {job_id} runs, and starts no job", created.object) }));
            continue;
        }
        let jobs = settings.deployed.started_by(&created.object);
        let not_started = settings.deployed.not_started_by(&created.object);
        if jobs.is_empty() && not_started.is_empty() {
            match unmatched(created, settings) {
                Ok(answer) => answers.push(answer),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(not_started);
        for deployed in jobs {
            match one(&Request::of_object(deployed, created), deps, settings, budget).await {
                Ok(answer) => answers.push(answer.into_json()),
                Err(error) => errors.push(Error {
                    message: format!("run {} for {}: {}", deployed.job.name, created.object, error.message),
                    ..error
                }),
            }
        }
    }
    all_or_errors(answers, errors)
}

/// An object that starts no job: an error, for else nobody would hear of it. The empty objects named like folders, which
/// the console makes, are not meant to start any.
fn unmatched(created: &ObjectCreated, settings: &Settings) -> Result<Value, Error> {
    let object = &created.object;
    if object.key.ends_with('/') {
        return Ok(json!({ "message": format!("{object} is a folder of the console, and starts no job") }));
    }
    let message =
        format!("start a job for {object}: none is meant for it ({})", settings.deployed.listed_by_object());
    Err(Error::new(Code::InvalidJob, message))
}

/// One answer by itself, several as a list; or all errors in one.
fn all_or_errors(mut answers: Vec<Value>, mut errors: Vec<Error>) -> Result<Value, Error> {
    match errors.len() {
        0 if answers.len() == 1 => Ok(answers.remove(0)),
        0 => Ok(Value::Array(answers)),
        1 => Err(errors.remove(0)),
        _ => {
            let told: Vec<String> = errors.iter().map(Error::chain).collect();
            Err(Error::new(errors[0].code, told.join("\n")))
        }
    }
}

#[cfg(test)]
mod tests;
