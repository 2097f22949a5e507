//! Frames: what goes through the pipes between the pool and a forked process.
//!
//! Owes both sides that a stream of bytes is taken apart as it was put together, and that bytes which no frame begins with are
//! an error and never data. A frame is a kind (one byte), a length (four bytes, little-endian), and so many bytes.
//!
//! ```text
//! to the process:   Setup, then for each call: Call or LastCall, Data..., End
//! from the process: for each call: Data..., Done
//! ```

use bytes::{Buf, Bytes, BytesMut};

/// What a frame begins with, in bytes.
pub(crate) const HEADER_BYTES: usize = 5;

/// Most bytes of a frame that must be whole before it means anything: what a call says is known to be small (an event of
/// Lambda's has at most 1 MB), what an outcome says is cut to [`OUTCOME_TEXT_BYTES_MAX`].
pub(crate) const WHOLE_BYTES_MAX: usize = 16 << 20;

/// Most bytes of text in an outcome: a page on the screen, and less than a pipe holds unasked, so that a process can always
/// tell its last word.
pub(crate) const OUTCOME_TEXT_BYTES_MAX: usize = 4 << 10;

/// How a process ends that has not done what it was called for: what programs say, and, of one that panicked, what Rust's say.
pub(crate) const FAILED: i32 = 1;
const PANICKED: i32 = 101;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The surroundings of the process.
    Setup,
    /// What is to be done next.
    Call,
    /// The same, and then nothing more: the process ends after it.
    LastCall,
    /// A part of the input, or of the result.
    Data,
    /// The end of the input.
    End,
    /// How a call ended.
    Done,
}

const KINDS: [(u8, Kind); 6] = [
    (b'S', Kind::Setup),
    (b'C', Kind::Call),
    (b'L', Kind::LastCall),
    (b'D', Kind::Data),
    (b'E', Kind::End),
    (b'O', Kind::Done),
];

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No frame begins so.
    #[error("no frame begins with the byte {0:#04x}")]
    Kind(u8),
    /// The frame does not belong here.
    #[error("a frame came that is not expected here ({0})")]
    OutOfPlace(&'static str),
    /// The frame is too long.
    #[error("a frame of {0} bytes is longer than any that must be whole")]
    TooLong(usize),
    /// An outcome says nothing that can be understood.
    #[error("an outcome of a call cannot be understood")]
    Outcome,
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) length: usize,
}

impl Header {
    /// A header, unless the frame would be too long.
    pub(crate) fn new(kind: Kind, length: usize) -> Result<Header, FrameError> {
        match u32::try_from(length) {
            Ok(_) if kind == Kind::Data || length <= WHOLE_BYTES_MAX => Ok(Header { kind, length }),
            _ => Err(FrameError::TooLong(length)),
        }
    }

    pub(crate) fn bytes(self) -> [u8; HEADER_BYTES] {
        let kind = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or(0, |(byte, _)| *byte);
        // Not longer than `new` lets it be.
        let [a, b, c, d] = u32::try_from(self.length).unwrap_or(u32::MAX).to_le_bytes();
        [kind, a, b, c, d]
    }

    pub(crate) fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Header, FrameError> {
        let [byte, a, b, c, d] = bytes;
        let kind = KINDS.iter().find(|(known, _)| *known == byte).map(|(_, kind)| *kind);
        // A system whose addresses are shorter than a length does not run Lambda.
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        Header::new(kind.ok_or(FrameError::Kind(byte))?, length)
    }
}

/// How a call ended, in the process's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its result is whole.
    Done,
    /// The task gave an error.
    Failed(String),
    /// The task panicked.
    Panicked(String),
}

impl Outcome {
    /// What a process ends with whose last call came to this.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Outcome::Done => 0,
            Outcome::Failed(_) => FAILED,
            Outcome::Panicked(_) => PANICKED,
        }
    }

    /// What goes into a frame.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let (byte, text) = match self {
            Outcome::Done => (b'.', ""),
            Outcome::Failed(text) => (b'!', text.as_str()),
            Outcome::Panicked(text) => (b'P', text.as_str()),
        };
        let mut payload = vec![byte];
        payload.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(OUTCOME_TEXT_BYTES_MAX)]);
        payload
    }

    fn parse(payload: &[u8]) -> Result<Outcome, FrameError> {
        let (byte, text) = payload.split_first().ok_or(FrameError::Outcome)?;
        let text = std::str::from_utf8(text).map_err(|_| FrameError::Outcome)?.to_owned();
        match byte {
            b'.' if text.is_empty() => Ok(Outcome::Done),
            b'!' => Ok(Outcome::Failed(text)),
            b'P' => Ok(Outcome::Panicked(text)),
            _ => Err(FrameError::Outcome),
        }
    }
}

/// What a process writes, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A part of the result, as much as was there.
    Data(Bytes),
    /// The end of a call.
    Done(Outcome),
}

/// Takes apart what a process writes, however it is cut by the pipe.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Bytes of the data frame at hand that are yet to come.
    data_left: usize,
}

impl Decoder {
    /// Takes the next thing from the front of `buffer`; `None` if more bytes are needed.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Written>, FrameError> {
        loop {
            if self.data_left > 0 {
                let length = self.data_left.min(buffer.len());
                if length == 0 {
                    return Ok(None);
                }
                self.data_left -= length;
                return Ok(Some(Written::Data(buffer.split_to(length).freeze())));
            }
            let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
            let Header { kind, length } = Header::parse(*header)?;
            match kind {
                Kind::Data => {
                    buffer.advance(HEADER_BYTES);
                    self.data_left = length;
                }
                Kind::Done if length > 1 + OUTCOME_TEXT_BYTES_MAX => return Err(FrameError::TooLong(length)),
                Kind::Done if buffer.len() < HEADER_BYTES + length => return Ok(None),
                Kind::Done => {
                    buffer.advance(HEADER_BYTES);
                    return Outcome::parse(&buffer.split_to(length))
                        .map(|outcome| Some(Written::Done(outcome)));
                }
                Kind::Setup | Kind::Call | Kind::LastCall | Kind::End => {
                    return Err(FrameError::OutOfPlace("one that only the pool sends"));
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "frame/tests.rs"]
mod tests;
