//! A world for tests: ports in memory, a clock that is set, and functions that only take note of what they are sent. What
//! workers and reducers would do, the test does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Environment, Failure};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Output, Report};
use fanfold_flow::result::ChunkResult;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::version::Version;
use fanfold_gather::{Claim, NoOutput, Sent, advance_group, claim_attempt, commit, finish, read_account};
use fanfold_invoke::memory::MemoryInvoke;
use fanfold_runtime::{Budget, Deps, Functions, Metric, Metrics, SystemWorld, World as Clockwork};
use fanfold_store::StoreExt;
use fanfold_store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::{Settings, handle};

/// How long an invocation may take in this world.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(900);

/// A clock that stands until it is set on.
#[derive(Debug)]
pub(crate) struct Clock(AtomicI64);

impl Clockwork for Clock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        SystemWorld.random()
    }
}

/// A dispatcher with one job, `one`.
pub(crate) struct World {
    pub(crate) deps: Deps,
    pub(crate) keys: JobKeys,
    clock: Arc<Clock>,
    invoke: Arc<MemoryInvoke>,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl World {
    /// A job of so many partitions of one chunk each, tried twice at most, in lanes where they are limited; submitted.
    pub(crate) async fn with_job(partitions: u64, max_concurrency: Option<u32>) -> Self {
        let invoke = Arc::new(MemoryInvoke::new());
        for name in ["dispatcher", "worker", "reducer"] {
            invoke.register(name, |_| async { Ok(Bytes::from_static(b"{}")) });
        }
        let clock = Arc::new(Clock(AtomicI64::new(1_000_000)));
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = lines.clone();
        let keep = move |line: &str| kept.lock().unwrap().push(serde_json::from_str(line).unwrap());
        let metrics = Metrics::new("Test", Some("test"), keep).unwrap();
        let deps = Deps {
            store: Arc::new(MemoryStore::new(["world"])),
            invoke: invoke.clone(),
            world: clock.clone(),
            work: ObjectUri::new("world", "work/"),
            functions: Functions {
                dispatcher: "dispatcher".to_owned(),
                worker: "worker".to_owned(),
                reducer: "reducer".to_owned(),
            },
            metrics,
            environment: Environment::default(),
            request_id: "request".to_owned(),
        };
        let keys = deps.keys(&"one".parse().unwrap());
        let world = Self { deps, keys, clock, invoke, lines };
        let job = json!({
            "version": 1,
            "name": "one",
            "source": { "range": { "end": partitions, "chunk": 1 } },
            "task": { "command": ["true"] },
            "output": { "uri": "s3://world/out" },
            "max_concurrency": max_concurrency,
            "retries": 1,
            "token": "one"
        });
        world.dispatch(&job).await;
        world
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget::until(self.now_ms() + i64::try_from(TIMEOUT.as_millis()).unwrap())
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// What the dispatcher answers to an event.
    pub(crate) async fn dispatch(&self, event: &Value) -> Value {
        handle(event.clone(), &self.deps, &Settings::new(1), self.budget(), "request").await.unwrap()
    }

    /// What was sent to a function so far, as `(partition, attempt)`; to the reducer, as `(0, attempt)`.
    pub(crate) async fn sent(&self, function: &str) -> Vec<(u64, u64)> {
        let sent = self.payloads(function).await.into_iter().map(|payload| {
            (payload["number"].as_u64().unwrap_or(0), payload["attempt"].as_u64().unwrap_or(0))
        });
        let mut sent: Vec<_> = sent.collect();
        sent.sort_unstable();
        sent
    }

    /// What was sent to a function so far, in order.
    pub(crate) async fn payloads(&self, function: &str) -> Vec<Value> {
        self.invoke.idle().await;
        let deliveries = self.invoke.deliveries().into_iter().map(|delivery| delivery.invocation);
        let sent = deliveries.filter(|invocation| invocation.function == function);
        sent.map(|invocation| serde_json::from_slice(&invocation.payload).unwrap()).collect()
    }

    /// The sum of all numbers that were told under this name.
    pub(crate) fn measured(&self, metric: Metric) -> f64 {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| line[metric.name()].as_f64()).sum()
    }

    pub(crate) async fn plan(&self) -> Plan {
        self.deps.store.get_json(&self.keys.plan()).await.unwrap()
    }

    /// A worker begins with an attempt that it was sent.
    pub(crate) async fn begins(&self, partition: u64, attempt: u32) {
        let payload = self.plan().await.partition(partition, attempt).unwrap();
        let claim =
            claim_attempt(&self.deps, &payload, attempt, &Sent::of(&payload, "request"), self.budget()).await;
        assert_eq!(claim.unwrap(), Claim::Ours);
    }

    /// A worker commits a partition, and dies before it looks any further.
    pub(crate) async fn commits(&self, partition: u64, attempt: u32) {
        let payload = self.plan().await.partition(partition, attempt).unwrap();
        let results = payload.chunks.iter().map(|chunk| self.result(chunk, attempt)).collect();
        self.commits_done(&payload, Done { results, ..nothing(&payload) }).await;
    }

    /// The same of a partition in which every chunk has failed.
    pub(crate) async fn fails(&self, partition: u64) {
        let payload = self.plan().await.partition(partition, 1).unwrap();
        let message = "the program exited with status 3";
        let failure = |chunk| Failure::of(chunk, partition, 1, Code::ProgramFailed, message);
        let failures = payload.chunks.iter().map(failure).collect();
        self.commits_done(&payload, Done { failures, ..nothing(&payload) }).await;
    }

    /// A worker commits this outcome.
    pub(crate) async fn commits_done(&self, payload: &Partition, done: Done) {
        let job = self.deps.store.get_json(&self.keys.job()).await.unwrap();
        commit(&self.deps, &job, payload, done).await.unwrap();
    }

    /// What a process left of a chunk: nothing but that it ran.
    pub(crate) fn result(&self, chunk: &Chunk, attempt: u32) -> ChunkResult {
        ChunkResult {
            index: chunk.index,
            cut: chunk.cut,
            hop: 0,
            attempt,
            stored: None,
            header: None,
            records: 7,
            input: None,
            bytes_in: 9,
            bytes_out: 0,
            started_ms: self.now_ms(),
            wall_ms: 1,
        }
    }

    /// All groups are merged, and a reducer ends the job so.
    pub(crate) async fn ends(&self, ended: Result<Output, NoOutput>) -> Report {
        let (job, plan) = (self.deps.store.get_json(&self.keys.job()).await.unwrap(), self.plan().await);
        for group in 0..plan.grouping().groups() {
            advance_group(&self.deps, &plan.job_id, plan.grouping(), group).await.unwrap();
        }
        let account = read_account(&self.deps, &plan).await.unwrap();
        let report = account.report(&job, &plan, ended, self.now_ms());
        finish(&self.deps, &self.keys, report).await.unwrap();
        self.report().await.unwrap()
    }

    /// The same world, looked at for another run.
    pub(crate) fn of_run(&self, job_id: &str) -> Self {
        Self {
            deps: self.deps.clone(),
            keys: self.deps.keys(&job_id.parse().unwrap()),
            clock: self.clock.clone(),
            invoke: self.invoke.clone(),
            lines: self.lines.clone(),
        }
    }

    /// The dispatcher is told that the last of the reducers has died.
    pub(crate) async fn reducers_die(&self) {
        let payload = json!({ "version": 1, "reduce": "one", "attempt": 3 });
        let response = json!({ "errorType": "Runtime.ExitError", "errorMessage": "it was killed" });
        self.dispatch(
            &json!({
                "requestContext": { "requestId": "request" }, "requestPayload": payload, "responsePayload": response
            }),
        )
        .await;
    }

    pub(crate) async fn outcome(&self, partition: u64) -> Option<Done> {
        let group = self.plan().await.grouping().group_of(partition);
        self.deps.store.get_json(&self.keys.done(group, partition)).await.ok()
    }

    pub(crate) async fn report(&self) -> Option<Report> {
        self.deps.store.get_json(&self.keys.result()).await.ok()
    }

    pub(crate) async fn is_there(&self, at: &ObjectUri) -> bool {
        self.deps.store.head(at).await.is_ok()
    }
}

/// The outcome of a partition that came to nothing yet.
pub(crate) fn nothing(payload: &Partition) -> Done {
    Done {
        version: Version,
        partition: payload.number,
        attempts: payload.attempt,
        results: Vec::new(),
        failures: Vec::new(),
        tries: Vec::new(),
        deaths: Vec::new(),
        environments: vec![None],
    }
}
