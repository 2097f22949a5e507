//! Asynchronous invocations: accepted at once, run when there is capacity, tried again, and in the end either done or
//! told to the on-failure destination.
//!
//! The queue lives in memory and ends with the emulator. Lambda's queue looks for capacity with growing pauses; this
//! one is woken in order of arrival when capacity is given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::LATEST;
use super::failure_record::{Condition, FailureRecord};
use super::faults::FaultsHandle;
use super::invocation::{Invocation, Outcome};
use super::invoke_api::{EVENT_LIMIT, new_request_id, new_trace_id};
use super::scheduler::{Managed, NotRun, Scheduler};
use super::settings::{Destination, Settings};
use crate::account::function_arn;
use crate::queues::Queues;

/// What Lambda waits before the first and before the second retry of an event whose function failed.
const FUNCTION_ERROR_DELAYS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// The first and the longest pause after Lambda itself failed to run an event.
const MACHINE_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The events that were accepted and are not done.
#[derive(Debug, Clone)]
pub(super) struct EventQueue {
    scheduler: Arc<Scheduler>,
    tasks: TaskTracker,
    stop: CancellationToken,
    region: String,
    retry_clock: f64,
    queues: Option<Queues>,
    faults: FaultsHandle,
    open: Arc<watch::Sender<usize>>,
}

/// Why a service's event was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// There is no function of this name.
    #[error("there is no function `{0}`")]
    NoSuchFunction(String),
    /// The event is longer than an asynchronous one may be.
    #[error("an event of {bytes} bytes for the function `{function}` is longer than {EVENT_LIMIT}")]
    TooLarge {
        /// The function it was for.
        function: String,
        /// Its length.
        bytes: usize,
    },
}

/// Counts an event as open until it is dropped.
struct Open(Arc<watch::Sender<usize>>);

impl Open {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|count| *count += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Lets the time of a fault pass. Even the shortest sleep takes a millisecond.
async fn pass(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// How an event was given up.
struct GivenUp {
    condition: Condition,
    runs: u32,
    last_error: Option<bytes::Bytes>,
}

impl EventQueue {
    pub(super) fn new(
        scheduler: Arc<Scheduler>,
        tasks: TaskTracker,
        stop: CancellationToken,
        region: String,
        settings: &Settings,
        faults: FaultsHandle,
    ) -> Self {
        let (retry_clock, queues) = (settings.retry_clock, settings.queues.clone());
        let open = Arc::new(watch::Sender::new(0));
        Self { scheduler, tasks, stop, region, retry_clock, queues, faults, open }
    }

    /// Takes an event, to which what befalls events may happen.
    pub(super) fn receive(&self, managed: &Arc<Managed>, invocation: &Invocation) {
        for delay in self.faults.on_event(&managed.function.name, &invocation.request_id) {
            self.carry_after(delay, Arc::clone(managed), invocation.clone());
        }
    }

    /// Takes an event. It will be run, or given up with a record, unless the emulator stops first.
    pub(super) fn accept(&self, managed: Arc<Managed>, invocation: Invocation) {
        self.carry_after(Duration::ZERO, managed, invocation);
    }

    fn carry_after(&self, delay: Duration, managed: Arc<Managed>, invocation: Invocation) {
        let open = Open::new(&self.open);
        let queue = self.clone();
        let expiry = Instant::now() + managed.function.maximum_event_age;
        self.tasks.spawn(async move {
            let stop = queue.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {
                    tracing::info!(request_id = &*invocation.request_id, "an event was dropped: the emulator stops");
                }
                () = async {
                    pass(delay).await;
                    queue.carry(&managed, &invocation, expiry).await;
                } => {}
            }
            drop(open);
        });
    }

    /// Waits until no event is waiting or running.
    pub(super) async fn drained(&self) {
        // The sender is held by `self`.
        let _closed = self.open.subscribe().wait_for(|open| *open == 0).await.is_err();
    }

    async fn carry(&self, managed: &Managed, invocation: &Invocation, expiry: Instant) {
        if let Err(given_up) = self.try_until_done(managed, invocation, expiry).await {
            self.tell(managed, invocation, given_up).await;
        }
    }

    async fn try_until_done(
        &self,
        managed: &Managed,
        invocation: &Invocation,
        expiry: Instant,
    ) -> Result<(), GivenUp> {
        let mut given_up = GivenUp { condition: Condition::EventAgeExceeded, runs: 0, last_error: None };
        let mut machine_delay = MACHINE_DELAYS.0;
        loop {
            let Ok(capacity) = tokio::time::timeout_at(expiry, self.scheduler.capacity(managed)).await else {
                return Err(given_up);
            };
            let ran = self.scheduler.start(managed, capacity, invocation.clone()).await;
            let delay = match ran.unwrap_or(Err(NotRun::Stopping)) {
                Ok(completed) => match completed.outcome {
                    Outcome::Success(_) => return Ok(()),
                    Outcome::FunctionError(document) => {
                        given_up.last_error = Some(document);
                        let delay = self.delay_after_function_error(managed, given_up.runs);
                        given_up.runs += 1;
                        let Some(delay) = delay else {
                            return Err(GivenUp { condition: Condition::RetriesExhausted, ..given_up });
                        };
                        delay
                    }
                },
                Err(NotRun::Machine(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "an event could not be run, and waits"
                    );
                    let delay = machine_delay;
                    machine_delay = (machine_delay * 2).min(MACHINE_DELAYS.1);
                    delay
                }
                Err(NotRun::Stopping) => return Ok(()),
            };
            let next = Instant::now() + delay.mul_f64(self.retry_clock);
            if next >= expiry {
                tokio::time::sleep_until(expiry).await;
                return Err(given_up);
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// The pause after a function failed that had been run `runs` times before; nothing when it was the last time.
    fn delay_after_function_error(&self, managed: &Managed, runs: u32) -> Option<Duration> {
        let retries = usize::try_from(managed.function.maximum_retry_attempts).ok()?;
        FUNCTION_ERROR_DELAYS.into_iter().take(retries).nth(usize::try_from(runs).ok()?)
    }

    async fn tell(&self, managed: &Managed, invocation: &Invocation, given_up: GivenUp) {
        let function = &managed.function.name;
        let request_id = &*invocation.request_id;
        tracing::warn!(function, request_id, condition = ?given_up.condition, runs = given_up.runs, "an event was given up");
        let Some(target) = &managed.function.on_failure else { return };
        let record = FailureRecord {
            request_id,
            function_arn: format!("{}:{}", function_arn(&self.region, function), LATEST),
            condition: given_up.condition,
            runs: given_up.runs,
            request_payload: &invocation.payload,
            error: given_up.last_error.as_deref(),
        };
        let payload = record.document(time::OffsetDateTime::now_utc());
        if payload.len() > EVENT_LIMIT {
            tracing::error!(
                function,
                request_id,
                bytes = payload.len(),
                limit = EVENT_LIMIT,
                "the on-failure record is too large to be delivered, and is lost, as it would be on Lambda"
            );
            return;
        }
        // Checked when the emulator started.
        let Some(destination) = Destination::parse(target, &self.region) else { return };
        for delay in self.faults.on_record(function, request_id) {
            pass(delay).await;
            self.pass_on(&destination, &payload, request_id);
        }
    }

    /// Sends the record of the event `request_id`.
    fn pass_on(&self, destination: &Destination, record: &str, request_id: &str) {
        match destination {
            Destination::Function(name) => {
                if let Some(destination) = self.scheduler.find(name) {
                    let told = self.plain(name, bytes::Bytes::copy_from_slice(record.as_bytes()));
                    self.accept(Arc::clone(destination), told);
                }
            }
            Destination::Queue(name) => {
                if let Some(Err(error)) = self.queues.as_ref().map(|queues| queues.send(name, record)) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, request_id, "an on-failure record is lost");
                }
            }
        }
    }

    /// An invocation of the function `name` that no caller of the Invoke API has made.
    fn plain(&self, name: &str, payload: bytes::Bytes) -> Invocation {
        Invocation {
            request_id: new_request_id(),
            payload,
            function_arn: function_arn(&self.region, name),
            trace_id: new_trace_id(),
            client_context: None,
        }
    }

    /// Takes an event from a service that sends it: asynchronous, like everything that AWS's services send.
    ///
    /// # Errors
    /// [`NotSent`]. Nothing was accepted.
    pub(super) fn send(&self, name: &str, payload: bytes::Bytes) -> Result<Arc<str>, NotSent> {
        let managed = self.scheduler.find(name).ok_or_else(|| NotSent::NoSuchFunction(name.to_owned()))?;
        if payload.len() > EVENT_LIMIT {
            return Err(NotSent::TooLarge { function: name.to_owned(), bytes: payload.len() });
        }
        let invocation = self.plain(name, payload);
        let request_id = Arc::clone(&invocation.request_id);
        self.receive(managed, &invocation);
        Ok(request_id)
    }
}
