//! The first border at or behind a byte in the midst of a CSV, by what stands around it alone.
//!
//! Whether that byte lies within quotes depends on all bytes before it. But the automaton, run from every state at once, ends up in a
//! single state soon, as a rule within a field or two: then whatever came before no longer matters. A border behind that place is
//! **settled**: a reader that comes from the object's beginning finds it too, and so does everybody who looks here.
//!
//! In a stretch without quotes the states do not merge: it may be plain text, or the inside of one long quoted field. Then the border
//! is **guessed**, as if the byte lay outside quotes. The reader of the records before it comes from a true border, and finds out.

use super::State;
use crate::Dialect;
use crate::search::{Found, Nominal};

/// How far is read for states to merge: as far as a worker reads ahead anyway. A quoted field that is longer, with a nominal border in
/// it, costs a chunk its work; never the output its order.
pub(crate) const WINDOW_BYTES: u64 = 64 << 10;

/// Looks for a border in a CSV.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    dialect: Dialect,
    nominal: Nominal,
    /// Where the next byte lies.
    position: u64,
    /// Where the search for a settled border ends.
    until: u64,
    /// The states that are still possible, each once.
    states: Vec<State>,
    /// The state, if the search has begun outside quotes.
    guess: State,
    /// The first border, if so.
    guessed: Option<u64>,
}

impl Merge {
    pub(crate) fn new(dialect: Dialect, nominal: Nominal, object_bytes: u64) -> Self {
        let position = nominal.at.saturating_sub(1);
        let is_possible = |state: &State| match state {
            State::Quoted | State::QuoteInQuoted => dialect.quote.is_some(),
            State::EscapeInQuoted => dialect.quote.is_some() && dialect.escape.is_some(),
            State::EscapeInUnquoted => dialect.escape.is_some(),
            State::Comment => dialect.comment.is_some(),
            _ => true,
        };
        Self {
            dialect,
            nominal,
            position,
            until: object_bytes.min(position.saturating_add(WINDOW_BYTES)),
            states: State::ALL.into_iter().filter(is_possible).collect(),
            guess: State::Unquoted,
            guessed: None,
        }
    }

    /// Where the first byte lies that it wants.
    pub(crate) fn first_byte(&self) -> u64 {
        self.nominal.at.saturating_sub(1)
    }

    /// No border lies before this byte.
    pub(crate) fn lower_bound(&self) -> u64 {
        self.guessed.unwrap_or(self.position)
    }

    /// Takes bytes that begin where the last ones ended.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        bytes.iter().find_map(|byte| self.step(*byte))
    }

    fn step(&mut self, byte: u8) -> Option<Found> {
        self.position += 1;
        for state in &mut self.states {
            *state = state.step(byte, &self.dialect);
        }
        self.guess = self.guess.step(byte, &self.dialect);
        if let [only] = self.states[..] {
            return self.nominal.found(self.position, only.is_border(), true);
        }
        self.forget_doubles();
        if self.guessed.is_none() && self.guess.is_border() && self.nominal.has(self.position) {
            self.guessed = Some(self.position);
        }
        match self.guessed {
            Some(at) if self.position >= self.until => Some(Found::Border { at, is_settled: false }),
            None if self.position >= self.nominal.next => Some(Found::Nothing),
            _ => None,
        }
    }

    fn forget_doubles(&mut self) {
        let mut known = 0;
        for place in 0..self.states.len() {
            if !self.states[..known].contains(&self.states[place]) {
                self.states.swap(known, place);
                known += 1;
            }
        }
        self.states.truncate(known);
    }
}
