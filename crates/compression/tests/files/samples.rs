//! Texts, and files made of them.

use std::fmt;
use std::io::Write;
use std::ops::Deref;

use fanfold_compression::{Checkpoint, Codec, DecodeError, Decoder, MemberWriter};
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc, GzBuilder};
use proptest::prelude::*;

pub(crate) const CODECS: [Codec; 3] = [Codec::Gzip, Codec::Zstd, Codec::Bzip2];

/// A text that failures show by how it is made.
#[derive(Clone)]
pub(crate) struct Text {
    made: String,
    bytes: Vec<u8>,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.made)
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq<Text> for Vec<u8> {
    fn eq(&self, text: &Text) -> bool {
        *self == text.bytes
    }
}

/// Text of any kind and of a length up to this: rows, one byte again and again, noise.
pub(crate) fn text(bytes_max: usize) -> impl Strategy<Value = Text> {
    (0..3_u8, 0..=bytes_max, any::<u64>()).prop_map(|(kind, bytes, seed)| match kind {
        0 => Text { made: format!("rows({bytes}, {seed})"), bytes: rows(bytes, seed) },
        1 => Text { made: format!("{bytes} times a"), bytes: vec![b'a'; bytes] },
        _ => Text { made: format!("noise({bytes}, {seed})"), bytes: noise(bytes, seed) },
    })
}

/// Texts one after another.
pub(crate) fn joined(texts: &[(Text, u32)]) -> Vec<u8> {
    texts.iter().flat_map(|(text, _)| text.bytes.clone()).collect()
}

/// Rows of a table.
pub(crate) fn rows(bytes: usize, seed: u64) -> Vec<u8> {
    let words = ["north", "Säntis", "\"a, b\"", "2024-03-11", "", "x"];
    let mut random = Random(seed | 1);
    let mut text = Vec::new();
    while text.len() < bytes {
        let [a, b, number] = [random.next(), random.next(), random.next()];
        let word = |random: u64| words[random as usize % words.len()];
        writeln!(text, "{},{},{},{}", text.len(), word(a), number % 100_000, word(b)).unwrap();
    }
    text.truncate(bytes);
    text
}

/// Bytes that no encoder makes shorter.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..bytes).map(|_| (random.next() >> 24) as u8).collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// One member, frame or stream. The choice says which level, and what else an encoder can do.
pub(crate) fn compressed(codec: Codec, text: &[u8], choice: u32) -> Vec<u8> {
    match codec {
        Codec::Gzip => gzip(text, choice),
        Codec::Zstd => zstd(text, choice),
        Codec::Bzip2 => {
            let level = bzip2::Compression::new(1 + choice % 9);
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn gzip(text: &[u8], choice: u32) -> Vec<u8> {
    let mut builder = GzBuilder::new();
    if choice & 16 != 0 {
        builder = builder.filename("table.csv");
    }
    if choice & 32 != 0 {
        builder = builder.comment("no comment").mtime(7);
    }
    if choice & 64 != 0 {
        builder = builder.extra(*b"XY\x03\0abc");
    }
    let mut encoder = builder.write(Vec::new(), Compression::new(choice % 10));
    for piece in text.chunks(text.len() / 3 + 1) {
        encoder.write_all(piece).unwrap();
        if choice & 128 != 0 {
            encoder.flush().unwrap();
        }
    }
    encoder.finish().unwrap()
}

fn zstd(text: &[u8], choice: u32) -> Vec<u8> {
    let levels = [-3, 1, 3, 9, 19];
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), levels[choice as usize % 5]).unwrap();
    encoder.include_checksum(true).unwrap();
    if choice & 16 != 0 {
        encoder.set_pledged_src_size(Some(text.len() as u64)).unwrap();
    }
    encoder.write_all(text).unwrap();
    let mut frame = encoder.finish().unwrap();
    if choice & 32 != 0 {
        frame.splice(..0, *b"\x5b\x2a\x4d\x18\x05\0\0\0notes");
    }
    frame
}

/// A gzip member whose deflate blocks have so many bytes of text, and begin at any bit.
pub(crate) fn gzip_in_blocks(text: &[u8], block_bytes: usize, level: i32) -> Vec<u8> {
    let mut deflate = zlib_rs::Deflate::new(level, false, 15);
    let mut member = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    let mut room = vec![0; block_bytes * 2 + 1000];
    let mut pieces: Vec<_> =
        text.chunks(block_bytes).map(|piece| (piece, zlib_rs::DeflateFlush::Block)).collect();
    pieces.push((&[], zlib_rs::DeflateFlush::Finish));
    for (piece, flush) in pieces {
        let written = deflate.total_out();
        deflate.compress(piece, &mut room, flush).unwrap();
        member.extend(&room[..(deflate.total_out() - written) as usize]);
    }
    member.extend(gzip_trailer(text));
    member
}

pub(crate) fn gzip_trailer(text: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(text);
    [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat()
}

/// BGZF with so many bytes of text in a block, and the empty block at its end.
pub(crate) fn bgzf(text: &[u8], block_bytes: usize, level: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for block in text.chunks(block_bytes).chain([&[][..]]) {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(block).unwrap();
        let body = encoder.finish().unwrap();
        let length = u16::try_from(18 + body.len() + 8 - 1).unwrap();
        file.extend(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0");
        file.extend(length.to_le_bytes());
        file.extend(body);
        file.extend(gzip_trailer(block));
    }
    file
}

/// Members of ours.
pub(crate) fn members(text: &[u8], piece_bytes: usize, level: u8) -> Vec<u8> {
    let (mut writer, mut file) = (MemberWriter::new(level), Vec::new());
    for piece in text.chunks(piece_bytes.max(1)) {
        writer.write(piece, &mut file).unwrap();
    }
    writer.finish(&mut file).unwrap();
    file
}

/// What flate2 makes of a gzip file.
pub(crate) fn gunzip(file: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut text).unwrap();
    text
}

/// One plain gzip member.
pub(crate) fn gzip_member(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Decodes a whole file, passed in so many bytes at once, into a buffer of so many; and all checkpoints.
pub(crate) fn decode(
    mut decoder: Decoder,
    file: &[u8],
    input_bytes: usize,
    output_bytes: usize,
) -> Result<(Vec<u8>, Vec<Checkpoint>), DecodeError> {
    let (mut text, mut checkpoints, mut output) = (Vec::new(), Vec::new(), vec![0; output_bytes]);
    for mut input in file.chunks(input_bytes) {
        loop {
            let progress = decoder.decode(input, &mut output)?;
            text.extend(&output[..progress.produced]);
            checkpoints.extend(decoder.take_checkpoint());
            input = &input[progress.consumed..];
            if progress.produced < output.len() {
                assert!(input.is_empty(), "neither all input nor all room was used");
                break;
            }
        }
    }
    decoder.finish()?;
    Ok((text, checkpoints))
}

/// The text of a file that is whole.
pub(crate) fn decoded(codec: Codec, file: &[u8]) -> Result<Vec<u8>, DecodeError> {
    decode(Decoder::new(codec, 0), file, 1 << 20, 64 << 10).map(|(text, _)| text)
}
