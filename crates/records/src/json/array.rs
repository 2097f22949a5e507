//! One JSON array, and what stands between its brackets.

use std::ops::Range;

use super::error::JsonError;
use super::validator::{Mark, Validator};

/// Follows a text that must be one JSON array.
#[derive(Clone, Debug)]
pub struct Array {
    validator: Validator,
    /// True between the first element's first byte and the bracket that closes the array.
    is_inside: bool,
}

impl Default for Array {
    fn default() -> Self {
        Self::new()
    }
}

impl Array {
    /// From the first byte of the text.
    pub fn new() -> Self {
        Self { validator: Validator::of_array(), is_inside: false }
    }

    /// From `position` on, behind a comma between two elements of the outermost array.
    pub fn behind_comma(position: u64) -> Self {
        Self { validator: Validator::of_elements(position), is_inside: false }
    }

    /// How many bytes of the text have passed.
    pub fn position(&self) -> u64 {
        self.validator.position()
    }

    /// True if nothing but white space has passed.
    pub fn is_blank(&self) -> bool {
        self.validator.is_blank()
    }

    /// Takes the next piece, and returns which of its bytes stand between the brackets. White space before the first element is
    /// none of them: an array without elements has no bytes.
    ///
    /// # Errors
    /// The first byte that does not fit.
    pub fn take(&mut self, piece: &[u8]) -> Result<Range<usize>, JsonError> {
        let mut inside = if self.is_inside { 0..piece.len() } else { piece.len()..piece.len() };
        let is_inside = &mut self.is_inside;
        self.validator.push_marked(piece, |mark, at| match mark {
            Mark::Element if !*is_inside => (*is_inside, inside.start) = (true, at),
            Mark::End if *is_inside => (*is_inside, inside.end) = (false, at),
            Mark::Element | Mark::Comma | Mark::End => {}
        })?;
        Ok(inside)
    }

    /// Takes the next piece, and reports each place of the outermost array in it, with its offset in the piece.
    ///
    /// # Errors
    /// The first byte that does not fit. What was reported before it stands.
    pub fn walk(&mut self, piece: &[u8], report: impl FnMut(Mark, usize)) -> Result<(), JsonError> {
        self.validator.push_marked(piece, report)
    }

    /// The end of the text.
    ///
    /// # Errors
    /// What is missing.
    pub fn end(&self) -> Result<(), JsonError> {
        self.validator.end()
    }
}
