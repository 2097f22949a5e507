//! The decoder: drives a format's own, counts positions, and keeps the newest checkpoint.

use std::fmt;

use crate::bzip2::Bzip2;
use crate::checkpoint::Checkpoint;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::gzip::Gzip;
use crate::kind::Codec;
use crate::step::{FormatDecoder, ResumePoint, StepOutcome};
use crate::zstd::Zstd;

/// What a call of [`Decoder::decode`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeProgress {
    /// How many bytes of the input were taken.
    pub consumed: usize,
    /// How many bytes of the output were written.
    pub produced: usize,
}

/// Decodes a file, or a part that stands for itself, in pieces of any size.
///
/// ```
/// # fn main() -> Result<(), fanfold_compression::DecodeError> {
/// use fanfold_compression::{Codec, Decoder, stored_members};
///
/// let file = stored_members(b"a,b\n1,2\n");
/// let (mut decoder, mut text, mut piece) = (Decoder::new(Codec::Gzip, 0), Vec::<u8>::new(), [0; 3]);
/// for mut fetched in file.chunks(7) {
///     loop {
///         let progress = decoder.decode(fetched, &mut piece)?;
///         fetched = &fetched[progress.consumed..];
///         text.extend(&piece[..progress.produced]);
///         if progress.produced < piece.len() {
///             break;
///         }
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(text, b"a,b\n1,2\n");
/// # Ok(())
/// # }
/// ```
pub struct Decoder {
    codec: Codec,
    format: Box<dyn FormatDecoder + Send>,
    /// The byte of the file that is taken next.
    compressed: u64,
    decoded: u64,
    /// How many decoded bytes lie between two checkpoints, at least.
    spacing: Option<u64>,
    /// From this decoded byte on, a checkpoint is wanted.
    next_checkpoint: u64,
    checkpoint: Option<Checkpoint>,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// For a file, or for a part of it that begins at the byte `start`. Decoded bytes are counted from there.
    pub fn new(codec: Codec, start: u64) -> Self {
        // A part begins where the one before may have ended, so padding may be all that is there.
        let is_first = start == 0;
        let format: Box<dyn FormatDecoder + Send> = match codec {
            Codec::Gzip => Box::new(Gzip::new(is_first)),
            Codec::Zstd => Box::new(Zstd::new(is_first)),
            Codec::Bzip2 => Box::new(Bzip2::new(is_first)),
        };
        Self {
            codec,
            format,
            compressed: start,
            decoded: 0,
            spacing: None,
            next_checkpoint: 0,
            checkpoint: None,
            failed: None,
        }
    }

    /// Continues where the checkpoint was: the next byte passed in must be [`Checkpoint::compressed`] of the file.
    pub fn resume(checkpoint: &Checkpoint) -> Self {
        let mut decoder = Self::new(checkpoint.codec, checkpoint.compressed);
        if let Some(inside) = &checkpoint.inside {
            decoder.format = Box::new(Gzip::resume(inside));
        }
        decoder.decoded = checkpoint.decoded;
        decoder
    }

    /// Looks for checkpoints, at least `spacing` decoded bytes apart. With 4 MiB, the cost is too small to measure.
    #[must_use]
    pub fn with_checkpoints(mut self, spacing: u64) -> Self {
        self.spacing = Some(spacing);
        self.next_checkpoint = self.decoded.saturating_add(spacing);
        self
    }

    /// Decodes `input` into `output` until one of them is used up.
    ///
    /// If the output is full, call again with what is left of the input, even if that is nothing. If it is not, all of the
    /// input was taken and more is wanted.
    ///
    /// # Errors
    /// If the data is not what it should be, now and in every later call. What this call wrote is then of no use.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<DecodeProgress, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if output.is_empty() {
            return Err(self.error(DecodeErrorKind::Misused("its output buffer is empty")));
        }
        let mut progress = DecodeProgress::default();
        let mut was_idle = false;
        while progress.produced < output.len() {
            let wants_border = self.spacing.is_some() && self.decoded >= self.next_checkpoint;
            let input = &input[progress.consumed..];
            match self.format.step(input, &mut output[progress.produced..], wants_border) {
                Ok(StepOutcome { consumed: 0, produced: 0, border: None }) if was_idle => break,
                Ok(StepOutcome { consumed, produced, border }) => {
                    was_idle = (consumed, produced) == (0, 0);
                    progress.consumed += consumed;
                    progress.produced += produced;
                    self.compressed += consumed as u64;
                    self.decoded += produced as u64;
                    if let Some(border) = border.filter(|_| wants_border) {
                        self.keep(border);
                    }
                }
                Err(error) => {
                    self.compressed += error.consumed as u64;
                    self.decoded += error.produced as u64;
                    let error = self.error(error.kind);
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
        Ok(progress)
    }

    /// Checks that the file or part may end with the input so far. Decoding can continue all the same, as for a record that
    /// ends in the next part.
    ///
    /// # Errors
    /// If it may not: the file is cut short, or parts were cut at a place where none begins.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.format.may_end() => Ok(()),
            None => Err(self.error(DecodeErrorKind::Truncated)),
        }
    }

    /// The newest checkpoint that was passed since the last call, if there is one.
    ///
    /// Its position is at or before what was decoded. A caller that must go back to a decoded position keeps the newest
    /// checkpoint that is not after it, and drops those before.
    pub fn take_checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    /// The byte of the file that is taken next.
    pub fn compressed(&self) -> u64 {
        self.compressed
    }

    /// How many bytes were decoded, those before a checkpoint included.
    pub fn decoded(&self) -> u64 {
        self.decoded
    }

    fn keep(&mut self, border: ResumePoint) {
        let decoded = self.decoded - border.decoded_back;
        self.checkpoint = Some(Checkpoint {
            codec: self.codec,
            compressed: self.compressed - border.compressed_back,
            decoded,
            inside: border.inside,
        });
        self.next_checkpoint = decoded.saturating_add(self.spacing.unwrap_or(u64::MAX));
    }

    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { codec: self.codec, kind, compressed: self.compressed, decoded: self.decoded }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("codec", &self.codec)
            .field("compressed", &self.compressed)
            .field("decoded", &self.decoded)
            .finish_non_exhaustive()
    }
}
