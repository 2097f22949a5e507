//! The automaton of a CSV reader: where records end, whatever stands within quotes.
//!
//! It reads as Python's `csv`, pandas and DuckDB do in practice. A quote opens a quoted field only where a field begins; elsewhere in
//! an unquoted field it is a letter. Within quotes a doubled quote is a quote, and so is one behind the escape, if the dialect has
//! one. Text behind a closing quote is read as unquoted. A line end outside quotes ends the record.

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use crate::Dialect;

mod merge;

pub(crate) use merge::Merge;

/// Where in a record a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// At the first byte of an object, or behind its byte order mark.
    ObjectStart,
    /// Behind a record's end.
    RecordStart,
    /// Behind a delimiter.
    FieldStart,
    /// In a field without quotes, or behind the closing quote.
    Unquoted,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: the field's end, or the first half of a doubled quote.
    QuoteInQuoted,
    /// Behind an escape within quotes.
    EscapeInQuoted,
    /// Behind an escape outside quotes.
    EscapeInUnquoted,
    /// In a comment, which ends with its line.
    Comment,
}

impl State {
    /// All states that a byte in the midst of an object may stand in.
    pub(crate) const ALL: [Self; 8] = [
        Self::RecordStart,
        Self::FieldStart,
        Self::Unquoted,
        Self::Quoted,
        Self::QuoteInQuoted,
        Self::EscapeInQuoted,
        Self::EscapeInUnquoted,
        Self::Comment,
    ];

    /// The state behind `byte`.
    pub(crate) fn step(self, byte: u8, dialect: &Dialect) -> Self {
        let (quote, escape) = (dialect.quote == Some(byte), dialect.escape == Some(byte));
        match self {
            Self::ObjectStart if BYTE_ORDER_MARK.contains(&byte) => Self::ObjectStart,
            Self::ObjectStart | Self::RecordStart if dialect.comment == Some(byte) => Self::Comment,
            Self::ObjectStart | Self::RecordStart | Self::FieldStart if quote => Self::Quoted,
            Self::Quoted if quote => Self::QuoteInQuoted,
            Self::Quoted if escape => Self::EscapeInQuoted,
            Self::Quoted | Self::EscapeInQuoted => Self::Quoted,
            Self::QuoteInQuoted if quote => Self::Quoted,
            Self::EscapeInUnquoted => Self::Unquoted,
            _ if byte == dialect.line_end => Self::RecordStart,
            Self::Comment => Self::Comment,
            _ if escape => Self::EscapeInUnquoted,
            // A lone CR ends a record for many readers, so a quote behind it may open a field.
            _ if byte == dialect.delimiter || byte == b'\r' => Self::FieldStart,
            _ => Self::Unquoted,
        }
    }

    /// Whether a quote that was opened has not been closed.
    pub(crate) fn is_quoted(self) -> bool {
        matches!(self, Self::Quoted | Self::EscapeInQuoted)
    }

    /// Whether a record ends right here.
    pub(crate) fn is_border(self) -> bool {
        self == Self::RecordStart
    }
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Bytes that were taken at once.
struct Run {
    /// How many, at least one.
    bytes: usize,
    /// Behind how many of them the last record ends that ends among them.
    last_border: Option<usize>,
}

/// Walks over a CSV from the beginning of a record on, and counts records.
#[derive(Clone, Debug)]
pub(crate) struct Csv {
    dialect: Dialect,
    state: State,
    records: u64,
    /// How many bytes were walked over.
    walked: u64,
    /// How many of them lie before the last quote that opened a field.
    opened: u64,
}

impl Csv {
    /// From the beginning of a record, or of the object, on.
    pub(crate) fn new(dialect: Dialect, is_object_start: bool) -> Self {
        let state = if is_object_start { State::ObjectStart } else { State::RecordStart };
        Self { dialect, state, records: 0, walked: 0, opened: 0 }
    }

    /// Walks over all of these bytes.
    pub(crate) fn walk(&mut self, bytes: &[u8]) {
        self.walk_about(bytes, usize::MAX);
    }

    /// Walks up to a border: the last one within the first `room` bytes, else the first one behind them, else over all bytes.
    /// How many that are.
    pub(crate) fn walk_about(&mut self, bytes: &[u8], room: usize) -> usize {
        let (begin, mut at, mut border) = (self.walked, 0, None);
        while at < bytes.len() && (at < room || border.is_none()) {
            let ahead = &bytes[at..if at < room { room.min(bytes.len()) } else { bytes.len() }];
            let before = self.records;
            let Run { bytes: taken, last_border } = self.run(ahead);
            border = match last_border {
                // Behind the room the first border is wanted, and a run takes several at once.
                Some(last) if at >= room => {
                    let first = memchr(self.dialect.line_end, ahead).map_or(last, |place| place + 1);
                    Some((at + first, before + u64::from(self.records > before)))
                }
                Some(last) => Some((at + last, self.records)),
                None => border,
            };
            at += taken;
            self.walked += taken as u64;
        }
        match border {
            Some((end, records)) if room < bytes.len() => {
                (self.state, self.records) = (State::RecordStart, records);
                self.walked = begin + end as u64;
                end
            }
            _ => bytes.len(),
        }
    }

    /// Takes the bytes that can be taken at once.
    fn run(&mut self, ahead: &[u8]) -> Run {
        match self.state {
            State::Quoted => self.run_in_quotes(ahead),
            State::RecordStart | State::FieldStart | State::Unquoted if self.dialect.comment.is_none() => {
                self.run_outside(ahead)
            }
            _ => self.single(ahead),
        }
    }

    fn run_in_quotes(&mut self, ahead: &[u8]) -> Run {
        let found = match (self.dialect.quote, self.dialect.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, ahead),
            (Some(quote), None) => memchr(quote, ahead),
            (None, _) => None,
        };
        let Some(place) = found else { return Run { bytes: ahead.len(), last_border: None } };
        self.state = self.state.step(ahead[place], &self.dialect);
        Run { bytes: place + 1, last_border: None }
    }

    /// Up to the next quote or escape no byte but the last matters for the state.
    fn run_outside(&mut self, ahead: &[u8]) -> Run {
        let special = match (self.dialect.quote, self.dialect.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, ahead),
            (Some(letter), None) | (None, Some(letter)) => memchr(letter, ahead),
            (None, None) => None,
        };
        let run = &ahead[..special.unwrap_or(ahead.len())];
        let Some(&last) = run.last() else { return self.single(ahead) };
        let line_end = self.dialect.line_end;
        let last_border = memrchr(line_end, run).map(|place| place + 1);
        if last_border.is_some() {
            self.records += memchr_iter(line_end, run).count() as u64;
        }
        self.state = State::Unquoted.step(last, &self.dialect);
        Run { bytes: run.len(), last_border }
    }

    fn single(&mut self, ahead: &[u8]) -> Run {
        let (was_comment, was_quoted) = (self.state == State::Comment, self.state == State::QuoteInQuoted);
        self.state = self.state.step(ahead[0], &self.dialect);
        if self.state == State::Quoted && !was_quoted {
            self.opened = self.walked;
        }
        let is_border = self.state.is_border();
        self.records += u64::from(is_border && !was_comment);
        Run { bytes: 1, last_border: is_border.then_some(1) }
    }

    /// Whether what comes next begins a record.
    pub(crate) fn is_at_border(&self) -> bool {
        self.state.is_border()
    }

    /// How many bytes ago a quote was opened that has not been closed.
    pub(crate) fn open_quote(&self) -> Option<u64> {
        self.state.is_quoted().then(|| self.walked - self.opened)
    }

    /// How many records there were, one that has not ended included; comments are none.
    pub(crate) fn records(&self) -> u64 {
        let is_open = !matches!(self.state, State::ObjectStart | State::RecordStart | State::Comment);
        self.records + u64::from(is_open)
    }
}
