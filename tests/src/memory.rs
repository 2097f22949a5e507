//! The three real handlers over ports in memory. Only the processes are real.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::concat::Limits;
use fanfold_flow::done::Environment;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::written::AsWritten;
use fanfold_invoke::memory::{Failure, Invocation, MemoryInvoke};
use fanfold_invoke::{Answer, Invoke, InvokeError, RequestId};
use fanfold_runtime::{Budget, Deps, Error, Functions, Metric, Metrics, SystemWorld, World};
use fanfold_store::memory::MemoryStore;
use fanfold_store::{PutOptions, Store, StoreExt};
use serde_json::{Value, json};

/// The bucket that inputs, outputs and artefacts share in this world.
pub const BUCKET: &str = "world";

/// How long an invocation may take in this world, in milliseconds: as on Lambda.
const TIMEOUT_MS: i64 = 900_000;

/// Lambda and S3 in memory, with the three functions deployed.
#[derive(Debug)]
pub struct MemoryWorld {
    store: Arc<MemoryStore>,
    invoke: Arc<MemoryInvoke>,
    measured: Arc<Mutex<Vec<Value>>>,
}

/// How a job ended in this world.
#[derive(Debug)]
pub struct Ended {
    /// The report.
    pub report: Report,
    /// The output, where there is one.
    pub output: Option<Vec<u8>>,
}

impl Ended {
    /// The output of a job that succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn output(self) -> Vec<u8> {
        assert_eq!(self.report.status, Status::Succeeded, "{}", self.report.message);
        self.output.unwrap_or_else(|| panic!("a job that succeeded has an output"))
    }
}

impl MemoryWorld {
    /// A world whose workers have so many cores.
    pub fn new(cores: u32) -> Self {
        Self::behind(cores, |store| store)
    }

    /// The same, where the functions reach the store through what `wrap` puts before it.
    pub fn behind(cores: u32, wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let store = Arc::new(MemoryStore::new([BUCKET]));
        let invoke = Arc::new(MemoryInvoke::new());
        let weak = Arc::new(WeakInvoke(Arc::downgrade(&invoke)));
        let mut deps = deps(wrap(store.clone()), weak, Arc::new(SystemWorld));
        let measured: Arc<Mutex<Vec<Value>>> = Arc::default();
        deps.metrics = kept(measured.clone());
        deploy(&invoke, cores, move || deps.clone());
        Self { store, invoke, measured }
    }

    /// Puts an object into the world's bucket.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let at = ObjectUri::new(BUCKET, key);
        self.store
            .put(&at, bytes.into(), PutOptions::default())
            .await
            .unwrap_or_else(|error| panic!("put {at}: {error}"));
    }

    /// Submits a job and waits until nothing runs any more.
    ///
    /// # Errors
    /// The dispatcher's refusal.
    ///
    /// # Panics
    /// When the job leaves no report, or an upload.
    pub async fn run(&self, job: &Value) -> Result<Ended, InvokeError> {
        let answer = self.invoke.call("dispatcher", Bytes::from(AsWritten(job).to_string())).await?;
        self.invoke.idle().await;
        let answer: fanfold_dispatcher::Answer =
            serde_json::from_slice(&answer.payload).unwrap_or_else(|error| panic!("the answer: {error}"));
        let report: Report = self
            .store
            .get_json(&answer.result)
            .await
            .unwrap_or_else(|error| panic!("the report: {error}; {}", self.failures()));
        self.assert_no_uploads().await;
        let output = match &report.output {
            Some(output) => Some(self.get(&output.uri).await),
            None => None,
        };
        Ok(Ended { report, output })
    }

    /// Sends a function an event, and waits until nothing runs any more.
    pub async fn send(&self, function: &str, payload: &Value) {
        let sent = self.invoke.send(function, Bytes::from(payload.to_string())).await;
        sent.unwrap_or_else(|error| panic!("send to {function}: {error}"));
        self.invoke.idle().await;
    }

    /// Begins an upload, and leaves it.
    pub async fn leave_upload(&self, key: &str) {
        let at = ObjectUri::new(BUCKET, key);
        self.store.create_upload(&at, None).await.unwrap_or_else(|error| panic!("begin an upload: {error}"));
    }

    /// Makes sure that no upload is under way.
    pub async fn assert_no_uploads(&self) {
        let uploads =
            self.store.list_uploads(BUCKET, "").await.unwrap_or_else(|error| panic!("list: {error}"));
        assert!(uploads.is_empty(), "no upload outlives its job: {uploads:?}");
    }

    /// The keys of the bucket that begin so.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed =
            self.store.list_all(BUCKET, prefix).await.unwrap_or_else(|error| panic!("list: {error}"));
        listed.into_iter().map(|object| object.key).collect()
    }

    /// How many invocations of a function there were.
    pub fn invocations(&self, function: &str) -> usize {
        self.invoke.deliveries().iter().filter(|delivery| delivery.invocation.function == function).count()
    }

    /// What the functions told under this name, in order.
    pub fn measured(&self, metric: Metric) -> Vec<f64> {
        let lines = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(|line| line[metric.name()].as_f64()).collect()
    }

    async fn get(&self, at: &ObjectUri) -> Vec<u8> {
        self.store.get_bytes(at, u64::MAX).await.unwrap_or_else(|error| panic!("get {at}: {error}")).to_vec()
    }

    fn failures(&self) -> String {
        let failed = self.invoke.deliveries().into_iter().filter_map(|delivery| {
            let error = delivery.outcome?.err()?;
            Some(format!("{}: {error}", delivery.invocation.function))
        });
        failed.collect::<Vec<_>>().join("; ")
    }
}

/// Metrics that are kept, line by line.
fn kept(lines: Arc<Mutex<Vec<Value>>>) -> Metrics {
    let keep = move |line: &str| {
        let line =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("a line of metrics: {error}: {line}"));
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    };
    Metrics::new("Fanfold", Some("memory"), keep).unwrap_or_else(|error| panic!("metrics: {error}"))
}

/// What the functions of a world in memory are given.
pub fn deps(store: Arc<dyn Store>, invoke: Arc<dyn Invoke>, world: Arc<dyn World>) -> Deps {
    Deps {
        store,
        invoke,
        world,
        work: ObjectUri::new(BUCKET, "work/"),
        functions: Functions {
            dispatcher: "dispatcher".to_owned(),
            worker: "worker".to_owned(),
            reducer: "reducer".to_owned(),
        },
        metrics: Metrics::off(),
        environment: Environment::default(),
        request_id: String::new(),
    }
}

/// Makes the three functions known, whose workers have so many cores. Each invocation is given its own `deps`.
pub(crate) fn deploy(
    invoke: &MemoryInvoke,
    cores: u32,
    deps: impl Fn() -> Deps + Clone + Send + Sync + 'static,
) {
    register(invoke, "dispatcher", deps.clone(), move |event, deps, invocation| async move {
        let settings = fanfold_dispatcher::Settings::new(cores);
        let request_id = invocation.request_id.as_str();
        fanfold_dispatcher::handle(event, &deps, &settings, budget(&deps), request_id).await
    });
    register(invoke, "worker", deps.clone(), move |event, deps, _| async move {
        fanfold_worker::handle(event, &deps, &worker_settings(cores), budget(&deps)).await.map(|()| json!({}))
    });
    register(invoke, "reducer", deps, |event, deps, _| async move {
        fanfold_reducer::handle(event, &deps, &Limits::S3, budget(&deps)).await.map(|()| json!({}))
    });
}

fn budget(deps: &Deps) -> Budget {
    Budget::until(deps.world.now_ms() + TIMEOUT_MS)
}

fn worker_settings(cores: u32) -> fanfold_worker::Settings {
    fanfold_worker::Settings {
        cores,
        memory_mb: cores * 1_769,
        process_memory_mb: None,
        rust_tasks: fanfold_worker::RustTasks::default(),
        simulation: None,
        tasks: BTreeMap::from([("translate".to_owned(), vec!["tr".to_owned()])]),
        allow_commands: true,
        directory: None,
        environment: std::env::vars_os().filter(|(name, _)| name == "PATH").collect(),
        credentials: Vec::new(),
    }
}

fn register<D, F, R>(invoke: &MemoryInvoke, name: &str, deps: D, handle: F)
where
    D: Fn() -> Deps + Send + Sync + 'static,
    F: Fn(Value, Deps, Invocation) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Value, Error>> + Send + 'static,
{
    invoke.register(name, move |invocation: Invocation| {
        let deps = Deps { request_id: invocation.request_id.as_str().to_owned(), ..deps() };
        let handle = handle.clone();
        async move {
            let AsWritten(event) = serde_json::from_slice(&invocation.payload)
                .map_err(|error| Failure::new("Runtime.Unmarshal", error.to_string()))?;
            let answer = handle(event, deps, invocation).await;
            let answer = answer.map_err(|error| Failure::new(error.code.as_str(), error.chain()))?;
            Ok(Bytes::from(answer.to_string()))
        }
    });
}

/// The functions' own way to the functions, which must not keep them alive.
pub(crate) struct WeakInvoke(pub(crate) Weak<MemoryInvoke>);

impl fmt::Debug for WeakInvoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakInvoke")
    }
}

impl WeakInvoke {
    fn upgrade(&self, function: &str) -> Result<Arc<MemoryInvoke>, InvokeError> {
        self.0.upgrade().ok_or_else(|| InvokeError::NotFound {
            function: function.to_owned(),
            message: "the world has ended".to_owned(),
        })
    }
}

#[async_trait]
impl Invoke for WeakInvoke {
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError> {
        self.upgrade(function)?.call(function, payload).await
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        self.upgrade(function)?.send(function, payload).await
    }
}
