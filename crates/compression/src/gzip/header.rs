//! A member's header, byte by byte (RFC 1952, section 2.3).

use zlib_rs::crc32::crc32;

use crate::error::DecodeErrorKind;

const HAS_HEADER_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0b1110_0000;

#[derive(Clone)]
pub(super) struct GzipHeader {
    field: Field,
    /// What of the optional fields is still to come.
    flags: u8,
    crc: u32,
    is_first: bool,
}

/// The field that the next byte belongs to, and how much of it was taken.
#[derive(Clone, Copy)]
enum Field {
    Fixed(u8),
    ExtraLength(u8, u16),
    Extra(u16),
    Name,
    Comment,
    HeaderCrc(u8, u16),
    End,
}

impl GzipHeader {
    /// `is_first` if the file begins with it. Otherwise, bytes that are no header are trailing bytes.
    pub(super) fn new(is_first: bool) -> Self {
        Self { field: Field::Fixed(0), flags: 0, crc: 0, is_first }
    }

    /// Takes a byte. True if it was the last.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, DecodeErrorKind> {
        if !matches!(self.field, Field::HeaderCrc(..)) {
            self.crc = crc32(self.crc, &[byte]);
        }
        self.field = match self.field {
            Field::Fixed(at) => {
                self.fixed(at, byte)?;
                if at == 9 { self.next() } else { Field::Fixed(at + 1) }
            }
            Field::ExtraLength(0, _) => Field::ExtraLength(1, u16::from(byte)),
            Field::ExtraLength(_, low) => match low | u16::from(byte) << 8 {
                0 => self.next(),
                length => Field::Extra(length),
            },
            Field::Extra(1) => self.next(),
            Field::Extra(left) => Field::Extra(left - 1),
            Field::Name | Field::Comment if byte == 0 => self.next(),
            Field::HeaderCrc(0, _) => Field::HeaderCrc(1, u16::from(byte)),
            Field::HeaderCrc(_, low) => {
                if low | u16::from(byte) << 8 != self.crc as u16 {
                    return Err(DecodeErrorKind::Mismatch("its header's CRC"));
                }
                self.next()
            }
            same @ (Field::Name | Field::Comment | Field::End) => same,
        };
        Ok(matches!(self.field, Field::End))
    }

    /// The ten bytes that every header has. Time, level and system are not used.
    fn fixed(&mut self, at: u8, byte: u8) -> Result<(), DecodeErrorKind> {
        match (at, byte) {
            (0, 0x1f) | (1, 0x8b) | (2, 8) | (4.., _) => Ok(()),
            (0 | 1, _) if self.is_first => Err(DecodeErrorKind::NoHeader),
            (0 | 1, _) => Err(DecodeErrorKind::TrailingBytes),
            (2, _) => Err(DecodeErrorKind::Corrupt("a method that is not deflate".to_owned())),
            (3, flags) if flags & RESERVED != 0 => Err(DecodeErrorKind::Corrupt("reserved flags".to_owned())),
            (3, flags) => {
                self.flags = flags;
                Ok(())
            }
        }
    }

    /// The next of the fields that this header has.
    fn next(&mut self) -> Field {
        let fields = [
            (HAS_EXTRA, Field::ExtraLength(0, 0)),
            (HAS_NAME, Field::Name),
            (HAS_COMMENT, Field::Comment),
            (HAS_HEADER_CRC, Field::HeaderCrc(0, 0)),
        ];
        match fields.into_iter().find(|(flag, _)| self.flags & flag != 0) {
            Some((flag, field)) => {
                self.flags &= !flag;
                field
            }
            None => Field::End,
        }
    }
}
