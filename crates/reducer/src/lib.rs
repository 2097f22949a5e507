//! The reducer: chunk results become a concat plan and one output.
//!
//! ```text
//! groups -> account: every index once -> elements -> concat plan -> checked -> executed -> report
//! ```
//! The output appears whole or not at all, and S3 itself compares it with the checksum that follows from what the workers
//! took: so a fault anywhere on the way is a failure that says so, never a wrong output. The price is that nothing of a
//! job can be seen in its output before all of it is there.
#![forbid(unsafe_code)]

mod account;
mod execute;
mod handle;

use std::process::ExitCode;

use fanfold_runtime::Variable;
use serde_json::json;

pub use handle::handle;

/// What the function reads of its environment: what all three read, and nothing of its own.
pub fn variables() -> Vec<Variable> {
    fanfold_runtime::variables_of(|_| Some(()))
}

/// The function's whole program.
pub fn main() -> ExitCode {
    fanfold_runtime::serve(
        |_| Some(()),
        async |event, deps, (): &(), budget, _request_id| {
            handle(event, deps, budget).await.map(|()| json!({}))
        },
    )
}
