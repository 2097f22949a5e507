//! gzip whose members have their lengths in their headers, so that a reader can skip from one to the next without decoding.
//!
//! A member's header has an extra field (RFC 1952, section 2.3.1.1), as BGZF's has: the identifier `FF`, 8 bytes, the length of
//! the whole member and the length of its text, each as a little-endian number of 32 bits. Other readers skip it.
//!
//! | bytes | value |
//! |---|---|
//! | 0..10 | `1f 8b 08 04`, no time, no level, no system |
//! | 10..12 | 12, the length of the extra field |
//! | 12..16 | `FF`, then 8, the length of the subfield |
//! | 16..20 | the length of the member, from its first byte to its last |
//! | 20..24 | the length of its text |

use thiserror::Error;
use zlib_rs::crc32::crc32;
use zlib_rs::{Deflate, DeflateFlush, Status};

/// Most text in a member. Larger members take more bytes to find, smaller ones compress worse (these by 1 %).
pub const MEMBER_TEXT_BYTES: usize = 256 << 10;

/// The identifier of our subfield.
pub(crate) const IDENTIFIER: [u8; 2] = *b"FF";

/// The length of our subfield.
pub(crate) const SUBFIELD_BYTES: u8 = 8;

/// The length of a header with our subfield and nothing else.
const HEADER_BYTES: usize = 24;

/// CRC32 and length of the text.
const TRAILER_BYTES: usize = 8;

/// Most bytes of a block that is stored as it is (RFC 1951, section 3.2.4: a length of 16 bits).
const STORED_BYTES_MAX: usize = 0xffff;

/// Most bytes of a member: at level 1, text that cannot be compressed takes 9 bits a byte.
pub(crate) const MEMBER_BYTES_MAX: usize = MEMBER_TEXT_BYTES / 8 * 9 + 1024;

/// So much is compressed at once: some 1 ms of work. Also what makes the members independent of the pieces that are written.
const PIECE_BYTES: usize = 64 << 10;

/// Compresses text into members. The same text gives the same members, in whatever pieces it is written.
pub struct MemberWriter {
    deflate: Deflate,
    level: i32,
    /// Text that waits for a full piece.
    piece: Vec<u8>,
    /// The member so far, and room for the rest of it.
    member: Vec<u8>,
    member_bytes: usize,
    crc: u32,
    /// How much text of the member was compressed.
    text_bytes: usize,
    is_first: bool,
}

/// The compressor failed, which it does only if it is out of memory.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("gzip cannot compress")]
pub struct EncodeError;

impl MemberWriter {
    /// At this level, 1 to 9; gzip's own is 6.
    pub fn new(level: u8) -> Self {
        let level = level.clamp(1, 9).into();
        Self {
            deflate: raw_deflate(level),
            level,
            piece: Vec::new(),
            member: vec![0; MEMBER_BYTES_MAX],
            member_bytes: HEADER_BYTES,
            crc: 0,
            text_bytes: 0,
            is_first: true,
        }
    }

    /// Takes text, and appends the members that it completes.
    ///
    /// # Errors
    /// If memory is short.
    pub fn write(&mut self, mut text: &[u8], members: &mut Vec<u8>) -> Result<(), EncodeError> {
        while !text.is_empty() {
            let (taken, rest) = text.split_at(text.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend(taken);
            text = rest;
            if self.piece.len() == PIECE_BYTES {
                self.compress(DeflateFlush::NoFlush)?;
                if self.text_bytes == MEMBER_TEXT_BYTES {
                    self.end_member(members)?;
                }
            }
        }
        Ok(())
    }

    /// Appends the last member. Of no text at all, that is a member without any, so that a file is never empty.
    ///
    /// # Errors
    /// If memory is short.
    pub fn finish(mut self, members: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.is_first || self.text_bytes > 0 || !self.piece.is_empty() {
            self.end_member(members)?;
        }
        Ok(())
    }

    /// Compresses the piece.
    fn compress(&mut self, flush: DeflateFlush) -> Result<Status, EncodeError> {
        let written = self.deflate.total_out();
        let room = &mut self.member[self.member_bytes..];
        let status = self.deflate.compress(&self.piece, room, flush).map_err(|_| EncodeError)?;
        self.member_bytes += (self.deflate.total_out() - written) as usize;
        self.crc = crc32(self.crc, &self.piece);
        self.text_bytes += self.piece.len();
        self.piece.clear();
        Ok(status)
    }

    fn end_member(&mut self, members: &mut Vec<u8>) -> Result<(), EncodeError> {
        // With room for all, one call is enough.
        let Status::StreamEnd = self.compress(DeflateFlush::Finish)? else { return Err(EncodeError) };
        let member_bytes = self.member_bytes + TRAILER_BYTES;
        members.extend(header(member_bytes as u32, self.text_bytes as u32));
        members.extend(&self.member[HEADER_BYTES..self.member_bytes]);
        members.extend(trailer(self.crc, self.text_bytes));
        self.deflate = raw_deflate(self.level);
        (self.member_bytes, self.crc, self.text_bytes, self.is_first) = (HEADER_BYTES, 0, 0, false);
        Ok(())
    }
}

/// The members, usually one, that give these bytes without being compressed: so no compressor is needed to know their length.
pub fn stored_members(text: &[u8]) -> Vec<u8> {
    let mut members = Vec::new();
    for text in chunks(text, MEMBER_TEXT_BYTES) {
        let blocks = chunks(text, STORED_BYTES_MAX);
        let last = blocks.len() - 1;
        let member_bytes = HEADER_BYTES + 5 * blocks.len() + text.len() + TRAILER_BYTES;
        members.extend(header(member_bytes as u32, text.len() as u32));
        for (number, block) in blocks.into_iter().enumerate() {
            let length = block.len() as u16;
            members.push(u8::from(number == last));
            members.extend(length.to_le_bytes());
            members.extend((!length).to_le_bytes());
            members.extend(block);
        }
        members.extend(trailer(crc32(0, text), text.len()));
    }
    members
}

/// The chunks of a text, at least one.
fn chunks(text: &[u8], bytes_max: usize) -> Vec<&[u8]> {
    if text.is_empty() { vec![text] } else { text.chunks(bytes_max).collect() }
}

fn raw_deflate(level: i32) -> Deflate {
    Deflate::new(level, false, 15)
}

fn header(member_bytes: u32, text_bytes: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..12].copy_from_slice(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x0c\0");
    header[12..14].copy_from_slice(&IDENTIFIER);
    header[14] = SUBFIELD_BYTES;
    header[16..20].copy_from_slice(&member_bytes.to_le_bytes());
    header[20..24].copy_from_slice(&text_bytes.to_le_bytes());
    header
}

fn trailer(crc: u32, text_bytes: usize) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&(text_bytes as u32).to_le_bytes());
    trailer
}
