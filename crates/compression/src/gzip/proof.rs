//! Which bit a deflate block begins at.
//!
//! zlib-rs can stop between two blocks and does not say how many bits of the last byte it has not used yet. Only eight places are
//! possible. So the first few KiB of text after the border are decoded again from each of them. The true one always gives
//! that text; if no other does, it is known for certain. If another does as well, this border is not used.

use zlib_rs::InflateFlush;

use crate::checkpoint::Inside;
use crate::step::Border;

use super::shift;

/// So much text decides. The wrong seven fail within a few bytes, nearly always at the block's header.
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
    pub(super) fn conclude(self) -> Option<Border> {
        // Either some bits of the last byte were used, or all: then the border is before the next byte.
        let bits: Vec<u8> = (0..8).filter(|bit| self.is_text_from(*bit)).collect();
        let [bit] = bits[..] else { return None };
        Some(Border {
            compressed_back: self.input.len() as u64 + u64::from(bit != 0),
            decoded_back: self.text.len() as u64,
            inside: Some(Inside { bit, crc: self.crc, length: self.length, window: self.window }),
        })
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
