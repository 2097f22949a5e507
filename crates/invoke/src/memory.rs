//! Functions in memory: async closures by name, for tests of other crates and for worlds without processes.
//!
//! True to the service where Fanfold relies on it: a function goes on when its caller is gone, a failed event is tried
//! again under the same request id, an event waits for a free environment where a call is throttled, a panic is an
//! answer. Untrue on purpose: nothing is ever cold, and events are tried again at once, not after minutes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::limits::CALL_PAYLOAD_BYTES;
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use crate::error::{FunctionError, InvokeError, ThrottleReason};
use crate::invoke::{Answer, Invoke, Mode, RequestId};

/// What a function is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The name by which it was called.
    pub function: String,
    /// How it was called.
    pub mode: Mode,
    /// The id, the same for all tries of one event.
    pub request_id: RequestId,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// What the caller sent.
    pub payload: Bytes,
}

/// Why a function failed, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// As `errorType` of the service.
    pub error_type: String,
    /// As `errorMessage` of the service.
    pub message: String,
}

impl Failure {
    /// A failure of this type, with these words.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into() }
    }

    fn into_error(self, request_id: RequestId) -> FunctionError {
        let wire = serde_json::json!({ "errorType": self.error_type, "errorMessage": self.message });
        FunctionError {
            error_type: self.error_type,
            message: self.message,
            payload: wire.to_string().into(),
            request_id,
        }
    }
}

/// One run of a function, as [`MemoryInvoke::deliveries`] tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What it was given.
    pub invocation: Invocation,
    /// How it ended: its answer, or its failure. `None` while it runs.
    pub outcome: Option<Result<Bytes, FunctionError>>,
}

/// How much may run, and how often an event is tried.
#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// Most functions that run at once, over all names: the account's concurrency. 1,000 by default, as in an account.
    pub environments: NonZeroUsize,
    /// How often an event is tried in all. 3 by default, as Lambda does.
    pub event_attempts: NonZeroU32,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            environments: NonZeroUsize::new(1_000).unwrap_or(NonZeroUsize::MIN),
            event_attempts: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN),
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Bytes, Failure>> + Send>>;
type Handler = Arc<dyn Fn(Invocation) -> Running + Send + Sync>;

/// Functions in memory. See the [module](self).
///
/// It owns the tasks of its functions: dropping it stops them. A function that invokes others should hold this by
/// [`Weak`](std::sync::Weak), or it keeps itself alive.
pub struct MemoryInvoke {
    settings: MemorySettings,
    functions: Mutex<BTreeMap<String, Handler>>,
    tasks: Mutex<JoinSet<()>>,
    world: Arc<World>,
}

/// What the running tasks share with their owner.
struct World {
    environments: Arc<Semaphore>,
    deliveries: Mutex<Vec<Delivery>>,
    /// How many events and calls were taken and have not ended.
    open: watch::Sender<usize>,
    ids: Mutex<u64>,
}

impl MemoryInvoke {
    /// No functions yet, with the settings of an account.
    pub fn new() -> Self {
        Self::with_settings(MemorySettings::default())
    }

    /// No functions yet, with these settings.
    pub fn with_settings(settings: MemorySettings) -> Self {
        // More permits than a semaphore can hold mean the same as all that it can hold.
        let environments = settings.environments.get().min(Semaphore::MAX_PERMITS);
        let world = World {
            environments: Arc::new(Semaphore::new(environments)),
            deliveries: Mutex::default(),
            open: watch::Sender::new(0),
            ids: Mutex::default(),
        };
        Self { settings, functions: Mutex::default(), tasks: Mutex::default(), world: Arc::new(world) }
    }

    /// Makes a function known, in place of an earlier one of that name.
    pub fn register<F, R>(&self, name: impl Into<String>, function: F)
    where
        F: Fn(Invocation) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes, Failure>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |invocation| Box::pin(function(invocation)));
        lock(&self.functions).insert(name.into(), handler);
    }

    /// Every run so far, in the order in which they began.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.world.deliveries).clone()
    }

    /// Waits until nothing runs and no event waits, those included that functions send meanwhile.
    pub async fn idle(&self) {
        // The sender lives in `world`, so the wait can only end as it should.
        let mut open = self.world.open.subscribe();
        drop(open.wait_for(|open| *open == 0).await);
    }

    fn find(&self, function: &str, mode: Mode, payload: &Bytes) -> Result<Handler, InvokeError> {
        mode.check_payload(function, payload)?;
        if let Err(problem) = check_json(payload) {
            let code = "InvalidRequestContentException".to_owned();
            return Err(InvokeError::Invalid { function: function.to_owned(), code, message: problem });
        }
        lock(&self.functions).get(function).cloned().ok_or_else(|| InvokeError::NotFound {
            function: function.to_owned(),
            message: "nothing is registered under this name".to_owned(),
        })
    }

    fn invocation(&self, function: &str, mode: Mode, payload: Bytes) -> Invocation {
        let mut last = lock(&self.world.ids);
        *last += 1;
        let request_id = RequestId::new(format!("request-{:08}", *last));
        Invocation { function: function.to_owned(), mode, request_id, attempt: 1, payload }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Default for MemoryInvoke {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryInvoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = lock(&self.functions).keys().cloned().collect();
        f.debug_struct("MemoryInvoke")
            .field("functions", &names)
            .field("open", &*self.world.open.borrow())
            .finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Invoke for MemoryInvoke {
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError> {
        let handler = self.find(function, Mode::Call, &payload)?;
        let Ok(environment) = Arc::clone(&self.world.environments).try_acquire_owned() else {
            let reason = ThrottleReason::AccountConcurrency;
            return Err(InvokeError::Throttled { function: function.to_owned(), reason, retry_after: None });
        };
        let invocation = self.invocation(function, Mode::Call, payload);
        let request_id = invocation.request_id.clone();
        let (answer, answered) = oneshot::channel();
        let (open, world) = (Open::new(&self.world), Arc::clone(&self.world));
        self.spawn(async move {
            let outcome = world.run(&handler, invocation, environment).await;
            // Closed first, so that a caller with an answer in hand finds the run ended. The caller may be gone.
            drop(open);
            let _nobody_waits = answer.send(outcome);
        });
        match answered.await {
            Ok(Ok(payload)) => Ok(Answer { request_id, payload, log_tail: None }),
            Ok(Err(error)) => {
                Err(InvokeError::Function { function: function.to_owned(), error: Box::new(error) })
            }
            Err(_) => Err(InvokeError::Unavailable {
                function: function.to_owned(),
                message: "the functions were dropped while this one ran".to_owned(),
                source: None,
            }),
        }
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        let handler = self.find(function, Mode::Send, &payload)?;
        let first = self.invocation(function, Mode::Send, payload);
        let request_id = first.request_id.clone();
        let (open, world) = (Open::new(&self.world), Arc::clone(&self.world));
        let attempts = self.settings.event_attempts.get();
        self.spawn(async move {
            for attempt in 1..=attempts {
                let Ok(environment) = Arc::clone(&world.environments).acquire_owned().await else { break };
                let invocation = Invocation { attempt, ..first.clone() };
                if world.run(&handler, invocation, environment).await.is_ok() {
                    break;
                }
            }
            drop(open);
        });
        Ok(request_id)
    }
}

impl World {
    /// Runs a function once, in an environment that is free again afterwards, and keeps the record.
    async fn run(
        &self,
        handler: &Handler,
        invocation: Invocation,
        environment: OwnedSemaphorePermit,
    ) -> Result<Bytes, FunctionError> {
        let request_id = invocation.request_id.clone();
        let place = {
            let mut deliveries = lock(&self.deliveries);
            deliveries.push(Delivery { invocation: invocation.clone(), outcome: None });
            deliveries.len() - 1
        };
        // A task of its own, so that a panic ends it and not us; a set, so that it is stopped when we are.
        let mut own = JoinSet::new();
        let handler = Arc::clone(handler);
        own.spawn(async move { handler(invocation).await });
        let outcome = match own.join_next().await {
            Some(Ok(outcome)) => outcome.and_then(check_size),
            Some(Err(panicked)) => Err(Failure::new(FunctionError::EXITED, panicked.to_string())),
            None => Err(Failure::new(FunctionError::EXITED, "the function was never started")),
        };
        let outcome = outcome.map_err(|failure| failure.into_error(request_id));
        lock(&self.deliveries)[place].outcome = Some(outcome.clone());
        drop(environment);
        outcome
    }
}

/// One event or call that was taken and has not ended.
struct Open(Arc<World>);

impl Open {
    fn new(world: &Arc<World>) -> Self {
        world.open.send_modify(|open| *open += 1);
        Self(Arc::clone(world))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// An empty payload stands for `{}`.
fn check_json(payload: &Bytes) -> Result<(), String> {
    if payload.is_empty() {
        return Ok(());
    }
    serde_json::from_slice::<IgnoredAny>(payload)
        .map(|_| ())
        .map_err(|problem| format!("the payload is no JSON: {problem}"))
}

fn check_size(answer: Bytes) -> Result<Bytes, Failure> {
    let bytes = answer.len();
    if bytes <= CALL_PAYLOAD_BYTES {
        return Ok(answer);
    }
    Err(Failure::new(
        "Function.ResponseSizeTooLarge",
        format!(
            "Response payload size ({bytes} bytes) exceeded maximum allowed payload size ({CALL_PAYLOAD_BYTES} bytes)."
        ),
    ))
}

// Nothing here panics between two changes, so what a poisoned lock protects is still consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
