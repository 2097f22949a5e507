//! Starting an inflater in the middle of a byte.
//!
//! Deflate blocks begin at any bit, and zlib-rs begins at whole bytes only. So blocks without text are put before: as many as it
//! takes to begin at the same bit of a byte. A block of the fixed code without text has 10 bits. Together with one of 93 bits,
//! every offset can be reached.

use zlib_rs::{Inflate, InflateError, InflateFlush};

/// The largest window, 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// An inflater for deflate without any header.
pub(super) fn raw_inflate() -> Inflate {
    Inflate::new(false, WINDOW_BITS)
}

/// Lets a new inflater look back into this text.
pub(super) fn set_window(inflate: &mut Inflate, window: &[u8]) {
    // For deflate without a header this is always allowed.
    let _ = inflate.set_dictionary(window);
}

/// Starts a new inflater at this bit of this byte, 1 to 7.
pub(super) fn skip_bits(inflate: &mut Inflate, bit: u8, byte: u8) -> Result<(), InflateError> {
    let mut bits = Bits::default();
    if bit % 2 == 1 {
        bits.odd_block();
    }
    while bits.length % 8 != usize::from(bit) {
        bits.even_block();
    }
    if let Some(last) = bits.bytes.last_mut() {
        *last |= byte & (0xff << bit);
    }
    // No text comes out: what is wanted of the last byte is too short for any.
    let mut nothing = [0];
    inflate.decompress(&bits.bytes, &mut nothing, InflateFlush::NoFlush).map(drop)
}

/// Bits as deflate packs them: the lowest of a byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    length: usize,
}

impl Bits {
    /// The lowest `count` bits of a number, the lowest first.
    fn push(&mut self, number: u8, count: usize) {
        for shift in 0..count {
            if self.length.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (number >> shift & 1) << (self.length % 8);
            }
            self.length += 1;
        }
    }

    /// A block of the fixed code with nothing but its end: 3 + 7 bits (RFC 1951, section 3.2.6).
    fn even_block(&mut self) {
        self.push(0b010, 3);
        self.push(0, 7);
    }

    /// A block with a code of its own, which has only the end of the block: 93 bits (RFC 1951, section 3.2.7).
    fn odd_block(&mut self) {
        self.push(0b100, 3);
        // 257 literals, 1 distance, and 18 lengths of the code that these lengths are written in.
        self.push(0, 5);
        self.push(0, 5);
        self.push(14, 4);
        // In the order of the RFC: 16, 17, 18, 0, twelve that are not used, 2 and then 14, 1. So `0` is a length of 1,
        // `10` a length of 0, and `11` a run of zeros.
        for length in [0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] {
            self.push(length, 3);
        }
        // 138 and 118 literals that do not occur.
        for run in [138, 118] {
            self.push(0b11, 2);
            self.push(run - 11, 7);
        }
        // The end of the block has a code of one bit, and the distance none.
        self.push(0, 1);
        self.push(0b01, 2);
        // The end of the block.
        self.push(0, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_blocks_have_the_lengths_that_are_needed() {
        let (mut even, mut odd) = (Bits::default(), Bits::default());
        even.even_block();
        odd.odd_block();
        assert_eq!((even.length, odd.length), (10, 93));
    }

    #[test]
    fn any_bit_of_a_byte_can_be_the_first() {
        // A last block of the fixed code with the text `a`: 1, 10, 10010001, 0000000.
        let block = "110100100010000000";
        for bit in 1..8_u8 {
            // What came before is ones, which must not be seen.
            let mut packed = Bits::default();
            packed.push(0xff, bit.into());
            for digit in block.bytes() {
                packed.push(digit - b'0', 1);
            }
            let mut inflate = raw_inflate();
            skip_bits(&mut inflate, bit, packed.bytes[0]).unwrap();
            let mut text = [0; 2];
            let status = inflate.decompress(&packed.bytes[1..], &mut text, InflateFlush::NoFlush);
            assert_eq!((status, text), (Ok(zlib_rs::Status::StreamEnd), *b"a\0"), "bit {bit}");
        }
    }
}
