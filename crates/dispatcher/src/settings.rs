//! What the dispatcher's own environment says.

use fanfold_flow::limits::{MEMORY_MB_PER_VCPU, VCPUS_MAX};
use fanfold_runtime::Variables;

use crate::links::Links;

/// What the dispatcher's own environment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How many cores a worker has, which is how many chunks at once it is given by default.
    pub worker_cores: u32,
    /// Where a person finds out more.
    pub links: Links,
}

impl Settings {
    /// A dispatcher whose workers have so many cores, and to which nothing else was deployed.
    pub fn new(worker_cores: u32) -> Self {
        Self { worker_cores, links: Links::default() }
    }

    /// Reads `FANFOLD_WORKER_MEMORY_MB`, the worker function's memory size; `FANFOLD_WORKER_CORES`, which overrides what
    /// would follow from it; and `FANFOLD_LINKS`.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let memory_mb: Option<u32> =
            variables.required("FANFOLD_WORKER_MEMORY_MB", "the worker function's memory size in MB");
        let cores = variables.optional(
            "FANFOLD_WORKER_CORES",
            "how many processes a worker runs at once, where not one for each core",
        );
        let links: Option<Links> = variables.optional(
            "FANFOLD_LINKS",
            "where a person finds out more: a JSON object of name to URL, in which {job_id} is filled in",
        );
        let memory_mb = memory_mb?;
        Some(Self {
            worker_cores: cores.unwrap_or_else(|| memory_mb.div_ceil(MEMORY_MB_PER_VCPU).clamp(1, VCPUS_MAX)),
            links: links.unwrap_or_default(),
        })
    }
}
