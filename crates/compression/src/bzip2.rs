//! bzip2 streams, one after another, as `bzip2`, `pbzip2` and `lbzip2` write them.

use ::bzip2::{Decompress, Error, Status};

use crate::error::DecodeErrorKind;
use crate::step::{FormatDecoder, MagicReader, ResumePoint, StepError, StepOutcome};

/// What follows the four bytes of a stream's header: a block (the digits of pi), or the end of a stream without any (of its root).
pub(crate) const MAGICS: [[u8; 6]; 2] =
    [[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];

pub(crate) struct Bzip2 {
    /// The stream that is being decoded.
    stream: Option<Decompress>,
    head: MagicReader,
    /// True until a stream has begun: a file has at least one.
    is_first: bool,
}

impl Bzip2 {
    pub(crate) fn new(is_first: bool) -> Self {
        Self { stream: None, head: MagicReader::default(), is_first }
    }

    /// Takes the four bytes that a stream begins with.
    fn begin(&mut self, input: &[u8], output: &mut [u8]) -> Result<StepOutcome, StepError> {
        let (consumed, head) = self.head.fill(input);
        let Some(head) = head else { return Ok(StepOutcome { consumed, ..StepOutcome::default() }) };
        if !matches!(head, [b'B', b'Z', b'h', b'1'..=b'9']) {
            let cause =
                if self.is_first { DecodeErrorKind::NoHeader } else { DecodeErrorKind::TrailingBytes };
            return Err(StepError::at(0, cause));
        }
        self.is_first = false;
        self.head = MagicReader::default();
        let stream = self.stream.insert(Decompress::new(false));
        stream.decompress(&head, output).map_err(|error| fault(&error))?;
        Ok(StepOutcome { consumed, ..StepOutcome::default() })
    }
}

impl FormatDecoder for Bzip2 {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Result<StepOutcome, StepError> {
        let Some(stream) = &mut self.stream else { return self.begin(input, output) };
        let (taken, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(input, output);
        let mut step = StepOutcome {
            consumed: (stream.total_in() - taken) as usize,
            produced: (stream.total_out() - written) as usize,
            border: None,
        };
        match status {
            Ok(Status::StreamEnd) => {
                self.stream = None;
                step.border = Some(ResumePoint::default());
                Ok(step)
            }
            Ok(Status::MemNeeded) => {
                Err(StepError::at(0, DecodeErrorKind::Corrupt("out of memory".to_owned())))
            }
            Ok(_) => Ok(step),
            Err(error) => {
                Err(StepError { consumed: step.consumed, produced: step.produced, ..fault(&error) })
            }
        }
    }

    fn may_end(&self) -> bool {
        self.stream.is_none() && !self.is_first && self.head.is_empty()
    }
}

fn fault(error: &Error) -> StepError {
    let what = match error {
        Error::Data | Error::DataMagic => "invalid block or checksum".to_owned(),
        Error::Sequence | Error::Param => error.to_string(),
    };
    StepError::at(0, DecodeErrorKind::Corrupt(what))
}
