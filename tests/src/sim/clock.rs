//! Simulated time, and chance from a seed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fanfold_runtime::World;
use fastrand::Rng;
use tokio::time::Instant;

/// When simulated time begins: 2026-11-02T09:00:00Z, in milliseconds since 1970 (UTC).
const EPOCH_MS: i64 = 1_793_610_000_000;

/// Time as tokio has it, which the run has paused, and what the handlers draw by lot.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    lots: Mutex<Rng>,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn new(seed: u64) -> Self {
        Self { began: Instant::now(), lots: Mutex::new(rng(seed, "lots", 0)) }
    }

    /// How long the run has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl World for Clock {
    fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn random(&self) -> u64 {
        self.lots.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }
}

/// A generator of its own for the `number`th of something in a run, so that what one draws changes nothing for the others.
pub(crate) fn rng(seed: u64, what: &str, number: u64) -> Rng {
    // Hashers made like this agree within a build, which is as long as a seed has to mean the same.
    let mut hasher = DefaultHasher::new();
    (seed, what, number).hash(&mut hasher);
    Rng::with_seed(hasher.finish())
}
