//! Progress on standard error: a bar on a terminal, else a plain line every few seconds.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::measures::{bytes, count, counted, rate, time};
use crate::stderr::say;

/// How often a plain line comes at most: often enough to see life, rarely enough for a log.
const PLAIN_PERIOD: Duration = Duration::from_secs(5);

/// How often a bar is drawn at most, per second.
const DRAWS_PER_SECOND: u8 = 10;

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) chunks: u64,
    pub(crate) partitions: u64,
    /// Bytes of input; 0 for sources without.
    pub(crate) bytes: u64,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing to tell of.
    Idle,
    /// Bytes are copied from or to local files.
    Copy {
        /// What is done, such as `copying in`.
        verb: &'static str,
        /// Bytes copied.
        done: u64,
        /// Bytes to copy; 0 when that is not known.
        total: u64,
    },
    /// The functions are at work.
    Run {
        /// What is done.
        done: Extent,
        /// All there is.
        total: Extent,
    },
}

/// Tells a person how far the work is. All methods may be called from anywhere.
pub(crate) struct Progress {
    display: Display,
    state: Mutex<State>,
}

enum Display {
    None,
    Plain,
    Bar(ProgressBar),
}

struct State {
    phase: Phase,
    since: Instant,
    told: Instant,
    told_line: String,
}

impl Progress {
    /// Progress on standard error, as suits it.
    pub(crate) fn on_stderr() -> Self {
        if std::io::stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            let bar = ProgressBar::with_draw_target(Some(1), target);
            // The template is a constant; if it were wrong, the default one would do.
            if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/blue} {wide_msg}") {
                bar.set_style(style);
            }
            return Self::new(Display::Bar(bar));
        }
        Self::new(Display::Plain)
    }

    /// No progress at all.
    pub(crate) fn quiet() -> Self {
        Self::new(Display::None)
    }

    fn new(display: Display) -> Self {
        let now = Instant::now();
        let state = State { phase: Phase::Idle, since: now, told: now, told_line: String::new() };
        Self { display, state: Mutex::new(state) }
    }

    /// Begins something new.
    pub(crate) fn begin(&self, phase: Phase) {
        self.join(phase, Duration::ZERO);
    }

    /// Comes to something that began so long ago.
    pub(crate) fn join(&self, phase: Phase, ago: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        state.phase = phase;
        state.since = now.checked_sub(ago).unwrap_or(now);
    }

    /// Adds bytes that were copied.
    pub(crate) fn moved(&self, bytes: u64) {
        let mut state = self.state();
        if let Phase::Copy { done, .. } = &mut state.phase {
            *done += bytes;
        }
        self.tell(&mut state);
    }

    /// Sets how far the functions are.
    pub(crate) fn reached(&self, extent: Extent) {
        let mut state = self.state();
        if let Phase::Run { done, .. } = &mut state.phase {
            *done = extent;
        }
        self.tell(&mut state);
    }

    /// Shows that time goes by.
    pub(crate) fn tick(&self) {
        self.tell(&mut self.state());
    }

    /// Prints a line of its own, above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.display {
            Display::None => {}
            Display::Plain => say!("{line}"),
            Display::Bar(bar) => bar.suspend(|| say!("{line}")),
        }
    }

    /// Takes the bar away; a plain display says the last word where it has said any.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        match &self.display {
            Display::None => {}
            Display::Plain => {
                let line = line(state.phase, state.since.elapsed());
                if !state.told_line.is_empty() && line != state.told_line {
                    say!("{line}");
                }
            }
            Display::Bar(bar) => bar.finish_and_clear(),
        }
        state.phase = Phase::Idle;
    }

    fn tell(&self, state: &mut State) {
        if state.phase == Phase::Idle {
            return;
        }
        match &self.display {
            Display::None => {}
            Display::Plain => {
                if state.told.elapsed() >= PLAIN_PERIOD {
                    state.told = Instant::now();
                    state.told_line = line(state.phase, state.since.elapsed());
                    say!("{}", state.told_line);
                }
            }
            Display::Bar(bar) => {
                let (done, total) = share(state.phase);
                bar.set_length(total.max(1));
                bar.set_position(done.min(total));
                bar.set_message(line(state.phase, state.since.elapsed()));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}

/// What the bar and the time left are made from: bytes where there are any, else chunks.
fn share(phase: Phase) -> (u64, u64) {
    match phase {
        Phase::Idle => (0, 0),
        Phase::Copy { done, total, .. } => (done, total),
        Phase::Run { done, total } if total.bytes > 0 => (done.bytes, total.bytes),
        Phase::Run { done, total } => (done.chunks, total.chunks),
    }
}

fn line(phase: Phase, elapsed: Duration) -> String {
    let mut facts = match phase {
        Phase::Idle => return String::new(),
        Phase::Copy { verb, done, total: 0 } => vec![format!("{verb}: {}", bytes(done)), rate(done, elapsed)],
        Phase::Copy { verb, done, total } => {
            vec![format!("{verb}: {} of {}", bytes(done), bytes(total)), rate(done, elapsed)]
        }
        Phase::Run { done, total } => {
            let mut facts = vec![
                format!("{} of {}", count(done.chunks), counted(total.chunks, "chunk", "chunks")),
                format!(
                    "{} of {}",
                    count(done.partitions),
                    counted(total.partitions, "partition", "partitions")
                ),
            ];
            if total.bytes > 0 {
                // Headers are given to every process, and count only once here.
                facts.push(format!("{} of {}", bytes(done.bytes.min(total.bytes)), bytes(total.bytes)));
                facts.push(rate(done.bytes, elapsed));
            }
            if done.chunks == total.chunks {
                facts.push("putting the output together".to_owned());
            }
            facts
        }
    };
    let (done, total) = share(phase);
    if done > 0 && done < total {
        // Second, so that a narrow terminal still shows it.
        facts.insert(1, format!("{} left", time(elapsed.mul_f64((total - done) as f64 / done as f64))));
    }
    facts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_of_what_how_fast_and_how_long_it_takes() {
        let total = Extent { chunks: 1_900, partitions: 5, bytes: 4 << 20 };
        let phase = Phase::Run { done: Extent { chunks: 475, partitions: 1, bytes: 1 << 20 }, total };
        assert_eq!(
            line(phase, Duration::from_secs(2)),
            "475 of 1,900 chunks, 6.0 s left, 1 of 5 partitions, 1 MiB of 4 MiB, 512 KiB/s"
        );
        let total = Extent { chunks: 1, partitions: 1, bytes: 0 };
        let phase = Phase::Run { done: total, total };
        assert_eq!(
            line(phase, Duration::from_secs(2)),
            "1 of 1 chunk, 1 of 1 partition, putting the output together"
        );
        let phase = Phase::Copy { verb: "copying in", done: 1 << 20, total: 3 << 20 };
        assert_eq!(line(phase, Duration::from_secs(1)), "copying in: 1 MiB of 3 MiB, 2.0 s left, 1 MiB/s");
    }

    #[test]
    fn more_than_all_is_never_shown() {
        let total = Extent { chunks: 2, partitions: 1, bytes: 100 };
        let phase = Phase::Run { done: Extent { chunks: 2, partitions: 1, bytes: 120 }, total };
        assert!(line(phase, Duration::from_secs(1)).contains("100 bytes of 100 bytes"));
    }
}
