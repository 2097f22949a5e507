//! The tasks of a worker, and the fork servers that have loaded them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;

use fanfold_pool::{self as pool, ForkServer, Program, Usage};

use super::Task;
use super::chunk::Called;
use crate::Settings;

/// This very program, also where its file is not there any more.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The tasks that a worker has in itself, by name.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    by_name: BTreeMap<&'static str, Registered>,
}

/// A task, as far as it can be known before it is loaded.
#[derive(Clone, Copy, Debug)]
struct Registered {
    load: fn() -> Result<Box<dyn pool::Task>, String>,
    chunks_per_process: NonZeroU32,
    loads_with_credentials: bool,
}

/// The tasks of a worker, each with its fork server, which starts when the task is first called.
#[derive(Clone, Debug, Default)]
pub struct RustTasks {
    by_name: BTreeMap<String, Served>,
}

/// A task with its fork server.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) server: Arc<ForkServer>,
    pub(crate) chunks_per_process: NonZeroU32,
}

impl Tasks {
    /// A worker that only runs programs.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One task more. Of two with the same name, the last counts.
    #[must_use]
    pub fn with<T: Task>(mut self) -> Self {
        let registered = Registered {
            load: load::<T>,
            chunks_per_process: T::CHUNKS_PER_PROCESS,
            loads_with_credentials: T::LOADS_WITH_CREDENTIALS,
        };
        self.by_name.insert(T::NAME, registered);
        self
    }

    /// Is a fork server, if this process was started to be one. See [`pool::serve_forks`].
    pub(crate) fn serve_forks(&self) -> Option<ExitCode> {
        pool::serve_forks(|name| match self.by_name.get(name) {
            Some(registered) => (registered.load)(),
            None => Err(format!("this program has no task {name}")),
        })
    }

    /// The fork servers of all tasks, none of them started.
    pub(crate) fn served(&self, settings: &Settings) -> RustTasks {
        let served = |(name, registered): (&&'static str, &Registered)| {
            let credentials = settings.credentials.iter().filter(|_| registered.loads_with_credentials);
            let program = Program {
                argv: vec![THIS_PROGRAM.into()],
                environment: settings.environment.iter().chain(credentials).cloned().collect(),
                directory: settings.directory.clone(),
            };
            let server = Arc::new(ForkServer::new(program, *name));
            ((*name).to_owned(), Served { server, chunks_per_process: registered.chunks_per_process })
        };
        RustTasks { by_name: self.by_name.iter().map(served).collect() }
    }
}

impl RustTasks {
    pub(crate) fn get(&self, name: &str) -> Option<&Served> {
        self.by_name.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What the processes of all of them took that have ended. See [`ForkServer::usage`].
    pub(crate) fn usage(&self) -> Usage {
        self.by_name.values().map(|served| served.server.usage()).fold(Usage::default(), Usage::and)
    }
}

fn load<T: Task>() -> Result<Box<dyn pool::Task>, String> {
    match T::load() {
        Ok(task) => Ok(Box::new(Called(task))),
        Err(error) => Err(format!("{error:#}")),
    }
}
