//! What there is time for in an invocation.
//!
//! ```text
//! |<- begun                  stop_ms ->|            leave_ms ->|      deadline ->|
//! | parts are begun                    | those under way end   | the rest is     |
//! |                                    |                       | handed on       |
//! ```
//! Wall-clock time, as the budget's is; see there.

use std::time::Duration;

use fanfold_runtime::{Budget, World};

/// Kept for handing the rest on, which takes three small requests: a tenth of the time, and no more than this.
const HAND_ON_MAX: Duration = Duration::from_secs(10);

/// Kept for parts under way to end, and for nothing to be begun that would not: a fifth of the time, and no more than this. A
/// copy of 512 MiB takes some seconds.
const END_MAX: Duration = Duration::from_secs(60);

/// The moments of an invocation, in milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    stop_ms: i64,
    leave_ms: i64,
}

impl Times {
    /// The moments of an invocation that begins now.
    pub(crate) fn new(budget: Budget, world: &dyn World) -> Self {
        let time = budget.remaining(world);
        let leave_ms = before(budget.deadline_ms(), HAND_ON_MAX.min(time / 10));
        Self { stop_ms: before(leave_ms, END_MAX.min(time / 5)), leave_ms }
    }

    /// Whether nothing is to be begun any more.
    pub(crate) fn is_late(&self, world: &dyn World) -> bool {
        world.now_ms() >= self.stop_ms
    }

    /// How long until nothing is begun any more.
    pub(crate) fn until_stop(&self, world: &dyn World) -> Duration {
        until(self.stop_ms, world)
    }

    /// How long until what is under way is left alone.
    pub(crate) fn until_leave(&self, world: &dyn World) -> Duration {
        until(self.leave_ms, world)
    }
}

fn before(moment_ms: i64, time: Duration) -> i64 {
    moment_ms.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn until(moment_ms: i64, world: &dyn World) -> Duration {
    Duration::from_millis(u64::try_from(moment_ms.saturating_sub(world.now_ms())).unwrap_or(0))
}
