//! What the worker's own environment says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::limits::{MEMORY_MB_PER_VCPU, VCPUS_MAX};
use fanfold_pool as pool;
use fanfold_runtime::Variables;

use crate::task::{RustTasks, Tasks};

/// Most bytes of output, over all processes, that are read but not yet on their way to the store.
const OUTPUT_BYTES_IN_FLIGHT: usize = 4 << 20;

/// How long something that a program left behind may hold its standard output, or a task's process may take to end.
pub(crate) const OUTPUT_GRACE: Duration = Duration::from_secs(5);

/// What the worker itself may come to take in a partition, beyond what it has when that begins: buffers of its connections, and
/// packs of small results until they are stored.
const OWN_BYTES: u64 = 32 << 20;

/// What it takes for each process, at most: two large results of 15 MiB on their way to the store (`pack::RESULTS_PER_PROCESS`), and the
/// kernel for two pipes of 1 MiB each. (Measured: with results of 512 MiB from six at once, 171 MiB in all.)
const OWN_BYTES_PER_PROCESS: u64 = 32 << 20;

/// What the worker's own environment says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many processes run at once, unless the job says.
    pub cores: u32,
    /// How much memory the worker has, in MB.
    pub memory_mb: u32,
    /// How much of it there is for processes, in MB, where that is told and does not follow.
    pub process_memory_mb: Option<u32>,
    /// The commands that jobs may name, by name.
    pub tasks: BTreeMap<String, Vec<String>>,
    /// The tasks that this program has in itself, by name.
    pub rust_tasks: RustTasks,
    /// Whether a job may bring a command of its own.
    pub allow_commands: bool,
    /// The directory in which programs run.
    pub directory: Option<PathBuf>,
    /// What programs find in their environment, credentials aside.
    pub environment: Vec<(OsString, OsString)>,
    /// The worker's own credentials, for tasks that ask for them.
    pub credentials: Vec<(OsString, OsString)>,
    /// What stands for processes in a world without them.
    pub simulation: Option<Arc<dyn pool::Simulation>>,
}

/// The tasks of `FANFOLD_TASKS`.
struct Commands(BTreeMap<String, Vec<String>>);

impl FromStr for Commands {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}

impl Settings {
    /// Reads `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` (how many cores there are follows from it), `FANFOLD_WORKER_CORES` (which
    /// overrides that), `FANFOLD_PROCESS_MEMORY_MB` (likewise), `FANFOLD_TASKS` (a JSON object of name to argv), `FANFOLD_ALLOW_COMMANDS` (`true` or `false`) and
    /// `FANFOLD_TASK_DIRECTORY` (a relative one lies in the function's zip).
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let memory_mb: Option<u32> =
            variables.required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "the function's memory size in MB");
        let cores = variables
            .optional("FANFOLD_WORKER_CORES", "how many processes run at once, where not one for each core");
        let process_memory_mb = variables.optional(
            "FANFOLD_PROCESS_MEMORY_MB",
            "how much memory processes share, in MB, where not what the memory size leaves",
        );
        let tasks: Option<Commands> = variables
            .optional("FANFOLD_TASKS", "the commands that jobs may name: a JSON object of name to argv");
        let allow_commands = variables.optional(
            "FANFOLD_ALLOW_COMMANDS",
            "whether jobs may bring commands of their own: true or false",
        );
        let directory = variables.folder("FANFOLD_TASK_DIRECTORY", "the folder in which programs run");
        let memory_mb = memory_mb?;
        Some(Self {
            cores: cores.unwrap_or_else(|| memory_mb.div_ceil(MEMORY_MB_PER_VCPU).clamp(1, VCPUS_MAX)),
            tasks: tasks.map_or_else(BTreeMap::new, |tasks| tasks.0),
            rust_tasks: RustTasks::default(),
            allow_commands: allow_commands.unwrap_or(false),
            memory_mb,
            process_memory_mb,
            directory,
            simulation: None,
            environment: std::env::vars_os().filter(|(name, _)| is_for_programs(name)).collect(),
            credentials: std::env::vars_os().filter(|(name, _)| is_credential(name)).collect(),
        })
    }

    /// The same for a program that has these tasks in itself.
    #[must_use]
    pub(crate) fn with(mut self, tasks: &Tasks) -> Self {
        self.rust_tasks = tasks.served(&self);
        self
    }

    /// How much memory a process can have at most, in MB.
    pub(crate) fn memory_mb_of_a_process(&self) -> u32 {
        self.process_memory_mb.unwrap_or(self.memory_mb)
    }

    /// How much memory so many processes can have together, in bytes: what is told, or what the memory size leaves beside what this
    /// process takes now and may come to take.
    fn memory_bytes_of_processes(&self, processes: u32) -> u64 {
        let told = self.process_memory_mb.map(mb);
        told.unwrap_or_else(|| {
            let own_bytes = pool::own_memory_bytes().unwrap_or(0);
            let reserved_bytes = OWN_BYTES + OWN_BYTES_PER_PROCESS * u64::from(processes);
            let left_bytes = mb(self.memory_mb).saturating_sub(own_bytes);
            // Of a small worker with many processes that may be all, though hardly any job has so large results.
            left_bytes - reserved_bytes.min(left_bytes / 2)
        })
    }

    /// The pool for a job that wants so many processes, each of which may take so much memory, in MB.
    pub(crate) fn pool(&self, processes: u32, memory_mb: Option<u32>) -> pool::Pool {
        // What is not there takes no memory.
        let memory_bytes = self.simulation.is_none().then(|| self.memory_bytes_of_processes(processes));
        let processes =
            usize::try_from(processes).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
        let settings = pool::Settings {
            processes,
            bytes_in_flight: OUTPUT_BYTES_IN_FLIGHT,
            grace: OUTPUT_GRACE,
            memory_bytes,
            process_memory_bytes: memory_mb.map(mb),
        };
        match &self.simulation {
            Some(simulation) => pool::Pool::simulated(settings, Arc::clone(simulation)),
            None => pool::Pool::new(settings),
        }
    }
}

/// So many MB, as Lambda counts them, in bytes.
fn mb(count: u32) -> u64 {
    u64::from(count) << 20
}

/// What a program has no business with: the worker's credentials, the way to Lambda's runtime, our own settings.
fn is_for_programs(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    !["AWS_", "_X_AMZN", "_HANDLER", "FANFOLD_", "LAMBDA_RUNTIME"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// What an SDK needs to act as the worker does: keys, region, endpoints.
fn is_credential(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    let named = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ];
    named.contains(&name.as_ref()) || name.starts_with("AWS_ENDPOINT_URL")
}
