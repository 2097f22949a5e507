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
mod input;
mod output;
mod pack;
mod process;
mod program;
mod reason;
mod settings;
mod time;

use std::process::ExitCode;

use fanfold_runtime::Variable;
use serde_json::json;

pub use handle::handle;
pub use settings::Settings;

/// What the function reads of its environment.
pub fn variables() -> Vec<Variable> {
    fanfold_runtime::variables_of(Settings::read)
}

/// The function's whole program.
pub fn main() -> ExitCode {
    fanfold_runtime::serve(Settings::read, async |event, deps, settings: &Settings, budget, _request_id| {
        handle(event, deps, settings, budget).await.map(|()| json!({}))
    })
}
