//! What there is time for in an invocation.
//!
//! ```text
//! |<- begun_ms                       cut_ms ->|          kill_ms ->|      deadline ->|
//! | processes start, inputs are fed           | programs finish    | the outcome     |
//! |                                           | what they were fed | is written      |
//! ```
//! Wall-clock time, as the budget's is; see there.

use std::time::Duration;

use fanfold_flow::chunk::{self, Chunk, Prior};
use fanfold_flow::job::{Job, Split};
use fanfold_flow::partition::Partition;
use fanfold_runtime::{Budget, World};

/// Kept for writing the outcome after the last process has ended: a tenth of the time, and no more than this.
const OUTCOME_MAX: Duration = Duration::from_secs(5);

/// Kept for programs to finish what they were fed, at least: an eighth of the time, and no more than this.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// How much of a process's time is kept for it to finish when it has printed nothing yet: a program that gives its result
/// only at the end needs some time for that, and how much follows at best from how long it has gathered.
const GATHERING_SHARE: u32 = 4;

/// What a process had that ran out of time: nearly all that an invocation can give, or less.
const NEARLY_ALL: f64 = 0.9;

/// How often a chunk that can be cut is started afresh before it fails.
const FRESH_STARTS_MAX: u32 = 4;

/// The moments of an invocation, in milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the invocation began.
    begun_ms: i64,
    /// When inputs end and nothing is started any more.
    cut_ms: i64,
    /// When processes are killed.
    pub(crate) kill_ms: i64,
}

impl Times {
    /// The moments of an invocation that begins now.
    pub(crate) fn new(budget: Budget, world: &dyn World) -> Self {
        let time = budget.remaining(world);
        let kill_ms = before(budget.deadline_ms(), OUTCOME_MAX.min(time / 10));
        let cut_ms = before(kill_ms, FINISH_MAX.min(time / 8));
        Self { begun_ms: world.now_ms(), cut_ms, kill_ms }
    }

    /// Whether it is too late to start a process.
    pub(crate) fn is_late(&self, world: &dyn World) -> bool {
        world.now_ms() >= self.cut_ms
    }

    /// Whether the input of a process must end now, which began at this moment and has printed something, or nothing yet.
    pub(crate) fn must_end(&self, started_ms: i64, has_printed: bool, world: &dyn World) -> bool {
        let now_ms = world.now_ms();
        let gathering_ms =
            if has_printed { 0 } else { now_ms.saturating_sub(started_ms) / i64::from(GATHERING_SHARE) };
        now_ms >= self.cut_ms.min(self.kill_ms.saturating_sub(gathering_ms))
    }

    /// How long until processes are killed.
    pub(crate) fn until_kill(&self, world: &dyn World) -> Duration {
        Duration::from_millis(u64::try_from(self.kill_ms.saturating_sub(world.now_ms())).unwrap_or(0))
    }

    /// Whether a process that began at this moment had nearly all the time that an invocation can give.
    fn had_nearly_all(&self, started_ms: i64) -> bool {
        let whole = self.kill_ms.saturating_sub(self.begun_ms) as f64;
        self.kill_ms.saturating_sub(started_ms) as f64 >= whole * NEARLY_ALL
    }

    /// How a chunk is started afresh that was begun at this moment and ran out of time; none if that would be no use. What
    /// had not all the time there is starts as it was: once, or a few times where it can be cut. What had, and can be cut, is
    /// given at most half as much.
    pub(crate) fn afresh(&self, chunk: &Chunk, can_be_cut: bool, started_ms: i64) -> Option<Chunk> {
        let starts_max = if can_be_cut { FRESH_STARTS_MAX } else { 1 };
        if chunk.prior.late >= starts_max {
            return None;
        }
        let again = Prior { late: chunk.prior.late + 1, ..chunk.prior };
        let with = |prior| Chunk { prior, ..chunk.clone() };
        if !self.had_nearly_all(started_ms) {
            return Some(with(again));
        }
        let (_, whole) = chunk.input.offset_and_limit();
        let half = chunk.prior.at_most.unwrap_or(whole).min(whole) / 2;
        (can_be_cut && half > 0).then(|| with(Prior { at_most: Some(half), ..again }))
    }
}

fn before(moment_ms: i64, time: Duration) -> i64 {
    moment_ms.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// Whether a chunk may be ended at a record and go on behind it; if not, why.
pub(crate) fn can_be_cut(chunk: &Chunk, partition: &Partition, job: &Job) -> Result<(), &'static str> {
    if !job.cut {
        return Err("the job has \"cut\": false");
    }
    match &chunk.input {
        chunk::Input::Range { .. } => Err("a range has no records"),
        chunk::Input::Bytes(_) if partition.split == Split::None => Err("the job has \"split\": \"none\""),
        chunk::Input::Bytes(_) | chunk::Input::Items { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct At(i64);

    impl World for At {
        fn now_ms(&self) -> i64 {
            self.0
        }

        fn random(&self) -> u64 {
            0
        }
    }

    fn times(seconds: i64) -> Times {
        Times::new(Budget::until(seconds * 1_000), &At(0))
    }

    fn chunk(bytes: u64, late: u32, at_most: Option<u64>) -> Chunk {
        let input = chunk::Input::Range { offset: 0, limit: bytes };
        Chunk { prior: Prior { late, at_most, ..Prior::default() }, ..Chunk::whole(0, input) }
    }

    proptest! {
        #[test]
        fn there_is_time_to_finish_and_time_to_write_the_outcome_however_short_an_invocation_is(
            deadline_ms in 0..2_000_000_i64
        ) {
            let times = Times::new(Budget::until(deadline_ms), &At(0));
            prop_assert!(0 <= times.cut_ms && times.cut_ms <= times.kill_ms && times.kill_ms <= deadline_ms);
            prop_assert!(times.cut_ms >= deadline_ms * 3 / 4, "{times:?}");
            prop_assert!(deadline_ms < 1_000 || times.cut_ms < times.kill_ms && times.kill_ms < deadline_ms);
        }

        #[test]
        fn what_ran_out_of_time_is_started_afresh_a_bounded_number_of_times(
            bytes in 0..1_u64 << 40, can_be_cut: bool, started_ms in 0..900_000_i64
        ) {
            let times = times(900);
            let (mut chunk, mut starts) = (chunk(bytes, 0, None), 0);
            while let Some(next) = times.afresh(&chunk, can_be_cut, started_ms) {
                prop_assert!(next.prior.late > chunk.prior.late);
                prop_assert!(can_be_cut || next.prior.at_most.is_none());
                (chunk, starts) = (next, starts + 1);
            }
            let most = if can_be_cut { FRESH_STARTS_MAX } else { 1 };
            prop_assert!(starts <= most);
        }
    }

    #[test]
    fn the_moments_of_a_quarter_of_an_hour_and_of_twenty_seconds() {
        assert_eq!((times(900).cut_ms, times(900).kill_ms), (885_000, 895_000));
        assert_eq!((times(20).cut_ms, times(20).kill_ms), (15_500, 18_000));
    }

    #[test]
    fn a_program_that_has_printed_nothing_is_ended_earlier_the_longer_it_has_gathered() {
        let times = times(900);
        assert!(!times.must_end(0, true, &At(884_999)) && times.must_end(0, true, &At(885_000)));
        // 716 s of gathering, and a quarter of that to print it.
        assert!(!times.must_end(0, false, &At(715_999)) && times.must_end(0, false, &At(716_000)));
        assert!(!times.must_end(880_000, false, &At(884_000)), "it began just now");
    }

    #[test]
    fn what_cannot_be_cut_is_started_afresh_only_if_it_had_less_time_than_there_is() {
        let times = times(900);
        let whole = chunk(100, 0, None);
        assert_eq!(times.afresh(&whole, false, 0), None, "to try again would only take as long again");
        assert_eq!(times.afresh(&whole, false, 500_000), Some(chunk(100, 1, None)));
        assert_eq!(times.afresh(&chunk(100, 1, None), false, 500_000), None);
    }

    #[test]
    fn what_can_be_cut_is_given_half_as_much_each_time() {
        let times = times(900);
        let half = times.afresh(&chunk(100, 0, None), true, 0);
        assert_eq!(half, Some(chunk(100, 1, Some(50))));
        assert_eq!(times.afresh(&half.unwrap(), true, 0), Some(chunk(100, 2, Some(25))));
        assert_eq!(times.afresh(&chunk(1, 0, None), true, 0), None, "there is no half of it");
        let begun_late = times.afresh(&chunk(1, 0, None), true, 500_000);
        assert_eq!(begun_late, Some(chunk(1, 1, None)), "it may do with all the time there is");
        assert_eq!(times.afresh(&chunk(30, 1, Some(50)), true, 0), Some(chunk(30, 2, Some(15))));
    }
}
