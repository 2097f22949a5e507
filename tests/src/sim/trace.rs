//! What happened in a run: a line for each event, in order.

use std::collections::VecDeque;
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines that are kept from a run's beginning.
const FIRST_LINES: usize = 150;

/// Lines that are kept from its end.
const LAST_LINES: usize = 450;

/// The lines of a run, or none where nobody will read them: writing them takes longer than the run itself.
#[derive(Debug)]
pub(crate) struct Trace {
    is_kept: bool,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    first: Vec<String>,
    last: VecDeque<String>,
    left_out: u64,
}

impl Trace {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { is_kept, lines: Mutex::default() }
    }

    /// Whether anybody will read it, so that what only it needs may be left undone.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Adds a line: when, who, and what happened.
    pub(crate) fn note(&self, at: Duration, who: &dyn Display, what: &dyn Display) {
        if !self.is_kept {
            return;
        }
        let line = format!("{:>10.3} s  {who:<24} {what}", at.as_secs_f64());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.first.len() < FIRST_LINES {
            lines.first.push(line);
            return;
        }
        lines.last.push_back(line);
        if lines.last.len() > LAST_LINES {
            lines.last.pop_front();
            lines.left_out += 1;
        }
    }

    /// All that is kept.
    pub(crate) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = lines.first.join("\n");
        if lines.left_out > 0 {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "\n             … {} events are left out …", lines.left_out);
        }
        for line in &lines.last {
            text.push('\n');
            text.push_str(line);
        }
        text
    }
}
