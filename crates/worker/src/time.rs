//! What there is time for in an invocation.
//!
//! ```text
//! |<- begun_ms                       cut_ms ->|          kill_ms ->|      deadline ->|
//! | processes start, inputs are fed           | programs finish    | the outcome     |
//! |                                           | what they were fed | is written      |
//! ```
//! Wall-clock time, as the budget's is; see there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fanfold_flow::chunk::{self, Chunk, Prior};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_records::Rule;
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

/// How often a chunk is started afresh before it fails.
const FRESH_STARTS_MAX: u32 = 4;

/// What is known of a process while it is fed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// When it began, in milliseconds since 1970 (UTC).
    pub(crate) started_ms: i64,
    /// Whether it has printed something.
    pub(crate) has_printed: bool,
    /// How long it takes for a portion of its input, in milliseconds.
    pub(crate) portion_ms: i64,
}

/// How long a process takes for a portion of its input: from one time that it is asked for more to the next. What came last
/// counts most, and a long one is forgotten slowly.
#[derive(Debug)]
pub(crate) struct Portions {
    asked_ms: AtomicI64,
    longest_ms: AtomicI64,
}

impl Portions {
    /// Of a process that begins now.
    pub(crate) fn new(now_ms: i64) -> Self {
        Self { asked_ms: AtomicI64::new(now_ms), longest_ms: AtomicI64::new(0) }
    }

    /// Notes that it asks for more, and gives how long one takes.
    pub(crate) fn ask(&self, now_ms: i64) -> i64 {
        let last_ms = now_ms.saturating_sub(self.asked_ms.swap(now_ms, Ordering::Relaxed));
        let longest_ms = last_ms.max(self.longest_ms.load(Ordering::Relaxed) / 4 * 3);
        self.longest_ms.store(longest_ms, Ordering::Relaxed);
        longest_ms
    }
}

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

    /// Whether the input of a process must end now, of which this is known.
    pub(crate) fn must_end(&self, known: Known, now_ms: i64) -> bool {
        let gathering_ms = match known.has_printed {
            true => 0,
            false => now_ms.saturating_sub(known.started_ms) / i64::from(GATHERING_SHARE),
        };
        // It is at one portion, and would have to do with the next one too.
        let two_portions_ms = known.portion_ms.saturating_mul(2);
        now_ms >= self.cut_ms.min(self.kill_ms.saturating_sub(gathering_ms.max(two_portions_ms)))
    }

    /// How much of a chunk is given to a process at once, now that one took so long for as much: more where that was little.
    pub(crate) fn grown(&self, at_most: Option<u64>, took_ms: u64) -> Option<u64> {
        let is_little = took_ms as f64 * 4.0 < self.kill_ms.saturating_sub(self.begun_ms) as f64;
        if is_little { at_most.map(|most| most.saturating_mul(2)) } else { at_most }
    }

    /// How long until inputs end.
    pub(crate) fn until_cut(&self, world: &dyn World) -> Duration {
        Duration::from_millis(u64::try_from(self.cut_ms.saturating_sub(world.now_ms())).unwrap_or(0))
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
    /// had not all the time there is starts as it was. What had, and can be cut, is given at most half as much, and the last
    /// time one record.
    pub(crate) fn afresh(&self, chunk: &Chunk, can_be_cut: bool, started_ms: i64) -> Option<Chunk> {
        if chunk.prior.late >= FRESH_STARTS_MAX {
            return None;
        }
        let again = Prior { late: chunk.prior.late + 1, ..chunk.prior };
        let with = |prior| Chunk { prior, ..chunk.clone() };
        if !self.had_nearly_all(started_ms) {
            return Some(with(again));
        }
        let (_, whole) = chunk.input.offset_and_limit();
        let half = chunk.prior.at_most.unwrap_or(whole).min(whole) / 2;
        // However long the first record is: the last time it is alone.
        let half = if again.late == FRESH_STARTS_MAX { half.min(1) } else { half };
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
        chunk::Input::Bytes(_) if partition.rule == Rule::Whole => Err("the job has \"split\": \"none\""),
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
            prop_assert!(starts <= FRESH_STARTS_MAX);
        }
    }

    #[test]
    fn the_moments_of_a_quarter_of_an_hour_and_of_twenty_seconds() {
        assert_eq!((times(900).cut_ms, times(900).kill_ms), (885_000, 895_000));
        assert_eq!((times(20).cut_ms, times(20).kill_ms), (15_500, 18_000));
    }

    fn known(started_ms: i64, has_printed: bool, portion_ms: i64) -> Known {
        Known { started_ms, has_printed, portion_ms }
    }

    #[test]
    fn a_program_that_has_printed_nothing_is_ended_earlier_the_longer_it_has_gathered() {
        let times = times(900);
        let (prints, gathers) = (known(0, true, 0), known(0, false, 0));
        assert!(!times.must_end(prints, 884_999) && times.must_end(prints, 885_000));
        // 716 s of gathering, and a quarter of that to print it.
        assert!(!times.must_end(gathers, 715_999) && times.must_end(gathers, 716_000));
        assert!(!times.must_end(known(880_000, false, 0), 884_000), "it began just now");
    }

    #[test]
    fn a_program_that_is_slow_over_a_record_is_ended_while_there_is_time_for_what_it_has() {
        let times = times(900);
        // A minute for a record: what it has, and one more, must be done by 895 s.
        let slow = known(0, true, 60_000);
        assert!(!times.must_end(slow, 774_999) && times.must_end(slow, 775_000));
        let portions = Portions::new(0);
        assert_eq!(
            [1_000, 61_000, 61_100, 61_200].map(|now_ms| portions.ask(now_ms)),
            [1_000, 60_000, 45_000, 33_750]
        );
    }

    #[test]
    fn what_was_halved_is_given_more_again_when_it_takes_little_time() {
        let times = times(900);
        assert_eq!(times.grown(Some(10), 100_000), Some(20));
        assert_eq!(times.grown(Some(10), 400_000), Some(10));
        assert_eq!(times.grown(None, 0), None);
    }

    #[test]
    fn what_cannot_be_cut_is_started_afresh_only_if_it_had_less_time_than_there_is() {
        let times = times(900);
        let whole = chunk(100, 0, None);
        assert_eq!(times.afresh(&whole, false, 0), None, "to try again would only take as long again");
        assert_eq!(times.afresh(&whole, false, 500_000), Some(chunk(100, 1, None)));
        assert_eq!(times.afresh(&chunk(100, FRESH_STARTS_MAX, None), false, 500_000), None);
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
