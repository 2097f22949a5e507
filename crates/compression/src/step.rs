//! One step of a format's decoder: the interface between the formats and the decoder that drives them.

use crate::checkpoint::Inside;
use crate::error::DecodeErrorKind;

/// What a step did.
#[derive(Debug, Default)]
pub(crate) struct StepOutcome {
    /// How many bytes it took.
    pub consumed: usize,
    /// How many bytes it wrote.
    pub produced: usize,
    /// A place to resume at, if the step passed one or proved one.
    pub border: Option<ResumePoint>,
}

/// A place to resume at, counted back from where the step ended.
#[derive(Debug, Default)]
pub(crate) struct ResumePoint {
    /// How many compressed bytes before.
    pub compressed_back: u64,
    /// How many decoded bytes before.
    pub decoded_back: u64,
    /// What must be known there, if it is inside a member.
    pub inside: Option<Inside>,
}

/// What went wrong in a step, and how many of its bytes were good.
#[derive(Debug)]
pub(crate) struct StepError {
    pub kind: DecodeErrorKind,
    pub consumed: usize,
    pub produced: usize,
}

impl StepError {
    /// Wrong at this byte of the input.
    pub(crate) fn at(consumed: usize, kind: DecodeErrorKind) -> Self {
        Self { kind, consumed, produced: 0 }
    }
}

/// One format's decoder.
pub(crate) trait FormatDecoder {
    /// Takes some of `input` and fills some of `output`, which is not empty. If `wants_border` is set, it looks for a place to
    /// resume at.
    ///
    /// A step may use nothing of either, since it ends in bits that an earlier one took. Two of these in a row mean that more
    /// input is needed.
    fn step(&mut self, input: &[u8], output: &mut [u8], wants_border: bool)
    -> Result<StepOutcome, StepError>;

    /// True where a file may end.
    fn may_end(&self) -> bool;
}

/// The first four bytes of a frame or stream, which can come in pieces.
#[derive(Debug, Default)]
pub(crate) struct MagicReader {
    bytes: [u8; 4],
    filled: usize,
}

impl MagicReader {
    /// Takes what is missing, and says how much that was. The four bytes are there once all are.
    pub(crate) fn fill(&mut self, input: &[u8]) -> (usize, Option<[u8; 4]>) {
        let taken = input.len().min(4 - self.filled);
        self.bytes[self.filled..self.filled + taken].copy_from_slice(&input[..taken]);
        self.filled += taken;
        (taken, (self.filled == 4).then_some(self.bytes))
    }

    /// True if none of the four was taken yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }
}
