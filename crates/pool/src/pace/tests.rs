//! The policy against readers of every speed, in virtual time.

use super::*;
use proptest::prelude::*;

const PIPE_BYTES: u64 = 1 << 20;

/// A program that reads at most so much at once, and works for so long on each record.
#[derive(Clone, Copy, Debug)]
struct Reader {
    record_bytes: u64,
    per_record: Duration,
    buffer_bytes: u64,
    starts_in: Duration,
    /// From this record on it takes so many times as long for each.
    turns_slow: Option<(u64, u32)>,
}

/// What came of feeding it.
#[derive(Debug, Default)]
struct Fed {
    /// How long the reader would have had to work, at most, if the input had ended at any one moment. Where it turns slow, from
    /// when it has worked through three pipes full after that.
    most_ahead: Duration,
    /// How many bytes were in the pipe or not worked through, at most.
    most_outstanding_bytes: u64,
    /// How long it waited between its first read and its last, when there still was input.
    idle: Duration,
}

struct World {
    reader: Reader,
    now: Duration,
    unread_bytes: u64,
    read_bytes: u64,
    /// The last that was read, and when the reader is done with it.
    gulp_bytes: u64,
    free_at: Duration,
    fed: Fed,
}

impl World {
    fn new(reader: Reader) -> World {
        let (now, free_at) = (Duration::ZERO, reader.starts_in);
        World { reader, now, unread_bytes: 0, read_bytes: 0, gulp_bytes: 0, free_at, fed: Fed::default() }
    }

    /// How long the reader works on so many bytes behind those that it has read.
    fn work(&self, bytes: u64) -> Duration {
        let per_byte =
            |bytes: u64| self.reader.per_record.mul_f64(bytes as f64 / self.reader.record_bytes as f64);
        let slow_from =
            self.reader.turns_slow.map_or(u64::MAX, |(record, _)| record * self.reader.record_bytes);
        let quick_bytes = bytes.min(slow_from.saturating_sub(self.read_bytes));
        let times = self.reader.turns_slow.map_or(1, |(_, times)| times);
        per_byte(quick_bytes) + per_byte(bytes - quick_bytes) * times
    }

    /// The reader does what it can in this time.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.unread_bytes > 0 && self.free_at <= until {
            let gulp_bytes = self.unread_bytes.min(self.reader.buffer_bytes);
            let begins = self.free_at.max(self.now);
            if self.read_bytes > 0 {
                self.fed.idle += begins - self.free_at;
            }
            self.free_at = begins + self.work(gulp_bytes);
            self.unread_bytes -= gulp_bytes;
            self.read_bytes += gulp_bytes;
            self.gulp_bytes = gulp_bytes;
        }
        self.now = until;
    }

    /// Puts a piece into the pipe, waiting where it does not fit.
    fn give(&mut self, bytes: u64) {
        let mut left_bytes = bytes;
        while left_bytes > 0 {
            let fit_bytes = left_bytes.min(PIPE_BYTES - self.unread_bytes);
            self.unread_bytes += fit_bytes;
            left_bytes -= fit_bytes;
            self.pass(Duration::from_micros(if left_bytes > 0 { 50 } else { 5 }));
        }
        let busy = self.free_at.saturating_sub(self.now.max(self.reader.starts_in));
        let gulp_bytes = if busy.is_zero() { 0 } else { self.gulp_bytes };
        let fed = &mut self.fed;
        fed.most_outstanding_bytes = fed.most_outstanding_bytes.max(self.unread_bytes + gulp_bytes);
        let steady_from = self
            .reader
            .turns_slow
            .map_or(0, |(record, _)| record * self.reader.record_bytes + 3 * PIPE_BYTES);
        if self.read_bytes >= steady_from {
            self.fed.most_ahead = self.fed.most_ahead.max(busy + self.work(self.unread_bytes));
        }
    }
}

/// Feeds a reader so many records as `feed` does.
fn feed(reader: Reader, records: u64) -> Fed {
    let (mut world, mut pace) = (World::new(reader), Pace::new(PIPE_BYTES as usize));
    let began = Instant::now();
    let mut left = records;
    while left > 0 {
        let mut waited = Duration::ZERO;
        let room = loop {
            if let Some(room) = pace.look(began + world.now, world.unread_bytes) {
                break room as u64;
            }
            let pause = pause(waited).unwrap_or(Duration::from_micros(5));
            world.pass(pause);
            waited += pause;
        };
        let piece_records = (room / reader.record_bytes).clamp(1, left);
        left -= piece_records;
        world.give(piece_records * reader.record_bytes);
        pace.gave((piece_records * reader.record_bytes) as usize);
    }
    world.fed
}

fn reader() -> impl Strategy<Value = Reader> {
    let buffer_bytes = prop::sample::select(vec![1_u64, 100, 4 << 10, 8 << 10, 64 << 10, 1 << 20]);
    // Evenly over the orders of magnitude, from a microsecond to ten seconds.
    let per_record = (0..7_000_u32).prop_map(|thousandth| 10_f64.powf(f64::from(thousandth) / 1000.0 - 6.0));
    (1..5_000_u64, per_record, buffer_bytes, 0..200_u64).prop_map(
        |(record_bytes, per_record, buffer_bytes, starts_in_ms)| Reader {
            record_bytes,
            per_record: Duration::from_secs_f64(per_record),
            buffer_bytes: buffer_bytes.max(record_bytes),
            starts_in: Duration::from_millis(starts_in_ms),
            turns_slow: None,
        },
    )
}

/// As many records as keep the reader busy for so long, and some more.
fn records_for(reader: Reader, time: Duration) -> u64 {
    (time.as_secs_f64() / reader.per_record.as_secs_f64()) as u64 + 10
}

/// What is outstanding is never more work than the window, and what may be wrong with it in the worst case: the clock by
/// which the work is measured ticks in pauses. And one record that is being worked on, and one that waits.
fn most_ahead(per_record: Duration) -> Duration {
    AHEAD * 3 / 2 + per_record * 2
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_program_is_never_given_more_than_it_does_in_a_moment_and_never_waits_for_more_than_one(
        reader in reader(),
        records in 1..20_000_u64,
    ) {
        let records = records.min(records_for(reader, Duration::from_secs(30)));
        let fed = feed(reader, records);
        prop_assert!(fed.most_ahead <= most_ahead(reader.per_record), "{:?}", fed);
        // The first read may be noticed late by a pause. After that the pipe is empty for moments only.
        let work = reader.per_record * records as u32;
        prop_assert!(fed.idle <= PAUSE_MAX + work / 50, "{:?} of {:?}", fed, work);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_program_that_turns_slow_is_given_little_again(
        record_bytes in 1000..5_000_u64,
        quick_records in 1..20_000_u64,
        times in 1000..100_000_u32,
        buffer_bytes in prop::sample::select(vec![8_u64 << 10, 64 << 10]),
    ) {
        let per_record = Duration::from_micros(1);
        let turns_slow = Some((quick_records, times));
        let reader = Reader { record_bytes, per_record, buffer_bytes, starts_in: Duration::ZERO, turns_slow };
        let fed = feed(reader, quick_records + 4 * PIPE_BYTES / record_bytes);
        prop_assert!(!fed.most_ahead.is_zero());
        prop_assert!(fed.most_ahead <= most_ahead(per_record * times), "{:?}", fed);
    }
}

#[test]
fn a_quick_first_record_lets_no_more_than_a_handful_of_slow_ones_follow() {
    let reader = Reader {
        record_bytes: 100,
        per_record: Duration::from_micros(1),
        buffer_bytes: 64 << 10,
        starts_in: Duration::from_millis(30),
        turns_slow: Some((1, 1_000_000)),
    };
    assert!(feed(reader, 50).most_outstanding_bytes <= (1 + GROWTH) * reader.record_bytes);
}

#[test]
fn a_quick_program_has_the_whole_pipe_after_some_pieces() {
    let mut pace = Pace::new(PIPE_BYTES as usize);
    let mut now = Instant::now();
    let rooms = (0..12).map(|_| {
        let room = pace.look(now, 0).unwrap();
        pace.gave(room.max(100));
        now += Duration::from_micros(300);
        room
    });
    let rooms: Vec<usize> = rooms.collect();
    assert_eq!(rooms[0], 1);
    assert!(rooms[11] == PIPE_BYTES as usize, "{rooms:?}");
}

#[test]
fn a_pipe_that_is_empty_is_always_given_something_whatever_is_known() {
    let mut pace = Pace::new(PIPE_BYTES as usize);
    let began = Instant::now();
    for second in 0..100 {
        let now = began + Duration::from_secs(second);
        let room = pace.look(now, 0).unwrap();
        assert!((1..=PIPE_BYTES as usize).contains(&room), "{room}");
        pace.gave(10_000_000);
        assert_eq!(pace.look(now, PIPE_BYTES), None);
    }
}

#[test]
fn pauses_grow_with_the_wait_and_stay_within_their_bounds() {
    assert_eq!(pause(Duration::ZERO), None);
    assert_eq!(pause(SPIN), Some(PAUSE_MIN));
    assert_eq!(pause(Duration::from_millis(40)), Some(Duration::from_millis(5)));
    assert_eq!(pause(Duration::from_secs(1000)), Some(PAUSE_MAX));
}
