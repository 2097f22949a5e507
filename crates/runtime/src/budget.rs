//! The time that an invocation has.

use std::time::Duration;

use crate::deps::World;

/// Until when an invocation may work: wall-clock time, since Lambda freezes and thaws its machines and a monotonic clock
/// would not have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    deadline_ms: i64,
}

impl Budget {
    /// A budget that ends at this moment, in milliseconds since 1970 (UTC).
    pub fn until(deadline_ms: i64) -> Self {
        Self { deadline_ms }
    }

    /// When it ends, in milliseconds since 1970 (UTC).
    pub fn deadline_ms(self) -> i64 {
        self.deadline_ms
    }

    /// What is left of it now; zero when it is over.
    pub fn remaining(self, world: &dyn World) -> Duration {
        let left_ms = self.deadline_ms.saturating_sub(world.now_ms());
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    }
}
