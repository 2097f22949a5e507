//! Zstandard frames, one after another (RFC 8878, section 3). The reference library decodes them; here is where they begin and end.

use ::zstd::stream::raw::{Decoder, Operation};

use crate::error::DecodeErrorKind;
use crate::step::{FormatDecoder, MagicReader, ResumePoint, StepError, StepOutcome};

/// First bytes of a frame, and of a skippable frame, which may have any low half in its first byte.
pub(crate) const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const SKIPPABLE_MAGIC: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// True if a skippable frame begins with these bytes.
pub(crate) fn is_skippable(magic: [u8; 4]) -> bool {
    [magic[0] & 0xf0, magic[1], magic[2], magic[3]] == SKIPPABLE_MAGIC
}

pub(crate) struct Zstd {
    /// Made for the first frame, since that can fail.
    decoder: Option<Decoder<'static>>,
    head: MagicReader,
    is_inside: bool,
    /// True until a frame has begun: a file has at least one.
    is_first: bool,
}

impl Zstd {
    pub(crate) fn new(is_first: bool) -> Self {
        Self { decoder: None, head: MagicReader::default(), is_inside: false, is_first }
    }

    /// Takes the four bytes that a frame begins with.
    fn begin(&mut self, input: &[u8], output: &mut [u8]) -> Result<StepOutcome, StepError> {
        let (consumed, magic) = self.head.fill(input);
        let Some(magic) = magic else { return Ok(StepOutcome { consumed, ..StepOutcome::default() }) };
        if magic != FRAME_MAGIC && !is_skippable(magic) {
            // Where these four began, if they came in one piece.
            let cause =
                if self.is_first { DecodeErrorKind::NoHeader } else { DecodeErrorKind::TrailingBytes };
            return Err(StepError::at(0, cause));
        }
        self.is_first = false;
        self.is_inside = true;
        self.head = MagicReader::default();
        // Too short to be a frame, so nothing comes out.
        self.run(&magic, output)?;
        Ok(StepOutcome { consumed, ..StepOutcome::default() })
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<::zstd::stream::raw::Status, StepError> {
        let fault = |error: std::io::Error| StepError::at(0, DecodeErrorKind::Corrupt(error.to_string()));
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new().map_err(fault)?),
        };
        decoder.run_on_buffers(input, output).map_err(fault)
    }
}

impl FormatDecoder for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Result<StepOutcome, StepError> {
        if !self.is_inside {
            return self.begin(input, output);
        }
        let status = self.run(input, output)?;
        let mut step =
            StepOutcome { consumed: status.bytes_read, produced: status.bytes_written, border: None };
        if status.remaining == 0 {
            self.is_inside = false;
            step.border = Some(ResumePoint::default());
        }
        Ok(step)
    }

    fn may_end(&self) -> bool {
        !self.is_inside && !self.is_first && self.head.is_empty()
    }
}
