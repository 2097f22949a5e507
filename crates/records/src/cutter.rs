//! Which bytes of an object are a chunk's records.
//!
//! A chunk owns the records that **begin** in its nominal range: it is the bytes from the border of its start to the border of its
//! end. The reader of the chunk before it looks for the same border alike ([`Search`]), so each byte has one owner, however long a record is. A
//! chunk in whose range no record begins owns nothing.
//!
//! In a CSV a border may be a guess. Then the chunk before it proves it: its reader has come from a true border. If the guess lies
//! within quotes, that chunk takes the next one's records over ([`Cutter::extend`]), and what the next one made of its bytes does not
//! count.

use bytes::Bytes;

use crate::rule::Rule;
use crate::search::{Found, Nominal, Search};

/// A chunk's nominal place in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last one.
    pub end: u64,
    /// How many bytes lie between two nominal borders. Where none is given, start and end are borders already.
    pub step: Option<u64>,
    /// Whether the start is a border already: the object's first byte, or where an earlier cut of the chunk has ended.
    pub starts_at_border: bool,
    /// How many bytes the object has.
    pub object_bytes: u64,
}

/// What became of bytes that were fed in.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Those that are the chunk's records, of these bytes and of earlier ones.
    pub records: Bytes,
    /// Where in the object `records` begin.
    pub position: u64,
    /// Whether the chunk needs no more.
    pub is_last: bool,
}

/// Takes an object's bytes from [`Cutter::position`] on, and gives back the chunk's records.
#[derive(Debug)]
pub struct Cutter {
    rule: Rule,
    range: Range,
    /// Where the next byte fed in lies in the object.
    position: u64,
    begin: Begin,
    end: End,
    /// What was fed in and belongs to nobody yet, and where it begins.
    held: Bytes,
    held_from: u64,
}

#[derive(Debug)]
enum Begin {
    Search(Search),
    Known(u64),
    /// No record begins in the chunk.
    Nowhere,
}

#[derive(Debug)]
enum End {
    /// The first border at or behind a nominal one.
    Search(Search, Nominal),
    /// It lies here, for this nominal border.
    Known { at: u64, nominal: u64 },
    /// It lies here, if that is outside quotes.
    Guessed(u64, Nominal),
}

impl Begin {
    fn search(&self) -> Option<&Search> {
        match self {
            Self::Search(search) => Some(search),
            Self::Known(_) | Self::Nowhere => None,
        }
    }
}

impl End {
    fn search(&self) -> Option<&Search> {
        match self {
            Self::Search(search, _) => Some(search),
            Self::Known { .. } | Self::Guessed(..) => None,
        }
    }
}

impl Cutter {
    /// Of the chunk in this range.
    pub fn new(rule: &Rule, range: Range) -> Self {
        let Range { start, end, step, object_bytes, .. } = range;
        let own = Nominal { at: start, next: end };
        let begin = match rule.search(own, object_bytes) {
            Some(search) if step.is_some() && !range.starts_at_border && start > 0 => Begin::Search(search),
            _ => Begin::Known(start),
        };
        let mut cutter = Self {
            rule: rule.clone(),
            range,
            position: start,
            begin,
            end: End::Known { at: end, nominal: end },
            held: Bytes::new(),
            held_from: start,
        };
        if step.is_some() {
            cutter.end = cutter.end_at(end);
        }
        let searches = [cutter.begin.search(), cutter.end.search()];
        let first = searches.into_iter().flatten().map(Search::position).fold(start, u64::min);
        (cutter.position, cutter.held_from) = (first, first);
        cutter
    }

    /// Where in the object the next bytes fed in must begin.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes in.
    pub fn feed(&mut self, bytes: Bytes) -> Piece {
        self.position += bytes.len() as u64;
        self.held = if self.held.is_empty() { bytes } else { [&self.held[..], &bytes[..]].concat().into() };
        self.release()
    }

    /// Goes on behind an end that was guessed and is none: all up to the next border belongs to this chunk. None where the end was
    /// right, or the object's.
    pub fn extend(&mut self) -> Option<Piece> {
        let End::Guessed(_, nominal) = self.end else { return None };
        self.end = self.end_at(nominal.next);
        Some(self.release())
    }

    /// Where the chunk's records begin, if that is known, and if any do.
    pub fn begin(&self) -> Option<u64> {
        match self.begin {
            Begin::Known(at) => Some(at),
            Begin::Search(_) | Begin::Nowhere => None,
        }
    }

    /// Where the chunk's records end, if that is known, and if any do.
    pub fn end(&self) -> Option<u64> {
        match self.end {
            _ if self.begin().is_none() => None,
            End::Known { at, .. } | End::Guessed(at, _) => Some(at),
            End::Search(..) => None,
        }
    }

    /// Up to where the chunk reaches, nominally, with what it has taken over.
    pub fn nominal_end(&self) -> u64 {
        match self.end {
            End::Search(_, nominal) | End::Guessed(_, nominal) => nominal.at,
            End::Known { nominal, .. } => nominal,
        }
    }

    fn end_at(&self, at: u64) -> End {
        let object_bytes = self.range.object_bytes;
        let step = self.range.step.unwrap_or(u64::MAX).max(1);
        // Where nothing is guessed, the first border is the end, wherever the next nominal one lies.
        let next =
            if self.rule.may_guess() { at.saturating_add(step).min(object_bytes) } else { object_bytes };
        let nominal = Nominal { at, next };
        match self.rule.search(nominal, object_bytes) {
            Some(search) if at < object_bytes => End::Search(search, nominal),
            _ => End::Known { at: at.min(object_bytes), nominal: at.min(object_bytes) },
        }
    }

    /// Gives out what is known to be the chunk's, and forgets what is known to be none of it.
    fn release(&mut self) -> Piece {
        self.find_begin();
        let (from, is_begun) = match &self.begin {
            Begin::Search(search) => (search.lower_bound(), false),
            Begin::Known(at) => (*at, true),
            Begin::Nowhere => {
                self.held = Bytes::new();
                return Piece { records: Bytes::new(), position: self.position, is_last: true };
            }
        };
        let until = if is_begun { self.find_end() } else { from };
        drop(self.take(from));
        let position = self.held_from;
        let records = if is_begun { self.take(until) } else { Bytes::new() };
        let is_last = is_begun && self.end().is_some_and(|end| end <= self.held_from);
        Piece { records, position, is_last }
    }

    fn find_begin(&mut self) {
        if let Begin::Search(search) = &mut self.begin
            && let Some(found) = search.feed(self.held_from, &self.held)
        {
            self.begin = match found {
                Found::Border { at, .. } => Begin::Known(at),
                Found::Nothing => Begin::Nowhere,
            };
        }
    }

    /// Up to where all bytes are the chunk's, as far as that is known.
    fn find_end(&mut self) -> u64 {
        loop {
            let (search, nominal) = match &mut self.end {
                End::Search(search, nominal) => (search, *nominal),
                End::Known { at, .. } | End::Guessed(at, _) => return *at,
            };
            match search.feed(self.held_from, &self.held) {
                None => return search.lower_bound(),
                Some(Found::Border { at, is_settled: true }) => {
                    self.end = End::Known { at, nominal: nominal.at };
                }
                Some(Found::Border { at, is_settled: false }) => self.end = End::Guessed(at, nominal),
                Some(Found::Nothing) => self.end = self.end_at(nominal.next),
            }
        }
    }

    /// Takes what is held up to this byte.
    fn take(&mut self, until: u64) -> Bytes {
        let bytes = usize::try_from(until.saturating_sub(self.held_from)).unwrap_or(usize::MAX);
        let taken = self.held.split_to(bytes.min(self.held.len()));
        self.held_from += taken.len() as u64;
        taken
    }
}
