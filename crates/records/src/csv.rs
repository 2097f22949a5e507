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
    /// How many states there are.
    const COUNT: usize = Self::ALL.len() + 1;

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

/// How many bytes are walked over one by one before it is looked again whether quotes are rare.
const WINDOW_BYTES: usize = 128;

/// Fewer bytes than these up to the next quote, and a search for it is not worth its start.
const RARE_BYTES: usize = 32;

/// Bytes that were taken at once.
struct Run {
    /// How many, at least one.
    bytes: usize,
    /// The first and the last border among them.
    borders: Option<(Border, Border)>,
}

/// Where a record ends.
#[derive(Clone, Copy)]
struct Border {
    /// Behind how many bytes.
    at: usize,
    /// How many records there are before it.
    records: u64,
}

impl Border {
    fn behind(self, bytes: usize) -> Self {
        Self { at: self.at + bytes, ..self }
    }
}

/// The state behind each byte in each state.
type Steps = [[State; 256]; State::COUNT];

fn steps_of(dialect: &Dialect) -> Box<Steps> {
    let mut steps = Box::new([[State::RecordStart; 256]; State::COUNT]);
    for state in State::ALL.into_iter().chain([State::ObjectStart]) {
        for byte in 0..=u8::MAX {
            steps[state as usize][usize::from(byte)] = state.step(byte, dialect);
        }
    }
    steps
}

/// Walks over a CSV from the beginning of a record on, and counts records.
#[derive(Clone, Debug)]
pub(crate) struct Csv {
    dialect: Dialect,
    /// What [`State::step`] says, once it was worth writing down.
    steps: Option<Box<Steps>>,
    state: State,
    /// Whether quotes come so often that it is not worth searching for the next one.
    is_dense: bool,
    /// How many bytes the last search for one has skipped.
    skipped: usize,
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
        Self { dialect, steps: None, state, is_dense: false, skipped: 0, records: 0, walked: 0, opened: 0 }
    }

    /// Walks over all of these bytes.
    pub(crate) fn walk(&mut self, bytes: &[u8]) {
        self.walk_about(bytes, usize::MAX);
    }

    /// Walks up to a border: the last one within the first `room` bytes, else the first one behind them, else over all bytes.
    /// How many that are.
    pub(crate) fn walk_about(&mut self, bytes: &[u8], room: usize) -> usize {
        let (begin, mut at, mut border) = (self.walked, 0, None::<Border>);
        while at < bytes.len() && (at < room || border.is_none()) {
            let is_within = at < room;
            let ahead = &bytes[at..if is_within { room.min(bytes.len()) } else { bytes.len() }];
            let Run { bytes: taken, borders } = self.run(ahead);
            let found = borders.map(|(first, last)| if is_within { last } else { first });
            border = found.map(|found| found.behind(at)).or(border);
            at += taken;
            self.walked += taken as u64;
        }
        match border {
            Some(Border { at: end, records }) if room < bytes.len() => {
                (self.state, self.records) = (State::RecordStart, records);
                self.walked = begin + end as u64;
                end
            }
            _ => bytes.len(),
        }
    }

    /// Takes the bytes that can be taken at once.
    fn run(&mut self, ahead: &[u8]) -> Run {
        let run = match self.state {
            _ if self.is_dense || self.dialect.comment.is_some() => return self.run_in_steps(ahead),
            State::Quoted => self.run_in_quotes(ahead),
            State::RecordStart | State::FieldStart | State::Unquoted => self.run_outside(ahead),
            _ => return self.run_in_steps(&ahead[..1]),
        };
        // A long field and a short one behind it are no dense quotes.
        self.is_dense = self.skipped + run.bytes < 2 * RARE_BYTES;
        self.skipped = run.bytes;
        run
    }

    fn run_in_quotes(&mut self, ahead: &[u8]) -> Run {
        let found = match (self.dialect.quote, self.dialect.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, ahead),
            (Some(quote), None) => memchr(quote, ahead),
            (None, _) => None,
        };
        let Some(place) = found else { return Run { bytes: ahead.len(), borders: None } };
        self.state = self.state.step(ahead[place], &self.dialect);
        Run { bytes: place + 1, borders: None }
    }

    /// Up to the next quote or escape no byte but the last matters for the state.
    fn run_outside(&mut self, ahead: &[u8]) -> Run {
        let special = match (self.dialect.quote, self.dialect.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, ahead),
            (Some(letter), None) | (None, Some(letter)) => memchr(letter, ahead),
            (None, None) => None,
        };
        let run = &ahead[..special.unwrap_or(ahead.len())];
        let Some(&last) = run.last() else { return self.run_in_steps(&ahead[..1]) };
        let line_end = self.dialect.line_end;
        let borders = memchr(line_end, run).zip(memrchr(line_end, run)).map(|(first, last)| {
            let first = Border { at: first + 1, records: self.records + 1 };
            self.records += memchr_iter(line_end, run).count() as u64;
            (first, Border { at: last + 1, records: self.records })
        });
        self.state = State::Unquoted.step(last, &self.dialect);
        Run { bytes: run.len(), borders }
    }

    /// Byte by byte, over as many as are looked at before it is decided anew how to go on.
    fn run_in_steps(&mut self, ahead: &[u8]) -> Run {
        let window = &ahead[..ahead.len().min(WINDOW_BYTES)];
        let (mut borders, mut opened) = (None::<(Border, Border)>, 0);
        let steps = match &mut self.steps {
            None if window.len() < WINDOW_BYTES => None,
            steps => Some(steps.get_or_insert_with(|| steps_of(&self.dialect))),
        };
        for (place, byte) in window.iter().enumerate() {
            let was = self.state;
            self.state = match &steps {
                Some(steps) => steps[was as usize][usize::from(*byte)],
                None => was.step(*byte, &self.dialect),
            };
            match self.state {
                State::RecordStart => {
                    self.records += u64::from(was != State::Comment);
                    let border = Border { at: place + 1, records: self.records };
                    borders = Some((borders.map_or(border, |(first, _)| first), border));
                }
                State::Quoted
                    if matches!(was, State::ObjectStart | State::RecordStart | State::FieldStart) =>
                {
                    opened += 1;
                    self.opened = self.walked + place as u64;
                }
                _ => {}
            }
        }
        self.is_dense = opened * RARE_BYTES > window.len();
        self.skipped = WINDOW_BYTES;
        Run { bytes: window.len(), borders }
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
