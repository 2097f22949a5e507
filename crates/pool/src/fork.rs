//! Forked processes: a task is loaded once, by a fork server, and called in processes that are forked from it.
//!
//! ```text
//! pool -- socket --> fork server: loads, then forks whenever it is asked to, and reaps
//!   |                     |
//!   +----- pipes ----> process: takes calls until it is renewed
//! ```
//! What a process reads and writes goes through pipes of its own and never through the server, whose messages are few and
//! small. The decisions, each with its price:
//!
//! - **The server is this very program, started again** ([`serve_forks`], first in `main`), and not a fork of the pool's
//!   process: that has threads, and would share its memory. Whatever kills a server, loading included, fails the calls under way
//!   and nothing more; the next call starts another. Price: what the program does before `serve_forks` is done in each server too.
//! - **A process takes as many calls as it was told to**, one by default. More are for calls that are shorter than a fork.
//!   Price: what a call leaves behind in the process (memory, threads, descendants) the next one finds, until the process is
//!   renewed, which any failure does.
//! - **A call's input, result and outcome are frames.** So a result is whole when its process says so, and what else ends a process
//!   never looks like success; `println!` in a task goes to the log; and what it starts does not inherit the pipes. Price: five bytes
//!   for each piece.
//! - **What descends from a process and outlives it is killed when the task's processes are ended**
//!   ([`ForkedTask::end_processes`]), not at the end of each call as for commands: a look through /proc takes longer than a short call.
//!   Where a run is dropped, its process and what descends from it is killed at once.
//!
//! Needs neither /dev/shm, nor `prctl`, nor /dev/fd. Children stay in the process group.

mod call;
mod child;
mod connection;
mod feed;
mod forked;
mod frame;
mod message;
mod server;
mod task;

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use call::call;
use connection::Connection;
use forked::Process;
pub use frame::FrameError;
pub use server::serve_forks;
pub use task::{Input as TaskInput, Output as TaskOutput, Task};

use rustix::process::Pid;

use crate::admission::Watched;
use crate::error::StartError;
use crate::leftovers::Leftover;
use crate::mark::PoolMark;
use crate::processes::Processes;
use crate::program::Program;
use crate::usage::Usage;

/// So many servers are asked for a process where each ends before it has forked one.
const SERVERS_MAX: u32 = 3;

/// The fork server of one task, started when it is first needed and again after it has died. It ends when this is dropped.
///
/// Belongs to the runtime in which it was first used.
#[derive(Debug)]
pub struct ForkServer {
    program: Program,
    task: String,
    mark: PoolMark,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    usage: Arc<Mutex<Usage>>,
}

impl ForkServer {
    /// A server for a task of this name; starts nothing. `program` is one whose `main` begins with [`serve_forks`]; the task
    /// is loaded in its environment and directory.
    #[must_use]
    pub fn new(program: Program, task: impl Into<String>) -> ForkServer {
        ForkServer {
            program,
            task: task.into(),
            mark: PoolMark::new(),
            connection: tokio::sync::Mutex::default(),
            usage: Arc::default(),
        }
    }

    /// What all of its processes took that have ended, whatever runtime or pool they were for; not what the server itself
    /// takes. Peaks count what a process shares with the server.
    #[must_use]
    pub fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running server. Whoever comes while it is being started waits.
    async fn connection(&self) -> Result<Arc<Connection>, StartError> {
        let mut connection = self.connection.lock().await;
        if let Some(running) = connection.as_ref().filter(|running| !running.is_over()) {
            return Ok(Arc::clone(running));
        }
        let mark = self.mark.next_run();
        let started = Connection::start(&self.program, &self.task, mark, Arc::clone(&self.usage)).await?;
        Ok(Arc::clone(connection.insert(Arc::new(started))))
    }
}

/// A task in its surroundings, and the processes that rest between its calls. They are killed when this is dropped.
#[derive(Debug)]
pub struct ForkedTask {
    server: Arc<ForkServer>,
    surroundings: Vec<u8>,
    calls_per_process: NonZeroU32,
    resting: Mutex<Vec<Process>>,
    /// Its server's memory is looked at with that of its processes.
    watched: Mutex<Option<(Pid, Watched)>>,
}

impl ForkedTask {
    /// A task to be called in the environment and the directory of `surroundings`, whose words are not used; so many times
    /// by each process.
    ///
    /// # Errors
    /// When no process can be given these surroundings.
    pub fn new(
        server: Arc<ForkServer>,
        surroundings: &Program,
        calls_per_process: NonZeroU32,
    ) -> Result<ForkedTask, StartError> {
        surroundings.check()?;
        let environment = surroundings.environment.iter();
        let environment = environment.map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        let directory = surroundings.directory.as_deref().map(std::path::Path::as_os_str);
        let surroundings = child::surroundings(directory, environment);
        Ok(ForkedTask {
            server,
            surroundings,
            calls_per_process,
            resting: Mutex::default(),
            watched: Mutex::default(),
        })
    }

    /// A process for the next call: one that rests, or a new one.
    async fn process(&self, processes: &Processes) -> Result<Process, StartError> {
        while let Some(mut process) = self.take_resting() {
            if process.can_be_called() {
                process.before = processes.before();
                return Ok(process);
            }
        }
        let failed = |source| StartError::NotForked { task: self.server.task.clone(), source };
        for _ in 1..SERVERS_MAX {
            match self.fork(processes).await? {
                // Its server ended before it could fork; others have not.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                forked => return forked.map_err(failed),
            }
        }
        self.fork(processes).await?.map_err(failed)
    }

    async fn fork(&self, processes: &Processes) -> Result<io::Result<Process>, StartError> {
        let connection = self.server.connection().await?;
        self.watch(processes, connection.pid());
        let calls = self.calls_per_process.get();
        Ok(Process::fork(processes, &connection, &self.surroundings, calls).await)
    }

    fn watch(&self, processes: &Processes, server: Pid) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.as_ref().is_none_or(|(pid, _)| *pid != server) {
            *watched = Some((server, processes.admission.watch_server(server)));
        }
    }

    fn take_resting(&self) -> Option<Process> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a process for the next call.
    fn rest(&self, mut process: Process) {
        process.quiet();
        process.watched.rests();
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).push(process);
    }

    /// Ends the processes that rest, and kills what all processes of its server have left behind, or what does not end within
    /// `grace`. Meant for the end of an invocation, when no call is under way: one that is sees its process killed. The server, and
    /// what it has loaded, stays.
    ///
    /// # Errors
    /// If /proc cannot be read, or a process cannot be killed.
    pub async fn end_processes(&self, grace: Duration) -> io::Result<Vec<Leftover>> {
        let resting = std::mem::take(&mut *self.resting.lock().unwrap_or_else(PoisonError::into_inner));
        let ending = futures::future::join_all(resting.into_iter().map(Process::end));
        // What is left then is killed below.
        let _in_time = tokio::time::timeout(grace, ending).await;
        let connection = self.server.connection.lock().await.clone();
        connection.map_or_else(|| Ok(Vec::new()), |connection| connection.kill_processes())
    }
}
