//! What the dispatcher's own environment says.

use std::time::Duration;

use fanfold_flow::limits::{MEMORY_MB_PER_VCPU, VCPUS_MAX};
use fanfold_flow::problem::Problem;
use fanfold_flow::template::Deployment;
use fanfold_flow::time::Span;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Variables;

use crate::deployed::Deployed;
use crate::links::Links;

/// What the dispatcher's own environment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How much memory a worker has, in MB.
    pub worker_memory_mb: u32,
    /// How much memory a process of a worker can have, in MB.
    pub process_memory_mb: u32,
    /// How many cores a worker has, which is how many chunks at once it is given by default.
    pub worker_cores: u32,
    /// The jobs that were deployed with the functions.
    pub deployed: Deployed,
    /// What `{deployment.NAME}` stands for in jobs.
    pub deployment: Deployment,
    /// Where a person finds out more.
    pub links: Links,
    /// How long a job's first events may take to start before a sweep takes them for lost. What else a sweep waits for
    /// follows from it.
    pub sweep_grace: Duration,
}

/// The default of [`Settings::sweep_grace`].
const SWEEP_GRACE: Duration = Duration::from_secs(60);

impl Settings {
    /// A dispatcher whose workers have so many cores, and to which nothing else was deployed.
    pub fn new(worker_cores: u32) -> Self {
        Self {
            worker_memory_mb: worker_cores.saturating_mul(MEMORY_MB_PER_VCPU),
            process_memory_mb: worker_cores.saturating_mul(MEMORY_MB_PER_VCPU),
            worker_cores,
            deployed: Deployed::default(),
            deployment: Deployment::default(),
            links: Links::default(),
            sweep_grace: SWEEP_GRACE,
        }
    }

    /// Reads `FANFOLD_WORKER_MEMORY_MB`, the worker function's memory size; `FANFOLD_WORKER_CORES`, which overrides what
    /// would follow from it; `FANFOLD_PROCESS_MEMORY_MB`, likewise; `FANFOLD_DEPLOYMENT_VALUES` and `FANFOLD_LINKS`, JSON objects; and the deployed jobs, from the
    /// folder that `FANFOLD_JOBS` names.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let memory_mb: Option<u32> =
            variables.required("FANFOLD_WORKER_MEMORY_MB", "the worker function's memory size in MB");
        let cores = variables.optional(
            "FANFOLD_WORKER_CORES",
            "how many processes a worker runs at once, where not one for each core",
        );
        let process_memory_mb = variables.optional(
            "FANFOLD_PROCESS_MEMORY_MB",
            "how much memory a worker's processes share, in MB, where not what its memory size leaves",
        );
        let deployment: Option<Deployment> = variables.optional(
            "FANFOLD_DEPLOYMENT_VALUES",
            "what {deployment.NAME} stands for in jobs: a JSON object of name to text",
        );
        let links: Option<Links> = variables.optional(
            "FANFOLD_LINKS",
            "where a person finds out more: a JSON object of name to URL, in which {job_id} is filled in",
        );
        let sweep_grace: Option<Span> = variables.optional(
            "FANFOLD_SWEEP_GRACE",
            "how long a job's first events may take to start before a sweep takes them for lost, such as 60s",
        );
        let deployment = deployment.unwrap_or_default();
        let deployed = jobs(variables, &deployment);
        let worker_memory_mb = memory_mb?;
        let worker_cores =
            cores.unwrap_or_else(|| worker_memory_mb.div_ceil(MEMORY_MB_PER_VCPU).clamp(1, VCPUS_MAX));
        Some(Self {
            worker_memory_mb,
            process_memory_mb: process_memory_mb.unwrap_or(worker_memory_mb),
            worker_cores,
            deployed,
            deployment,
            links: links.unwrap_or_default(),
            sweep_grace: sweep_grace.map_or(SWEEP_GRACE, |span| span.0),
        })
    }
}

/// The deployed jobs. That there is no such folder is a problem of the environment; what is wrong with a job is that job's
/// alone, and the others run.
fn jobs(variables: &mut Variables<'_>, deployment: &Deployment) -> Deployed {
    let meaning = "the folder of the deployed jobs, of which each file is <name of the job>.json";
    let folder = variables.folder("FANFOLD_JOBS", meaning);
    // That it is there, and right, is for those to say who use it.
    let work: Option<ObjectUri> = variables.optional("FANFOLD_WORK_URI", "where artefacts are kept");
    let Some(folder) = folder else { return Deployed::default() };
    match Deployed::read(&folder, deployment, work.as_ref()) {
        Ok(deployed) => {
            for (name, refused) in deployed.refused() {
                tracing::error!(
                    job = name,
                    "a deployed job is not right and cannot run: {}",
                    refused.problems
                );
            }
            deployed
        }
        Err(Problem { path, message, suggestion }) => {
            variables.refuse(Problem { path: format!("FANFOLD_JOBS: {path}"), message, suggestion });
            Deployed::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_environment_is_told_at_once() {
        let mut variables = Variables::new(|name| match name {
            "FANFOLD_JOBS" => Some("/nowhere/jobs".to_owned()),
            "FANFOLD_LINKS" => Some("[]".to_owned()),
            "FANFOLD_DEPLOYMENT_VALUES" => Some(r#"{ "a b": "x" }"#.to_owned()),
            _ => None,
        });
        let settings = Settings::read(&mut variables);
        let told = variables.finish(settings).unwrap_err().to_string();
        for part in [
            "FANFOLD_WORKER_MEMORY_MB: is missing",
            "FANFOLD_LINKS: is not right",
            "FANFOLD_DEPLOYMENT_VALUES: is not right: 'a b' is no name",
            "FANFOLD_JOBS: /nowhere/jobs: cannot be read",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn a_job_that_is_not_right_keeps_the_dispatcher_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), r#"{ "version": 1, "name": "a" }"#).unwrap();
        let jobs = folder.path().display().to_string();
        let mut variables = Variables::new(|name| match name {
            "FANFOLD_JOBS" => Some(jobs.clone()),
            "FANFOLD_WORKER_MEMORY_MB" => Some("1769".to_owned()),
            _ => None,
        });
        let settings = Settings::read(&mut variables);
        let settings = variables.finish(settings).unwrap();
        let told = settings.deployed.named("a").unwrap_err().to_string();
        assert!(told.contains("source: is missing") && told.contains("output: is missing"), "{told}");
    }
}
