//! From a task and a chunk to the program to run.

use std::ffi::OsString;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::job::Task;
use fanfold_flow::keys::JobId;
use fanfold_flow::problem::nearest;
use fanfold_pool::Program;
use fanfold_runtime::Error;

use crate::Settings;

/// The argv of a task: a registered one by its name; or the job's own where it was `deployed` with the job, or any command
/// is allowed.
pub(crate) fn argv(task: &Task, deployed: bool, settings: &Settings) -> Result<Vec<String>, Error> {
    match (&task.command, &task.name) {
        (Some(command), _) if deployed || settings.allow_commands => Ok(command.clone()),
        (Some(_), _) => Err(Error::new(
            Code::InvalidJob,
            "run task.command: of an event, this deployment runs only registered tasks; name one under task.name, or deploy \
             the job with its command",
        )),
        (None, Some(name)) => registered(name, task, settings),
        (None, None) => {
            Err(Error::new(Code::InvalidJob, "run the task: it has neither a command nor a name"))
        }
    }
}

fn registered(name: &str, task: &Task, settings: &Settings) -> Result<Vec<String>, Error> {
    if let Some(argv) = settings.tasks.get(name) {
        return Ok(argv.iter().chain(&task.args).cloned().collect());
    }
    let names: Vec<&str> = settings.tasks.keys().map(String::as_str).collect();
    let known =
        if names.is_empty() { "none is".to_owned() } else { format!("there are {}", names.join(", ")) };
    let meant = nearest(name, names).map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
    Err(Error::new(Code::InvalidJob, format!("run task '{name}': it is not registered ({known}){meant}")))
}

/// What a program is told about its chunk.
pub(crate) struct About<'a> {
    pub(crate) job_id: &'a JobId,
    pub(crate) chunk: &'a Chunk,
    pub(crate) attempt: u32,
    pub(crate) deadline_ms: i64,
}

/// The program with its whole environment.
///
/// # Errors
/// When the chunk cannot be written as JSON.
pub(crate) fn program(
    argv: &[String],
    task: &Task,
    settings: &Settings,
    about: &About<'_>,
) -> Result<Program, Error> {
    let chunk = serde_json::to_string(about.chunk)
        .map_err(|error| Error::caused(Code::Internal, "write FANFOLD_CHUNK", error))?;
    let (offset, limit) = about.chunk.input.offset_and_limit();
    let told = [
        ("FANFOLD_JOB", about.job_id.to_string()),
        ("FANFOLD_INDEX", about.chunk.index.to_string()),
        ("FANFOLD_OFFSET", offset.to_string()),
        ("FANFOLD_LIMIT", limit.to_string()),
        ("FANFOLD_ATTEMPT", about.attempt.to_string()),
        ("FANFOLD_DEADLINE_MS", about.deadline_ms.to_string()),
        ("FANFOLD_CHUNK", chunk),
    ];
    let mut environment = settings.environment.clone();
    if task.credentials {
        environment.extend(settings.credentials.iter().cloned());
    }
    environment.extend(task.environment.iter().map(|(name, value)| (name.into(), value.into())));
    environment.extend(told.map(|(name, value)| (name.into(), value.into())));
    Ok(Program {
        argv: argv.iter().map(OsString::from).collect(),
        environment,
        directory: settings.directory.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings(allow_commands: bool) -> Settings {
        Settings {
            cores: 1,
            tasks: BTreeMap::from([(
                "redact".to_owned(),
                vec!["python3".to_owned(), "redact.py".to_owned()],
            )]),
            allow_commands,
            directory: None,
            environment: Vec::new(),
            credentials: Vec::new(),
        }
    }

    #[test]
    fn a_command_runs_where_it_was_deployed_or_any_may_and_nowhere_else() {
        let task = Task { command: Some(vec!["rm".to_owned()]), ..Task::default() };
        for (deployed, allowed, runs) in
            [(false, false, false), (true, false, true), (false, true, true), (true, true, true)]
        {
            assert_eq!(argv(&task, deployed, &settings(allowed)).is_ok(), runs, "{deployed} {allowed}");
        }
    }

    #[test]
    fn a_registered_task_runs_with_the_jobs_arguments_and_a_slip_of_its_name_is_told() {
        let task =
            |name: &str| Task { name: Some(name.to_owned()), args: vec!["x".to_owned()], ..Task::default() };
        assert_eq!(argv(&task("redact"), false, &settings(false)).unwrap(), ["python3", "redact.py", "x"]);
        let refusal = argv(&task("redct"), true, &settings(true)).unwrap_err().to_string();
        assert!(refusal.ends_with("(there are redact); did you mean 'redact'?"), "{refusal}");
    }
}
