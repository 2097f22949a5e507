//! gzip headers that have the length of their member in an extra field (RFC 1952, section 2.3.1.1).

use crate::kind::FileKind;
use crate::member::{IDENTIFIER, SUBFIELD_BYTES};

use super::blocks::Advance;

/// gzip, deflate, and of the flags the extra field only.
pub(super) const MAGIC: &[u8] = b"\x1f\x8b\x08\x04";

/// The bytes up to the extra field.
const FIXED_BYTES: usize = 12;

/// An empty stream and the trailer.
const BODY_BYTES_MIN: usize = 2 + 8;

/// What such a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subfield {
    /// By `bgzip` and htslib.
    Bgzf { member_bytes: u64 },
    /// By us.
    Ours { member_bytes: u64, text_bytes: u64 },
}

/// The length that a gzip header has, as far as the header is there.
pub(crate) fn gzip_subfield(bytes: &[u8]) -> Option<Subfield> {
    let fixed = bytes.get(..FIXED_BYTES).filter(|fixed| fixed.starts_with(MAGIC))?;
    let extra_bytes = usize::from(u16::from_le_bytes([fixed[10], fixed[11]]));
    let mut extra = &bytes[FIXED_BYTES..bytes.len().min(FIXED_BYTES + extra_bytes)];
    while let Some(([id0, id1, low, high], rest)) = extra.split_first_chunk() {
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        match ([*id0, *id1], data) {
            ([b'B', b'C'], [low, high]) => {
                let member_bytes = u64::from(u16::from_le_bytes([*low, *high])) + 1;
                return Some(Subfield::Bgzf { member_bytes });
            }
            (IDENTIFIER, data) if data.len() == usize::from(SUBFIELD_BYTES) => {
                let (member, text) = data.split_first_chunk()?;
                let text = text.first_chunk()?;
                return Some(Subfield::Ours {
                    member_bytes: u32::from_le_bytes(*member).into(),
                    text_bytes: u32::from_le_bytes(*text).into(),
                });
            }
            _ => extra = rest,
        }
    }
    None
}

/// Over a member of this kind.
pub(super) fn gzip_hop(kind: FileKind, bytes: &[u8]) -> Advance {
    let Some(fixed) = bytes.get(..FIXED_BYTES) else { return Advance::Need(FIXED_BYTES) };
    if !fixed.starts_with(MAGIC) {
        return Advance::Lost;
    }
    let header_bytes = FIXED_BYTES + usize::from(u16::from_le_bytes([fixed[10], fixed[11]]));
    if bytes.len() < header_bytes {
        return Advance::Need(header_bytes);
    }
    let (length, decoded) = match (kind, gzip_subfield(bytes)) {
        (FileKind::Bgzf, Some(Subfield::Bgzf { member_bytes })) => (member_bytes, None),
        (FileKind::Members, Some(Subfield::Ours { member_bytes, text_bytes })) => {
            (member_bytes, Some(text_bytes))
        }
        _ => return Advance::Lost,
    };
    if length < (header_bytes + BODY_BYTES_MIN) as u64 {
        return Advance::Lost;
    }
    Advance::Part { length, decoded }
}
