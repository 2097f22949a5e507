//! The three functions as they are deployed: each its own bootstrap binary, on the embedded Lambda and S3.
//!
//! Either with settings of the tests' own, or as CDK synthesized them ([`synthesized_template`]).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_emulator::lambda::{EnvironmentInfo, Function, Phase, Settings};
use fanfold_emulator::template::Template;
use fanfold_emulator::{Config, Emulator};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::aws::{LambdaInvoke, LambdaSettings};
use fanfold_invoke::{Invoke, InvokeError};
use fanfold_store::s3::{S3Settings, S3Store};
use fanfold_store::{ErrorKind, PutOptions, Store, StoreExt};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Process};

/// The bucket of inputs, outputs and artefacts, where no template names one.
pub const BUCKET: &str = "deployed";

/// The region, which templates are resolved for.
const REGION: &str = "us-east-1";

/// The access key's id and secret.
const KEY: (&str, &str) = ("deployed", "deployed-secret");

/// The tests' own access key, which is spared by faults: what a test asks for, it gets.
const SPARED_KEY: (&str, &str) = ("test", "test-secret");

/// Where artefacts are in the bucket.
const WORK: &str = "work/";

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
    dispatcher: String,
    bucket: String,
    folder: TempDir,
}

/// The template that `tests/run` has synthesized, with the functions' programs beside it. Without one, a test that needs it is
/// skipped, and says so.
pub fn synthesized_template() -> Option<PathBuf> {
    let path = std::env::var_os("FANFOLD_TEST_TEMPLATE").map(PathBuf::from);
    if path.is_none() {
        // Past the capture of tests' output, so that a skip is seen and counted.
        let skipped = "skipped: FANFOLD_TEST_TEMPLATE names no synthesized template (tests/run makes one)";
        let _told = writeln!(std::io::stderr(), "{skipped}");
    }
    path
}

/// Reads a template as the emulator does.
///
/// # Panics
/// When it cannot be emulated.
pub fn read_template(path: &Path) -> Template {
    Template::read(path, REGION).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
        Self::start_with(bootstraps, |_| {}).await
    }

    /// As [`Deployment::start`]; each function may be changed before it is deployed.
    pub async fn start_with(bootstraps: Bootstraps, change: impl FnMut(&mut Function)) -> Self {
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
        let mut functions = vec![dispatcher, worker, function("reducer", reducer, Duration::from_secs(60))];
        functions.iter_mut().for_each(change);
        let settings = Settings { functions, retry_clock: 0.01, ..Settings::default() };
        let emulator = Emulator::start(config(folder.path(), settings)).await;
        let emulator = emulator.unwrap_or_else(|error| panic!("the emulator: {error}"));
        emulator.s3().ensure_bucket(BUCKET).await.unwrap_or_else(|error| panic!("{BUCKET}: {error}"));
        Self::of(emulator, folder, "dispatcher", BUCKET).await
    }

    /// Deploys a template with one pipeline and one bucket: what was synthesized is what runs.
    pub async fn of_template(mut template: Template) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder: {error}"));
        let mark = folder.path().display().to_string();
        for function in &mut template.functions {
            function.environment.push((MARK.to_owned(), mark.clone()));
        }
        let dispatcher = template.functions.iter().find(|it| it.name.ends_with("-dispatcher"));
        let dispatcher = dispatcher.map_or_else(|| panic!("no dispatcher"), |it| it.name.clone());
        let [bucket] = &template.buckets[..] else { panic!("one bucket: {:?}", template.buckets) };
        let bucket = bucket.name.clone();
        let settings = Settings { retry_clock: 0.01, ..Settings::default() };
        let emulator = Emulator::deploy(config(folder.path(), settings), template).await;
        let emulator = emulator.unwrap_or_else(|error| panic!("the emulator: {error}"));
        Self::of(emulator, folder, &dispatcher, &bucket).await
    }

    async fn of(emulator: Emulator, folder: TempDir, dispatcher: &str, bucket: &str) -> Self {
        emulator.spare(SPARED_KEY.0, SPARED_KEY.1);
        let credentials = Some((SPARED_KEY.0.to_owned(), SPARED_KEY.1.to_owned()));
        let region = Some(REGION.to_owned());
        let endpoint = Some(emulator.s3_endpoint());
        let settings =
            S3Settings { endpoint, region: region.clone(), credentials: credentials.clone(), profile: None };
        let store = S3Store::new(settings);
        let endpoint = Some(emulator.lambda_endpoint().to_owned());
        let invoke = LambdaInvoke::new(LambdaSettings { endpoint, region, credentials, profile: None });
        let (store, invoke) = (Arc::new(store.await), invoke.await);
        Self { emulator, store, invoke, dispatcher: dispatcher.to_owned(), bucket: bucket.to_owned(), folder }
    }

    /// Lambda and S3, to have faults made, for example.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// The store, as a test sees it, whatever faults there are.
    pub fn store(&self) -> &S3Store {
        &self.store
    }

    /// The bucket of inputs, outputs and artefacts.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The variables with which other programs reach it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.emulator.environment()
    }

    /// The folder in which programs run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts an object.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let at = ObjectUri::new(&self.bucket, key);
        let put = self.store.put(&at, bytes.into(), PutOptions::default()).await;
        put.unwrap_or_else(|error| panic!("put {at}: {error}"));
    }

    /// The bytes of an object.
    pub async fn get(&self, at: &ObjectUri) -> Vec<u8> {
        let bytes = self.store.get_bytes(at, u64::MAX).await;
        bytes.unwrap_or_else(|error| panic!("get {at}: {error}")).to_vec()
    }

    /// What the dispatcher answers to an event, as a synchronous caller sees it.
    ///
    /// # Errors
    /// Its refusal.
    pub async fn call(&self, event: &Value) -> Result<Value, InvokeError> {
        let answer = self.invoke.call(&self.dispatcher, Bytes::from(event.to_string())).await?;
        Ok(serde_json::from_slice(&answer.payload).unwrap_or_else(|error| panic!("the answer: {error}")))
    }

    /// Sends a function an event.
    pub async fn send(&self, function: &str, event: &Value) {
        let sent = self.invoke.send(function, Bytes::from(event.to_string())).await;
        sent.unwrap_or_else(|error| panic!("send {function} an event: {error}"));
    }

    /// Hands a job to the dispatcher.
    pub async fn submit(&self, job: &Value) -> Submitted {
        let answer = self.call(job).await.unwrap_or_else(|error| panic!("the dispatcher: {error}"));
        Submitted::of(answer)
    }

    /// Waits until nothing is under way any more, and gives all runs that there ever were, in the order of their ids. No event
    /// was given up.
    pub async fn runs(&self) -> Vec<Submitted> {
        let drained = tokio::time::timeout(JOB_LIMIT, self.emulator.lambda().drain()).await;
        assert!(drained.is_ok(), "something runs on");
        for queue in self.emulator.queues().names() {
            let letters = self.emulator.queues().messages(queue);
            assert!(letters.as_ref().is_ok_and(Vec::is_empty), "an event was given up: {queue}: {letters:?}");
        }
        let jobs = format!("{WORK}jobs/");
        let listed = self.store.list_all(&self.bucket, &jobs).await;
        let listed = listed.unwrap_or_else(|error| panic!("list: {error}"));
        let folders: BTreeSet<&str> =
            listed.iter().filter_map(|it| it.key.strip_prefix(&jobs)?.split('/').next()).collect();
        let result = |id: &&str| ObjectUri::new(&self.bucket, format!("{jobs}{id}/result.json"));
        folders.iter().map(|id| Submitted { result: result(id) }).collect()
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
            self.store.list_uploads(&self.bucket, "").await.unwrap_or_else(|error| panic!("list: {error}"));
        assert!(uploads.is_empty(), "no upload outlives its job: {uploads:?}");
        report
    }

    /// Waits for the output of a job that succeeds, of which no chunk result is left.
    pub async fn output(&self, job: &Submitted) -> (Vec<u8>, Report) {
        let report = self.report(job).await;
        assert_eq!(report.status, Status::Succeeded, "{}", report.message);
        let Some(output) = &report.output else { panic!("a job that succeeded has an output") };
        let bytes = self.get(&output.uri).await;
        let chunks = format!("{WORK}jobs/{}/chunks/", report.job_id);
        let left =
            self.store.list_all(&self.bucket, &chunks).await.unwrap_or_else(|error| panic!("list: {error}"));
        assert!(left.is_empty(), "{left:?}");
        (bytes, report)
    }

    /// The joblog of a job that has ended.
    pub async fn joblog(&self, job: &Submitted) -> String {
        let key = job.result.key.replace("result.json", "joblog.tsv");
        let bytes = self.get(&ObjectUri::new(&self.bucket, key)).await;
        String::from_utf8(bytes).unwrap_or_else(|error| panic!("the joblog: {error}"))
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

impl Submitted {
    /// A run whose artefacts have these keys.
    pub fn with_keys(keys: &JobKeys) -> Self {
        Self { result: keys.result() }
    }

    /// What the dispatcher answered to a job.
    pub fn of(answer: Value) -> Self {
        let answer: fanfold_dispatcher::Answer =
            serde_json::from_value(answer).unwrap_or_else(|error| panic!("the answer: {error}"));
        Self { result: answer.result }
    }
}

fn config(folder: &Path, lambda: Settings) -> Config {
    Config {
        data: folder.join("emulator"),
        region: REGION.into(),
        access_key_id: KEY.0.into(),
        secret_access_key: KEY.1.into(),
        s3_address: ([127, 0, 0, 1], 0).into(),
        lambda_address: ([127, 0, 0, 1], 0).into(),
        lambda,
    }
}

fn function(name: &str, bootstrap: &str, timeout: Duration, mark: &str) -> Function {
    let mut function = Function::new(name, vec![bootstrap.into()]);
    function.memory_mb = 1_024;
    function.timeout = timeout;
    function.maximum_retry_attempts = 0;
    function.on_failure = Some("dispatcher".to_owned());
    let variables = [
        ("FANFOLD_WORK_URI", format!("s3://{BUCKET}/{WORK}")),
        ("FANFOLD_DISPATCHER", "dispatcher".to_owned()),
        ("FANFOLD_WORKER", "worker".to_owned()),
        ("FANFOLD_REDUCER", "reducer".to_owned()),
        ("FANFOLD_WORKER_MEMORY_MB", "3008".to_owned()),
    ];
    function.environment = variables.map(|(name, value)| (name.to_owned(), value)).into();
    function.environment.push((MARK.to_owned(), mark.to_owned()));
    function
}
