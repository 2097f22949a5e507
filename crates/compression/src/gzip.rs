//! gzip members, one after another, and the zeros that may follow (RFC 1952).

mod body;
mod header;
mod proof;
mod shift;

use crate::checkpoint::Inside;
use crate::error::DecodeErrorKind;
use crate::step::{FormatDecoder, ResumePoint, StepError, StepOutcome};

use body::GzipBody;
use header::GzipHeader;

pub(crate) struct Gzip {
    state: State,
    body: GzipBody,
    /// True until a member has begun: a file has at least one.
    is_first: bool,
}

enum State {
    /// Before a member, or at the end.
    Between,
    /// After a member, among zeros.
    Padding,
    Header(GzipHeader),
    /// Before the rest of a byte that a checkpoint is in.
    Resuming {
        bit: u8,
    },
    Body,
    /// The member's CRC32 and length, as far as they are known.
    Trailer {
        bytes: [u8; 8],
        filled: usize,
    },
}

impl Gzip {
    pub(crate) fn new(is_first: bool) -> Self {
        Self { state: State::Between, body: GzipBody::new(), is_first }
    }

    pub(crate) fn resume(inside: &Inside) -> Self {
        Self { state: State::Resuming { bit: inside.bit }, body: GzipBody::resume(inside), is_first: false }
    }

    /// Takes the first byte of a member or of the padding.
    fn begin(&mut self, input: &[u8]) -> Result<StepOutcome, StepError> {
        match input.first() {
            None => Ok(StepOutcome::default()),
            Some(0) if !self.is_first => {
                self.state = State::Padding;
                Ok(StepOutcome { consumed: 1, ..StepOutcome::default() })
            }
            Some(_) => {
                let header = GzipHeader::new(self.is_first);
                self.is_first = false;
                self.header(header, input)
            }
        }
    }

    /// Takes bytes of a header. At its end the body begins.
    fn header(&mut self, mut header: GzipHeader, input: &[u8]) -> Result<StepOutcome, StepError> {
        for (at, byte) in input.iter().enumerate() {
            let is_done = header.take(*byte).map_err(|cause| StepError::at(at, cause))?;
            if is_done {
                self.body.begin();
                self.state = State::Body;
                return Ok(StepOutcome { consumed: at + 1, ..StepOutcome::default() });
            }
        }
        self.state = State::Header(header);
        Ok(StepOutcome { consumed: input.len(), ..StepOutcome::default() })
    }

    /// Skips zeros. Where they end, a member must begin.
    fn padding(&mut self, input: &[u8]) -> Result<StepOutcome, StepError> {
        match input.iter().take_while(|byte| **byte == 0).count() {
            0 if !input.is_empty() => self.begin(input),
            consumed => Ok(StepOutcome { consumed, ..StepOutcome::default() }),
        }
    }

    /// Takes bytes of the trailer, and compares.
    fn trailer(&mut self, mut bytes: [u8; 8], filled: usize, input: &[u8]) -> Result<StepOutcome, StepError> {
        let consumed = input.len().min(8 - filled);
        bytes[filled..filled + consumed].copy_from_slice(&input[..consumed]);
        let filled = filled + consumed;
        if filled < 8 {
            self.state = State::Trailer { bytes, filled };
            return Ok(StepOutcome { consumed, ..StepOutcome::default() });
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = bytes;
        if u32::from_le_bytes([c0, c1, c2, c3]) != self.body.crc() {
            return Err(StepError::at(consumed, DecodeErrorKind::Mismatch("its CRC32")));
        }
        if u32::from_le_bytes([l0, l1, l2, l3]) != self.body.length() {
            return Err(StepError::at(consumed, DecodeErrorKind::Mismatch("its length")));
        }
        self.state = State::Between;
        Ok(StepOutcome { consumed, produced: 0, border: Some(ResumePoint::default()) })
    }
}

impl FormatDecoder for Gzip {
    fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        wants_border: bool,
    ) -> Result<StepOutcome, StepError> {
        match &self.state {
            State::Between => self.begin(input),
            State::Padding => self.padding(input),
            State::Header(header) => {
                let header = header.clone();
                self.header(header, input)
            }
            State::Resuming { bit: 0 } => {
                self.state = State::Body;
                Ok(StepOutcome::default())
            }
            State::Resuming { bit } => {
                let Some(byte) = input.first() else { return Ok(StepOutcome::default()) };
                self.body.shift(*bit, *byte)?;
                self.state = State::Body;
                Ok(StepOutcome { consumed: 1, ..StepOutcome::default() })
            }
            State::Body => {
                let (step, is_end) = self.body.step(input, output, wants_border)?;
                if is_end {
                    self.state = State::Trailer { bytes: [0; 8], filled: 0 };
                }
                Ok(step)
            }
            State::Trailer { bytes, filled } => self.trailer(*bytes, *filled, input),
        }
    }

    fn may_end(&self) -> bool {
        matches!(self.state, State::Between | State::Padding) && !self.is_first
    }
}
