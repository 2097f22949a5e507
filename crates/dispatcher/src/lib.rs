//! The dispatcher: an event becomes a job, a plan, and partitions under way.
//!
//! ```text
//! event -> requests: which job, under which id, for what  -> plan    -> partitions sent to workers
//!          (jobs of the event, deployed jobs by name,        (once)     (lanes, or a tree of invocations)
//!           deployed jobs by object)
//! ```
//! A function that can be repeated at any point: the job id follows from the trigger, the plan is written with
//! `If-None-Match: *`, and whoever comes second loads it and goes on from there. The price of planning in one invocation
//! is that the listing must fit into its memory: about 300 bytes an object.
#![forbid(unsafe_code)]

mod answer;
mod cancel;
mod deployed;
mod fan_out;
mod handle;
mod help;
mod links;
mod listing;
mod marker;
mod merge_patch;
mod recover;
mod redrive;
mod request;
mod runs;
mod settings;
mod status;
mod submit;
mod sweep;
mod verify;
mod wait;
#[cfg(test)]
mod world;

use std::process::ExitCode;

use fanfold_runtime::Variable;

pub use answer::Answer;
pub use deployed::Deployed;
pub use handle::handle;
pub use links::Links;
pub use listing::{ListingError, list};
pub use settings::Settings;
pub use status::{Redriven, Share, Standing, State};

/// What the function reads of its environment.
pub fn variables() -> Vec<Variable> {
    fanfold_runtime::variables_of(Settings::read)
}

/// The function's whole program.
pub fn main() -> ExitCode {
    fanfold_runtime::serve(Settings::read, async |event, deps, settings: &Settings, budget, request_id| {
        handle(event, deps, settings, budget, request_id).await
    })
}
