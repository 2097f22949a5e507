//! One run, from the start of the process until nothing of it is left.
//!
//! Everything happens in the task of the caller, in three phases: all pipes while the process lives; the rest
//! of standard output once it has ended; the rest of standard error once its descendants are killed.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures::future::{Fuse, FusedFuture};
use futures::{FutureExt, TryFutureExt};

use crate::admission::Watched;
use crate::error::{RunError, StandardStream};
use crate::feed::{Fed, FeedError, FeedFailure, feed};
use crate::input::Input;
use crate::leash::Leash;
use crate::leftovers::Leftover;
use crate::log::{self, Log};
use crate::outlet::{self, DrainError, Outlet, Patience};
use crate::output::Output;
use crate::processes::Processes;
use crate::procfs::PipeId;
use crate::program::Program;
use crate::spawn::{self, Started};

/// How a process ended that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its process id, which may by now be another's.
    pub pid: u32,
    /// How it ended. Of a call of a task: 0 where the task has done it, 1 where it gave an error, 101 where it panicked;
    /// else how its process ended within the call.
    pub exit: Exit,
    /// Why a call of a task has failed, in its own words; none for a command, which writes to standard error.
    pub words: Option<String>,
    /// Whether it was killed for lack of memory: it ended by a SIGKILL that did not come from
    /// [`Pool::kill_leftovers`](crate::Pool::kill_leftovers), or was a shell that said so of its command by exit code 137,
    /// and while it ran the kernel's count of out-of-memory kills went up (`oom_kill` in /proc/vmstat and, where it can be
    /// read, in this process's memory.events of cgroups' version 2).
    ///
    /// The counts do not say who was killed. So this is also true where somebody sent SIGKILL while the kernel
    /// killed another process of the machine; and it is false where memory ran out in a descendant whose parent did not end of it.
    pub out_of_memory: bool,
    /// Where it was killed because it took more memory than
    /// [`Settings::process_memory_bytes`](crate::Settings::process_memory_bytes): how much that was, in bytes, its descendants
    /// included.
    pub memory_exceeded: Option<u64>,
    /// How its standard input ended.
    pub input: InputEnd,
    /// Bytes put into its standard input. As many as fit into the pipe, at most 1 MiB, may never have been read.
    pub bytes_in: u64,
    /// Bytes of standard output, all taken by the [`Output`].
    pub bytes_out: u64,
    /// Bytes of standard error, all taken by the [`Log`].
    pub bytes_err: u64,
    /// From before the start until nothing of the run was left; without the wait for a turn.
    pub wall: Duration,
    /// What it had started, and left running; killed.
    pub leftovers: Vec<Leftover>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code; 0 means success.
    Code(i32),
    /// By this signal; for 9, SIGKILL, see [`Ended::out_of_memory`].
    Signal(i32),
}

impl Exit {
    /// Whether the program says that its result is good.
    #[must_use]
    pub fn success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            // A status from wait(2) is one or the other; should the system invent a third, it is no success.
            (None, None) => Exit::Code(status.into_raw()),
        }
    }
}

/// How the input of a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEnd {
    /// All of the input was put into the pipe, and its end was told. How much the program read of what was
    /// in the pipe last cannot be known.
    AllFed,
    /// The program closed its standard input, or ended, before the input did.
    StoppedReading {
        /// Bytes put into the pipe until then.
        fed_bytes: u64,
    },
}

/// Runs a program to its end.
pub(crate) async fn run<I, O, L>(
    processes: &Processes,
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
    let &Processes { piece_bytes, grace, .. } = processes;
    let before = processes.before();
    let Started { leash, stdin, stdout, stderr, stdout_id } =
        spawn::start(program, processes.mark.next_run())?;
    let pid = leash.pid();
    // Declared before what kills and reaps the process, so dropped after it.
    let watched = processes.admission.watch(leash.process());
    let (fed_bytes, taken_bytes, logged_bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (output_patience, log_patience) = (Patience::default(), Patience::default());
    let (lived, leftovers) = {
        let draining =
            outlet::drain(Outlet::new(&stdout, &output_patience), output, piece_bytes, &taken_bytes)
                .map_err(|error| drain_error(error, pid, grace));
        let logging = log::drain(Outlet::new(&stderr, &log_patience), log, &logged_bytes)
            .map_err(|error| pipe_error(StandardStream::Error, pid, error));
        let mut feeding = pin!(feed(input, stdin, &fed_bytes).fuse());
        let mut draining = pin!(draining.fuse());
        let mut logging = pin!(logging.fuse());
        // Declared last, so dropped first: the program is killed before its pipes are closed. Otherwise it
        // could take the early end of its input for the whole of it, and finish.
        let mut leash = leash;

        let lived = live(&mut leash, &watched, feeding.as_mut(), draining.as_mut(), logging.as_mut()).await?;
        // Whoever else has the other end will see the end of it.
        feeding.set(Fuse::terminated());
        let still_open = StillOpen { grace, pipe: &stdout_id, patience: &output_patience };
        finish_output(&leash, draining.as_mut(), logging.as_mut(), still_open).await?;
        let leftovers = leash.sweep().map_err(|source| RunError::Leftovers { pid, source })?;
        log_patience.end();
        if !logging.is_terminated() {
            logging.await?;
        }
        (lived, leftovers)
    };
    let bytes_in = fed_bytes.into_inner();
    let exit: Exit = lived.status.into();
    // It may have come to its end by itself a moment before.
    let memory_exceeded = lived.memory_exceeded.filter(|_| !exit.success());
    Ok(Ended {
        pid,
        exit,
        words: None,
        out_of_memory: memory_exceeded.is_none() && processes.ran_out_of_memory(exit, before),
        memory_exceeded,
        input: match lived.fed {
            Fed::All => InputEnd::AllFed,
            Fed::ReaderGone => InputEnd::StoppedReading { fed_bytes: bytes_in },
        },
        bytes_in,
        bytes_out: taken_bytes.into_inner(),
        bytes_err: logged_bytes.into_inner(),
        wall: began.elapsed(),
        leftovers,
    })
}

/// What is known when the process has ended.
struct Lived {
    status: ExitStatus,
    fed: Fed,
    memory_exceeded: Option<u64>,
}

/// The first phase: serves all three pipes until the process has ended.
async fn live<I, O>(
    leash: &mut Leash,
    watched: &Watched,
    mut feeding: Pin<&mut impl FusedFuture<Output = Result<Fed, FeedError<I>>>>,
    mut draining: Pin<&mut impl FusedFuture<Output = Result<(), RunError<I, O>>>>,
    mut logging: Pin<&mut impl FusedFuture<Output = Result<(), RunError<I, O>>>>,
) -> Result<Lived, RunError<I, O>> {
    let pid = leash.pid();
    // What is not told otherwise before the process ends.
    let mut fed = Fed::ReaderGone;
    let mut memory_exceeded = None;
    loop {
        tokio::select! {
            status = leash.wait() => {
                let status = status.map_err(|source| RunError::Wait { pid, source })?;
                return Ok(Lived { status, fed, memory_exceeded });
            }
            taken_bytes = watched.over_limit(), if memory_exceeded.is_none() => {
                memory_exceeded = Some(taken_bytes);
                leash.kill().map_err(|source| RunError::Leftovers { pid, source })?;
            }
            end = &mut feeding, if !feeding.is_terminated() => match end {
                Ok(end) => fed = end,
                Err(FeedError { cause, stdin }) => {
                    leash.put_down();
                    drop(stdin);
                    return Err(feed_error(cause, pid));
                }
            },
            end = &mut draining, if !draining.is_terminated() => end?,
            end = &mut logging, if !logging.is_terminated() => end?,
        }
    }
}

/// What to do about a standard output that is not at its end although the process is.
struct StillOpen<'a> {
    grace: Duration,
    pipe: &'a PipeId,
    patience: &'a Patience,
}

/// The second phase: the rest of standard output, of which there is as much as fits into a pipe, unless
/// somebody else holds it.
async fn finish_output<I, O>(
    leash: &Leash,
    mut draining: Pin<&mut impl FusedFuture<Output = Result<(), RunError<I, O>>>>,
    mut logging: Pin<&mut impl FusedFuture<Output = Result<(), RunError<I, O>>>>,
    still_open: StillOpen<'_>,
) -> Result<(), RunError<I, O>> {
    let pid = leash.pid();
    let mut grace = pin!(tokio::time::sleep(still_open.grace).fuse());
    while !draining.is_terminated() {
        tokio::select! {
            end = &mut draining => end?,
            end = &mut logging, if !logging.is_terminated() => end?,
            () = &mut grace, if !grace.is_terminated() => {
                let holders = leash.kill_holders(still_open.pipe);
                let holders = holders.map_err(|source| RunError::Leftovers { pid, source })?;
                if !holders.is_empty() {
                    return Err(RunError::OutputHeld { pid, grace: still_open.grace, holders });
                }
                // Most likely the consumer is slow and everything is in the pipe. If not, the pipe will be
                // found empty and open, which is an error too.
                still_open.patience.end();
            }
        }
    }
    Ok(())
}

pub(crate) fn feed_error<I, O>(error: FeedFailure<I>, pid: u32) -> RunError<I, O> {
    match error {
        FeedFailure::Input(error) => RunError::Input(error),
        FeedFailure::Pipe(source) => pipe_error(StandardStream::Input, pid, source),
    }
}

pub(crate) fn drain_error<I, O>(error: DrainError<O>, pid: u32, grace: Duration) -> RunError<I, O> {
    match error {
        DrainError::Output(error) => RunError::Output(error),
        DrainError::Pipe(source) => pipe_error(StandardStream::Output, pid, source),
        DrainError::Frame(source) => RunError::Frame { pid, source },
        DrainError::Held => RunError::OutputHeld { pid, grace, holders: Vec::new() },
    }
}

pub(crate) fn pipe_error<I, O>(stream: StandardStream, pid: u32, source: io::Error) -> RunError<I, O> {
    RunError::Pipe { stream, pid, source }
}
