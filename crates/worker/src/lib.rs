//! The worker: a partition becomes processes and their chunk results.
//!
//! ```text
//! partition -> input: records, aligned   -> process -> output: what counts, with its CRC -> chunk result
//!           -> ...                        (the pool)                                       -> done record
//! ```
//! Everything streams: a record goes from S3 to the process, and what the process prints goes to S3, without either ever
//! being whole in memory. The price is that a failure may show only after a process has run; its bytes are then dropped,
//! since a result counts only when the partition is committed.
#![forbid(unsafe_code)]

mod attempts;
mod cancel;
mod handle;
mod header;
mod hint;
mod input;
mod output;
mod pack;
mod process;
mod program;
mod reason;
mod runner;
mod settings;
mod shared;
mod task;
mod time;

use std::process::ExitCode;

use fanfold_runtime::{Variable, Variables};
use serde_json::json;

pub use handle::handle;
pub use settings::Settings;
pub use task::{Chunk, Input, JsonLines, Output, RustTasks, Task, Tasks};

/// What the function reads of its environment.
pub fn variables() -> Vec<Variable> {
    fanfold_runtime::variables_of(Settings::read)
}

/// The function's whole program, with these tasks in it. Must be the first thing in `main`: this program is also started, again,
/// to be the fork server of a task, and that is told here.
pub fn main(tasks: Tasks) -> ExitCode {
    if let Some(code) = tasks.serve_forks() {
        return code;
    }
    let read = |variables: &mut Variables<'_>| Some(Settings::read(variables)?.with(&tasks));
    fanfold_runtime::serve(read, async |event, deps, settings: &Settings, budget, _request_id| {
        handle(event, deps, settings, budget).await.map(|()| json!({}))
    })
}
