//! What is wrong with a JSON text, and where.

use std::fmt;

/// The first byte of a text that keeps it from being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position} is {found}, expected {expected}")]
pub struct JsonError {
    /// Where it is, counted from 0.
    pub position: u64,
    /// What is there.
    pub found: Found,
    /// What would have fitted.
    pub expected: &'static str,
}

/// What stands in a place where something else is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A byte.
    Byte(u8),
    /// A byte order mark, or the first byte of one.
    ByteOrderMark,
    /// The end of the text.
    End,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Byte(byte) if byte.is_ascii_graphic() => write!(f, "'{}'", char::from(byte)),
            Self::Byte(b' ') => f.write_str("a space"),
            Self::Byte(b'\n') => f.write_str("a line feed"),
            Self::Byte(byte) => write!(f, "the byte 0x{byte:02X}"),
            Self::ByteOrderMark => f.write_str("a byte order mark, which JSON does not have"),
            Self::End => f.write_str("the end"),
        }
    }
}
