//! Zstandard frames, one after another (RFC 8878, section 3). What the frames hold is the reference library's work.

use ::zstd::stream::raw::{Decoder, Operation};

use crate::error::Cause;
use crate::step::{Border, Fault, Format, Head, Stepped};

/// First bytes of a frame, and of a frame to skip, whose first byte's low half is free.
pub(crate) const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const SKIPPABLE_MAGIC: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// True if a frame to skip begins so.
pub(crate) fn is_skippable(magic: [u8; 4]) -> bool {
    [magic[0] & 0xf0, magic[1], magic[2], magic[3]] == SKIPPABLE_MAGIC
}

pub(crate) struct Zstd {
    /// Made for the first frame, since that can fail.
    decoder: Option<Decoder<'static>>,
    head: Head,
    is_inside: bool,
    /// True until a frame has begun: a file has at least one.
    is_first: bool,
}

impl Zstd {
    pub(crate) fn new(is_first: bool) -> Self {
        Self { decoder: None, head: Head::default(), is_inside: false, is_first }
    }

    /// Takes the four bytes that a frame begins with.
    fn begin(&mut self, input: &[u8], output: &mut [u8]) -> Result<Stepped, Fault> {
        let (consumed, magic) = self.head.fill(input);
        let Some(magic) = magic else { return Ok(Stepped { consumed, ..Stepped::default() }) };
        if magic != FRAME_MAGIC && !is_skippable(magic) {
            // Where these four began, if they came in one piece.
            let cause = if self.is_first { Cause::NoHeader } else { Cause::TrailingBytes };
            return Err(Fault::at(0, cause));
        }
        self.is_first = false;
        self.is_inside = true;
        self.head = Head::default();
        // Too short to be a frame, so nothing comes out.
        self.run(&magic, output)?;
        Ok(Stepped { consumed, ..Stepped::default() })
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<::zstd::stream::raw::Status, Fault> {
        let fault = |error: std::io::Error| Fault::at(0, Cause::Corrupt(error.to_string()));
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new().map_err(fault)?),
        };
        decoder.run_on_buffers(input, output).map_err(fault)
    }
}

impl Format for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Result<Stepped, Fault> {
        if !self.is_inside {
            return self.begin(input, output);
        }
        let status = self.run(input, output)?;
        let mut step = Stepped { consumed: status.bytes_read, produced: status.bytes_written, border: None };
        if status.remaining == 0 {
            self.is_inside = false;
            step.border = Some(Border::default());
        }
        Ok(step)
    }

    fn may_end(&self) -> bool {
        !self.is_inside && !self.is_first && self.head.is_empty()
    }
}
