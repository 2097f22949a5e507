//! The three functions as they are deployed: each its own bootstrap binary, on the embedded Lambda and S3.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_emulator::lambda::{EnvironmentInfo, Function, Phase, Settings};
use fanfold_emulator::{Config, Emulator};
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::Invoke;
use fanfold_invoke::aws::{LambdaInvoke, LambdaSettings};
use fanfold_store::s3::{S3Settings, S3Store};
use fanfold_store::{ErrorKind, PutOptions, Store, StoreExt};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Process};

/// The bucket of inputs, outputs and artefacts.
pub const BUCKET: &str = "deployed";

/// The variable that marks every process of a deployment.
const MARK: &str = "E2E_DEPLOYMENT";

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The longest that a job of these tests may take, and that is waited for anything.
const JOB_LIMIT: Duration = Duration::from_secs(120);

/// How often the store and the environments are looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What the functions are started from.
#[derive(Clone, Copy, Debug)]
pub struct Bootstraps {
    /// `env!("CARGO_BIN_EXE_e2e-dispatcher")`
    pub dispatcher: &'static str,
    /// `env!("CARGO_BIN_EXE_e2e-worker")`
    pub worker: &'static str,
    /// `env!("CARGO_BIN_EXE_e2e-reducer")`
    pub reducer: &'static str,
    /// The worker's time-out.
    pub worker_timeout: Duration,
}

/// A running emulator with the functions deployed.
#[derive(Debug)]
pub struct Deployment {
    emulator: Emulator,
    store: Arc<S3Store>,
    invoke: LambdaInvoke,
    folder: TempDir,
}

/// A job that was accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct Submitted {
    result: ObjectUri,
}

impl Deployment {
    /// Deploys the functions, as a template would: workers and reducers are tried once, and the dispatcher is told of those
    /// that die. Workers may run commands and have two cores.
    pub async fn start(bootstraps: Bootstraps) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder: {error}"));
        let Bootstraps { dispatcher, worker, reducer, worker_timeout } = bootstraps;
        let mark = folder.path().display().to_string();
        let function = |name: &str, bootstrap: &str, timeout| function(name, bootstrap, timeout, &mark);
        let mut worker = function("worker", worker, worker_timeout);
        worker.memory_mb = 3_008;
        worker.environment.push(("FANFOLD_ALLOW_COMMANDS".into(), "true".into()));
        worker.directory = Some(folder.path().to_owned());
        let mut dispatcher = function("dispatcher", dispatcher, Duration::from_secs(60));
        (dispatcher.maximum_retry_attempts, dispatcher.on_failure) = (2, None);
        let functions = vec![dispatcher, worker, function("reducer", reducer, Duration::from_secs(60))];
        let emulator = Emulator::start(Config {
            data: folder.path().join("emulator"),
            region: "us-east-1".into(),
            access_key_id: "deployed".into(),
            secret_access_key: "deployed-secret".into(),
            s3_address: ([127, 0, 0, 1], 0).into(),
            lambda_address: ([127, 0, 0, 1], 0).into(),
            lambda: Settings { functions, retry_clock: 0.01, ..Settings::default() },
        });
        let emulator = emulator.await.unwrap_or_else(|error| panic!("the emulator: {error}"));
        let credentials = Some(("deployed".to_owned(), "deployed-secret".to_owned()));
        let region = Some("us-east-1".to_owned());
        let store = S3Store::new(S3Settings {
            endpoint: Some(emulator.s3_endpoint()),
            region: region.clone(),
            credentials: credentials.clone(),
        });
        let endpoint = Some(emulator.lambda_endpoint().to_owned());
        let invoke = LambdaInvoke::new(LambdaSettings { endpoint, region, credentials, profile: None });
        let (store, invoke) = (Arc::new(store.await), invoke.await);
        emulator.s3().ensure_bucket(BUCKET).await.unwrap_or_else(|error| panic!("{BUCKET}: {error}"));
        Self { emulator, store, invoke, folder }
    }

    /// The folder in which programs run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts an object.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let at = ObjectUri::new(BUCKET, key);
        let put = self.store.put(&at, bytes.into(), PutOptions::default()).await;
        put.unwrap_or_else(|error| panic!("put {at}: {error}"));
    }

    /// Hands a job to the dispatcher.
    pub async fn submit(&self, job: &Value) -> Submitted {
        let answer = self.invoke.call("dispatcher", Bytes::from(job.to_string())).await;
        let answer = answer.unwrap_or_else(|error| panic!("the dispatcher: {error}"));
        let answer: fanfold_dispatcher::Answer =
            serde_json::from_slice(&answer.payload).unwrap_or_else(|error| panic!("the answer: {error}"));
        Submitted { result: answer.result }
    }

    /// Waits for a job's report. Its counts add up, and no upload is left.
    pub async fn report(&self, job: &Submitted) -> Report {
        self.until("the job's report", async || self.has_ended(job).await).await;
        // What runs after the report was put: chunk results are deleted.
        let drained = tokio::time::timeout(JOB_LIMIT, self.emulator.lambda().drain()).await;
        assert!(drained.is_ok(), "something runs on after the job's end");
        let report: Report =
            self.store.get_json(&job.result).await.unwrap_or_else(|error| panic!("the report: {error}"));
        assert!(report.chunks.add_up(), "{}", report.chunks);
        let uploads =
            self.store.list_uploads(BUCKET, "").await.unwrap_or_else(|error| panic!("list: {error}"));
        assert!(uploads.is_empty(), "no upload outlives its job: {uploads:?}");
        report
    }

    /// Waits for the output of a job that succeeds, of which no chunk result is left.
    pub async fn output(&self, job: &Submitted) -> (Vec<u8>, Report) {
        let report = self.report(job).await;
        assert_eq!(report.status, Status::Succeeded, "{}", report.message);
        let Some(output) = &report.output else { panic!("a job that succeeded has an output") };
        let bytes = self.store.get_bytes(&output.uri, u64::MAX).await;
        let bytes = bytes.unwrap_or_else(|error| panic!("get {}: {error}", output.uri));
        let chunks = format!("work/jobs/{}/chunks/", report.job_id);
        let left = self.store.list_all(BUCKET, &chunks).await.unwrap_or_else(|error| panic!("list: {error}"));
        assert!(left.is_empty(), "{left:?}");
        (bytes.to_vec(), report)
    }

    /// Whether the job's report is there.
    pub async fn has_ended(&self, job: &Submitted) -> bool {
        match self.store.head(&job.result).await {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => panic!("head {}: {error}", job.result),
        }
    }

    /// The environments of this function that serve an event.
    pub fn running(&self, function: &str) -> Vec<EnvironmentInfo> {
        let mut environments = self.emulator.lambda().environments();
        environments.retain(|it| it.function == function && it.phase == Phase::Running);
        environments
    }

    /// Sends a signal to the environments of this function that serve an event, and gives how many there were.
    pub fn signal_running(&self, function: &str, signal: Signal) -> usize {
        let running = self.running(function);
        for environment in &running {
            processes::signal(environment.pid, signal);
        }
        running.len()
    }

    /// Waits until `condition` holds.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(JOB_LIMIT, async {
            while !condition().await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        assert!(waited.await.is_ok(), "{what} did not come within {JOB_LIMIT:?}");
    }

    /// The processes of the functions, and those that they started, whose command line has this part.
    pub fn processes(&self, part: &str) -> Vec<Process> {
        let mut marked = processes::marked(MARK, &self.folder.path().display().to_string());
        marked.retain(|process| process.command.contains(part));
        marked
    }

    /// Stops everything; no process is left.
    pub async fn stop(self) {
        self.emulator.stop().await;
        processes::assert_gone(MARK, &self.folder.path().display().to_string(), GONE_WITHIN);
    }
}

fn function(name: &str, bootstrap: &str, timeout: Duration, mark: &str) -> Function {
    let mut function = Function::new(name, vec![bootstrap.into()]);
    function.memory_mb = 1_024;
    function.timeout = timeout;
    function.maximum_retry_attempts = 0;
    function.on_failure = Some("dispatcher".to_owned());
    let variables = [
        ("FANFOLD_WORK_URI", format!("s3://{BUCKET}/work/")),
        ("FANFOLD_DISPATCHER", "dispatcher".to_owned()),
        ("FANFOLD_WORKER", "worker".to_owned()),
        ("FANFOLD_REDUCER", "reducer".to_owned()),
        ("FANFOLD_WORKER_MEMORY_MB", "3008".to_owned()),
    ];
    function.environment = variables.map(|(name, value)| (name.to_owned(), value)).into();
    function.environment.push((MARK.to_owned(), mark.to_owned()));
    function
}
