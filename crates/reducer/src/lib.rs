//! The reducer: chunk results become a concat plan and one output.
//!
//! ```text
//! groups -> account: every index once -> elements -> concat plan -> checked -> executed -> report
//! ```
//! The output appears whole or not at all, and S3 itself compares it with the checksum that follows from what the workers
//! took: so a fault anywhere on the way is a failure that says so, never a wrong output. The price is that nothing of a
//! job can be seen in its output before all of it is there.
//!
//! An output may take more time than an invocation has, and any invocation may die. The upload that is under way is noted
//! in the lease; whoever reduces next goes on with it, and makes only the parts that are not there.
#![forbid(unsafe_code)]

mod account;
mod execute;
mod handle;
mod nodes;
mod output;
mod time;
mod verdict;

use std::process::ExitCode;

use fanfold_flow::concat::Limits;
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
            handle(event, deps, &Limits::S3, budget).await.map(|()| json!({}))
        },
    )
}
