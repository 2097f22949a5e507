//! A pool without processes, for tests of what stands on it: who takes turns, feeds, drains and reports is the
//! same, and what a program would do is said by a [`Simulation`].
//!
//! Time is tokio's, so a test can pause it. Nothing else varies: a simulation that answers the same gives the
//! same run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{RunError, StartError};
use crate::input::Input;
use crate::leftovers::Leftover;
use crate::log::{self, Log};
use crate::output::Output;
use crate::program::Program;
use crate::run::{Ended, Exit, InputEnd};

/// What programs do that are never started.
pub trait Simulation: fmt::Debug + Send + Sync {
    /// Starts one. What it gives is dropped when the process is gone: at its end, when its run is dropped, or when it is
    /// killed as a leftover. So a simulation that counts here, and in the `Drop` of what it gives, knows at each moment how
    /// many run and how many ever did.
    ///
    /// # Errors
    /// As a real start: [`RunError::Start`] comes of it.
    fn start(&self, program: &Program) -> Result<Box<dyn SimulatedProcess>, StartError>;
}

/// A program that runs in a simulation.
pub trait SimulatedProcess: Send {
    /// Reads a piece of standard input, never empty: what the [`Input`] gave when it was asked for as little as it can.
    fn take(&mut self, input: &[u8]) -> Step;

    /// Sees the end of standard input. Not called after a step with an exit.
    fn end(&mut self) -> Last;
}

/// What a program does with a piece of its input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How long it takes.
    pub takes: Duration,
    /// What is then written to standard output.
    pub stdout: Vec<u8>,
    /// How it then ends, if it does, without reading any more.
    pub exit: Option<Exit>,
}

/// What a program does when its input is at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// How long it takes.
    pub takes: Duration,
    /// What is then written to standard output.
    pub stdout: Vec<u8>,
    /// What it writes to standard error, all of it.
    pub stderr: String,
    /// How it then ends. By signal 9 means for lack of memory: nobody else in a simulation sends that.
    pub exit: Exit,
}

/// SIGKILL.
const SIGKILL: i32 = 9;

/// Runs simulated programs.
#[derive(Debug)]
pub(crate) struct Simulated {
    simulation: Arc<dyn Simulation>,
    /// Most bytes given to an [`Output`] at once.
    piece_bytes: usize,
    table: Mutex<Table>,
}

/// The simulated machine's processes.
#[derive(Debug, Default)]
struct Table {
    started: u32,
    running: BTreeMap<u32, Arc<Running>>,
}

/// A simulated process.
struct Running {
    pid: u32,
    name: String,
    /// `None` once it is gone.
    process: Mutex<Option<Box<dyn SimulatedProcess>>>,
    killed: Notify,
}

impl fmt::Debug for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Running")
            .field("pid", &self.pid)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Lets the process do something; `None` if it is gone.
    fn act<T>(&self, act: impl FnOnce(&mut Box<dyn SimulatedProcess>) -> T) -> Option<T> {
        lock(&self.process).as_mut().map(act)
    }

    fn kill(&self) {
        drop(lock(&self.process).take());
        // Remembered, should the run not be waiting at the moment.
        self.killed.notify_one();
    }
}

/// Where a test's simulation has panicked, the next look at it goes on.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process's place in the table: when it is dropped, the process is gone.
struct Seat<'a> {
    simulated: &'a Simulated,
    running: Arc<Running>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        lock(&self.simulated.table).running.remove(&self.running.pid);
        self.running.kill();
    }
}

/// What a run has moved so far.
#[derive(Debug, Default)]
struct Moved {
    in_bytes: u64,
    out_bytes: u64,
    err_bytes: u64,
    /// Whether the end of the input was told.
    all_fed: bool,
}

impl Simulated {
    pub(crate) fn new(simulation: Arc<dyn Simulation>, piece_bytes: usize) -> Simulated {
        Simulated { simulation, piece_bytes, table: Mutex::default() }
    }

    /// Runs a program to its end.
    pub(crate) async fn run<I, O, L>(
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
        let began = Instant::now();
        let seat = self.start(program)?;
        let running = &*seat.running;
        let mut moved = Moved::default();
        let exit = tokio::select! {
            biased;
            () = running.killed.notified() => None,
            exit = self.live(running, input, output, log, &mut moved) => exit?,
        };
        let fed_bytes = moved.in_bytes;
        Ok(Ended {
            pid: running.pid,
            exit: exit.unwrap_or(Exit::Signal(SIGKILL)),
            words: None,
            out_of_memory: exit == Some(Exit::Signal(SIGKILL)),
            memory_exceeded: None,
            input: if moved.all_fed { InputEnd::AllFed } else { InputEnd::StoppedReading { fed_bytes } },
            bytes_in: fed_bytes,
            bytes_out: moved.out_bytes,
            bytes_err: moved.err_bytes,
            wall: began.elapsed(),
            leftovers: Vec::new(),
        })
    }

    /// Kills every process that runs.
    pub(crate) fn kill_leftovers(&self) -> Vec<Leftover> {
        let running = std::mem::take(&mut lock(&self.table).running);
        running
            .into_values()
            .map(|running| {
                running.kill();
                Leftover { pid: running.pid, name: running.name.clone() }
            })
            .collect()
    }

    fn start(&self, program: &Program) -> Result<Seat<'_>, StartError> {
        let name = program.name()?.to_string_lossy().into_owned();
        let process = self.simulation.start(program)?;
        let mut table = lock(&self.table);
        table.started += 1;
        let pid = table.started;
        let running =
            Arc::new(Running { pid, name, process: Mutex::new(Some(process)), killed: Notify::new() });
        table.running.insert(pid, Arc::clone(&running));
        Ok(Seat { simulated: self, running })
    }

    /// From the first piece to the exit; `None` if the process was killed.
    async fn live<I: Input, O: Output>(
        &self,
        running: &Running,
        input: &mut I,
        output: &mut O,
        log: &mut impl Log,
        moved: &mut Moved,
    ) -> Result<Option<Exit>, RunError<I::Error, O::Error>> {
        // As little as it can give: a simulated program reads one record after the other.
        while let Some(piece) = input.next(1).await {
            let piece = piece.map_err(RunError::Input)?;
            if !piece.is_empty() {
                let Some(step) = running.act(|process| process.take(&piece)) else { return Ok(None) };
                moved.in_bytes += piece.len() as u64;
                pass(step.takes).await;
                self.hand_out(step.stdout, output, moved).await?;
                if step.exit.is_some() {
                    return Ok(step.exit);
                }
            }
            // An input that is always ready must not keep others waiting.
            tokio::task::yield_now().await;
        }
        moved.all_fed = true;
        let Some(last) = running.act(|process| process.end()) else { return Ok(None) };
        pass(last.takes).await;
        self.hand_out(last.stdout, output, moved).await?;
        moved.err_bytes = last.stderr.len() as u64;
        log::hand_out(last.stderr.as_bytes(), log);
        Ok(Some(last.exit))
    }

    async fn hand_out<I, O: Output>(
        &self,
        stdout: Vec<u8>,
        output: &mut O,
        moved: &mut Moved,
    ) -> Result<(), RunError<I, O::Error>> {
        let mut stdout = Bytes::from(stdout);
        while !stdout.is_empty() {
            let piece = stdout.split_to(stdout.len().min(self.piece_bytes));
            let piece_length = piece.len() as u64;
            output.write(piece).await.map_err(RunError::Output)?;
            moved.out_bytes += piece_length;
        }
        Ok(())
    }
}

async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
