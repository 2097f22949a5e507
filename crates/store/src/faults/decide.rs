//! Who decides what becomes of a call: nobody, a script, a seed, or any closure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Call, Decision};
use crate::error::{ErrorKind, Operation};

/// Decides what becomes of each call. Closures over [`Call`] are deciders too.
pub trait Decide: Send + Sync + 'static {
    /// What becomes of this call.
    fn decide(&self, call: &Call<'_>) -> Decision;
}

impl<F: Fn(&Call<'_>) -> Decision + Send + Sync + 'static> Decide for F {
    fn decide(&self, call: &Call<'_>) -> Decision {
        self(call)
    }
}

/// Lets everything through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass;

impl Decide for Pass {
    fn decide(&self, _: &Call<'_>) -> Decision {
        Decision::Pass
    }
}

/// Lines that are used up one by one: each call takes the first line that fits it, and passes where none does.
#[derive(Debug, Default)]
pub struct Script {
    lines: Mutex<Vec<Line>>,
}

#[derive(Debug)]
struct Line {
    operation: Operation,
    at: String,
    decision: Decision,
}

impl Script {
    /// An empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line for the next call of `operation` whose place contains `at`; the empty text fits all.
    #[must_use]
    pub fn then(mut self, operation: Operation, at: impl Into<String>, decision: Decision) -> Self {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        lines.push(Line { operation, at: at.into(), decision });
        self
    }
}

impl Decide for Script {
    fn decide(&self, call: &Call<'_>) -> Decision {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |line: &Line| line.operation == call.operation && call.at.contains(&line.at);
        match lines.iter().position(fits) {
            Some(place) => lines.remove(place).decision,
            None => Decision::Pass,
        }
    }
}

/// How often each fault happens, from 0.0 (never) to 1.0. The rest passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Fails with a transient error, undone.
    pub fail: f64,
    /// Is done, and the answer is lost.
    pub lose_answer: f64,
    /// The body breaks off somewhere in its first MiB.
    pub cut_body: f64,
    /// Comes up to `delay_max` late.
    pub delay: f64,
    /// The longest delay.
    pub delay_max: Duration,
}

/// Decisions drawn from a seed. They depend on seed, operation, place and how often that was tried, never on how
/// calls interleave, so the same seed makes the same faults however tasks are scheduled.
#[derive(Clone, Copy, Debug)]
pub struct Seeded {
    seed: u64,
    rates: Rates,
}

impl Seeded {
    /// Faults at these rates from this seed.
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self { seed, rates }
    }
}

impl Decide for Seeded {
    fn decide(&self, call: &Call<'_>) -> Decision {
        // Two hashers made like this agree within a build, which is as long as a seed has to mean the same.
        let mut hasher = DefaultHasher::new();
        (self.seed, call.operation, call.at, call.nth).hash(&mut hasher);
        let mut random = fastrand::Rng::with_seed(hasher.finish());
        let Rates { fail, lose_answer, cut_body, delay, delay_max } = self.rates;
        let kind = [ErrorKind::Throttled, ErrorKind::Timeout, ErrorKind::Unavailable][random.usize(..3)];
        let mut drawn = random.f64();
        let mut falls_to = |rate: f64| {
            drawn -= rate;
            drawn < 0.0
        };
        if falls_to(fail) {
            Decision::Fail(kind)
        } else if falls_to(lose_answer) {
            // A throttled request is never done, so a lost answer looks like one of the other two.
            Decision::LoseAnswer(if random.bool() { ErrorKind::Timeout } else { ErrorKind::Unavailable })
        } else if falls_to(cut_body) {
            Decision::CutBody(random.u64(..1 << 20))
        } else if falls_to(delay) {
            Decision::Delay(delay_max.mul_f64(random.f64()))
        } else {
            Decision::Pass
        }
    }
}
