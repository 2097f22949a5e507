//! The three real handlers over ports in memory, which die in the middle of what they do; and nobody is told of it.
//!
//! A death is a port that refuses everything from some request on: what the handler does after that nobody can see, as if it
//! had ended there. The last request may have been done before the end.
//!
//! [`crate::sim`] has far more go wrong, but by lot, and with Lambda's own nets in place. What it does not show is shown here:
//! that each request in turn may be the last, none left out, and that the sweep suffices where no death is ever told.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::report::Report;
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::faults as invoke_faults;
use fanfold_invoke::memory::{MemoryInvoke, MemorySettings};
use fanfold_invoke::{Invoke, InvokeError};
use fanfold_runtime::{SystemWorld, World};
use fanfold_store::memory::MemoryStore;
use fanfold_store::{ErrorKind, Store, StoreExt, faults as store_faults};
use serde_json::{Value, json};

use crate::memory::{BUCKET, WeakInvoke, deploy, deps};

/// The fate of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// How many requests to store and functions it gets answered.
    pub requests: u32,
    /// Whether the one after those is done all the same.
    pub last_is_done: bool,
}

/// Lambda and S3 in memory, where functions die and events are lost.
pub struct MortalWorld {
    store: Arc<MemoryStore>,
    invoke: Arc<MemoryInvoke>,
    clock: Arc<Clock>,
    fates: Fates,
}

type Fates = Arc<Mutex<VecDeque<Option<Fate>>>>;

/// A clock that stands until it is set on.
#[derive(Debug)]
struct Clock(AtomicI64);

impl World for Clock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        SystemWorld.random()
    }
}

impl MortalWorld {
    /// A world in which the first invocations have these fates, in the order in which they begin; none is to live. All that
    /// come after them live. No invocation is tried again by Lambda, and no death is told. Of what functions send to
    /// functions, the events with these numbers, from 0, are lost.
    pub fn new(fates: impl IntoIterator<Item = Option<Fate>>, lost_events: Vec<u64>) -> Self {
        let store = Arc::new(MemoryStore::new([BUCKET]));
        let once = MemorySettings { event_attempts: NonZeroU32::MIN, ..MemorySettings::default() };
        let invoke = Arc::new(MemoryInvoke::with_settings(once));
        let clock = Arc::new(Clock(AtomicI64::new(1_700_000_000_000)));
        let fates: Fates = Arc::new(Mutex::new(fates.into_iter().collect()));
        let lossy = invoke_faults::Faulty::new(
            Arc::new(WeakInvoke(Arc::downgrade(&invoke))),
            move |call: &invoke_faults::Call<'_>| match lost_events.contains(&call.number) {
                true => invoke_faults::Decision::Drop,
                false => invoke_faults::Decision::Pass,
            },
        );
        let lossy: Arc<dyn Invoke> = Arc::new(lossy);
        let (all, objects, time) = (fates.clone(), store.clone(), clock.clone());
        deploy(&invoke, 1, move || {
            let fate = all.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten();
            let life = Life::new(fate);
            let store = store_faults::Faulty::new(objects.clone(), life.over_store());
            let invoke = invoke_faults::Faulty::new(lossy.clone(), life.over_functions());
            deps(Arc::new(store), Arc::new(invoke), time.clone())
        });
        Self { store, invoke, clock, fates }
    }

    /// Submits a job as its trigger would, again and again until the dispatcher has taken it, and waits until nothing runs.
    pub async fn submit(&self, job: &Value) {
        while self.call(job).await.is_err() {}
    }

    /// Sets the clock on, sweeps, and waits until nothing runs.
    pub async fn sweep_after(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
        // That a sweep dies is part of this world; the next one comes.
        let _swept = self.call(&json!({ "sweep": {} })).await;
    }

    async fn call(&self, event: &Value) -> Result<(), InvokeError> {
        let answer = self.invoke.call("dispatcher", Bytes::from(event.to_string())).await;
        self.invoke.idle().await;
        answer.map(drop)
    }

    /// How many fates are left.
    pub fn fates_left(&self) -> usize {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The report of this run, if it has ended.
    pub async fn report(&self, job_id: &str) -> Option<Report> {
        let at = ObjectUri::new(BUCKET, format!("work/jobs/{job_id}/result.json"));
        match self.store.get_json(&at).await {
            Ok(report) => Some(report),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("the report: {error}"),
        }
    }

    /// An object's bytes.
    pub async fn get(&self, key: &str) -> Vec<u8> {
        let at = ObjectUri::new(BUCKET, key);
        self.store.get_bytes(&at, u64::MAX).await.unwrap_or_else(|error| panic!("get {at}: {error}")).to_vec()
    }

    /// The keys that begin so.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.store.list_all(BUCKET, prefix).await;
        listed.unwrap_or_else(|error| panic!("list: {error}")).into_iter().map(|object| object.key).collect()
    }

    /// How many uploads are under way.
    pub async fn uploads(&self) -> usize {
        self.store.list_uploads(BUCKET, "").await.unwrap_or_else(|error| panic!("list: {error}")).len()
    }

    /// How many invocations of a function there were.
    pub fn invocations(&self, function: &str) -> usize {
        self.invoke.deliveries().iter().filter(|delivery| delivery.invocation.function == function).count()
    }
}

impl fmt::Debug for MortalWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MortalWorld").field("fates", &self.fates).finish_non_exhaustive()
    }
}

/// An invocation's life: what it may still ask for.
#[derive(Clone)]
struct Life {
    left: Arc<AtomicI64>,
    last_is_done: bool,
}

/// What becomes of one request.
enum End {
    NotYet,
    Now,
    AfterThis,
}

impl Life {
    fn new(fate: Option<Fate>) -> Self {
        let requests = fate.map_or(i64::MAX, |fate| i64::from(fate.requests));
        Self {
            left: Arc::new(AtomicI64::new(requests)),
            last_is_done: fate.is_some_and(|fate| fate.last_is_done),
        }
    }

    fn ask(&self) -> End {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            1.. => End::NotYet,
            0 if self.last_is_done => End::AfterThis,
            _ => End::Now,
        }
    }

    // Denied, since whoever is told so does not try again.
    fn over_store(&self) -> impl store_faults::Decide + use<> {
        let life = self.clone();
        move |_: &store_faults::Call<'_>| match life.ask() {
            End::NotYet => store_faults::Decision::Pass,
            End::Now => store_faults::Decision::Fail(ErrorKind::Denied),
            End::AfterThis => store_faults::Decision::LoseAnswer(ErrorKind::Denied),
        }
    }

    fn over_functions(&self) -> impl invoke_faults::Decide + use<> {
        let life = self.clone();
        move |_: &invoke_faults::Call<'_>| match life.ask() {
            End::NotYet => invoke_faults::Decision::Pass,
            End::Now => invoke_faults::Decision::Fail(invoke_faults::Fault::Denied),
            End::AfterThis => invoke_faults::Decision::LoseAnswer,
        }
    }
}
