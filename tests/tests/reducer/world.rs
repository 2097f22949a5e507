//! A gathered job, and reducers that put its output together in memory: each invocation lives as long as it is told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::concat::{ConcatPlan, Limits};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::{Answer, Invoke, InvokeError, Mode, RequestId};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::counting::{Counting, Counts};
use fanfold_store::faults::{Call, Decide, Decision, Faulty, Pass};
use fanfold_store::memory::{MemorySettings, MemoryStore};
use fanfold_store::{ErrorKind, Operation, Store, StoreExt};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(crate) use e2e::memory::BUCKET;

/// When time begins, in milliseconds since 1970 (UTC).
const EPOCH_MS: i64 = 1_793_610_000_000;

/// How long an invocation may take, unless a test says otherwise.
pub(crate) const TIME: Duration = Duration::from_secs(900);

/// S3's limits, some 80,000 times smaller.
pub(crate) const SMALL: Limits = Limits {
    parts: 10_000,
    part_bytes_min: 64,
    part_bytes_max: 4_096,
    copy_bytes: 256,
    streamed_bytes: 256,
    node_requests: 1,
};

/// The same with so few parts that an output of some twenty pieces takes nodes.
pub(crate) const FEW_PARTS: Limits = Limits { parts: 16, node_requests: 2, ..SMALL };

/// Time as tokio has it, which the tests have paused; and numbers that come once.
#[derive(Debug)]
struct Clock(Instant, AtomicU64);

impl fanfold_runtime::World for Clock {
    fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    fn random(&self) -> u64 {
        // Spread over all numbers, as those drawn by lot are.
        self.1.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// Events that were sent and have not come yet.
#[derive(Debug, Default)]
struct Outbox(Mutex<VecDeque<(String, Value)>>);

impl Outbox {
    fn take(&self) -> Option<(String, Value)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The functions, as an invocation reaches them: it may have died.
#[derive(Debug)]
struct Sender(Arc<Outbox>, Life);

#[async_trait]
impl Invoke for Sender {
    async fn call(&self, function: &str, _: Bytes) -> Result<Answer, InvokeError> {
        panic!("nobody waits for {function}")
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        Mode::Send.check_payload(function, &payload)?;
        let dead = || {
            let message = "whoever asks is dead".to_owned();
            Err(InvokeError::NotFound { function: function.to_owned(), message })
        };
        let end = self.1.ask();
        if end == End::Now {
            return dead();
        }
        let payload = serde_json::from_slice(&payload).unwrap();
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((function.to_owned(), payload));
        if end == End::AfterThis { dead() } else { Ok(RequestId::new("sent")) }
    }
}

/// How many requests to store and functions are answered, and whether the one after those is done all the same.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    left: Arc<AtomicI64>,
    last_is_done: bool,
}

#[derive(PartialEq, Eq)]
enum End {
    NotYet,
    Now,
    AfterThis,
}

impl Life {
    pub(crate) fn of(requests: i64, last_is_done: bool) -> Self {
        Self { left: Arc::new(AtomicI64::new(requests)), last_is_done }
    }

    pub(crate) fn long() -> Self {
        Self::of(i64::MAX, false)
    }

    fn ask(&self) -> End {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            1.. => End::NotYet,
            0 if self.last_is_done => End::AfterThis,
            _ => End::Now,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }
}

/// Ends a life at the store: refuses, since whoever is refused does not try again.
struct Mortal<D>(Life, D);

impl<D: Decide> Decide for Mortal<D> {
    fn decide(&self, call: &Call<'_>) -> Decision {
        match self.0.ask() {
            End::NotYet => self.1.decide(call),
            End::Now => Decision::Fail(ErrorKind::Denied),
            End::AfterThis => Decision::LoseAnswer(ErrorKind::Denied),
        }
    }
}

/// An invocation of the reducer that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) event: Value,
    pub(crate) request_id: String,
    pub(crate) ended: Result<(), Error>,
    pub(crate) calls: Counts,
}

impl Ran {
    /// How many parts it asked for.
    pub(crate) fn parts(&self) -> u64 {
        self.calls.of(Operation::CopyPart) + self.calls.of(Operation::UploadPart)
    }
}

/// A job of which every chunk has its outcome, before anybody has reduced it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) keys: JobKeys,
    pub(crate) output: ObjectUri,
    pub(crate) whole: Vec<u8>,
    clock: Arc<Clock>,
    outbox: Arc<Outbox>,
    limits: Limits,
    invocations: AtomicU64,
}

impl World {
    /// A job whose chunks left results of these sizes. The reducer's first event is on its way.
    pub(crate) async fn of(sizes: &[usize], limits: Limits) -> Self {
        let settings = MemorySettings { part_bytes_min: limits.part_bytes_min, ..MemorySettings::default() };
        let work = ObjectUri::new(BUCKET, "work/");
        let output = ObjectUri::new(BUCKET, "out");
        let world = Self {
            store: Arc::new(MemoryStore::with_settings([BUCKET], settings)),
            keys: JobKeys::new(&work, &"job".parse().unwrap()),
            output,
            whole: Vec::new(),
            clock: Arc::new(Clock(Instant::now(), AtomicU64::new(1))),
            outbox: Arc::default(),
            limits,
            invocations: AtomicU64::new(0),
        };
        let source = json!({ "range": { "end": sizes.len(), "chunk": 1 } });
        world
            .dispatch(&json!({
                "version": 1, "name": "job", "source": source, "task": { "name": "task" }, "token": "job",
                "output": { "uri": world.output.to_string() }
            }))
            .await;
        // The workers: here they are not needed.
        while world.outbox.take().is_some() {}
        let world = Self { whole: world.gathered(sizes).await, ..world };
        world.send_reduce(json!({ "version": 1, "reduce": "job", "attempt": 1 }));
        world
    }

    /// What the workers leave: results of these sizes, and the merged records of them.
    async fn gathered(&self, sizes: &[usize]) -> Vec<u8> {
        // Bytes whose period is a prime.
        let whole: Vec<u8> = (0..sizes.iter().sum()).map(|place: usize| (place % 251) as u8).collect();
        let mut end = 0;
        let ends = sizes.iter().map(|size| {
            end += size;
            end
        });
        let ends: Vec<usize> = ends.collect();
        let content = |index: u64| {
            let index = usize::try_from(index).unwrap();
            Bytes::copy_from_slice(&whole[ends[index] - sizes[index]..ends[index]])
        };
        e2e::gathered::leave_results(&*self.store, &self.keys, EPOCH_MS, content).await;
        whole
    }

    fn deps(&self, store: Arc<dyn Store>, life: &Life, request_id: &str) -> Deps {
        let invoke = Arc::new(Sender(self.outbox.clone(), life.clone()));
        Deps { request_id: request_id.to_owned(), ..e2e::memory::deps(store, invoke, self.clock.clone()) }
    }

    fn budget(&self, time: Duration) -> Budget {
        use fanfold_runtime::World as _;
        Budget::until(self.clock.now_ms() + i64::try_from(time.as_millis()).unwrap())
    }

    fn request_id(&self) -> String {
        format!("invocation-{}", self.invocations.fetch_add(1, Ordering::Relaxed))
    }

    /// Has the dispatcher handle an event, which it lives to the end of.
    pub(crate) async fn dispatch(&self, event: &Value) {
        let (life, request_id) = (Life::long(), self.request_id());
        let deps = self.deps(self.store.clone(), &life, &request_id);
        let settings = fanfold_dispatcher::Settings::new(1);
        let handled =
            fanfold_dispatcher::handle(event.clone(), &deps, &settings, self.budget(TIME), &request_id);
        handled.await.unwrap();
    }

    /// Puts an event for the reducer on its way.
    pub(crate) fn send_reduce(&self, event: Value) {
        self.outbox.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(("reducer".to_owned(), event));
    }

    /// The next event for the reducer that is on its way. None for another function is.
    pub(crate) fn event(&self) -> Option<Value> {
        let (function, event) = self.outbox.take()?;
        assert_eq!(function, "reducer", "{event}");
        Some(event)
    }

    /// Runs a reducer.
    pub(crate) async fn reduce(&self, event: Value, life: &Life, time: Duration, faults: impl Decide) -> Ran {
        let request_id = self.request_id();
        let counting = Arc::new(Counting::new(self.store.clone()));
        let store = Arc::new(Faulty::new(counting.clone(), Mortal(life.clone(), faults)));
        let deps = self.deps(store, life, &request_id);
        let ended = fanfold_reducer::handle(event.clone(), &deps, &self.limits, self.budget(time)).await;
        Ran { event, request_id, ended, calls: counting.counts() }
    }

    /// Tells the dispatcher that an invocation died.
    pub(crate) async fn tell_of(&self, died: &Ran) {
        self.dispatch(&json!({
            "requestContext": { "requestId": died.request_id, "condition": "RetriesExhausted" },
            "requestPayload": died.event,
            "responsePayload": { "errorType": "Runtime.ExitError", "errorMessage": "it was killed" }
        }))
        .await;
    }

    /// Runs all events that are on their way, and what they lead to, in which nothing goes wrong.
    pub(crate) async fn finish(&self) -> Vec<Ran> {
        let mut all = Vec::new();
        while let Some(event) = self.event() {
            let ran = self.reduce(event, &Life::long(), TIME, Pass).await;
            ran.ended.as_ref().unwrap();
            all.push(ran);
        }
        all
    }

    /// Sweeps each minute and runs what that leads to, until the marker is gone.
    pub(crate) async fn sweep_to_the_end(&self) {
        for _ in 0..200 {
            if !self.store.exists(&self.keys.active()).await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            self.dispatch(&json!({ "sweep": {} })).await;
            self.finish().await;
        }
        panic!("the marker stays: {:#?}", self.report().await);
    }

    pub(crate) async fn report(&self) -> Option<Report> {
        self.store.get_json(&self.keys.result()).await.ok()
    }

    /// The plan of the output, once it is settled.
    pub(crate) async fn concat(&self) -> Option<ConcatPlan> {
        self.store.get_json(&self.keys.concat()).await.ok()
    }

    /// How many parts the upload has that is noted in the output's lease; none where none is noted, or it has ended.
    pub(crate) async fn parts_noted(&self) -> Option<usize> {
        let lease: Value = self.store.get_json(&self.keys.lease()).await.ok()?;
        let upload = serde_json::from_value(lease.get("upload")?.clone()).unwrap();
        self.store.list_parts(&upload).await.ok().map(|parts| parts.len())
    }

    pub(crate) async fn keys_below(&self, prefix: &str) -> Vec<String> {
        let listed = self.store.list_all(BUCKET, prefix).await.unwrap();
        listed.into_iter().map(|object| object.key).collect()
    }

    /// Makes sure that the job has its output, and has left nothing.
    pub(crate) async fn assert_done(&self, why: &str) {
        let report = self.report().await.unwrap_or_else(|| panic!("{why}: no report"));
        assert_eq!(report.status, Status::Succeeded, "{why}: {}", report.message);
        let found = self.store.get_bytes(&self.output, u64::MAX).await.unwrap();
        assert!(found == self.whole, "{why}: {} bytes, not {}", found.len(), self.whole.len());
        self.assert_nothing_is_left(why).await;
    }

    /// Makes sure that no upload is left, and no node, nor chunk results of a job that is done.
    pub(crate) async fn assert_nothing_is_left(&self, why: &str) {
        assert_eq!(self.store.list_uploads(BUCKET, "").await.unwrap(), [], "{why}");
        assert_eq!(self.keys_below(&self.keys.nodes().key).await, Vec::<String>::new(), "{why}");
        if self.store.exists(&self.output).await.unwrap() {
            assert_eq!(self.keys_below(&self.keys.chunk_results().key).await, Vec::<String>::new(), "{why}");
        }
    }
}
