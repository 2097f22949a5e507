//! Why a file cannot be decoded, and at which byte.

use thiserror::Error;

use crate::Codec;

/// A file that cannot be decoded, or not to its end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{kind} at byte {compressed} of the {codec} file ({decoded} bytes were decoded)")]
pub struct DecodeError {
    /// The format.
    pub codec: Codec,
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The byte of the file at which it was noticed: the damage is there or before.
    pub compressed: u64,
    /// How many bytes had been decoded, counted from the start of the file or of the part.
    pub decoded: u64,
}

/// What is wrong with a file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The file does not begin as its format does.
    #[error("there is no header")]
    NoHeader,
    /// It ends inside a member, frame or stream.
    #[error("the data is cut short")]
    Truncated,
    /// Bytes follow that are neither another member, frame or stream, nor padding.
    #[error("bytes that do not belong to it begin")]
    TrailingBytes,
    /// The data contradicts itself.
    #[error("the data is corrupt ({0})")]
    Corrupt(String),
    /// The data was decoded, and is not what was compressed.
    #[error("the data is corrupt ({0} does not match)")]
    Mismatch(&'static str),
    /// The buffer for decoded bytes is empty.
    #[error("the decoder was misused ({0})")]
    Misused(&'static str),
}
