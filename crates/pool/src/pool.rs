//! The pool: how many processes at once, and how many bytes.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::Semaphore;

use crate::error::RunError;
use crate::leftovers::{self, Leftover};
use crate::log::Log;
use crate::mark::PoolMark;
use crate::output::Output;
use crate::program::Program;
use crate::run::{self, Ended};

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
}

/// Runs programs, so many at once. Leaves no process behind, however a run ends.
///
/// Works on any tokio runtime with I/O and time enabled.
#[derive(Debug)]
pub struct Pool {
    turns: Semaphore,
    piece_bytes: usize,
    grace: Duration,
    mark: PoolMark,
}

impl Pool {
    /// A pool; starts nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Pool {
        let part = settings.bytes_in_flight / settings.processes;
        Pool {
            turns: Semaphore::new(settings.processes.get().min(Semaphore::MAX_PERMITS)),
            piece_bytes: part.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX),
            grace: settings.grace,
            mark: PoolMark::new(),
        }
    }

    /// Waits for a turn, then runs the program: `input` to its standard input, its standard output to
    /// `output`, its standard error to `log`, all at the same time. Returns when the process has ended, all
    /// of its output is taken, and nothing that it started exists any more.
    ///
    /// A program that exits with a failure or is killed is no error: see [`Ended::exit`]. Nor is one that
    /// does not read its input: see [`Ended::input`]. The stream is dropped as soon as nobody reads it.
    ///
    /// # Errors
    /// See [`RunError`]. The process is killed first.
    ///
    /// # Cancellation
    /// If the future is dropped, or panics, the process and its descendants are killed and reaped before
    /// the drop returns. That blocks the thread, most often for less than a millisecond, but longer
    /// while the kernel takes back gigabytes from the process.
    pub async fn run<S, E, O, L>(
        &self,
        program: &Program,
        input: S,
        output: &mut O,
        log: &mut L,
    ) -> Result<Ended, RunError<E, O::Error>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Send,
        O: Output,
        L: Log,
    {
        // Never closed, so never refused. Given back last, when the process is gone.
        let _turn = self.turns.acquire().await.ok();
        let limits = run::Limits { piece_bytes: self.piece_bytes, grace: self.grace };
        run::run(program, self.mark.next_run(), limits, input, output, log).await
    }

    /// Kills every process that was started by this pool, or by those that were, and returns when they are
    /// gone. Meant for the start and the end of an invocation, when no `run` is under way: one that is sees its
    /// process killed. Blocks the thread meanwhile, as a drop of `run` does.
    ///
    /// # Errors
    /// If /proc cannot be read, or a process cannot be killed.
    pub fn kill_leftovers(&self) -> io::Result<Vec<Leftover>> {
        leftovers::sweep(&self.mark.all_runs(), Vec::new())
    }
}
