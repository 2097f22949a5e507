//! Invoking at a pace that the service bears, and trying again until it takes what it is given or time is up.
//!
//! One pacer for all requests that go through it: each throttled answer makes the gap between any two requests longer,
//! each success makes it a little shorter, so a fan-out finds the rate that the account allows. What is tried again
//! waits for a random time besides ("full jitter"), so that those who were throttled together do not return together.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::error::InvokeError;
use crate::invoke::{Answer, Invoke, RequestId};

/// How hard to try.
#[derive(Clone, Debug)]
pub struct Pacing {
    /// How long one request may be tried in all, waits included. 2 minutes by default: what a function may take to be
    /// ready after a deploy. A call that is under way when the time is up is waited for.
    pub total_time: Duration,
    /// The wait before the second try is drawn from 0 up to this; it doubles from try to try. 100 ms by default.
    pub first_wait_max: Duration,
    /// The wait is never drawn from more than this. 10 s by default.
    pub wait_max: Duration,
    /// Requests under way at once, waits not included: 64 by default, more than enough to fill the rate that one
    /// client is allowed.
    pub requests_in_flight: NonZeroUsize,
    /// Longest gap between the starts of two requests that throttling leads to. 1 s by default.
    pub gap_max: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            total_time: Duration::from_secs(120),
            first_wait_max: Duration::from_millis(100),
            wait_max: Duration::from_secs(10),
            requests_in_flight: NonZeroUsize::new(64).unwrap_or(NonZeroUsize::MIN),
            gap_max: Duration::from_secs(1),
        }
    }
}

/// The gap that the first throttled answer leads to.
const GAP_FIRST: Duration = Duration::from_millis(4);

/// Invokes through another port, paced and with retries. Retried are `Throttled`, `Conflict` and `Unavailable`; after
/// the last the function may run twice, which every function of Fanfold is made for.
///
/// An error is that of the last try. See the [module](self).
#[derive(Debug)]
pub struct PacedInvoke {
    inner: Arc<dyn Invoke>,
    pacing: Pacing,
    in_flight: Semaphore,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    gap: Duration,
    next: Option<Instant>,
    random: fastrand::Rng,
}

impl PacedInvoke {
    /// Paces what goes to `inner`; the waits are drawn from this seed.
    pub fn new(inner: Arc<dyn Invoke>, pacing: Pacing, seed: u64) -> Self {
        let in_flight = Semaphore::new(pacing.requests_in_flight.get().min(Semaphore::MAX_PERMITS));
        let pace = Pace { gap: Duration::ZERO, next: None, random: fastrand::Rng::with_seed(seed) };
        Self { inner, pacing, in_flight, pace: Mutex::new(pace) }
    }

    async fn surely<'a, T>(
        &self,
        mut request: impl FnMut() -> BoxFuture<'a, Result<T, InvokeError>> + Send,
    ) -> Result<T, InvokeError> {
        let end = Instant::now() + self.pacing.total_time;
        let mut wait_max = self.pacing.first_wait_max;
        loop {
            let error = match self.once(&mut request).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let retry_at = Instant::now() + self.wait(wait_max, &error);
            if !error.is_transient() || retry_at >= end {
                return Err(error);
            }
            sleep_until(retry_at).await;
            wait_max = (wait_max * 2).min(self.pacing.wait_max);
        }
    }

    /// One try, when it is its turn.
    async fn once<'a, T>(
        &self,
        request: &mut (impl FnMut() -> BoxFuture<'a, Result<T, InvokeError>> + Send),
    ) -> Result<T, InvokeError> {
        // Never closed, so there is always a permit in the end.
        let _permit = self.in_flight.acquire().await.ok();
        let turn = self.pace().take_turn();
        sleep_until(turn).await;
        let outcome = request().await;
        match &outcome {
            Ok(_) => self.pace().quicken(),
            Err(InvokeError::Throttled { .. }) => self.pace().slow_down(self.pacing.gap_max),
            Err(_) => {}
        }
        outcome
    }

    /// How long to wait before the next try: at random, but at least as long as the service asks.
    fn wait(&self, wait_max: Duration, error: &InvokeError) -> Duration {
        let drawn = wait_max.mul_f64(self.pace().random.f64());
        match error {
            InvokeError::Throttled { retry_after: Some(least), .. } => drawn + *least,
            _ => drawn,
        }
    }

    // Nothing panics between two changes of the pace, so what a poisoned lock protects is still right.
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    /// When the next request may start; the one after it comes a gap later.
    fn take_turn(&mut self) -> Instant {
        let now = Instant::now();
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = Some(turn + self.gap);
        turn
    }

    fn slow_down(&mut self, gap_max: Duration) {
        self.gap = (self.gap * 2).clamp(GAP_FIRST.min(gap_max), gap_max);
    }

    fn quicken(&mut self) {
        let shorter = self.gap - self.gap / 16;
        // Below this the gap no longer matters, and it would never reach zero by itself.
        self.gap = if shorter < GAP_FIRST / 4 { Duration::ZERO } else { shorter };
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Invoke for PacedInvoke {
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError> {
        self.surely(|| self.inner.call(function, payload.clone())).await
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        self.surely(|| self.inner.send(function, payload.clone())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counting::Counting;
    use crate::error::ThrottleReason;
    use crate::faults::{Decision, Fault, Faulty};
    use crate::memory::MemoryInvoke;

    fn world(decide: impl Fn(u64) -> Decision + Send + Sync + 'static) -> Arc<Counting> {
        let functions = MemoryInvoke::new();
        functions.register("f", async |invocation| Ok(invocation.payload));
        let faulty =
            Faulty::new(Arc::new(functions), move |call: &crate::faults::Call<'_>| decide(call.number));
        Arc::new(Counting::new(Arc::new(faulty)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_event_is_sent_again_until_it_is_taken() {
        let counting =
            world(|number| if number < 20 { Decision::Fail(Fault::Throttled) } else { Decision::Pass });
        let paced = PacedInvoke::new(counting.clone(), Pacing::default(), 1);
        paced.send("f", Bytes::from_static(b"{}")).await.unwrap();
        assert_eq!(counting.counts().sends, 21);
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_when_time_is_up_with_the_last_error() {
        let counting = world(|_| Decision::Fail(Fault::Throttled));
        let paced = PacedInvoke::new(counting.clone(), Pacing::default(), 2);
        let begun = Instant::now();
        let error = paced.send("f", Bytes::from_static(b"{}")).await.unwrap_err();
        assert!(matches!(error, InvokeError::Throttled { reason: ThrottleReason::AccountConcurrency, .. }));
        assert!(begun.elapsed() <= Pacing::default().total_time);
        assert!(counting.counts().sends > 10, "{:?}", counting.counts());
    }

    #[tokio::test(start_paused = true)]
    async fn what_trying_again_cannot_mend_is_told_at_once() {
        let counting = world(|_| Decision::Pass);
        let paced = PacedInvoke::new(counting.clone(), Pacing::default(), 3);
        let error = paced.call("nobody", Bytes::from_static(b"{}")).await.unwrap_err();
        assert!(matches!(error, InvokeError::NotFound { .. }));
        assert_eq!(counting.counts().calls, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_spreads_requests_out_and_success_brings_them_together() {
        let mut pace = Pace { gap: Duration::ZERO, next: None, random: fastrand::Rng::with_seed(4) };
        for _ in 0..20 {
            pace.slow_down(Duration::from_secs(1));
        }
        assert_eq!(pace.gap, Duration::from_secs(1));
        let (first, second) = (pace.take_turn(), pace.take_turn());
        assert_eq!(second - first, Duration::from_secs(1));
        for _ in 0..200 {
            pace.quicken();
        }
        assert_eq!(pace.gap, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_sent_again_and_delivered_twice() {
        let functions = Arc::new(MemoryInvoke::new());
        functions.register("f", async |invocation| Ok(invocation.payload));
        let lose_first = |call: &crate::faults::Call<'_>| match call.number {
            0 => Decision::LoseAnswer,
            _ => Decision::Pass,
        };
        let faulty = Faulty::new(functions.clone(), lose_first);
        let paced = PacedInvoke::new(Arc::new(faulty), Pacing::default(), 5);
        paced.send("f", Bytes::from_static(b"{}")).await.unwrap();
        functions.idle().await;
        assert_eq!(functions.deliveries().len(), 2);
    }
}
