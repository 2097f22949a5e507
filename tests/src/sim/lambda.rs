//! Lambda as it is: events wait in a queue, come late, twice, out of order or never; functions have a time limit, are tried
//! again as often as the deployment says (`infra/lib/nets.ts`), and what became of those that failed is told.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fanfold_invoke::{InvokeError, Mode, RequestId};
use fanfold_runtime::World as _;
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::clock::rng;
use super::faults::Fault;
use super::handlers::handle;
use super::judge::Invariant;
use super::life::Life;
use super::scenario::MINUTE;
use super::told::Told;
use super::world::World;

/// One of the three functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Who plans and dispatches.
    Dispatcher,
    /// Who runs processes.
    Worker,
    /// Who puts the output together.
    Reducer,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Dispatcher, Self::Worker, Self::Reducer];

    /// The function's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Worker => "worker",
            Self::Reducer => "reducer",
        }
    }

    /// How often Lambda tries an event again.
    fn retries(self) -> u32 {
        match self {
            Self::Dispatcher => 2,
            Self::Worker | Self::Reducer => 0,
        }
    }

    /// Whether the dispatcher is told of an event that was given up.
    fn has_destination(self) -> bool {
        match self {
            Self::Dispatcher => false,
            Self::Worker | Self::Reducer => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The three functions, and the events on their way to them.
pub(crate) struct Lambda {
    world: Arc<World>,
    /// Free machines for workers. The other functions have as many as they want.
    workers: Semaphore,
    /// Its owner is the run: when that ends, so do these.
    tasks: Mutex<JoinSet<()>>,
    numbers: Mutex<Numbers>,
    /// Events that are on their way, and invocations.
    open: watch::Sender<usize>,
}

/// The last number given.
#[derive(Debug, Default)]
struct Numbers {
    events: u64,
    invocations: u64,
}

/// An event on its way.
#[derive(Clone)]
struct Event {
    id: RequestId,
    role: Role,
    payload: Bytes,
}

/// Why an invocation failed, as Lambda says it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error_type: String,
    pub(crate) message: String,
}

impl Lambda {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            workers: Semaphore::new(world.scenario.machines.workers),
            tasks: Mutex::default(),
            numbers: Mutex::default(),
            open: watch::Sender::new(0),
        }
    }

    /// Takes an event, and runs it some time later: at least once, unless something goes wrong.
    pub(crate) fn accept(self: &Arc<Self>, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        Mode::Send.check_payload(function, &payload)?;
        let Some(role) = Role::ALL.into_iter().find(|role| role.name() == function) else {
            let message = "there are a dispatcher, a worker and a reducer".to_owned();
            return Err(InvokeError::NotFound { function: function.to_owned(), message });
        };
        let number = self.number(|numbers| &mut numbers.events);
        let id = RequestId::new(format!("event-{number:06}"));
        let event = Event { id: id.clone(), role, payload };
        let waits = self.fate(&event, number);
        self.world.judge.delivers(&id, waits.len());
        for wait in waits {
            self.spawn(deliver(Arc::clone(self), event.clone(), wait));
        }
        Ok(id)
    }

    /// When an event comes: most often soon, and once.
    fn fate(self: &Arc<Self>, event: &Event, number: u64) -> Vec<Duration> {
        let random = &mut rng(self.world.scenario.seed, "event", number);
        let rates = &self.world.scenario.rates;
        let mut strikes = |fault| {
            let strikes = self.world.strikes(fault, rates.of(fault), random);
            if strikes {
                self.note(event, &format_args!("{fault:?}"));
            }
            strikes
        };
        let (is_lost, is_aged) = (strikes(Fault::EventLost), strikes(Fault::EventAged));
        let (is_late, comes_twice) = (strikes(Fault::EventLate), strikes(Fault::EventTwice));
        let soon = self.world.scenario.machines.request_time_max * 2;
        let twice_at_once = random.bool();
        let mut wait = |most: Duration| if most.is_zero() { most } else { most.mul_f64(random.f64()) };
        if is_lost {
            return Vec::new();
        }
        if is_aged {
            self.spawn(tell(Arc::clone(self), event.clone(), wait(MINUTE * 10), 0, None));
            return Vec::new();
        }
        let mut waits = vec![wait(if is_late { MINUTE * 15 } else { soon })];
        if comes_twice {
            waits.push(wait(if twice_at_once { soon } else { MINUTE * 5 }));
        }
        waits
    }

    /// Invokes a function and waits for its answer, as a person does.
    pub(crate) async fn call(self: &Arc<Self>, role: Role, payload: &Value) -> Result<Value, Failure> {
        let number = self.number(|numbers| &mut numbers.events);
        let id = RequestId::new(format!("call-{number:06}"));
        let _open = Open::new(&self.open);
        run(self, &Event { id, role, payload: payload.to_string().into() }).await
    }

    /// Waits until no event is on its way and nothing runs.
    pub(crate) async fn idle(&self) {
        // The sender lives here, so the wait ends as it should.
        drop(self.open.subscribe().wait_for(|open| *open == 0).await);
    }

    fn number(&self, of: impl FnOnce(&mut Numbers) -> &mut u64) -> u64 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = of(&mut numbers);
        *number += 1;
        *number
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let open = Open::new(&self.open);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let _open = open;
            task.await;
        });
    }

    fn note(&self, event: &Event, what: &dyn fmt::Display) {
        self.world.note(&format_args!("{} {}", event.role, event.id), what);
    }
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lambda").field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

/// Runs an event when its time has come, and again where the deployment says so.
async fn deliver(lambda: Arc<Lambda>, event: Event, wait: Duration) {
    pause(wait).await;
    let mut runs = 0;
    loop {
        let Err(failure) = run(&lambda, &event).await else {
            return lambda.world.judge.delivered(&event.id, event.role, true);
        };
        runs += 1;
        if runs > event.role.retries() {
            lambda.world.judge.delivered(&event.id, event.role, false);
            return tell(lambda, event, Duration::ZERO, runs, Some(failure)).await;
        }
        pause(MINUTE * runs).await;
    }
}

/// Runs an event once, in a machine of its own.
async fn run(lambda: &Arc<Lambda>, event: &Event) -> Result<Value, Failure> {
    let world = &lambda.world;
    let _machine = match event.role {
        // Never closed, so there is a machine in the end.
        Role::Worker => lambda.workers.acquire().await.ok(),
        Role::Dispatcher | Role::Reducer => None,
    };
    let number = lambda.number(|numbers| &mut numbers.invocations);
    let life = Arc::new(Life::new(world, event.role, number));
    let limit = world.time_limit(event.role);
    let deadline_ms = world.clock.now_ms() + i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    if !is_sweep(&event.payload) {
        life.note(&format_args!("begins with {}: {}", event.id, Told(&event.payload)));
    }
    let handled = handled(lambda, &life, event, limit, deadline_ms).await;
    life.end();
    match &handled {
        Err(Failure { error_type, message }) => life.note(&format_args!("fails: {error_type}: {message}")),
        Ok(_) if is_sweep(&event.payload) => {}
        Ok(_) => life.note(&"is done"),
    }
    world.judge.ended(&life, handled.as_ref().err());
    handled
}

/// Runs the handler, until it answers, dies, or its time is up.
async fn handled(
    lambda: &Arc<Lambda>,
    life: &Arc<Life>,
    event: &Event,
    limit: Duration,
    deadline_ms: i64,
) -> Result<Value, Failure> {
    if life.strikes(Fault::StartFails, 1.0) {
        return Err(Failure::new("Runtime.ExitError", "Runtime exited with error: exit status 1"));
    }
    if life.strikes(Fault::SlowMachine, 1.0) {
        life.note(&"is on a slow machine");
        life.slow_down();
    }
    let handler = handle(life, lambda, &event.payload, event.id.as_str(), deadline_ms);
    tokio::select! {
        biased;
        () = life.death() => Err(Failure::new("Runtime.ExitError", "Runtime exited with error: signal: killed")),
        () = tokio::time::sleep(limit) => {
            let message = format!("Task timed out after {:.2} seconds", limit.as_secs_f64());
            Err(Failure::new("Sandbox.Timedout", message))
        }
        handled = std::panic::AssertUnwindSafe(handler).catch_unwind() => match handled {
            Ok(answered) => answered.map_err(|error| Failure::new(error.code.as_str(), error.chain())),
            Err(_) => {
                let found = format!("{life} panicked; see standard error");
                lambda.world.judge.finds(Invariant::NothingPanics, found);
                Err(Failure::new("Runtime.ExitError", "panicked"))
            }
        },
    }
}

/// Tells the dispatcher of an event that was given up (Lambda Developer Guide, "Asynchronous invocation", the record that an
/// on-failure destination is sent).
async fn tell(lambda: Arc<Lambda>, event: Event, wait: Duration, runs: u32, failure: Option<Failure>) {
    pause(wait).await;
    if !event.role.has_destination() {
        return;
    }
    let payload: Value = serde_json::from_slice(&event.payload).unwrap_or_default();
    let mut record = json!({
        "version": "1.0",
        "requestContext": {
            "requestId": event.id.as_str(),
            "functionArn": format!("arn:aws:lambda:us-east-1:123456789012:function:{}:$LATEST", event.role),
            "condition": if failure.is_some() { "RetriesExhausted" } else { "EventAgeExceeded" },
            "approximateInvokeCount": runs,
        },
        "requestPayload": payload,
    });
    if let (Some(Failure { error_type, message }), Some(record)) = (failure, record.as_object_mut()) {
        let context =
            json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" });
        record.insert("responseContext".to_owned(), context);
        record.insert(
            "responsePayload".to_owned(),
            json!({ "errorType": error_type, "errorMessage": message }),
        );
    }
    // The record is an event like any other. One that the dispatcher's queue would not take is lost.
    if let Err(refusal) = lambda.accept(Role::Dispatcher.name(), record.to_string().into()) {
        lambda.note(&event, &format_args!("nobody is told: {refusal}"));
    }
}

impl Failure {
    fn new(error_type: &str, message: impl Into<String>) -> Self {
        Self { error_type: error_type.to_owned(), message: message.into() }
    }

    /// Whether what was asked for is not to be had, however often it is asked for.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.error_type.as_str(), "invalid_job" | "output_exists")
    }
}

fn is_sweep(payload: &[u8]) -> bool {
    payload == super::world::SWEEP.as_bytes()
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// Something that is on its way, or runs.
struct Open(watch::Sender<usize>);

impl Open {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
