//! JSON Lines: each line is one JSON value.

use super::error::{Found, JsonError};
use super::validator::Validator;

/// Checks that each line of a text is one JSON value, white space around it allowed.
///
/// Nothing is dropped or repaired, so that what passes is what was written. A blank line is refused, for it is no value; the last
/// line may lack its line feed; a text without a byte has no lines.
#[derive(Clone, Debug)]
pub struct Lines {
    validator: Validator,
    /// The number of the line, from 1.
    line: u64,
    /// Where it begins.
    begins_at: u64,
}

/// The first line that is not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It has white space or nothing.
    #[error("line {line}, at byte {position}, is blank")]
    Blank {
        /// Its number, from 1.
        line: u64,
        /// Where it begins, counted from 0.
        position: u64,
    },
    /// It ends within a value.
    #[error("line {line} ends at byte {position} within a JSON value, expected {expected}")]
    Incomplete {
        /// Its number, from 1.
        line: u64,
        /// Where it ends, counted from 0.
        position: u64,
        /// What is missing.
        expected: &'static str,
    },
    /// It is something else.
    #[error("line {line} is not one JSON value: {error}")]
    NotJson {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it, and where in the whole text.
        error: JsonError,
    },
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Lines {
    /// From the first byte of the text.
    pub fn new() -> Self {
        Self { validator: Validator::new(), line: 1, begins_at: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The first line that is not one JSON value.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), LineError> {
        // A line feed is never part of a string, so each one ends a line.
        while let Some(end) = memchr::memchr(b'\n', piece) {
            self.more(&piece[..end])?;
            self.end_of_line()?;
            // The line feed itself is white space before the next value.
            self.more(&piece[end..=end])?;
            (self.line, self.begins_at) = (self.line + 1, self.validator.position());
            piece = &piece[end + 1..];
        }
        self.more(piece)
    }

    /// The end of the text.
    ///
    /// # Errors
    /// What is wrong with the last line.
    pub fn end(&self) -> Result<(), LineError> {
        if self.validator.position() == self.begins_at { Ok(()) } else { self.value_is_whole() }
    }

    fn more(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        let line = self.line;
        self.validator.push(bytes).map_err(|error| LineError::NotJson { line, error })
    }

    fn end_of_line(&mut self) -> Result<(), LineError> {
        self.value_is_whole()?;
        self.validator.restart();
        Ok(())
    }

    fn value_is_whole(&self) -> Result<(), LineError> {
        let line = self.line;
        if self.validator.is_blank() {
            return Err(LineError::Blank { line, position: self.begins_at });
        }
        self.validator.end().map_err(|JsonError { position, found, expected }| {
            debug_assert_eq!(found, Found::End);
            LineError::Incomplete { line, position, expected }
        })
    }
}
