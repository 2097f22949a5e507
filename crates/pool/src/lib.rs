//! Processes: spawn, feed, drain, kill, reap. Knows neither S3 nor Lambda.
//!
//! A program reads standard input, writes its result to standard output and its log to standard error;
//! [`Pool::run`] moves the bytes and says how it ended. (Whoever must look at the clock first waits for a [`Turn`], and
//! then runs.) The decisions, each with its price:
//!
//! - **Three plain pipes, served all at once by the task that awaits `run`.** Output is drained while input
//!   is fed, so no order of reading and writing can deadlock, and no result is too big. Nothing needs
//!   /dev/shm, `prctl` or `/dev/fd`, which Lambda lacks. Price: every byte is copied twice by the kernel,
//!   and a consumer that computes for long inside [`Output::write`] stalls its own process meanwhile.
//! - **What may have to stop is fed by the program's pace.** Where an [`Input`] may end early, the program is given what it
//!   works through in about 100 ms, at least a record, and one more; not what its pipe holds, which with records of a second
//!   each is a day's work. The program knows nothing of it. Price: no event tells that a pipe is nearly empty, so it is
//!   looked at, up to a hundred times a second while the program is busy, and first the pace must be found: measured, a run of
//!   `cat`, `sed` or `python3` over 100 KB takes 1 to 3 ms longer, and 512 MiB go through `cat` as fast as unpaced within what the
//!   measurement varies by. A program that reads ahead in a thread of its own, or reads all before it begins, cannot be held back so.
//! - **The bound on bytes is divided, not shared.** Each process may have its equal part of
//!   [`Settings::bytes_in_flight`] outstanding. No process starves another, and consumers that wait for each
//!   other cannot exhaust a common budget. Price: the part of an idle process is not lent out.
//! - **Nothing outlives its run.** Every process is started with a mark in its environment
//!   (`FANFOLD_PROCESS`); when `run` ends, on whatever path, what carries the mark, descends from what does,
//!   or holds the run's standard output is killed. Children stay in the parent's process group, because
//!   Lambda's agent kills that group. Price: one look through /proc per run (measured: 7 µs per process on the
//!   machine; with 86 of them 0.6 of the 1.7 ms that a run of `true` takes), and where the future is dropped in
//!   the middle, a wait in `Drop` until what was killed is gone. What empties its environment, closes every pipe
//!   *and* detaches from its parent is not found.
//! - **No `pre_exec`**, so that a start is a `posix_spawn`: as quick from a parent of 10 GiB as from a small
//!   one. The program is looked up here, and not by `execvp`, for the same reason, and so that a failure can
//!   say what was tried. (The standard library gives children the default SIGPIPE back, which a Rust parent
//!   ignores; a test holds it to that.)
//!
//! - **A death for lack of memory is inferred**: SIGKILL that is not the pool's own, while the kernel's count of such deaths
//!   went up. Price: where two processes of a machine are killed in the same moment, one of them for lack of memory, both seem to be. See
//!   [`Ended::out_of_memory`].
//! - **Memory admits, by what processes were seen to take** ([`Settings::memory_bytes`]); what one was told it may take
//!   is kept by the pool, and not by `RLIMIT_AS`, which counts addresses: Go, the JVM and V8 reserve gigabytes of those that they
//!   never touch. Price: the first processes start unseen, unless a limit is told; and in the tenth of a second between two looks
//!   a process can take some hundred MiB more than it may. The kernel's own limits (cgroups) would see to the byte; Lambda gives
//!   its functions none.
//! - **A pool can be simulated** ([`Pool::simulated`]) and is the same type then, so that what stands on it is tested with the code
//!   that ships, in paused time. Price: a branch for each run, and a module that only tests use.
//!
//! If the parent itself is killed with SIGKILL nobody sweeps: its children then see the end of their standard
//! input, and EPIPE or SIGPIPE on their next write.
//!
//! Linux only: /proc is what makes the third decision possible.
#![deny(unsafe_code)]

mod admission;
mod cgroup;
mod error;
mod feed;
mod fork;
mod inherited;
mod input;
mod leash;
mod leftovers;
mod log;
mod mark;
mod memory;
mod oom;
mod outlet;
mod output;
mod pace;
mod pool;
mod processes;
mod procfs;
mod program;
mod run;
mod simulated;
mod spawn;
mod usage;

pub use error::{RunError, StandardStream, StartError};
pub use fork::{ForkServer, ForkedTask, FrameError, Task, TaskInput, TaskOutput, serve_forks};
pub use inherited::stdout_was_closed;
pub use input::Input;
pub use leftovers::Leftover;
pub use log::{LINE_BYTES_MAX, Log, TAIL_BYTES, Tail};
pub use mark::MARK_VARIABLE;
pub use output::Output;
pub use pool::{Pool, Settings, Turn};
pub use program::Program;
pub use run::{Ended, Exit, InputEnd};
pub use simulated::{Last, SimulatedProcess, Simulation, Step};
pub use usage::{Usage, own_memory_bytes, usage};
