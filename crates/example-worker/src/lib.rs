//! A worker with two tasks of its own: what users copy, and then change. Theirs may well be one `main.rs`; this one is a library
//! too, so that tests can have it as a program of theirs.
//!
//! ```text
//! cargo build --release -p fanfold-example-worker
//! fanfold run job.json --worker-program target/release/fanfold-example-worker
//! ```
//! where the job says `"task": { "name": "redact" }`, or `"score"`.
#![forbid(unsafe_code)]

mod redact;
mod score;

use std::process::ExitCode;

use fanfold_worker::Tasks;

/// The whole program.
pub fn main() -> ExitCode {
    fanfold_worker::main(Tasks::none().with::<redact::Redact>().with::<score::Score>())
}
