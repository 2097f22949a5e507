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
use crate::task::Served;

/// What runs for a task.
#[derive(Debug)]
pub(crate) enum Runs {
    /// A program, with these words.
    Program(Vec<String>),
    /// A task that this worker has in itself, with these arguments.
    Task { name: String, served: Served, args: Vec<String> },
}

/// What runs for a task: a registered one by its name; or the job's own where it was `deployed` with the job, or any command
/// is allowed. Where neither is so, a registered task takes nothing of an event but its arguments.
///
/// # Errors
/// `invalid_job`, with what to do, for a task that this deployment does not run.
pub(crate) fn runs(task: &Task, deployed: bool, settings: &Settings) -> Result<Runs, Error> {
    let is_trusted = deployed || settings.allow_commands;
    match (&task.command, &task.name) {
        (Some(command), _) if is_trusted => Ok(Runs::Program(command.clone())),
        (Some(_), _) => Err(Error::new(
            Code::InvalidJob,
            "run task.command: of an event, this deployment runs only registered tasks; name one under task.name, or deploy \
             the job with its command",
        )),
        (None, Some(name)) => {
            let runs = registered(name, task, settings)?;
            if !is_trusted {
                has_only_arguments(name, task)?;
            }
            Ok(runs)
        }
        (None, None) => {
            Err(Error::new(Code::InvalidJob, "run the task: it has neither a command nor a name"))
        }
    }
}

fn registered(name: &str, task: &Task, settings: &Settings) -> Result<Runs, Error> {
    if let Some(argv) = settings.tasks.get(name) {
        return Ok(Runs::Program(argv.iter().chain(&task.args).cloned().collect()));
    }
    if let Some(served) = settings.rust_tasks.get(name) {
        return Ok(Runs::Task { name: name.to_owned(), served: served.clone(), args: task.args.clone() });
    }
    let commands = settings.tasks.keys().map(String::as_str);
    let names: Vec<&str> = commands.chain(settings.rust_tasks.names()).collect();
    let known =
        if names.is_empty() { "none is".to_owned() } else { format!("there are {}", names.join(", ")) };
    let meant = nearest(name, names).map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
    Err(Error::new(Code::InvalidJob, format!("run task '{name}': it is not registered ({known}){meant}")))
}

/// Refuses what would let an event run more than the registered task: by variables such as `PATH`, `LD_PRELOAD` or
/// `BASH_ENV` it would choose the program, and with the credentials the program could do all that the worker may.
fn has_only_arguments(name: &str, task: &Task) -> Result<(), Error> {
    let mut refused = Vec::new();
    if !task.environment.is_empty() {
        let variables: Vec<&str> = task.environment.keys().map(String::as_str).collect();
        refused.push(format!("task.environment ({})", variables.join(", ")));
    }
    if task.credentials {
        refused.push("task.credentials".to_owned());
    }
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!(
        "run task '{name}': of an event, this deployment takes a task's name and its args, but not {}; leave that out, deploy \
         the job with it and run it with its task unchanged, or have the deployment allow commands",
        refused.join(" and ")
    );
    Err(Error::new(Code::InvalidJob, message))
}

/// What a program is told about its chunk.
pub(crate) struct About<'a> {
    pub(crate) job_id: &'a JobId,
    pub(crate) chunk: &'a Chunk,
    pub(crate) attempt: u32,
    pub(crate) deadline_ms: i64,
    /// Whether it is given no record of the chunk, only the header.
    pub(crate) header_alone: bool,
}

/// What a task finds in its environment, whatever the chunk.
pub(crate) fn environment(task: &Task, settings: &Settings) -> Vec<(OsString, OsString)> {
    let mut environment = settings.environment.clone();
    if task.credentials {
        environment.extend(settings.credentials.iter().cloned());
    }
    environment.extend(task.environment.iter().map(|(name, value)| (name.into(), value.into())));
    environment
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
    let mut environment = environment(task, settings);
    if about.header_alone {
        environment.push(("FANFOLD_HEADER".into(), "1".into()));
    }
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
    use crate::task::RustTasks;

    /// The words that run for a task.
    fn argv(task: &Task, deployed: bool, settings: &Settings) -> Result<Vec<String>, Error> {
        match runs(task, deployed, settings)? {
            Runs::Program(argv) => Ok(argv),
            Runs::Task { .. } => panic!("no task in Rust is registered"),
        }
    }

    fn settings(allow_commands: bool) -> Settings {
        Settings {
            cores: 1,
            memory_mb: 1_769,
            process_memory_mb: None,
            simulation: None,
            rust_tasks: RustTasks::default(),
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
    fn an_event_gives_a_registered_task_arguments_but_neither_variables_nor_credentials() {
        let plain = Task { name: Some("redact".to_owned()), args: vec!["x".to_owned()], ..Task::default() };
        let variable = |name: &str| BTreeMap::from([(name.to_owned(), "/tmp/mine".to_owned())]);
        let preload = Task { environment: variable("LD_PRELOAD"), ..plain.clone() };
        let credentials = Task { credentials: true, ..plain.clone() };
        let both = Task { credentials: true, environment: variable("PATH"), ..plain };
        for (task, named) in [
            (preload, "but not task.environment (LD_PRELOAD);"),
            (credentials, "but not task.credentials;"),
            (both, "but not task.environment (PATH) and task.credentials;"),
        ] {
            let refusal = argv(&task, false, &settings(false)).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidJob);
            let refusal = refusal.to_string();
            for part in ["'redact'", named, "deploy the job", "allow commands"] {
                assert!(refusal.contains(part), "{part} in {refusal}");
            }
            for (deployed, allowed) in [(true, false), (false, true)] {
                let argv = argv(&task, deployed, &settings(allowed)).unwrap();
                assert_eq!(argv, ["python3", "redact.py", "x"], "{deployed} {allowed}");
            }
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
