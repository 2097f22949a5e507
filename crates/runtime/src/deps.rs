//! The world as a handler sees it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fanfold_flow::code::Code;
use fanfold_flow::done::Environment;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::problem::Problem;
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::Invoke;
use fanfold_store::Store;
use serde::Serialize;

use crate::error::Error;
use crate::metrics::{Metric, Metrics, Of};
use crate::variables::Variables;

/// Everything outside a handler that it may touch.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Objects.
    pub store: Arc<dyn Store>,
    /// Functions.
    pub invoke: Arc<dyn Invoke>,
    /// Time and chance.
    pub world: Arc<dyn World>,
    /// Where artefacts are kept: a bucket and a prefix.
    pub work: ObjectUri,
    /// The three functions' names.
    pub functions: Functions,
    /// Where numbers go.
    pub metrics: Metrics,
    /// Where this invocation runs.
    pub environment: Environment,
    /// This invocation's id: the same event that is sent twice has two, one that Lambda delivers twice has one.
    pub request_id: String,
}

impl Deps {
    /// The keys of a job's artefacts.
    pub fn keys(&self, job_id: &JobId) -> JobKeys {
        JobKeys::new(&self.work, job_id)
    }

    /// Hands a payload to a function, which runs it some time later, at least once.
    ///
    /// # Errors
    /// When the payload is too large, or the function cannot be invoked.
    pub async fn send(&self, function: &str, payload: &(impl Serialize + Sync)) -> Result<(), Error> {
        let payload = serde_json::to_vec(payload).map_err(|error| {
            Error::caused(Code::Internal, format!("write the payload of {function}"), error)
        })?;
        self.invoke.send(function, Bytes::from(payload)).await?;
        Ok(())
    }

    /// Tells numbers, all of one moment.
    pub fn measure(&self, of: Of<'_>, numbers: &[(Metric, f64)]) {
        self.metrics.emit(of, numbers, self.world.now_ms());
    }
}

/// Time and chance, handed in so that a test can rule both.
pub trait World: fmt::Debug + Send + Sync + 'static {
    /// Now, in milliseconds since 1970 (UTC).
    fn now_ms(&self) -> i64;

    /// A number that nobody else has drawn, on any machine.
    fn random(&self) -> u64;
}

/// The real time, and the operating system's chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWorld;

impl World for SystemWorld {
    fn now_ms(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }

    fn random(&self) -> u64 {
        // The standard library's only door to the system's chance. A generator that is seeded with the time could draw
        // alike on two machines that were started alike, and two workers would both believe that a claim is theirs.
        RandomState::new().hash_one(self.now_ms())
    }
}

/// The three functions, by name or ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Functions {
    /// Who plans and dispatches.
    pub dispatcher: String,
    /// Who runs processes.
    pub worker: String,
    /// Who puts the output together.
    pub reducer: String,
}

/// What every function's environment says: where artefacts are, who the others are, and where metrics go.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) work: ObjectUri,
    pub(crate) functions: Functions,
    pub(crate) metrics: Metrics,
    /// The environment's name.
    pub(crate) environment: String,
}

impl Shared {
    pub(crate) fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let work: Option<ObjectUri> =
            variables.required("FANFOLD_WORK_URI", "where artefacts are kept, such as s3://bucket/prefix/");
        if let Some(work) = &work
            && !work.key.is_empty()
            && !work.key.ends_with('/')
        {
            variables.refuse(Problem::new(
                "FANFOLD_WORK_URI",
                format!("must end with '/', being a prefix: '{work}'"),
            ));
        }
        let dispatcher = variables.required("FANFOLD_DISPATCHER", "the dispatcher function's name or ARN");
        let worker = variables.required("FANFOLD_WORKER", "the worker function's name or ARN");
        let reducer = variables.required("FANFOLD_REDUCER", "the reducer function's name or ARN");
        let metrics = Metrics::read(variables);
        let environment = variables.optional(
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "the log stream of this environment, by which the joblog names it",
        );
        Some(Self {
            work: work?,
            functions: Functions { dispatcher: dispatcher?, worker: worker?, reducer: reducer? },
            metrics,
            environment: environment.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_drawn_at_one_moment_is_drawn_once() {
        let drawn: BTreeSet<u64> = (0..10_000).map(|_| SystemWorld.random()).collect();
        assert_eq!(drawn.len(), 10_000);
    }
}
