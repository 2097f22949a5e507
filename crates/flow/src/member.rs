//! Members: compressed pieces that stand for themselves, so that one after the other they are again a compressed file.
//!
//! gzip calls them members (RFC 1952, section 2.2), Zstandard frames (RFC 8878, section 3); decoders of both read on where one ends
//! and another begins. Results are compressed by the workers. What stands between and around results is a few bytes, and
//! is wrapped here without being compressed: so whoever knows the bytes knows the member, its length and its CRC, and no
//! compressor is needed to plan an output.

use crc_fast::{CrcAlgorithm, checksum};

use crate::job::Compress;

/// Most bytes of a block of gzip that is stored as it is (RFC 1951, section 3.2.4: a length of 16 bits).
const GZIP_BLOCK_BYTES_MAX: usize = 0xffff;

/// Most bytes of a block of a Zstandard frame (RFC 8878, section 3.1.1.2.4: 128 KiB, where the window is no smaller).
const ZSTD_BLOCK_BYTES_MAX: usize = 128 << 10;

/// The member that gives these bytes, of which there may be none, when it is read. Without compression it is the bytes.
pub fn member(compress: Compress, bytes: &[u8]) -> Vec<u8> {
    match compress {
        Compress::None => bytes.to_vec(),
        Compress::Gzip => gzip_member(bytes),
        Compress::Zstd => zstd_frame(bytes),
    }
}

/// RFC 1952, section 2.3: without a name, a time or a system, so that the same bytes always are the same member.
fn gzip_member(bytes: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    for (block, is_last) in blocks(bytes, GZIP_BLOCK_BYTES_MAX) {
        let length = block.len() as u16;
        member.push(u8::from(is_last));
        member.extend(length.to_le_bytes());
        member.extend((!length).to_le_bytes());
        member.extend(block);
    }
    // The CRC and the length are of 32 bits, whatever was there.
    member.extend((checksum(CrcAlgorithm::Crc32IsoHdlc, bytes) as u32).to_le_bytes());
    member.extend((bytes.len() as u32).to_le_bytes());
    member
}

/// RFC 8878, section 3.1.1: a single segment whose length stands in its header, without a checksum.
fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
    // The descriptor: a length of four bytes (2 in the highest two bits), and the bit of a single segment.
    frame.push(0b1010_0000);
    frame.extend((bytes.len() as u32).to_le_bytes());
    for (block, is_last) in blocks(bytes, ZSTD_BLOCK_BYTES_MAX) {
        // The lowest bit says whether it is the last, the next two (0) that it is as it is.
        let header = (block.len() as u32) << 3 | u32::from(is_last);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// The blocks of these bytes, at least one, and which is the last.
fn blocks(bytes: &[u8], block_bytes_max: usize) -> impl Iterator<Item = (&[u8], bool)> {
    let count = bytes.len().div_ceil(block_bytes_max).max(1);
    (0..count).map(move |number| {
        let from = number * block_bytes_max;
        let until = (from + block_bytes_max).min(bytes.len());
        (&bytes[from..until], number + 1 == count)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    /// What an independent decoder makes of a file, all of which it must take.
    fn read(compress: Compress, file: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        match compress {
            Compress::None => return file.to_vec(),
            Compress::Gzip => flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap(),
            Compress::Zstd => {
                zstd::stream::read::Decoder::new(file).unwrap().read_to_end(&mut bytes).unwrap()
            }
        };
        bytes
    }

    #[test]
    fn a_member_of_any_length_gives_its_bytes() {
        for around in [0, 1, 256, GZIP_BLOCK_BYTES_MAX, ZSTD_BLOCK_BYTES_MAX, 3 * ZSTD_BLOCK_BYTES_MAX] {
            for length in around.saturating_sub(1)..=around + 1 {
                let bytes: Vec<u8> = (0..251).cycle().take(length).collect();
                for compress in [Compress::None, Compress::Gzip, Compress::Zstd] {
                    assert!(
                        read(compress, &member(compress, &bytes)) == bytes,
                        "{compress:?} of {length} bytes"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn members_one_after_the_other_are_a_file(texts in prop::collection::vec("[a-c]{0,4}", 1..6)) {
            for compress in [Compress::Gzip, Compress::Zstd] {
                let file: Vec<u8> = texts.iter().flat_map(|text| member(compress, text.as_bytes())).collect();
                prop_assert_eq!(read(compress, &file), texts.concat().into_bytes());
            }
        }
    }
}
