//! Which bit a deflate block begins at.
//!
//! zlib-rs can stop between two blocks, and does not report how many bits of the last byte are still unused. Only eight places are
//! possible. So the first few KiB of text after the border are decoded again from each of them. The true one always gives
//! that text. If no other does, this is a proof. If another does as well and makes a difference, the border is not used.

use zlib_rs::InflateFlush;

use crate::checkpoint::Inside;
use crate::step::ResumePoint;

use super::shift;

/// This much text decides. The wrong seven fail within a few bytes, nearly always at the block's header.
const TEXT_BYTES: usize = 4 << 10;

/// More input than this without enough text is not worth keeping: blocks without text, one after another.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// A border, and what followed it.
pub(super) struct Proof {
    /// The last byte before the border, some of whose bits may belong to what follows.
    last_byte: u8,
    crc: u32,
    length: u32,
    window: Vec<u8>,
    input: Vec<u8>,
    text: Vec<u8>,
}

impl Proof {
    pub(super) fn new(last_byte: u8, crc: u32, length: u32, window: Vec<u8>) -> Self {
        Self { last_byte, crc, length, window, input: Vec::new(), text: Vec::new() }
    }

    /// How much text it still wants.
    pub(super) fn wants(&self) -> usize {
        TEXT_BYTES - self.text.len()
    }

    /// Takes what followed, no more text than it wants.
    pub(super) fn follow(&mut self, input: &[u8], text: &[u8]) {
        self.input.extend(input);
        self.text.extend(text);
    }

    /// True once it can be concluded.
    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= TEXT_BYTES || self.input.len() > INPUT_BYTES_MAX
    }

    /// The border, if there is no doubt about its bit.
    pub(super) fn conclude(self) -> Option<ResumePoint> {
        // Either some bits of the last byte were used, or all: then the border is before the next byte.
        let bits: Vec<u8> = (0..8).filter(|bit| self.is_text_from(*bit)).collect();
        let bit = *bits.first().filter(|_| bits.len() == 1 || self.are_one_stored_block(&bits))?;
        Some(ResumePoint {
            compressed_back: self.input.len() as u64 + u64::from(bit != 0),
            decoded_back: self.text.len() as u64,
            inside: Some(Inside { bit, crc: self.crc, length: self.length, window: self.window }),
        })
    }

    /// True if a stored block begins at all of these bits, the same one: its bytes begin at the next whole byte, wherever in the
    /// byte before its header was. Some may make it the last block, which it is not.
    fn are_one_stored_block(&self, bits: &[u8]) -> bool {
        let Some(next_byte) = self.input.first() else { return false };
        let two_bytes = u16::from_le_bytes([self.last_byte, *next_byte]);
        let is_stored = |bit: u8| two_bytes >> if bit == 0 { 8 } else { bit } & 0b111 == 0;
        // A header of 3 bits that ends in the last byte, or in the next one.
        let ends_in_last = |bit: u8| (1..=5).contains(&bit);
        bits.iter().all(|bit| is_stored(*bit) && ends_in_last(*bit) == ends_in_last(bits[0]))
    }

    /// True if the text that followed is what the input gives from this bit on.
    fn is_text_from(&self, bit: u8) -> bool {
        let mut inflate = shift::raw_inflate();
        shift::set_window(&mut inflate, &self.window);
        if bit != 0 && shift::skip_bits(&mut inflate, bit, self.last_byte).is_err() {
            return false;
        }
        let mut text = vec![0; self.text.len()];
        let decoded = inflate.decompress(&self.input, &mut text, InflateFlush::NoFlush);
        decoded.is_ok() && inflate.total_out() == text.len() as u64 && text == self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is concluded for a stored block of this length and text, whose header ends with the padding of the first byte.
    fn bit(last_byte: u8, length: u16, text: [u8; 2]) -> Option<u8> {
        let mut proof = Proof::new(last_byte, 0, 0, Vec::new());
        let text: Vec<u8> = text.into_iter().cycle().take(TEXT_BYTES).collect();
        let header = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
        proof.follow(&header, b"");
        proof.follow(&text, &text);
        assert!(proof.is_full());
        Some(proof.conclude()?.inside?.bit)
    }

    #[test]
    fn places_that_begin_the_same_stored_block_are_as_good_as_one() {
        // 0, 6 and 7: the last two bits may be the header's or not.
        assert_eq!(bit(0b0011_1111, 5_000, *b"ab"), Some(0));
    }

    #[test]
    fn a_place_that_would_make_it_the_last_block_leaves_doubt() {
        for last_byte in [0b0100_0000, 0b1000_0000] {
            assert_eq!(bit(last_byte, 5_000, *b"ab"), None);
        }
    }

    #[test]
    fn blocks_of_the_same_text_and_other_lengths_leave_doubt() {
        // Read from a byte earlier, the header says 0x1000 instead of 0xff10.
        assert_eq!(bit(0, 0xff10, [0, 0]), None);
    }
}
