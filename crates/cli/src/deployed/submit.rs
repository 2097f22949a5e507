//! `fanfold submit`: a job to a deployed stack.

use anstyle::Style;
use fanfold_dispatcher::Answer;
use fanfold_flow::code::Code;
use fanfold_flow::report::Status;
use fanfold_runtime::Error;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Deployed, rows, watch};
use crate::args::stack::SubmitArgs;
use crate::document;
use crate::exit::Stop;
use crate::run::new_job_id;
use crate::{stderr, stdout, summary};

/// What is said first, and stands out.
const HEADLINE: Style = Style::new().bold();

/// Hands a job to the dispatcher, and tells what it answers.
///
/// # Errors
/// What is wrong with the job, or with the way to the dispatcher; with `--wait`, that the job failed.
pub(crate) async fn submit(args: &SubmitArgs) -> Result<(), Stop> {
    let event = event(args)?;
    let deployed = Deployed::find(&args.stack).await?;
    answered(deployed.ask(&event).await?, &deployed, args.wait, args.json).await
}

/// Tells what a dispatcher answered to who asked for a run; with `wait`, follows it.
///
/// # Errors
/// That the job failed, where it is followed, or has ended before.
pub(super) async fn answered(
    as_it_came: Value,
    deployed: &Deployed,
    wait: bool,
    json: bool,
) -> Result<(), Stop> {
    let answer = Answer::deserialize(&as_it_came).map_err(|error| {
        Error::caused(Code::Internal, format!("read the dispatcher's answer: {as_it_came}"), error)
    })?;
    if wait {
        stderr::text(&told(&answer, deployed));
        return watch::watch(deployed, &answer.job_id, json).await;
    }
    if json {
        stdout::print_json(&as_it_came)?;
    } else {
        let mut text = told(&answer, deployed);
        if answer.report.is_none() {
            text += &format!("Follow it:\n  {}\n", deployed.command("watch", answer.job_id.as_str()));
        }
        stdout::print_styled(&text)?;
    }
    had_failed(&answer)
}

/// How a run that has ended already has failed, if it has: for it, nothing was started.
fn had_failed(answer: &Answer) -> Result<(), Stop> {
    match &answer.report {
        Some(report) if report.status != Status::Succeeded => Err(Stop::Reported(summary::code(report))),
        Some(_) | None => Ok(()),
    }
}

/// The event that asks for the job.
fn event(args: &SubmitArgs) -> Result<Value, Error> {
    let (mut event, name) = match args.file() {
        Some(file) => {
            let mut document = document::of_file(&file)?;
            document::change(&mut document, "--with", &args.with)?;
            let name = document.get("name").and_then(Value::as_str).unwrap_or("job").to_owned();
            (document, name)
        }
        None => {
            let mut event = json!({ "run": args.job });
            let mut with = Value::Null;
            document::change(&mut with, "--with", &args.with)?;
            if !with.is_null() {
                event["with"] = with;
            }
            (event, args.job.clone())
        }
    };
    let Some(fields) = event.as_object_mut() else {
        return Err(Error::new(Code::InvalidJob, format!("submit {}: a job is a JSON object", args.job)));
    };
    // A token even where none is given: then a request that has to be repeated is still one job.
    let token = args.token.clone().unwrap_or_else(|| new_job_id(&name).to_string());
    fields.insert("token".into(), json!(token));
    if let Some(time) = args.scheduled_time {
        fields.insert("scheduled_time".into(), json!(time.to_string()));
    }
    if let Some(object) = &args.object {
        fields.insert("trigger".into(), json!({ "object": object }));
    }
    Ok(event)
}

/// The dispatcher's own words, what it costs, and where to find out more.
fn told(answer: &Answer, deployed: &Deployed) -> String {
    let message = deployed.in_the_users_words(&answer.message, &answer.job_id);
    let mut text = format!("{HEADLINE}{message}{HEADLINE:#}\n");
    if answer.report.is_none() {
        rows::row(&mut text, "cost", &answer.cost.message);
    }
    rows::links(&mut text, &answer.links);
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use fanfold_flow::event::Event;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        submit: SubmitArgs,
    }

    fn event_of(args: &[&str]) -> Value {
        let Line { submit } = Line::try_parse_from([&["x"], args].concat()).unwrap();
        event(&submit).unwrap()
    }

    #[test]
    fn a_deployed_job_is_asked_for_by_name_with_the_changes_as_a_merge_patch() {
        let event = event_of(&[
            "orders",
            "--with",
            "source.objects.uri=s3://in/x",
            "--with",
            "retries=3",
            "--token",
            "t",
            "--scheduled-time",
            "2026-11-22T03:00:00Z",
            "--object",
            "s3://in/x/1.csv",
        ]);
        let expected = json!({
            "run": "orders", "token": "t", "scheduled_time": "2026-11-22T03:00:00Z",
            "trigger": { "object": "s3://in/x/1.csv" },
            "with": { "source": { "objects": { "uri": "s3://in/x" } }, "retries": 3 }
        });
        assert_eq!(event, expected);
        assert!(matches!(Event::recognise(&event), Ok(Event::Run(_))), "the dispatcher takes it");
    }

    #[test]
    fn without_a_token_each_submission_is_a_run_of_its_own_that_is_named_after_the_job() {
        let [one, other] = [event_of(&["orders"]), event_of(&["orders"])];
        assert!(one["token"].as_str().unwrap().starts_with("orders-"), "{one}");
        assert_ne!(one["token"], other["token"]);
    }

    #[test]
    fn a_job_file_is_sent_as_it_is_with_its_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job");
        std::fs::write(&file, r#"{ "version": 1, "name": "n" }"#).unwrap();
        let event = event_of(&[file.to_str().unwrap(), "--with", "name=m", "--token", "t"]);
        assert_eq!(event, json!({ "version": 1, "name": "m", "token": "t" }));
    }

    #[test]
    fn a_run_that_has_ended_before_ends_the_command_as_it_ended() {
        let answer = |status: &str| -> Answer {
            let report = json!({
                "version": 1, "job_id": "run-1", "name": "n", "status": status, "partitions": 1, "attempts": 1,
                "chunks": { "total": 1, "done": 0, "failed": 1, "cancelled": 0 }, "records": 0, "bytes_in": 0,
                "failures": [], "code": "program_killed", "message": "m", "started_ms": 0, "ended_ms": 1
            });
            serde_json::from_value(json!({
                "message": "m", "job_id": "run-1", "name": "n", "partitions": 1, "chunks": 1, "input_bytes": 0,
                "output": "s3://b/out", "result": "s3://b/result", "report": report,
                "cost": { "requests_usd": 0.0, "worker_second_usd": 0.0, "at_one_minute_a_chunk_usd": 0.0, "message": "m" }
            }))
            .unwrap()
        };
        assert!(matches!(had_failed(&answer("failed")), Err(Stop::Reported(Code::ProgramKilled))));
        assert!(had_failed(&answer("succeeded")).is_ok());
        assert!(had_failed(&Answer { report: None, ..answer("failed") }).is_ok(), "it runs");
    }
}
