//! Zstandard frames: the headers of frames and of their blocks (RFC 8878, section 3.1).

use crate::zstd::{FRAME_MAGIC, is_skippable};

/// Where to go from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advance {
    /// Not known yet: so many bytes are needed.
    Need(usize),
    /// So many bytes further, still inside the part.
    Inside(u64),
    /// So many bytes further, to the end of the part.
    Part { length: u64, decoded: Option<u64> },
    /// Here is no header.
    Lost,
}

/// The frame that a walk is in.
#[derive(Clone, Debug)]
pub(super) struct ZstdFrame {
    pub start: u64,
    decoded: Option<u64>,
    has_checksum: bool,
}

/// Most bytes of a block (RFC 8878, section 3.1.1.2.4).
const BLOCK_BYTES_MAX: u64 = 128 << 10;

/// Over a frame's header, over a block, or over a frame to skip, at this offset of the file.
pub(super) fn zstd_hop(offset: u64, frame: &mut Option<ZstdFrame>, bytes: &[u8]) -> Advance {
    match frame {
        Some(frame) => over_block(frame, bytes),
        None => match bytes.first_chunk() {
            None => Advance::Need(4),
            Some(magic) if is_skippable(*magic) => over_skippable(bytes),
            Some(magic) if *magic == FRAME_MAGIC => over_header(offset, frame, bytes),
            Some(_) => Advance::Lost,
        },
    }
}

fn over_skippable(bytes: &[u8]) -> Advance {
    let Some([.., l0, l1, l2, l3]) = bytes.first_chunk::<8>() else { return Advance::Need(8) };
    Advance::Part { length: 8 + u64::from(u32::from_le_bytes([*l0, *l1, *l2, *l3])), decoded: Some(0) }
}

fn over_header(offset: u64, frame: &mut Option<ZstdFrame>, bytes: &[u8]) -> Advance {
    let Some(descriptor) = bytes.get(4) else { return Advance::Need(5) };
    let is_single_segment = descriptor >> 5 & 1 == 1;
    if descriptor >> 3 & 1 == 1 {
        // Reserved.
        return Advance::Lost;
    }
    let window_bytes = usize::from(!is_single_segment);
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_bytes = [usize::from(is_single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    let header_bytes = 5 + window_bytes + dictionary_bytes + size_bytes;
    let Some(header) = bytes.get(..header_bytes) else { return Advance::Need(header_bytes) };

    let mut size = [0; 8];
    size[..size_bytes].copy_from_slice(&header[header_bytes - size_bytes..]);
    let size = u64::from_le_bytes(size);
    let decoded = match size_bytes {
        0 => None,
        // What fits into one byte needs no second.
        2 => Some(size + 256),
        _ => Some(size),
    };
    *frame = Some(ZstdFrame { start: offset, decoded, has_checksum: descriptor >> 2 & 1 == 1 });
    Advance::Inside(header_bytes as u64)
}

fn over_block(frame: &ZstdFrame, bytes: &[u8]) -> Advance {
    let Some([h0, h1, h2]) = bytes.first_chunk() else { return Advance::Need(3) };
    let header = u64::from(u32::from_le_bytes([*h0, *h1, *h2, 0]));
    let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
    if kind == 3 || size > BLOCK_BYTES_MAX {
        return Advance::Lost;
    }
    // A run is one byte, whatever its length.
    let length = 3 + if kind == 1 { 1 } else { size };
    if !is_last {
        return Advance::Inside(length);
    }
    Advance::Part { length: length + if frame.has_checksum { 4 } else { 0 }, decoded: frame.decoded }
}
