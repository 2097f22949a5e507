//! The dispatcher: an event becomes a job, a plan, and partitions under way.
//!
//! A function that can be repeated at any point: the job id follows from the trigger, the plan is written with
//! `If-None-Match: *`, and whoever comes second loads it and goes on from there. The price of planning in one invocation
//! is that the listing must fit into its memory: about 300 bytes an object.
#![forbid(unsafe_code)]

mod answer;
mod fan_out;
mod handle;
mod listing;
mod recover;
mod submit;

use std::process::ExitCode;

use fanfold_flow::limits::{MEMORY_MB_PER_VCPU, VCPUS_MAX};
use fanfold_runtime::{Variable, Variables};

pub use answer::Answer;
pub use handle::handle;
pub use listing::{ListingError, list};

/// What the dispatcher's own environment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many cores a worker has, which is how many chunks at once it is given by default.
    pub worker_cores: u32,
}

impl Settings {
    /// Reads `FANFOLD_WORKER_MEMORY_MB`, the worker function's memory size, and `FANFOLD_WORKER_CORES`, which overrides
    /// what would follow from it.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let memory_mb: Option<u32> =
            variables.required("FANFOLD_WORKER_MEMORY_MB", "the worker function's memory size in MB");
        let cores = variables.optional(
            "FANFOLD_WORKER_CORES",
            "how many processes a worker runs at once, where not one for each core",
        );
        let memory_mb = memory_mb?;
        Some(Self {
            worker_cores: cores.unwrap_or_else(|| memory_mb.div_ceil(MEMORY_MB_PER_VCPU).clamp(1, VCPUS_MAX)),
        })
    }
}

/// What the function reads of its environment.
pub fn variables() -> Vec<Variable> {
    fanfold_runtime::variables_of(Settings::read)
}

/// The function's whole program.
pub fn main() -> ExitCode {
    fanfold_runtime::serve(Settings::read, async |event, deps, settings: &Settings, _budget, request_id| {
        handle(event, deps, settings, request_id).await
    })
}
