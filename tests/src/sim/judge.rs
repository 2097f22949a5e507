//! Who watches a run, and knows what may never happen in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fanfold_invoke::RequestId;
use serde::Deserialize;
use serde_json::Value;

use super::artefact::{Artefact, Try};
use super::lambda::{Failure, Role};
use super::life::Life;

/// What holds in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A job ends, whatever goes wrong, once things stop going wrong.
    TheJobEnds,
    /// The output is byte for byte what one process would have written over the whole input, failed chunks aside.
    TheOutputIsExact,
    /// Each index is done, failed or cancelled, once, and the numbers of the report add up.
    EveryIndexIsAccountedFor,
    /// What failed, failed for a reason that the world gave it.
    FailuresHaveAReason,
    /// A function fails only where something went wrong in that very invocation.
    FunctionsFailForAReason,
    /// A job that failed leaves no output, and what stood in its place.
    NoOutputOfAFailedJob,
    /// What another wrote where the output should go stands, unless the job may overwrite it.
    WhatOthersWroteStands,
    /// What is written once stays as it was written.
    RecordsStand,
    /// No attempt is run by two invocations.
    AnAttemptIsRunOnce,
    /// No hop of a partition is tried more often than the job says.
    AttemptsKeepToThePolicy,
    /// A lease that has not expired is taken over by a later attempt alone.
    TheLeaseIsKept,
    /// Of no more partitions processes run at once than the job says; and of one more for each worker that was told dead
    /// while its twin, of the same event, went on or was still to come.
    ConcurrencyIsKept,
    /// No upload outlives its job.
    NoUploadStays,
    /// No marker outlives its job.
    NoMarkerStays,
    /// Of a job that succeeded in full, no chunk result stays.
    NoChunkResultStays,
    /// What a job asks of store and functions grows with its partitions and with what goes wrong, and no faster.
    CallsAreLinear,
    /// The metrics say what the report says.
    MetricsAddUp,
    /// No function panics.
    NothingPanics,
    /// The scenario is one that Fanfold takes: if not, the simulation itself is wrong.
    TheScenarioIsRight,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.found)
    }
}

/// What is to be known of a job to judge what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) attempts_max: u32,
    pub(crate) max_concurrency: Option<u32>,
}

/// Watches a run. The first thing that may not be is kept.
#[derive(Debug)]
pub(crate) struct Judge {
    policy: Policy,
    seen: Mutex<Seen>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    broken: Option<Broken>,
    /// The first content of what is written once.
    records: BTreeMap<String, Bytes>,
    /// The lease of each run, by its key.
    leases: BTreeMap<String, Lease>,
    /// How many processes run of each partition of each run.
    running: BTreeMap<(u32, u64), u32>,
    /// Who ran each attempt's processes.
    ran: BTreeMap<Try, u64>,
    /// How often processes of each index were started.
    tries: BTreeMap<u64, u32>,
    /// Invocations by function: all, and those that failed.
    pub(crate) invocations: BTreeMap<Role, (u64, u64)>,
    /// How many copies of each event have yet to come to their end.
    copies: BTreeMap<RequestId, usize>,
    /// How many copies of events to each function failed while another of the same event was still to come to its end.
    /// Lambda tells of such a death as of any other, so that nobody can know that the event's work goes on.
    twins_died: BTreeMap<Role, u64>,
    /// The sums of what was measured, by name.
    pub(crate) metrics: BTreeMap<String, f64>,
    /// How far any partition came: its last hop, and the last cut of any chunk.
    pub(crate) hops: u32,
    pub(crate) cuts: u32,
    /// How many nodes of outputs were made.
    pub(crate) nodes: u64,
}

/// A lease, as far as it is judged.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Lease {
    hop: u32,
    attempt: u32,
    holder: u64,
    expires_ms: i64,
}

impl Judge {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, seen: Mutex::default() }
    }

    /// An invariant is broken.
    pub(crate) fn finds(&self, invariant: Invariant, found: String) {
        self.seen().broken.get_or_insert(Broken { invariant, found });
    }

    /// What was found first, if anything was.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.seen().broken()
    }

    // Nothing here panics between two changes, so what a poisoned lock protects is still consistent.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object was written.
    pub(crate) fn wrote(&self, life: &Life, key: &str, bytes: &Bytes, now_ms: i64) {
        let artefact = Artefact::of(key);
        if artefact.is_written_once() {
            let first = self.seen().records.entry(key.to_owned()).or_insert_with(|| bytes.clone()).clone();
            if first != *bytes {
                let found = format!("{life} wrote {key} over what was there: {bytes:?} over {first:?}");
                self.finds(Invariant::RecordsStand, found);
            }
        }
        match artefact {
            Artefact::Lease => self.leased(life, key, bytes, now_ms),
            Artefact::Attempt(attempt) => self.attempted(attempt),
            Artefact::NodeMade => self.seen().nodes += 1,
            _ => {}
        }
    }

    /// Objects were deleted.
    pub(crate) fn deleted(&self, life: &Life, keys: &[String]) {
        if let Some(record) = keys.iter().find(|key| Artefact::of(key).is_written_once()) {
            self.finds(Invariant::RecordsStand, format!("{life} deleted {record}"));
        }
    }

    fn leased(&self, life: &Life, key: &str, bytes: &Bytes, now_ms: i64) {
        let lease: Lease = match serde_json::from_slice(bytes) {
            Ok(lease) => lease,
            Err(error) => {
                return self.finds(Invariant::TheLeaseIsKept, format!("{life} wrote no lease: {error}"));
            }
        };
        let before = self.seen().leases.insert(key.to_owned(), lease.clone());
        let Some(before) = before.filter(|before| before.holder != lease.holder) else { return };
        let (held, taken) = ((before.hop, before.attempt), (lease.hop, lease.attempt));
        if before.expires_ms > now_ms && taken <= held {
            let found = format!(
                "{life} took the lease of hop and attempt {held:?} as {taken:?}, before it had expired"
            );
            self.finds(Invariant::TheLeaseIsKept, found);
        }
    }

    fn attempted(&self, attempt: Try) {
        let most = self.policy.attempts_max;
        if attempt.attempt > most {
            self.finds(Invariant::AttemptsKeepToThePolicy, format!("{attempt} was made, of {most} at most"));
        }
        let mut seen = self.seen();
        seen.hops = seen.hops.max(attempt.hop);
    }

    /// A process starts: at which try of its index, from 1.
    pub(crate) fn starts(&self, index: u64, cut: u32) -> u32 {
        let mut seen = self.seen();
        seen.cuts = seen.cuts.max(cut);
        let tries = seen.tries.entry(index).or_default();
        *tries += 1;
        *tries
    }

    /// A process runs, on behalf of this attempt.
    pub(crate) fn runs(&self, life: &Life, at: Try) {
        let mut seen = self.seen();
        let runner = *seen.ran.entry(at).or_insert(life.number);
        *seen.running.entry((at.run, at.partition)).or_default() += 1;
        let running = seen.running.len() as u64;
        let allowed = self.policy.max_concurrency.map(|most| u64::from(most) + seen.twins_died(Role::Worker));
        let partitions = seen.running.keys().copied().collect::<Vec<_>>();
        drop(seen);
        if runner != life.number {
            let found = format!("{life} runs an attempt that invocation #{runner} has run");
            self.finds(Invariant::AnAttemptIsRunOnce, found);
        }
        if let Some(allowed) = allowed.filter(|allowed| running > *allowed) {
            let found = format!("processes of the partitions {partitions:?} run at once, {allowed} at most");
            self.finds(Invariant::ConcurrencyIsKept, found);
        }
    }

    /// A process has ended that ran on behalf of this attempt.
    pub(crate) fn stops(&self, at: Try) {
        let mut seen = self.seen();
        let partition = (at.run, at.partition);
        if let Some(running) = seen.running.get_mut(&partition) {
            *running -= 1;
            if *running == 0 {
                seen.running.remove(&partition);
            }
        }
    }

    /// An event is on its way, in so many copies.
    pub(crate) fn delivers(&self, event: &RequestId, copies: usize) {
        self.seen().copies.insert(event.clone(), copies);
    }

    /// A copy of an event has come to its end: done, or given up.
    pub(crate) fn delivered(&self, event: &RequestId, role: Role, is_done: bool) {
        let mut seen = self.seen();
        let copies = seen.copies.entry(event.clone()).or_default();
        *copies = copies.saturating_sub(1);
        if *copies > 0 && !is_done {
            *seen.twins_died.entry(role).or_default() += 1;
        }
    }

    /// An invocation has ended, perhaps with a failure.
    pub(crate) fn ended(&self, life: &Life, failure: Option<&Failure>) {
        let mut seen = self.seen();
        let (all, failures) = seen.invocations.entry(life.role).or_default();
        *all += 1;
        *failures += u64::from(failure.is_some());
        drop(seen);
        let failure = failure.filter(|failure| !life.is_struck() && !failure.is_refusal());
        if let Some(Failure { error_type, message }) = failure {
            self.finds(
                Invariant::FunctionsFailForAReason,
                format!("{life} failed with {error_type}: {message}"),
            );
        }
    }

    /// A line of metrics was printed.
    pub(crate) fn measured(&self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let fields = line.as_object().into_iter().flatten();
        let numbers = fields.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        let mut seen = self.seen();
        for (name, number) in numbers {
            *seen.metrics.entry(name).or_default() += number;
        }
    }
}

impl Seen {
    /// What was found first, if anything was.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.broken.clone()
    }

    /// How many invocations of a function failed.
    pub(crate) fn failures(&self, role: Role) -> u64 {
        self.invocations.get(&role).map_or(0, |(_, failures)| *failures)
    }

    /// How many copies of events to a function failed while another of the same event had not come to its end.
    pub(crate) fn twins_died(&self, role: Role) -> u64 {
        self.twins_died.get(&role).copied().unwrap_or(0)
    }

    /// How many invocations of all functions there were.
    pub(crate) fn all_invocations(&self) -> u64 {
        self.invocations.values().map(|(all, _)| all).sum()
    }

    /// The sum of what was measured under this name.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metrics.get(name).copied().unwrap_or(0.0)
    }
}
