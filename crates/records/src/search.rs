//! The first border between two records at or behind a byte in the midst of an object.

use crate::csv::Merge;
use crate::paragraphs::Paragraphs;
use crate::separator::Separator;

/// A nominal border between two chunks: where one would end and the next begin if records were single bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nominal {
    /// The byte at which the border is wanted, or behind it. Not the object's first.
    pub at: u64,
    /// The next nominal border, or the object's end: the border must lie before it.
    pub next: u64,
}

impl Nominal {
    pub(crate) fn has(self, border: u64) -> bool {
        (self.at..self.next).contains(&border)
    }

    /// What is found at `position`, where a border may lie.
    pub(crate) fn found(self, position: u64, is_border: bool, is_settled: bool) -> Option<Found> {
        match () {
            () if is_border && self.has(position) => Some(Found::Border { at: position, is_settled }),
            () if position >= self.next => Some(Found::Nothing),
            () => None,
        }
    }
}

/// What a search came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The border.
    Border {
        /// Where it lies.
        at: u64,
        /// Whether every reader of the object finds it. If not, it is a guess: the reader of the records before it knows.
        is_settled: bool,
    },
    /// No record begins between the two nominal borders.
    Nothing,
}

/// Looks for the border of a [`Nominal`] one. Where two look for the same, they find the same.
#[derive(Clone, Debug)]
pub struct Search {
    kind: Kind,
    nominal: Nominal,
    position: u64,
    object_bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A record ends with the separator, whose last `ahead` bytes belong to the next one.
    Separator { separator: Separator, ahead: u64 },
    /// A record ends where a line does that is outside quotes.
    Csv(Merge),
    /// A record ends behind blank lines.
    Paragraphs(Paragraphs),
}

impl Search {
    pub(crate) fn new(kind: Kind, nominal: Nominal, object_bytes: u64) -> Self {
        let position = match &kind {
            Kind::Separator { separator, ahead } => {
                nominal.at.saturating_sub((separator.len() as u64).saturating_sub(*ahead))
            }
            Kind::Csv(merge) => merge.first_byte(),
            Kind::Paragraphs(_) => nominal.at.saturating_sub(Paragraphs::LOOK_BEHIND_BYTES),
        };
        Self { kind, nominal, position, object_bytes }
    }

    /// Where the next byte lies that it wants.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// No border lies before this byte.
    pub fn lower_bound(&self) -> u64 {
        let bound = match &self.kind {
            Kind::Separator { ahead, .. } => self.position.saturating_sub(*ahead),
            Kind::Csv(merge) => merge.lower_bound(),
            Kind::Paragraphs(_) => self.position.saturating_sub(1),
        };
        bound.max(self.nominal.at)
    }

    /// Takes bytes of the object that begin at `first`. Those before [`Self::position`] it knows; where they begin behind it, a record
    /// begins at `first`. None as long as it wants more.
    pub fn feed(&mut self, first: u64, bytes: &[u8]) -> Option<Found> {
        let begin = self.position.max(first);
        let bytes = bytes.get(usize::try_from(begin - first).unwrap_or(usize::MAX)..)?;
        self.position = begin;
        self.position += bytes.len() as u64;
        let border = match &mut self.kind {
            Kind::Separator { separator, ahead } => {
                separator.find_end(bytes).map(|end| begin + end as u64 - *ahead)
            }
            Kind::Csv(merge) => return merge.feed(bytes),
            Kind::Paragraphs(paragraphs) => paragraphs.find_begin(begin, self.nominal.at, bytes),
        };
        let seen = self.lower_bound().max(if self.position >= self.object_bytes { self.position } else { 0 });
        self.nominal.found(border.unwrap_or(seen), border.is_some(), true)
    }
}
