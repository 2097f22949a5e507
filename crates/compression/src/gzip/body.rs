//! A member's deflate stream: its text, the CRC and length of it, and the borders of blocks to resume at.

use zlib_rs::crc32::crc32;
use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

use crate::checkpoint::{Inside, WINDOW_BYTES};
use crate::error::DecodeErrorKind;
use crate::step::{StepError, StepOutcome};

use super::proof::Proof;
use super::shift;

pub(super) struct GzipBody {
    inflate: Inflate,
    crc: u32,
    /// Modulo 2^32, as the trailer has it.
    length: u32,
    /// The end of the text so far, at least as far as deflate looks back.
    window: Vec<u8>,
    last_byte: u8,
    /// The border that is being proved.
    proof: Option<Proof>,
}

impl GzipBody {
    pub(super) fn new() -> Self {
        Self {
            inflate: shift::raw_inflate(),
            crc: 0,
            length: 0,
            window: Vec::new(),
            last_byte: 0,
            proof: None,
        }
    }

    pub(super) fn resume(inside: &Inside) -> Self {
        let mut inflate = shift::raw_inflate();
        shift::set_window(&mut inflate, &inside.window);
        Self { inflate, crc: inside.crc, length: inside.length, window: inside.window.clone(), ..Self::new() }
    }

    /// A new member.
    pub(super) fn begin(&mut self) {
        self.inflate.reset(false);
        (self.crc, self.length, self.proof) = (0, 0, None);
        self.window.clear();
    }

    /// Takes the bits of this byte that belong to the first block after a checkpoint.
    pub(super) fn shift(&mut self, bit: u8, byte: u8) -> Result<(), StepError> {
        shift::skip_bits(&mut self.inflate, bit, byte).map_err(|error| fault(error, 0))
    }

    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    pub(super) fn length(&self) -> u32 {
        self.length
    }

    /// Decodes. True if the stream ends here.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        wants_border: bool,
    ) -> Result<(StepOutcome, bool), StepError> {
        let seeks = wants_border && self.proof.is_none();
        let room = self.proof.as_ref().map_or(output.len(), |proof| proof.wants().min(output.len()));
        let output = &mut output[..room];
        let flush = if seeks { InflateFlush::Block } else { InflateFlush::NoFlush };

        let (taken, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output, flush);
        let consumed = (self.inflate.total_in() - taken) as usize;
        let produced = (self.inflate.total_out() - written) as usize;
        let status = status.map_err(|error| StepError { produced, ..fault(error, consumed) })?;
        self.follow(&input[..consumed], &output[..produced]);

        let mut step = StepOutcome { consumed, produced, border: None };
        if status == Status::StreamEnd {
            return Ok((step, true));
        }
        if let Some(proof) = self.proof.take_if(|proof| proof.is_full()) {
            step.border = proof.conclude();
        } else if seeks && consumed < input.len() && produced < output.len() {
            // Input and room are left, so it stopped because a block ended.
            let window = last_bytes(&self.window).to_vec();
            self.proof = Some(Proof::new(self.last_byte, self.crc, self.length, window));
        }
        Ok((step, false))
    }

    /// Keeps what is known of the text up to date.
    fn follow(&mut self, input: &[u8], text: &[u8]) {
        self.crc = crc32(self.crc, text);
        self.length = self.length.wrapping_add(text.len() as u32);
        self.last_byte = *input.last().unwrap_or(&self.last_byte);
        self.window.extend(last_bytes(text));
        // Not each time, since small pieces would move all of it for little.
        if self.window.len() > 4 * WINDOW_BYTES {
            self.window.drain(..self.window.len() - WINDOW_BYTES);
        }
        if let Some(proof) = &mut self.proof {
            proof.follow(input, text);
        }
    }
}

/// As much of the end of a text as deflate looks back.
fn last_bytes(text: &[u8]) -> &[u8] {
    &text[text.len().saturating_sub(WINDOW_BYTES)..]
}

fn fault(error: InflateError, consumed: usize) -> StepError {
    StepError::at(consumed, DecodeErrorKind::Corrupt(error.as_str().to_owned()))
}
