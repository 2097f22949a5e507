//! How far ahead of a program its input may be fed.
//!
//! Owes the feeding that the program neither waits for input that is there, nor is given more than it will work through in
//! about [`AHEAD`], or else one piece. Pure: times and byte counts in, room out.
//!
//! What a program has read it has not yet worked through: most read a buffer full at once. But whoever reads again is done
//! with what was read before. So what counts as done is all that was taken but the last gulp, and what is outstanding is
//! that gulp and what is unread. How fast the program is follows from what was done lately, and the window is what it does in
//! [`AHEAD`]. A program that reads on in a thread of its own, or reads everything first, looks faster than it is.

use std::time::{Duration, Instant};

/// How long the program may have to work on what it was given: far longer than a look at the pipe may be late
/// ([`PAUSE_MAX`] and what the system adds), far shorter than what a deadline is planned with.
pub(crate) const AHEAD: Duration = Duration::from_millis(100);

/// By how much the window grows at most with each gulp. That a header, or one short record, was quick says little
/// about what follows. From a record of 100 bytes to the pipe's 1 MiB it takes seven gulps.
const GROWTH: u64 = 4;

/// The window ends at so many pipes full: a full pipe, a piece as large, and the last gulp of the same size are outstanding
/// where a program is as fast as can be.
const WINDOW_PIPES_MAX: u64 = 4;

/// So small a part of the window the program does before the pipe is looked at again: a pipe with no more in it is as
/// good as empty. (What a program's buffer leaves of the last record is little more than nothing, but would keep the pipe from
/// being empty.)
const NEARLY_EMPTY_PART: u64 = (AHEAD.as_millis() / PAUSE_MAX.as_millis()) as u64;

/// Room that is less than this part of the window is not worth a piece, unless the pipe is empty.
const ROOM_PART_MIN: u64 = 4;

/// A look that finds no room is repeated at once for so long: a quick program reads within some 10 µs of being fed.
const SPIN: Duration = Duration::from_micros(200);

/// Then come pauses of this part of what was waited so far, so that a program's first read after a long start is not
/// noticed much later than it happens; within these bounds. (The clock for sleeping counts in milliseconds.)
const PAUSE_PART: u32 = 8;
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// How long to sleep before the next look, after having waited in vain for so long; `None` to look again at once.
pub(crate) fn pause(waited: Duration) -> Option<Duration> {
    (waited >= SPIN).then(|| (waited / PAUSE_PART).clamp(PAUSE_MIN, PAUSE_MAX))
}

/// What is known about how a program reads.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The size of the pipe.
    pipe_bytes: u64,
    /// How much may be outstanding.
    window_bytes: u64,
    /// Put into the pipe so far; of that, taken by the program; of that, surely worked through.
    given_bytes: u64,
    taken_bytes: u64,
    done_bytes: u64,
    /// When the last gulp was seen.
    taken_at: Option<Instant>,
    recent: Recent,
}

impl Pace {
    /// Before the first piece.
    pub(crate) fn new(pipe_bytes: usize) -> Pace {
        Pace {
            pipe_bytes: pipe_bytes as u64,
            window_bytes: 1,
            given_bytes: 0,
            taken_bytes: 0,
            done_bytes: 0,
            taken_at: None,
            recent: Recent::default(),
        }
    }

    /// So much more is in the pipe, or was.
    pub(crate) fn gave(&mut self, bytes: usize) {
        self.given_bytes += bytes as u64;
    }

    /// The room for the next piece, in bytes, given how many are in the pipe and unread; `None` if there should be none now.
    /// There always is some when the pipe is empty.
    pub(crate) fn look(&mut self, now: Instant, unread_bytes: u64) -> Option<usize> {
        let taken_bytes = self.given_bytes.saturating_sub(unread_bytes);
        if taken_bytes > self.taken_bytes {
            self.gulped(now, taken_bytes);
        }
        let window_bytes = self.window_bytes_at(now);
        let outstanding_bytes = self.given_bytes - self.done_bytes;
        let room_bytes = window_bytes.saturating_sub(outstanding_bytes);
        let nearly_empty = unread_bytes <= window_bytes / NEARLY_EMPTY_PART;
        let worth_a_piece = room_bytes >= window_bytes.div_ceil(ROOM_PART_MIN);
        (nearly_empty || worth_a_piece).then(|| room_bytes.clamp(1, self.pipe_bytes) as usize)
    }

    /// The program has read again, so it is done with what it read before.
    fn gulped(&mut self, now: Instant, taken_bytes: u64) {
        let before_bytes = self.taken_bytes - self.done_bytes;
        if let Some(taken_at) = self.taken_at {
            self.recent = self.recent.and(before_bytes, now - taken_at);
            let grown_bytes = self.window_bytes.max(before_bytes).saturating_mul(GROWTH);
            let most_bytes = self.pipe_bytes * WINDOW_PIPES_MAX;
            self.window_bytes = self.recent.bytes_ahead().min(grown_bytes).clamp(1, most_bytes);
        }
        self.done_bytes = self.taken_bytes;
        self.taken_bytes = taken_bytes;
        self.taken_at = Some(now);
    }

    /// The window, less where the program has been busy with its last gulp for longer than was to be expected.
    fn window_bytes_at(&self, now: Instant) -> u64 {
        let Some(taken_at) = self.taken_at else { return self.window_bytes };
        let at_best = self.recent.and(self.taken_bytes - self.done_bytes, now - taken_at);
        at_best.bytes_ahead().clamp(1, self.window_bytes)
    }
}

/// What the program did in about the last [`AHEAD`].
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    bytes: f64,
    seconds: f64,
}

impl Recent {
    /// With so many bytes more, done in so long a time. What came before counts the less the longer that is.
    fn and(self, bytes: u64, time: Duration) -> Recent {
        let kept = 1.0 - (time.as_secs_f64() / AHEAD.as_secs_f64()).min(1.0);
        Recent { bytes: self.bytes * kept + bytes as f64, seconds: self.seconds * kept + time.as_secs_f64() }
    }

    /// How many bytes the program will do in [`AHEAD`].
    fn bytes_ahead(self) -> u64 {
        // Without any time it is as fast as can be; so is the quotient, which `as` keeps within bounds.
        (self.bytes * AHEAD.as_secs_f64() / self.seconds) as u64
    }
}

#[cfg(test)]
#[path = "pace/tests.rs"]
mod tests;
