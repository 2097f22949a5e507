//! A program's standard error: lines for the log, and a tail for whoever reports.
//!
//! Owes the run that standard error never fills up, however much is written to it and whether or not it ever
//! has a newline, and that it takes the same memory always.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::outlet::{Outlet, Read};

/// Longest line that a [`Log`] is given whole, in bytes: 16 KiB. Longer ones come in pieces of this size.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// How much of the end of standard error a [`Tail`] keeps, in bytes: 4 KiB, a page on the screen.
pub const TAIL_BYTES: usize = 4 << 10;

/// Lines handed out in a row before others get their turn. With a log that takes 10 µs for each, that is 1 ms; all that is read
/// at once can have 32,768 lines.
const LINES_IN_A_ROW: usize = 100;

/// Bytes of standard error read at once: the size of a pipe by default (pipe(7)).
const READ_BYTES: usize = 64 << 10;

/// Takes a program's standard error, line by line.
pub trait Log: Send {
    /// Takes a line without its newline, in whatever encoding the program writes. Must be quick: the
    /// process's other pipes wait meanwhile.
    fn line(&mut self, line: &[u8]);

    /// Takes what was written as it comes, before it is cut into lines: for a log that keeps a [`Tail`].
    fn bytes(&mut self, _written: &[u8]) {}
}

/// A closure is a log.
impl<F: FnMut(&[u8]) + Send> Log for F {
    fn line(&mut self, line: &[u8]) {
        self(line);
    }
}

/// Hands everything that is written to standard error to `log`, and counts it in `written_bytes`, until the pipe's end, or
/// until patience is over and nothing is in it.
pub(crate) async fn drain(
    mut outlet: Outlet<'_>,
    log: &mut impl Log,
    written_bytes: &AtomicU64,
) -> io::Result<()> {
    let mut lines = Lines { partial: BytesMut::new() };
    loop {
        lines.partial.reserve(READ_BYTES);
        let before = lines.partial.len();
        if outlet.read(&mut lines.partial).await? != Read::Bytes {
            lines.finish(log);
            return Ok(());
        }
        let written = &lines.partial[before..];
        written_bytes.fetch_add(written.len() as u64, Ordering::Relaxed);
        log.bytes(written);
        while lines.hand_out(log, LINES_IN_A_ROW) == HandedOut::Some {
            tokio::task::yield_now().await;
        }
    }
}

/// Hands a whole standard error to `log`.
pub(crate) fn hand_out(stderr: &[u8], log: &mut impl Log) {
    let mut lines = Lines { partial: BytesMut::from(stderr) };
    log.bytes(stderr);
    lines.hand_out(log, usize::MAX);
    lines.finish(log);
}

/// Cuts bytes into lines.
struct Lines {
    /// The beginning of a line whose end is yet to come; at most [`LINE_BYTES_MAX`] long once all is handed out.
    partial: BytesMut,
}

/// How far handing out went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandedOut {
    /// There is no whole line left.
    All,
    /// As many lines as may be in a row.
    Some,
}

impl Lines {
    fn hand_out(&mut self, log: &mut impl Log, lines_max: usize) -> HandedOut {
        for _ in 0..lines_max {
            match memchr(b'\n', &self.partial) {
                Some(newline) if newline <= LINE_BYTES_MAX => {
                    log.line(&self.partial[..newline]);
                    self.partial.advance(newline + 1);
                }
                // Only what is longer than a line may be: else a line of just that length would be
                // followed by an empty one.
                _ if self.partial.len() > LINE_BYTES_MAX => {
                    log.line(&self.partial[..LINE_BYTES_MAX]);
                    self.partial.advance(LINE_BYTES_MAX);
                }
                _ => return HandedOut::All,
            }
        }
        HandedOut::Some
    }

    fn finish(&mut self, log: &mut impl Log) {
        if !self.partial.is_empty() {
            log.line(&self.partial);
            self.partial.clear();
        }
    }
}

/// The last [`TAIL_BYTES`] of what was written. A log that keeps one knows a program's last words however its run ends, also
/// where it was dropped.
#[derive(Debug, Default)]
pub struct Tail {
    /// At most twice [`KEPT_BYTES`], so that it is moved seldom.
    kept: Vec<u8>,
}

/// One byte more than the tail tells whether the tail begins with a line.
const KEPT_BYTES: usize = TAIL_BYTES + 1;

impl Tail {
    /// Takes what was written next.
    pub fn push(&mut self, bytes: &[u8]) {
        let end = &bytes[bytes.len().saturating_sub(KEPT_BYTES)..];
        if self.kept.len() + end.len() > 2 * KEPT_BYTES {
            let surplus = (self.kept.len() + end.len() - KEPT_BYTES).min(self.kept.len());
            self.kept.drain(..surplus);
        }
        self.kept.extend_from_slice(end);
    }

    /// The tail as text, at most [`TAIL_BYTES`] (somewhat more where bytes that are not UTF-8 were replaced). Where the
    /// beginning was cut off, it begins with a whole line, if there is one.
    pub fn text(&self) -> String {
        let tail = match self.kept.len().checked_sub(KEPT_BYTES) {
            None => &self.kept[..],
            Some(start) => {
                let window = &self.kept[start..];
                let newline = memchr(b'\n', &window[..TAIL_BYTES]).unwrap_or(0);
                &window[newline + 1..]
            }
        };
        String::from_utf8_lossy(tail).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that come of `pieces`, read one after the other.
    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut log = |line: &[u8]| found.push(line.to_vec());
        let mut lines = Lines { partial: BytesMut::new() };
        for piece in pieces {
            lines.partial.extend_from_slice(piece);
            while lines.hand_out(&mut log, 1) == HandedOut::Some {}
        }
        lines.finish(&mut log);
        found
    }

    #[test]
    fn lines_are_the_same_however_they_are_read() {
        let text = b"one\n\nthree\r\nlast";
        for cut in 0..=text.len() {
            let (left, right) = text.split_at(cut);
            assert_eq!(lines(&[left, right]), [b"one".as_slice(), b"", b"three\r", b"last"]);
        }
    }

    #[test]
    fn a_line_of_the_greatest_length_comes_whole_and_a_longer_one_in_pieces() {
        let whole = [b'x'; LINE_BYTES_MAX];
        assert_eq!(lines(&[&whole, b"\n"]), [whole]);
        assert_eq!(lines(&[&whole, b"y\n\n"]), [whole.as_slice(), b"y", b""]);
    }

    #[test]
    fn the_tail_begins_with_a_line_wherever_it_was_cut() {
        for shift in 0..20 {
            let mut tail = Tail::default();
            tail.push(&vec![b'-'; shift]);
            for number in 0..2_000 {
                tail.push(format!("\n{number:07}").as_bytes());
            }
            let text = tail.text();
            assert!(text.lines().all(|line| line.len() == 7), "{text}");
            assert!(text.ends_with("0001999") && text.len() > TAIL_BYTES - 8 && text.len() <= TAIL_BYTES);
        }
        let mut tail = Tail::default();
        tail.push(b"short");
        assert_eq!(tail.text(), "short");
    }
}
