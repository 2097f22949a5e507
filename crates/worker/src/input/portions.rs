//! In which portions a chunk's records are handed out, and where that ends.
//!
//! Pure: it is told whether the time is up, and given what was read ([`Piece`]) when it has nothing more at hand. Each byte is
//! walked over once, as it is handed out; so at any moment the walker stands where the program's input does, and can say
//! how many records that are and whether the input may end here.

use bytes::Bytes;
use fanfold_records::{Piece, Walker};

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Some records, to be handed out.
    Portion(Bytes),
    /// Nothing before more was read.
    NeedsMore,
    /// Nothing any more.
    End,
}

/// Where an input was ended before all of it was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutAt {
    /// Before its first record.
    Start,
    /// At this byte, where a record ends and another one begins.
    Border(u64),
}

/// The records of a chunk, on their way to its program.
#[derive(Debug)]
pub(super) struct Portions {
    walker: Walker,
    /// What was read and not handed out yet, and where in the source it begins.
    at_hand: Bytes,
    position: u64,
    /// Whether nothing comes behind what is at hand.
    complete: bool,
    /// Whether any record was handed out, or a part of one.
    begun: bool,
    /// Whether the input shall end as soon as it may: for good, since time does not run backwards.
    is_due: bool,
    /// The byte at or behind which it shall end as soon as it may.
    limit: Option<u64>,
    cut: Option<CutAt>,
}

impl Portions {
    /// Of the records that this walker tells apart, those up to the first border at or behind `limit`.
    pub(super) fn new(walker: Walker, limit: Option<u64>) -> Self {
        Self {
            walker,
            at_hand: Bytes::new(),
            position: 0,
            complete: false,
            begun: false,
            is_due: false,
            limit,
            cut: None,
        }
    }

    /// Takes in what was read, once [`Step::NeedsMore`] has asked for it.
    pub(super) fn add(&mut self, piece: Piece) {
        self.at_hand = piece.records;
        self.position = piece.position;
        self.complete = piece.is_last;
    }

    /// Nothing more can be read.
    pub(super) fn close(&mut self) {
        self.complete = true;
    }

    /// The next portion: as many whole records as fit into `room` bytes, at least one, or what is at hand of one. If the time
    /// is up, at most what belongs to a record that was begun.
    pub(super) fn next(&mut self, room: usize, time_is_up: bool) -> Step {
        self.is_due |= time_is_up;
        if self.is_exhausted() {
            return Step::End;
        }
        self.cut = self.due_cut();
        if self.cut.is_some() {
            return Step::End;
        }
        if self.at_hand.is_empty() {
            return Step::NeedsMore;
        }
        let room = room.min(self.room_before_the_cut());
        let bytes = if self.at_hand.len() <= room {
            self.walker.walk(&self.at_hand);
            self.at_hand.len()
        } else {
            self.walker.walk_about(&self.at_hand, room)
        };
        self.begun = true;
        self.position += bytes as u64;
        Step::Portion(self.at_hand.split_to(bytes))
    }

    /// How many bytes may be handed out before the input ends at the next border.
    fn room_before_the_cut(&self) -> usize {
        let room = match self.limit {
            _ if self.is_due => 0,
            Some(limit) => limit.saturating_sub(self.position),
            None => return usize::MAX,
        };
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Where the input ends now, though records are left: when it is due, and no record is begun. To end at a byte takes a
    /// record at least, or nothing would ever come of a chunk that may take only few bytes.
    fn due_cut(&self) -> Option<CutAt> {
        if !self.begun {
            return self.is_due.then_some(CutAt::Start);
        }
        let is_due = self.is_due || self.limit.is_some_and(|limit| self.position >= limit);
        (is_due && self.walker.is_at_border()).then_some(CutAt::Border(self.position))
    }

    /// Whether nothing is at hand, though more may come.
    pub(super) fn is_waiting(&self) -> bool {
        !self.complete && self.at_hand.is_empty()
    }

    /// Whether nothing is at hand, and nothing comes.
    pub(super) fn is_exhausted(&self) -> bool {
        self.complete && self.at_hand.is_empty()
    }

    /// Where the input was ended, if that was not for want of more. One that nobody asks any more does not end so, due or
    /// not: what a program does not want to read is no rest.
    pub(super) fn cut(&self) -> Option<CutAt> {
        self.cut
    }

    /// From now on all is handed out, whether it was due to end or not.
    pub(super) fn go_on_to_the_end(&mut self) {
        (self.is_due, self.limit, self.cut) = (false, None, None);
    }

    /// Whether a record was begun, and has not ended where all that was at hand was handed out.
    pub(super) fn is_within_a_record(&self) -> bool {
        self.begun && self.is_exhausted() && !self.walker.is_at_border()
    }

    /// How many bytes ago a quote was opened that was not closed, where all was handed out.
    pub(super) fn open_quote(&self) -> Option<u64> {
        self.walker.open_quote().filter(|_| self.is_exhausted())
    }

    /// How many records were handed out, one that was begun included.
    pub(super) fn records(&self) -> u64 {
        self.walker.records()
    }
}

#[cfg(test)]
mod tests;
