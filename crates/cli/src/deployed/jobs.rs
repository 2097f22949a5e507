//! `fanfold jobs`: what is deployed.

use anstyle::Style;
use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use serde::Deserialize;
use serde_json::json;

use super::{Deployed, rows};
use crate::args::stack::JobsArgs;
use crate::exit::Stop;
use crate::stdout;

/// A job's name.
const NAME: Style = Style::new().bold();

/// The dispatcher's answer to `{}`, as far as it is shown.
#[derive(Deserialize)]
struct Help {
    jobs: Vec<Listed>,
    #[serde(default)]
    cannot_run: Vec<Refused>,
    example: Example,
}

/// A deployed job that is not right.
#[derive(Deserialize)]
struct Refused {
    name: String,
    problems: Vec<String>,
}

/// An event that would run something: where jobs are deployed, one of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Example {
    run: Option<String>,
    trigger: Option<OfObject>,
}

#[derive(Deserialize)]
struct OfObject {
    object: String,
}

/// A deployed job in a few words.
#[derive(Deserialize)]
struct Listed {
    name: String,
    output: String,
    /// When it runs by itself.
    #[serde(default)]
    schedule: Option<String>,
    /// Which new objects it runs for.
    #[serde(default)]
    on_object_created: Option<String>,
}

/// Prints the deployed jobs.
///
/// # Errors
/// When the dispatcher cannot be asked.
pub(crate) async fn show(args: &JobsArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await?;
    let answer = deployed.ask(&json!({})).await?;
    if args.json {
        return Ok(stdout::print_json(&answer)?);
    }
    let help = Help::deserialize(&answer).map_err(|error| {
        Error::caused(Code::Internal, format!("read the dispatcher's answer: {answer}"), error)
    })?;
    stdout::print_styled(&told(&help, &deployed))?;
    Ok(())
}

fn told(help: &Help, deployed: &Deployed) -> String {
    let mut text = String::new();
    for Listed { name, output, schedule, on_object_created } in &help.jobs {
        text += &format!("{NAME}{name}{NAME:#}\n");
        if let Some(schedule) = schedule {
            rows::row(&mut text, "runs", schedule);
        }
        if let Some(objects) = on_object_created {
            rows::row(&mut text, "runs for", format!("new objects {objects}"));
        }
        rows::row(&mut text, "output", output);
    }
    for Refused { name, problems } in &help.cannot_run {
        text += &format!("{NAME}{name}{NAME:#}\n");
        for problem in problems {
            rows::row(&mut text, "cannot run", problem);
        }
    }
    let object = help.example.trigger.as_ref().map(|trigger| format!(" --object {}", trigger.object));
    let (say, what) = match &help.example.run {
        Some(name) => ("Run one:", name.clone() + &object.unwrap_or_default()),
        None => ("No job that can run is deployed here. Send a job file:", "JOB.json".to_owned()),
    };
    text + &format!("{say}\n  {}\n", deployed.command("submit", &what))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfold_invoke::memory::MemoryInvoke;

    use super::*;

    #[test]
    fn deployed_jobs_are_listed_with_what_starts_them() {
        let deployed = Deployed::in_memory(Arc::new(MemoryInvoke::new()));
        let example =
            json!({ "run": "arrivals", "wait": "60s", "trigger": { "object": "s3://in/a/name.csv" } });
        let help = Help::deserialize(json!({ "message": "m", "example": example, "jobs": [
            { "name": "orders", "output": "s3://out/{start_date}", "schedule": "every 1 day (UTC)" },
            { "name": "arrivals", "output": "s3://out/{object_name}", "on_object_created": "s3://in/a/*.csv" },
        ], "cannot_run": [{ "name": "bad", "problems": ["output: is missing", "task: is missing"] }] }));
        insta::assert_snapshot!(anstream::adapter::strip_str(&told(&help.unwrap(), &deployed)));
        let none =
            told(&Help { jobs: Vec::new(), cannot_run: Vec::new(), example: Example::default() }, &deployed);
        assert!(
            none.contains("No job that can run is deployed") && none.contains("submit JOB.json --stack S"),
            "{none}"
        );
    }
}
