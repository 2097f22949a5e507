//! The life of one invocation: until when it may do anything, and what goes wrong on its way.
//!
//! Handlers meet the world at their ports alone, so that is where a life ends: at a request to store or functions, before it
//! is done or after. The request then never returns, and whoever runs the handler drops it where it stands.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::Notify;

use super::artefact::Try;
use super::clock::rng;
use super::faults::Fault;
use super::lambda::Role;
use super::world::World;

/// How many times as long things take on a slow machine.
const SLOWNESS: u32 = 15;

/// One invocation.
pub(crate) struct Life {
    pub(crate) world: Arc<World>,
    pub(crate) role: Role,
    /// Which of all invocations it is, from 1.
    pub(crate) number: u64,
    random: Mutex<Rng>,
    is_over: AtomicBool,
    /// Whether anything went wrong in it.
    is_struck: AtomicBool,
    is_slow: AtomicBool,
    death: Notify,
    /// For a worker: the attempt that it claimed last.
    at: Mutex<Option<Try>>,
}

impl Life {
    pub(crate) fn new(world: &Arc<World>, role: Role, number: u64) -> Self {
        Self {
            world: Arc::clone(world),
            role,
            number,
            random: Mutex::new(rng(world.scenario.seed, "life", number)),
            is_over: AtomicBool::new(false),
            is_struck: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            death: Notify::new(),
            at: Mutex::default(),
        }
    }

    /// Does a request, which takes some time; and dies of it, now and then.
    ///
    /// # Cancellation
    /// What was done is done.
    pub(crate) async fn request<T>(
        &self,
        what: impl Fn() -> String + Sync,
        request: impl Future<Output = T> + Send,
    ) -> T {
        self.goes("before it could", &what).await;
        let done = request.await;
        self.goes("after it did", &what).await;
        done
    }

    /// Half of a request: the way there, or the way back.
    async fn goes(&self, when: &'static str, what: &(impl Fn() -> String + Sync)) {
        if self.is_over() {
            never().await;
        }
        let time = self.draw(self.world.scenario.machines.request_time_max) * self.slowness();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        // Two chances a request.
        if self.is_over() || self.strikes(Fault::Death, 0.5) {
            if self.world.trace.is_kept() {
                self.note(&format_args!("dies {when} {}", what()));
            }
            self.is_over.store(true, Ordering::Relaxed);
            self.death.notify_one();
            never().await;
        }
    }

    /// Whether a fault happens here and now, at this share of its rate.
    pub(crate) fn strikes(&self, fault: Fault, share: f64) -> bool {
        let rate = self.world.scenario.rates.within(self.role, fault) * share;
        let strikes = self.world.strikes(fault, rate, &mut self.random());
        self.is_struck.fetch_or(strikes, Ordering::Relaxed);
        strikes
    }

    /// Its machine turns out to be slow.
    pub(crate) fn slow_down(&self) {
        self.is_slow.store(true, Ordering::Relaxed);
    }

    /// How many times as long everything takes as on other machines.
    pub(crate) fn slowness(&self) -> u32 {
        if self.is_slow.load(Ordering::Relaxed) { SLOWNESS } else { 1 }
    }

    /// Whether anything went wrong in it.
    pub(crate) fn is_struck(&self) -> bool {
        self.is_struck.load(Ordering::Relaxed)
    }

    /// A time up to this, by lot.
    pub(crate) fn draw(&self, most: Duration) -> Duration {
        if most.is_zero() { most } else { most.mul_f64(self.random().f64()) }
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it dies; without end, if it does not.
    pub(crate) async fn death(&self) {
        self.death.notified().await;
    }

    /// Its environment is frozen, or gone: what it has left behind does nothing any more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Notes that it takes up this attempt.
    pub(crate) fn takes_up(&self, attempt: Try) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt);
    }

    /// The attempt that it is at.
    pub(crate) fn at(&self) -> Option<Try> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, what: &dyn fmt::Display) {
        self.world.note(self, what);
    }
}

/// What is asked for by whom nobody answers any more.
async fn never() {
    std::future::pending::<()>().await;
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.role, self.number)?;
        match self.at() {
            Some(at) => write!(f, " {at}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Life({self})")
    }
}
