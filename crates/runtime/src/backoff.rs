//! How long to wait before something is tried again.

use std::time::Duration;

use crate::deps::World;

/// The wait before the second try is drawn from 0 up to this; the bound doubles from try to try.
const FIRST_WAIT_MAX: Duration = Duration::from_millis(500);

/// No wait is drawn from more than this.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The wait after the n-th failure in a row, from 1, with full jitter: so that what failed together does not come back
/// together ("Exponential Backoff And Jitter", AWS Architecture Blog).
pub fn backoff(world: &dyn World, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let most = WAIT_MAX.min(FIRST_WAIT_MAX * 2_u32.pow(doublings));
    most.mul_f64(world.random() as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemWorld;

    #[test]
    fn waits_are_spread_over_a_span_that_doubles_up_to_a_bound() {
        for (failures, most) in [(0, 500), (1, 500), (2, 1_000), (4, 4_000), (7, 20_000), (u32::MAX, 20_000)]
        {
            let most = Duration::from_millis(most);
            let waits: Vec<_> = (0..200).map(|_| backoff(&SystemWorld, failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= most), "{failures}");
            // Two hundred draws that all miss one half would be a wonder of 2^-200.
            assert!(waits.iter().any(|wait| *wait < most / 2), "{failures}");
            assert!(waits.iter().any(|wait| *wait > most / 2), "{failures}");
        }
    }
}
