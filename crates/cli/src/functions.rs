//! The three functions as they are deployed on this machine: this very program, started as their bootstrap.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use fanfold_emulator::lambda::Function;
use fanfold_flow::code::Code;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::{Error, Variable};
use fanfold_worker::Tasks;
use serde_json::json;

use crate::args::MachineArgs;
use crate::exit::Stop;
use crate::logs;

/// Which function a bootstrap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Plans and dispatches.
    Dispatcher,
    /// Runs processes.
    Worker,
    /// Puts the output together.
    Reducer,
}

impl Role {
    /// All of them, in the order in which data moves.
    pub(crate) const ALL: [Self; 3] = [Self::Dispatcher, Self::Worker, Self::Reducer];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Worker => "worker",
            Self::Reducer => "reducer",
        }
    }

    /// What it reads of its environment.
    pub(crate) fn variables(self) -> Vec<Variable> {
        match self {
            Self::Dispatcher => fanfold_dispatcher::variables(),
            Self::Worker => fanfold_worker::variables(),
            Self::Reducer => fanfold_reducer::variables(),
        }
    }
}

/// The functions' names.
pub(crate) const DISPATCHER: &str = "fanfold-dispatcher";
pub(crate) const WORKER: &str = "fanfold-worker";
pub(crate) const REDUCER: &str = "fanfold-reducer";

/// The memory size of the functions that hold no processes, in MB.
const SMALL_MEMORY_MB: u32 = 1_024;

/// Asks a bootstrap to replace the emulator's session token, which a real S3 would refuse, by this one; empty for none.
const SESSION_TOKEN: &str = "FANFOLD_SESSION_TOKEN";

/// What the deployment is made from.
pub(crate) struct Deployment<'a> {
    pub(crate) args: &'a MachineArgs,
    pub(crate) work: &'a ObjectUri,
    /// The variables of this process.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// The folder in which programs run.
    pub(crate) directory: PathBuf,
    /// Set where the functions use another S3 than the embedded one: its session token, empty for none.
    pub(crate) session_token: Option<String>,
    /// The commands that jobs may name, by name.
    pub(crate) tasks: BTreeMap<String, Vec<String>>,
}

/// The three functions.
///
/// # Errors
/// When this program's own file is not known.
pub(crate) fn deployed(deployment: &Deployment<'_>) -> Result<Vec<Function>, Error> {
    let program = std::env::current_exe()
        .map_err(|error| Error::caused(Code::Internal, "find the program's own file", error))?;
    let environment = environment(deployment);
    let function = |name: &str, role: &str, retries: u32, on_failure: Option<&str>| {
        let command = vec![program.clone().into_os_string(), "bootstrap".into(), role.into()];
        let mut function = Function::new(name, command);
        function.environment.clone_from(&environment);
        function.directory = Some(deployment.directory.clone());
        function.memory_mb = SMALL_MEMORY_MB;
        function.timeout = deployment.args.timeout;
        function.maximum_retry_attempts = retries;
        function.on_failure = on_failure.map(str::to_owned);
        function
    };
    let dispatcher = function(DISPATCHER, "dispatcher", 2, None);
    // Of workers and reducers that died, the dispatcher decides what becomes: Lambda would only repeat the same attempt.
    let mut worker = function(WORKER, "worker", 0, Some(DISPATCHER));
    if let Some(own) = &deployment.args.worker_program {
        worker.command.extend(["--program".into(), own.clone().into_os_string()]);
    }
    worker.memory_mb = deployment.args.worker_memory_mb();
    worker.reserved_concurrency = Some(deployment.args.workers);
    worker.environment.push(("FANFOLD_ALLOW_COMMANDS".into(), "true".into()));
    worker.environment.push(("FANFOLD_TASKS".into(), json!(deployment.tasks).to_string()));
    let reducer = function(REDUCER, "reducer", 0, Some(DISPATCHER));
    Ok(vec![dispatcher, worker, reducer])
}

/// How many processes a worker runs at once unless the job says: the machine's cores, shared among the workers.
pub(crate) fn cores_per_worker(workers: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(cores).unwrap_or(u32::MAX).div_ceil(workers.max(1)).max(1)
}

/// How much memory the processes of a worker share, in MB: what it is said to have, else the machine's, shared among the workers.
pub(crate) fn process_memory_mb(args: &MachineArgs) -> u32 {
    let machines = args.has_the_machines_memory().then(|| memory_mb_per_worker(args.workers)).flatten();
    machines.unwrap_or_else(|| args.worker_memory_mb())
}

/// The machine's memory, shared among the workers, in MB. None where the machine does not tell.
fn memory_mb_per_worker(workers: u32) -> Option<u32> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))?;
    let total_kib: u64 = total.trim_end().parse().ok()?;
    u32::try_from((total_kib >> 10) / u64::from(workers.max(1))).ok()
}

/// The user's own variables, so that programs find what they find in a shell, and ours.
fn environment(deployment: &Deployment<'_>) -> Vec<(String, String)> {
    // Lambda, and so the emulator, sets these where a function does not. Their values here are as if they were not set.
    let unset = [("TZ", ":/etc/localtime"), ("LANG", ""), ("LD_LIBRARY_PATH", "")];
    let own = deployment.variables.iter().filter_map(|(name, value)| {
        let text = name.to_str().zip(value.to_str());
        if text.is_none() {
            tracing::warn!(?name, "a variable is not UTF-8, and programs will not have it");
        }
        text.filter(|(name, _)| is_for_functions(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    });
    let defaults = unset.iter().filter(|(name, _)| !deployment.variables.iter().any(|(own, _)| own == name));
    let defaults = defaults.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let MachineArgs { workers, .. } = deployment.args;
    let ours = [
        ("FANFOLD_WORK_URI", deployment.work.to_string()),
        ("FANFOLD_DISPATCHER", DISPATCHER.to_owned()),
        ("FANFOLD_WORKER", WORKER.to_owned()),
        ("FANFOLD_REDUCER", REDUCER.to_owned()),
        ("FANFOLD_WORKER_MEMORY_MB", deployment.args.worker_memory_mb().to_string()),
        ("FANFOLD_WORKER_CORES", cores_per_worker(*workers).to_string()),
        ("FANFOLD_TASK_DIRECTORY", deployment.directory.display().to_string()),
        ("FANFOLD_LOG", logs::of_functions()),
    ];
    // Where it is said, what is left of it for processes is for the worker to find out.
    let memory = deployment
        .args
        .has_the_machines_memory()
        .then(|| ("FANFOLD_PROCESS_MEMORY_MB".to_owned(), process_memory_mb(deployment.args).to_string()));
    let token = deployment.session_token.iter().map(|token| (SESSION_TOKEN.to_owned(), token.clone()));
    own.chain(defaults)
        .chain(ours.map(|(name, value)| (name.to_owned(), value)))
        .chain(memory)
        .chain(token)
        .collect()
}

/// What is neither AWS's business, nor Lambda's, nor ours.
fn is_for_functions(name: &str) -> bool {
    let reserved = ["AWS_", "LAMBDA_", "FANFOLD_", "_X_AMZN", "_HANDLER"];
    !reserved.iter().any(|prefix| name.starts_with(prefix))
}

/// Is a function's whole program, or becomes the user's own.
pub(crate) fn bootstrap(role: Role, own: Option<&Path>) -> ExitCode {
    if let Some(token) = std::env::var_os(SESSION_TOKEN) {
        return again_with(&token);
    }
    if let Some(own) = own {
        return become_program(&mut Command::new(own));
    }
    match role {
        Role::Dispatcher => fanfold_dispatcher::main(),
        Role::Worker => fanfold_worker::main(Tasks::none()),
        Role::Reducer => fanfold_reducer::main(),
    }
}

/// Starts this program again, in place, with another session token.
fn again_with(token: &OsString) -> ExitCode {
    let mut command = Command::new("/proc/self/exe");
    command.args(std::env::args_os().skip(1)).env_remove(SESSION_TOKEN);
    if token.is_empty() {
        command.env_remove("AWS_SESSION_TOKEN");
    } else {
        command.env("AWS_SESSION_TOKEN", token);
    }
    become_program(&mut command)
}

fn become_program(command: &mut Command) -> ExitCode {
    let error = command.exec();
    Stop::Failed(Error::caused(Code::Internal, "start the function's program", error)).told()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        machine: MachineArgs,
    }

    fn variables_of(own: &[(&str, &str)]) -> BTreeMap<String, String> {
        let Line { machine } =
            Line::try_parse_from(["x", "--workers", "3", "--worker-memory", "512"]).unwrap();
        let work = "s3://b/work/".parse().unwrap();
        let deployment = Deployment {
            args: &machine,
            work: &work,
            variables: own.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            directory: "/somewhere".into(),
            session_token: None,
            tasks: BTreeMap::new(),
        };
        let [dispatcher, worker, reducer] = deployed(&deployment).unwrap().try_into().unwrap();
        assert_eq!((worker.memory_mb, worker.reserved_concurrency), (512, Some(3)));
        for function in [&worker, &reducer] {
            assert_eq!(
                (function.maximum_retry_attempts, function.on_failure.as_deref()),
                (0, Some(DISPATCHER))
            );
        }
        assert!(!dispatcher.environment.iter().any(|(name, _)| name == "FANFOLD_ALLOW_COMMANDS"));
        worker.environment.into_iter().collect()
    }

    #[test]
    fn programs_find_the_users_variables_but_no_credentials_and_no_foreign_settings() {
        let own = [
            ("PATH", "/venv/bin"),
            ("TZ", "Asia/Seoul"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("FANFOLD_WORKER", "x"),
        ];
        let variables = variables_of(&own);
        assert_eq!(variables["PATH"], "/venv/bin");
        assert_eq!(variables["TZ"], "Asia/Seoul");
        assert_eq!(variables["FANFOLD_WORKER"], WORKER);
        assert!(!variables.contains_key("AWS_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn workers_share_the_machines_memory_unless_it_is_said_how_much_they_have() {
        assert!(!variables_of(&[]).contains_key("FANFOLD_PROCESS_MEMORY_MB"), "512 MB were said");
        let (one, three) = (memory_mb_per_worker(1).unwrap(), memory_mb_per_worker(3).unwrap());
        assert!(one > 100 && one / 3 == three, "{one} MB, {three} MB");
    }

    #[test]
    fn what_lambda_would_set_is_as_if_unset_where_the_user_has_not_set_it() {
        let variables = variables_of(&[]);
        assert_eq!(
            (&*variables["TZ"], &*variables["LANG"], &*variables["LD_LIBRARY_PATH"]),
            (":/etc/localtime", "", "")
        );
    }
}
