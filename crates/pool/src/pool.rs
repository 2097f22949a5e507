//! The pool: how many processes at once, how many bytes, and how much memory.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::admission::{Bounds, Place};
use crate::error::{RunError, StartError};
use crate::fork::{self, ForkedTask};
use crate::input::Input;
use crate::leftovers::Leftover;
use crate::log::Log;
use crate::output::Output;
use crate::processes::Processes;
use crate::program::Program;
use crate::run::{self, Ended};
use crate::simulated::{Simulated, Simulation};

/// Least and most that is read from a process at once, in bytes: the page in which pipes are counted (pipe(7)),
/// and a quarter of a pipe, so that the program writes on while the piece is taken.
const PIECE_BYTES_MIN: usize = 4 << 10;
const PIECE_BYTES_MAX: usize = 256 << 10;

/// The bounds of a pool.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many processes run at once.
    pub processes: NonZeroUsize,
    /// How many bytes of output, over the whole pool, may be read but not yet taken by their
    /// [`Output`]. Each process has an equal part of it, of at most 256 KiB, and 4 KiB at least, even if that is more.
    pub bytes_in_flight: usize,
    /// How long standard output may stay open after the process itself has ended, because something that it
    /// started still holds it. A slow [`Output`] does not count.
    pub grace: Duration,
    /// How much memory there is for all processes and what they start, in bytes: a process does not start while what is expected
    /// of it and of those that run is more; except where none runs. A process is expected to take as much as the one of the
    /// pool's that took the most so far, and at most [`process_memory_bytes`](Settings::process_memory_bytes), where that is
    /// told; that is what one is expected to take before any has ended. Where it is not told, the first ones start at once.
    /// The machine's free memory counts too, and that of this process's cgroup. `None`: memory holds nobody back.
    pub memory_bytes: Option<u64>,
    /// How much memory a process may take, with what it starts, in bytes. One that takes more is killed, and its
    /// [`Ended::memory_exceeded`] says so. It is looked at ten times a second. What a called process shares with its fork server is
    /// not counted. `None`: as much as it likes.
    pub process_memory_bytes: Option<u64>,
}

impl Settings {
    fn turns(&self) -> Semaphore {
        Semaphore::new(self.processes.get().min(Semaphore::MAX_PERMITS))
    }

    fn piece_bytes(&self) -> usize {
        let part = self.bytes_in_flight / self.processes;
        part.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }

    fn memory(&self) -> Bounds {
        Bounds { memory_bytes: self.memory_bytes, process_bytes: self.process_memory_bytes }
    }
}

/// Runs programs, so many at once. Leaves no process behind, however a run ends.
///
/// Works on any tokio runtime with I/O and time enabled.
#[derive(Debug)]
pub struct Pool {
    turns: Semaphore,
    machine: Machine,
}

/// Where programs run.
#[derive(Debug)]
enum Machine {
    Real(Processes),
    Simulated(Simulated),
}

impl Pool {
    /// A pool; starts nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Pool {
        let processes = Processes::new(settings.piece_bytes(), settings.grace, settings.memory());
        Pool { turns: settings.turns(), machine: Machine::Real(processes) }
    }

    /// A pool whose programs only seem to run: what they do is said by `simulation`, in tokio's time. For tests of what
    /// stands on a pool, which then need neither processes nor patience. [`Settings::grace`] means nothing here, nor do the
    /// bounds on memory, of which such a program takes none.
    #[must_use]
    pub fn simulated(settings: Settings, simulation: Arc<dyn Simulation>) -> Pool {
        let simulated = Simulated::new(simulation, settings.piece_bytes());
        Pool { turns: settings.turns(), machine: Machine::Simulated(simulated) }
    }

    /// Waits until fewer processes run than may at once, and one more is expected to fit into memory (see
    /// [`Settings::memory_bytes`]), and gives the right to run it. Who waited longest is next.
    ///
    /// # Cancellation
    /// Dropping the future gives up the place in the queue.
    pub async fn turn(&self) -> Turn<'_> {
        // Never closed, so never refused.
        let one_of = self.turns.acquire().await.ok();
        let place = match &self.machine {
            Machine::Real(processes) => Some(processes.admission.enter().await),
            Machine::Simulated(_) => None,
        };
        Turn { pool: self, permit: Permit { _place: place, _one_of: one_of } }
    }

    /// Waits for a [turn](Pool::turn) and [uses it](Turn::run).
    ///
    /// # Errors
    /// See [`RunError`]. The process is killed first.
    ///
    /// # Cancellation
    /// As in [`Turn::run`].
    pub async fn run<I, O, L>(
        &self,
        program: &Program,
        input: &mut I,
        output: &mut O,
        log: &mut L,
    ) -> Result<Ended, RunError<I::Error, O::Error>>
    where
        I: Input,
        O: Output,
        L: Log,
    {
        self.turn().await.run(program, input, output, log).await
    }

    /// Waits for a [turn](Pool::turn) and [uses it](Turn::call).
    ///
    /// # Errors
    /// See [`RunError`]. The process is killed first.
    ///
    /// # Cancellation
    /// As in [`Turn::call`].
    pub async fn call<I, O, L>(
        &self,
        task: &ForkedTask,
        message: &[u8],
        input: &mut I,
        output: &mut O,
        log: &mut L,
    ) -> Result<Ended, RunError<I::Error, O::Error>>
    where
        I: Input,
        O: Output,
        L: Log,
    {
        self.turn().await.call(task, message, input, output, log).await
    }

    /// Kills every process that was started by this pool, or by those that were, and returns when they are
    /// gone. Meant for the start and the end of an invocation, when no `run` is under way: one that is sees its
    /// process killed. Blocks the thread meanwhile, as a drop of `run` does.
    ///
    /// # Errors
    /// If /proc cannot be read, or a process cannot be killed.
    pub fn kill_leftovers(&self) -> io::Result<Vec<Leftover>> {
        match &self.machine {
            Machine::Real(processes) => processes.kill_leftovers(),
            Machine::Simulated(simulated) => Ok(simulated.kill_leftovers()),
        }
    }
}

/// The right to run one process now. Whoever has it can still look at the clock before the process is started.
#[derive(Debug)]
pub struct Turn<'a> {
    pool: &'a Pool,
    permit: Permit<'a>,
}

/// What a turn holds until its process is gone. (It is dropped in this order: who waits for a place has a turn already.)
#[derive(Debug)]
struct Permit<'a> {
    _place: Option<Place<'a>>,
    _one_of: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// Runs the program: `input` to its standard input, its standard output to `output`, its standard error to
    /// `log`, all at the same time. Returns when the process has ended, all of its output is taken, and nothing
    /// that it started exists any more.
    ///
    /// A program that exits with a failure or is killed is no error: see [`Ended::exit`]. Nor is one that
    /// does not read its input: see [`Ended::input`]. Nothing more is asked of the input as soon as nobody reads it.
    ///
    /// # Errors
    /// See [`RunError`]. The process is killed first.
    ///
    /// # Cancellation
    /// If the future is dropped, or panics, the process and its descendants are killed and reaped before
    /// the drop returns. That blocks the thread, most often for less than a millisecond, but longer
    /// while the kernel takes back gigabytes from the process.
    pub async fn run<I, O, L>(
        self,
        program: &Program,
        input: &mut I,
        output: &mut O,
        log: &mut L,
    ) -> Result<Ended, RunError<I::Error, O::Error>>
    where
        I: Input,
        O: Output,
        L: Log,
    {
        let Turn { pool, permit } = self;
        let ended = match &pool.machine {
            Machine::Real(processes) => run::run(processes, program, input, output, log).await,
            Machine::Simulated(simulated) => simulated.run(program, input, output, log).await,
        };
        // Given back last, when the process is gone.
        drop(permit);
        ended
    }

    /// Calls the task in a forked process: what `message` says, with `input`; its result goes to `output`, and what it prints
    /// to `log`. Returns when the task has told the outcome, or its process has ended without.
    ///
    /// A task that gives an error, panics, or takes its process with it is no error: see [`Ended::exit`].
    ///
    /// # Errors
    /// See [`RunError`]. The process is killed first.
    ///
    /// # Cancellation
    /// As in [`Turn::run`]. While the task is being loaded, its fork server is killed.
    pub async fn call<I, O, L>(
        self,
        task: &ForkedTask,
        message: &[u8],
        input: &mut I,
        output: &mut O,
        log: &mut L,
    ) -> Result<Ended, RunError<I::Error, O::Error>>
    where
        I: Input,
        O: Output,
        L: Log,
    {
        let Turn { pool, permit } = self;
        let ended = match &pool.machine {
            Machine::Real(processes) => fork::call(processes, task, message, input, output, log).await,
            Machine::Simulated(_) => Err(StartError::Simulated.into()),
        };
        drop(permit);
        ended
    }
}
