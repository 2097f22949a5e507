//! Lambda's bad days, on demand: refused and broken-off requests, events that come late, twice or never, and sandboxes
//! that are killed.
//!
//! Off until a test turns them on with [`FaultsHandle::set`], which it may do, and undo, at any moment. Each fault is
//! logged (`tracing::debug!`) and counted.
//!
//! # What a fault does
//! - A refused request (429, 500) has done nothing. One whose answer is lost has done everything: an event is in the
//!   queue, a called function has run; then the connection is closed.
//! - A lost event was accepted with 202 and is never seen again: no try, no retry, no on-failure record. That is what
//!   befalls an event that dies inside of the service; nothing but a look at what it should have done can tell.
//! - An event that comes twice has one request id. Each of the two is an event of its own from there on: with its own
//!   retries, its own age and its own on-failure record.
//! - A late event is older by its delay: it may be past its greatest age when it comes.
//! - An on-failure record that is sent twice comes as two events, each with a request id of its own, as two invocations
//!   by the service would. Records have faults of their own, and none of those that other events have.
//! - A killed environment ends as one whose process was ended from outside: its whole process group at once, without a
//!   signal before. Its invocation has failed with `Runtime.ExitError`, "signal: killed".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::exchange::Phase;
use super::registry::Registry;
use crate::faults::{Active, Switch, WrongFaults, delay, pick, problems};

/// The reasons of a 429, which take turns. Source: Lambda API reference, Invoke, `TooManyRequestsException`.
const REASONS: [&str; 6] = [
    "ConcurrentInvocationLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
    "CallerRateLimitExceeded",
    "ConcurrentSnapshotCreateLimitExceeded",
];

/// What goes wrong, and how often: probabilities from 0.0 (never) to 1.0. Of each group at most one happens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// What is drawn depends on it, and on how many requests, events, records or kills there were before.
    pub seed: u64,
    /// Requests: an Invoke is answered 429, with each of Lambda's reasons in turn.
    pub throttled: f64,
    /// Requests: an Invoke is answered 500 `ServiceException`.
    pub service_error: f64,
    /// Requests: an Invoke is carried out, and its answer is lost.
    pub answer_lost: f64,
    /// Events: accepted, and never run.
    pub event_lost: f64,
    /// Events: delivered at once, and again after a delay.
    pub event_twice: f64,
    /// Events: delivered after a delay.
    pub event_late: f64,
    /// On-failure records: sent at once, and again after a delay.
    pub record_twice: f64,
    /// On-failure records: sent after a delay.
    pub record_late: f64,
    /// The longest of these delays.
    pub delay_max: Duration,
    /// Which environments are killed, and how often.
    pub kills: Option<Kills>,
}

/// Sandboxes that end at random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kills {
    /// The functions whose environments may be hit, and how often each of them at most.
    pub functions: BTreeMap<String, u64>,
    /// How often one of those environments that serve an event is killed. Where none does, none is.
    pub every: Duration,
}

/// How often each fault has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in `Faults`")]
pub struct FaultCounts {
    pub throttled: u64,
    pub service_error: u64,
    pub answer_lost: u64,
    pub event_lost: u64,
    pub event_twice: u64,
    pub event_late: u64,
    pub record_twice: u64,
    pub record_late: u64,
    /// By function.
    pub killed: BTreeMap<String, u64>,
}

/// Switches the faults of a running Lambda on and off, and tells how many there were. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct FaultsHandle(Arc<Switch<Faults, FaultCounts>>);

/// What befalls an Invoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestFault {
    /// 429, for this reason.
    Throttled(&'static str),
    /// 500.
    ServiceError,
    /// It is carried out, and nobody is told.
    AnswerLost,
}

/// What befalls an event or a record.
#[derive(Debug, Clone, Copy)]
enum DeliveryFault {
    Lost,
    Twice,
    Late,
}

impl Faults {
    fn of_requests(&self) -> [(&'static str, f64, RequestFault); 3] {
        [
            // Which reason is whose turn is known when it falls.
            ("throttled", self.throttled, RequestFault::Throttled("")),
            ("service_error", self.service_error, RequestFault::ServiceError),
            ("answer_lost", self.answer_lost, RequestFault::AnswerLost),
        ]
    }

    fn of_events(&self) -> [(&'static str, f64, DeliveryFault); 3] {
        [
            ("event_lost", self.event_lost, DeliveryFault::Lost),
            ("event_twice", self.event_twice, DeliveryFault::Twice),
            ("event_late", self.event_late, DeliveryFault::Late),
        ]
    }

    fn of_records(&self) -> [(&'static str, f64, DeliveryFault); 2] {
        [
            ("record_twice", self.record_twice, DeliveryFault::Twice),
            ("record_late", self.record_late, DeliveryFault::Late),
        ]
    }

    fn problems(&self) -> Vec<String> {
        let mut all = problems("requests", &self.of_requests());
        all.extend(problems("events", &self.of_events()));
        all.extend(problems("records", &self.of_records()));
        match &self.kills {
            Some(kills) if kills.every.is_zero() => all.push("kills: `every` is no time at all".to_owned()),
            Some(kills) if kills.functions.is_empty() => all.push("kills: no function is named".to_owned()),
            Some(_) | None => {}
        }
        all
    }
}

impl FaultsHandle {
    /// Has these faults happen from now on, in place of those before.
    ///
    /// # Errors
    /// What is wrong with them; then nothing changes.
    pub fn set(&self, faults: Faults) -> Result<(), WrongFaults> {
        WrongFaults::unless_none(faults.problems())?;
        self.0.turn(Some((faults.seed, faults)));
        Ok(())
    }

    /// Has no fault happen from now on. Delays that have begun go on.
    pub fn clear(&self) {
        self.0.turn(None);
    }

    /// How often each fault has happened since the start.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.0.counts()
    }

    /// Lets another access key in. Its requests, and the events that it sends, are spared: a test uses it for its own.
    pub fn spare(&self, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) {
        self.0.spare(access_key_id.into(), secret_access_key.into());
    }

    /// The secret of an access key, if it is one that is spared.
    pub(super) fn spared(&self, access_key_id: &str) -> Option<String> {
        self.0.spared(access_key_id)
    }

    /// What befalls the next request.
    pub(super) fn on_request(&self, function: &str, request_id: &str) -> Option<RequestFault> {
        let active = self.0.active()?;
        let mut fault = pick(&mut active.dice("request"), &active.faults.of_requests())?;
        self.0.count(|counts| match &mut fault {
            RequestFault::Throttled(reason) => {
                // The remainder fits.
                *reason = REASONS[counts.throttled as usize % REASONS.len()];
                counts.throttled += 1;
            }
            RequestFault::ServiceError => counts.service_error += 1,
            RequestFault::AnswerLost => counts.answer_lost += 1,
        });
        tracing::debug!(function, request_id, ?fault, "a fault befalls a request");
        Some(fault)
    }

    /// After how long the next event is delivered, each time; usually once and at once.
    pub(super) fn on_event(&self, function: &str, request_id: &str) -> Vec<Duration> {
        let Some(active) = self.0.active() else { return vec![Duration::ZERO] };
        let mut dice = active.dice("event");
        let fault = pick(&mut dice, &active.faults.of_events());
        let delay = delay(&mut dice, active.faults.delay_max);
        self.0.count(|counts| match fault {
            None => {}
            Some(DeliveryFault::Lost) => counts.event_lost += 1,
            Some(DeliveryFault::Twice) => counts.event_twice += 1,
            Some(DeliveryFault::Late) => counts.event_late += 1,
        });
        if let Some(fault) = fault {
            tracing::debug!(function, request_id, ?fault, ?delay, "a fault befalls an event");
        }
        deliveries(fault, delay)
    }

    /// After how long the next on-failure record is sent, each time; usually once and at once.
    pub(super) fn on_record(&self, function: &str, request_id: &str) -> Vec<Duration> {
        let Some(active) = self.0.active() else { return vec![Duration::ZERO] };
        let mut dice = active.dice("record");
        let fault = pick(&mut dice, &active.faults.of_records());
        let delay = delay(&mut dice, active.faults.delay_max);
        self.0.count(|counts| match fault {
            None | Some(DeliveryFault::Lost) => {}
            Some(DeliveryFault::Twice) => counts.record_twice += 1,
            Some(DeliveryFault::Late) => counts.record_late += 1,
        });
        if let Some(fault) = fault {
            tracing::debug!(function, request_id, ?fault, ?delay, "a fault befalls an on-failure record");
        }
        deliveries(fault, delay)
    }

    /// Kills environments as the faults say, until `stop`.
    pub(super) async fn kill_at_random(self, registry: Arc<Registry>, stop: CancellationToken) {
        let mut turns = self.0.turns();
        loop {
            let active = turns.borrow_and_update().clone();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.kill_while_active(active, &registry) => {}
                () = turned(&mut turns) => {}
            }
        }
    }

    async fn kill_while_active(&self, active: Option<Arc<Active<Faults>>>, registry: &Registry) {
        let Some(active) = active else { return std::future::pending().await };
        let Some(kills) = &active.faults.kills else { return std::future::pending().await };
        let mut left = kills.functions.clone();
        loop {
            tokio::time::sleep(kills.every).await;
            let may_be_hit = |it: &Environment| left.get(&it.function.name).is_some_and(|left| *left > 0);
            let mut serving = registry.all();
            serving.retain(|it| it.phase() == Phase::Running && may_be_hit(it));
            if !serving.is_empty() {
                let chosen = &serving[active.dice("kill").usize(..serving.len())];
                left.entry(chosen.function.name.clone()).and_modify(|left| *left -= 1);
                self.kill(chosen);
            }
        }
    }

    fn kill(&self, environment: &Environment) {
        let (function, id) = (environment.function.name.as_str(), environment.id.as_str());
        tracing::debug!(function, environment = id, pid = environment.pid(), "a fault kills an environment");
        self.0.count(|counts| *counts.killed.entry(function.to_owned()).or_default() += 1);
        environment.kill_from_outside();
    }
}

/// Waits for the next turn of the switch, of which the caller holds a handle.
async fn turned<Faults>(turns: &mut watch::Receiver<Option<Arc<Active<Faults>>>>) {
    if turns.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn deliveries(fault: Option<DeliveryFault>, delay: Duration) -> Vec<Duration> {
    match fault {
        None => vec![Duration::ZERO],
        Some(DeliveryFault::Lost) => Vec::new(),
        Some(DeliveryFault::Twice) => vec![Duration::ZERO, delay],
        Some(DeliveryFault::Late) => vec![delay],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_same_each_time_it_is_set() {
        let faults = FaultsHandle::default();
        let often = Faults {
            seed: 11,
            throttled: 0.3,
            service_error: 0.3,
            event_twice: 0.5,
            delay_max: Duration::from_secs(9),
            ..Faults::default()
        };
        let mut rounds = (0..2).map(|_| {
            faults.set(often.clone()).unwrap();
            let kind = |fault| matches!(fault, Some(RequestFault::Throttled(_)));
            let requests: Vec<bool> = (0..50).map(|_| kind(faults.on_request("f", "id"))).collect();
            let events: Vec<_> = (0..50).map(|_| faults.on_event("f", "id")).collect();
            (requests, events)
        });
        let first = rounds.next();
        assert_eq!(rounds.next(), first);
        assert_eq!(faults.counts().throttled % 2, 0, "counts go on");
    }

    #[test]
    fn what_is_wrong_is_named_and_changes_nothing() {
        let faults = FaultsHandle::default();
        let wrong = Faults {
            throttled: 0.6,
            service_error: 0.6,
            event_lost: -1.0,
            record_late: 2.0,
            kills: Some(Kills { functions: BTreeMap::new(), every: Duration::from_secs(1) }),
            ..Faults::default()
        };
        let WrongFaults(problems) = faults.set(wrong).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(faults.on_request("f", "id").is_none());
    }
}
