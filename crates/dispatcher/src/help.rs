//! The answer to `{}`, which the console sends at first.

use fanfold_flow::job::{Job, Schedule};
use fanfold_flow::problem::Problems;
use serde_json::{Value, json};

use crate::Settings;
use crate::answer::counted;

/// What there is to run, what cannot run and why, and how to ask for it.
pub(crate) fn help(settings: &Settings) -> Value {
    let deployed = &settings.deployed;
    let jobs: Vec<Value> = deployed.jobs().map(listed).collect();
    let refused: Vec<Value> = deployed
        .refused()
        .map(|(name, refused)| json!({ "name": name, "problems": told(&refused.problems) }))
        .collect();
    let mut message = match (jobs.len() as u64, refused.is_empty()) {
        (0, true) => "this is Fanfold's dispatcher, and no job is deployed with it; send it a job, such as the one under 'example'".to_owned(),
        (0, false) => "this is Fanfold's dispatcher, with no deployed job that can run; send it a job, such as the one under 'example'".to_owned(),
        (number, _) => format!(
            "this is Fanfold's dispatcher, with {}; run one by its name, as under 'example', or send a whole job",
            counted(number, "deployed job", "deployed jobs")
        ),
    };
    let example = deployed.jobs().next().map_or_else(whole_job, run_of);
    let runs = "of a run, by the job_id in its answer: {\"status\": \"<job id>\"} says how far it is, {\"cancel\": \"<job id>\"} stops \
                it, {\"redrive\": \"<job id>\"} does what failed in it, or was cancelled, and only that, and {\"verify\": \"<job id>\"} \
                holds its output against what its workers wrote";
    if refused.is_empty() {
        return json!({ "message": message, "jobs": jobs, "example": example, "runs": runs });
    }
    let number = counted(refused.len() as u64, "deployed job is", "deployed jobs are");
    message += &format!("; {number} not right and cannot run, see 'cannot_run'");
    json!({ "message": message, "jobs": jobs, "cannot_run": refused, "example": example, "runs": runs })
}

fn told(Problems(problems): &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// A deployed job in a few words.
fn listed(job: &Job) -> Value {
    let mut listed = json!({ "name": job.name, "output": job.output.uri });
    if let Some(schedule) = &job.schedule {
        listed["schedule"] = json!(in_words(schedule));
    }
    if let Some(trigger) = &job.on_object_created {
        listed["on_object_created"] =
            json!(format!("s3://{}/{}*{}", trigger.bucket, trigger.prefix, trigger.suffix));
    }
    listed
}

fn in_words(schedule: &Schedule) -> String {
    let times = match (&schedule.cron, &schedule.rate) {
        (Some(cron), _) => format!("cron {cron} ({})", schedule.time_zone),
        (None, Some(rate)) => format!("every {rate}"),
        (None, None) => String::new(),
    };
    let window =
        schedule.flexible_window.as_ref().map_or_else(String::new, |window| format!(", within {window}"));
    let off = if schedule.enabled { "" } else { ", switched off" };
    format!("{times}{window}{off}")
}

/// The event that runs a deployed job, and waits a while for its end.
fn run_of(job: &Job) -> Value {
    let mut event = json!({ "run": job.name, "wait": "60s" });
    if let Some(trigger) = job.on_object_created.as_ref().filter(|_| job.needs_object()) {
        let object = format!("s3://{}/{}name{}", trigger.bucket, trigger.prefix, trigger.suffix);
        event["trigger"] = json!({ "object": object });
    }
    event
}

fn whole_job() -> Value {
    json!({
        "version": 1,
        "name": "copy",
        "source": { "objects": { "uri": "s3://your-bucket/input/", "split": "lines" } },
        "task": { "command": ["cat"] },
        "output": { "uri": "s3://your-bucket/output/{start_date}.txt", "overwrite": true }
    })
}

#[cfg(test)]
mod tests {
    use fanfold_flow::event::Event;
    use fanfold_flow::template::Deployment;

    use super::*;
    use crate::Deployed;

    #[test]
    fn the_examples_in_the_help_are_events() {
        let mut settings = Settings::new(1);
        assert!(matches!(Event::recognise(&help(&settings)["example"]), Ok(Event::Submit(_))));
        let job = json!({
            "version": 1, "name": "arrivals", "source": { "objects": { "uri": "{object_uri}" } }, "task": { "name": "t" },
            "output": { "uri": "s3://out/{object_name}" },
            "on_object_created": { "bucket": "in", "prefix": "a/", "suffix": ".csv" }
        });
        let daily = json!({
            "version": 1, "name": "daily", "source": { "range": { "end": 1, "chunk": 1 } }, "task": { "name": "t" },
            "output": { "uri": "s3://out/daily" }, "schedule": { "rate": "1 day", "flexible_window": "15m", "enabled": false }
        });
        let bad = json!({ "version": 1, "name": "bad", "source": { "range": { "end": 1, "chunk": 1 } } });
        let files = [("arrivals.json", job), ("daily.json", daily), ("bad.json", bad)];
        let files = files.map(|(name, document)| (name.to_owned(), document));
        settings.deployed = Deployed::of_files(files, &Deployment::default(), None);
        let help = help(&settings);
        let Ok(Event::Run(run)) = Event::recognise(&help["example"]) else { panic!("{help}") };
        assert_eq!(
            (&*run.name, run.asked.object().unwrap().to_string()),
            ("arrivals", "s3://in/a/name.csv".to_owned())
        );
        let expected = json!([
            { "name": "arrivals", "output": "s3://out/{object_name}", "on_object_created": "s3://in/a/*.csv" },
            { "name": "daily", "output": "s3://out/daily", "schedule": "every 1 day, within 15m, switched off" }
        ]);
        assert_eq!(help["jobs"], expected);
        let expected = json!([{ "name": "bad", "problems": ["output: is missing", "task: is missing"] }]);
        assert_eq!(help["cannot_run"], expected);
        let message = help["message"].as_str().unwrap();
        assert!(
            message.ends_with("; 1 deployed job is not right and cannot run, see 'cannot_run'"),
            "{message}"
        );
    }
}
