//! Tasks in Rust: what a worker of one's own is made of.
//!
//! ```no_run
//! use std::io::{BufRead, Write};
//! use std::process::ExitCode;
//!
//! use fanfold_worker::{Chunk, Input, Output, Task, Tasks};
//!
//! struct Greet;
//!
//! impl Task for Greet {
//!     const NAME: &str = "greet";
//!
//!     fn load() -> anyhow::Result<Greet> {
//!         Ok(Greet)
//!     }
//!
//!     fn run(&self, _: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()> {
//!         for name in input.lines() {
//!             writeln!(output, "Hello, {}!", name?)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     fanfold_worker::main(Tasks::none().with::<Greet>())
//! }
//! ```
//! That is a whole worker. Jobs name the task (`"task": { "name": "greet" }`); the function is deployed with this program as its
//! bootstrap, or a job is run here with `fanfold run --worker-program FILE`.

mod chunk;
mod registry;
mod streams;

use std::num::NonZeroU32;

pub use chunk::Chunk;
pub(crate) use registry::Served;
pub use registry::{RustTasks, Tasks};
pub use streams::{Input, JsonLines, Output};

/// What is done with each chunk, by this program itself.
///
/// What [`load`](Self::load) gives is in memory once, however many processes use it: it is loaded by a process with a single
/// thread, and each that calls [`run`](Self::run) is forked from that one, so pages that are only read are shared. (So counters of
/// references in it, such as `Arc`'s, cost the copy of a page where they are changed.) It stays from one invocation to the next.
pub trait Task: Sized + 'static {
    /// By which jobs name it.
    const NAME: &'static str;

    /// How many chunks a process takes, one after another, before it ends and another is forked; a failure ends it too. More
    /// than one is for chunks that take less time than a fork: some 0.3 ms, and 80 ms for each GiB that was loaded. What
    /// a chunk leaves behind in its process, the next one finds.
    const CHUNKS_PER_PROCESS: NonZeroU32 = NonZeroU32::MIN;

    /// Whether [`load`](Self::load) finds the function's credentials in its environment. [`run`](Self::run) does where the
    /// job's `task.credentials` says so.
    const LOADS_WITH_CREDENTIALS: bool = false;

    /// Loads what the task needs. Must leave no threads running: processes would not have them. What is loaded, each process has as
    /// it was: random numbers that were seeded here come alike in all of them, and a connection would be shared; make such in
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// Fail each chunk; the next one tries again.
    fn load() -> anyhow::Result<Self>;

    /// Does a chunk: reads its records, writes its result. Standard output and standard error are the log, as is a panic's message.
    /// Records that are left unread are no error.
    ///
    /// # Errors
    /// Fail the chunk, which may be tried again (`retries`); what it has written is dropped. A panic, an abort or a signal does
    /// the same.
    fn run(&self, chunk: &Chunk, input: &mut Input<'_>, output: &mut Output<'_>) -> anyhow::Result<()>;
}
