//! bzip2 streams, one after another, as `bzip2`, `pbzip2` and `lbzip2` write them.

use ::bzip2::{Decompress, Error, Status};

use crate::error::Cause;
use crate::step::{Border, Fault, Format, Head, Stepped};

/// What follows the four bytes of a stream's header: a block (the digits of pi), or the end of a stream without any (of its root).
pub(crate) const MAGICS: [[u8; 6]; 2] =
    [[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];

pub(crate) struct Bzip2 {
    /// The stream that is being decoded.
    stream: Option<Decompress>,
    head: Head,
    /// True until a stream has begun: a file has at least one.
    is_first: bool,
}

impl Bzip2 {
    pub(crate) fn new(is_first: bool) -> Self {
        Self { stream: None, head: Head::default(), is_first }
    }

    /// Takes the four bytes that a stream begins with.
    fn begin(&mut self, input: &[u8], output: &mut [u8]) -> Result<Stepped, Fault> {
        let (consumed, head) = self.head.fill(input);
        let Some(head) = head else { return Ok(Stepped { consumed, ..Stepped::default() }) };
        if !matches!(head, [b'B', b'Z', b'h', b'1'..=b'9']) {
            let cause = if self.is_first { Cause::NoHeader } else { Cause::TrailingBytes };
            return Err(Fault::at(0, cause));
        }
        self.is_first = false;
        self.head = Head::default();
        let stream = self.stream.insert(Decompress::new(false));
        stream.decompress(&head, output).map_err(|error| fault(&error))?;
        Ok(Stepped { consumed, ..Stepped::default() })
    }
}

impl Format for Bzip2 {
    fn step(&mut self, input: &[u8], output: &mut [u8], _: bool) -> Result<Stepped, Fault> {
        let Some(stream) = &mut self.stream else { return self.begin(input, output) };
        let (taken, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(input, output);
        let mut step = Stepped {
            consumed: (stream.total_in() - taken) as usize,
            produced: (stream.total_out() - written) as usize,
            border: None,
        };
        match status {
            Ok(Status::StreamEnd) => {
                self.stream = None;
                step.border = Some(Border::default());
                Ok(step)
            }
            Ok(Status::MemNeeded) => Err(Fault::at(0, Cause::Corrupt("out of memory".to_owned()))),
            Ok(_) => Ok(step),
            Err(error) => Err(Fault { consumed: step.consumed, produced: step.produced, ..fault(&error) }),
        }
    }

    fn may_end(&self) -> bool {
        self.stream.is_none() && !self.is_first && self.head.is_empty()
    }
}

fn fault(error: &Error) -> Fault {
    let what = match error {
        Error::Data | Error::DataMagic => "invalid block or checksum".to_owned(),
        Error::Sequence | Error::Param => error.to_string(),
    };
    Fault::at(0, Cause::Corrupt(what))
}
