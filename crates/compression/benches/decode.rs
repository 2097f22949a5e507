//! How much text a second is decoded and compressed: `cargo bench -p fanfold-compression`.
//!
//! Beside each decoder of ours is the same work by flate2 or by the format's own crate, which make no checkpoints.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::io::{self, Read, Write};
use std::sync::OnceLock;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fanfold_compression::{Codec, Decoder, FileKind, MemberWriter, find_part, look_bytes};

const MIB: usize = 1 << 20;
const TEXT_BYTES: usize = 32 * MIB;

/// As fetched from S3, and as given to a process.
const INPUT_BYTES: usize = MIB;
const OUTPUT_BYTES: usize = 256 << 10;

fn main() {
    divan::main();
}

/// Rows of a table with numbers, dates and words.
fn text() -> &'static [u8] {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    TEXT.get_or_init(|| {
        let words = ["alpha", "beta", "Gamma Street", "delta", "2024-03-11", "Zeta & Co", "x"];
        let (mut text, mut random) = (Vec::with_capacity(TEXT_BYTES + 100), 7_u64);
        while text.len() < TEXT_BYTES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = |bits: u32| words[(random >> bits) as usize % words.len()];
            let (number, other) = (random >> 40, random >> 30 & 0xffff);
            writeln!(text, "{},{number}.{other:02},{},\"{} {}\"", text.len(), word(20), word(45), word(9))
                .unwrap();
        }
        text.truncate(TEXT_BYTES);
        text
    })
}

fn gzip(level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(text()).unwrap();
    encoder.finish().unwrap()
}

fn members() -> Vec<u8> {
    let (mut writer, mut file) = (MemberWriter::new(6), Vec::new());
    writer.write(text(), &mut file).unwrap();
    writer.finish(&mut file).unwrap();
    file
}

fn zstd() -> Vec<u8> {
    zstd::stream::encode_all(text(), 3).unwrap()
}

fn bzip2() -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(9));
    encoder.write_all(&text()[..4 * MIB]).unwrap();
    encoder.finish().unwrap()
}

fn decode(mut decoder: Decoder, file: &[u8]) {
    let mut output = vec![0; OUTPUT_BYTES];
    for mut input in file.chunks(INPUT_BYTES) {
        loop {
            let progress = decoder.decode(input, &mut output).unwrap();
            black_box(&output[..progress.produced]);
            black_box(decoder.take_checkpoint());
            input = &input[progress.consumed..];
            if progress.produced < output.len() {
                break;
            }
        }
    }
    decoder.finish().unwrap();
}

fn read(mut reader: impl Read) {
    let mut output = vec![0; OUTPUT_BYTES];
    while reader.read(&mut output).unwrap() > 0 {
        black_box(&output);
    }
}

#[divan::bench(args = [1, 6, 9], sample_count = 10)]
fn gzip_flate2(bencher: Bencher<'_, '_>, level: u32) {
    let file = gzip(level);
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(|| {
        read(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(INPUT_BYTES, &file[..])));
    });
}

#[divan::bench(args = [1, 6, 9], sample_count = 10)]
fn gzip_ours(bencher: Bencher<'_, '_>, level: u32) {
    let file = gzip(level);
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(|| decode(Decoder::new(Codec::Gzip, 0), &file));
}

/// With so many MiB between checkpoints.
#[divan::bench(args = [1, 4, 16], sample_count = 10)]
fn gzip_ours_with_checkpoints(bencher: Bencher<'_, '_>, spacing: usize) {
    let file = gzip(6);
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(|| {
        decode(Decoder::new(Codec::Gzip, 0).with_checkpoints((spacing * MIB) as u64), &file);
    });
}

#[divan::bench(sample_count = 10)]
fn members_ours(bencher: Bencher<'_, '_>) {
    let file = members();
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(|| decode(Decoder::new(Codec::Gzip, 0), &file));
}

#[divan::bench(sample_count = 10)]
fn zstd_reference(bencher: Bencher<'_, '_>) {
    let file = zstd();
    bencher
        .counter(BytesCount::new(TEXT_BYTES))
        .bench(|| read(zstd::stream::read::Decoder::new(&file[..]).unwrap()));
}

#[divan::bench(sample_count = 10)]
fn zstd_ours(bencher: Bencher<'_, '_>) {
    let file = zstd();
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(|| decode(Decoder::new(Codec::Zstd, 0), &file));
}

#[divan::bench(sample_count = 5)]
fn bzip2_crate(bencher: Bencher<'_, '_>) {
    let file = bzip2();
    bencher
        .counter(BytesCount::new(4 * MIB))
        .bench(|| read(bzip2::bufread::MultiBzDecoder::new(io::BufReader::new(&file[..]))));
}

#[divan::bench(sample_count = 5)]
fn bzip2_ours(bencher: Bencher<'_, '_>) {
    let file = bzip2();
    bencher.counter(BytesCount::new(4 * MIB)).bench(|| decode(Decoder::new(Codec::Bzip2, 0), &file));
}

#[divan::bench(sample_count = 3)]
fn compress_flate2(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(|| gzip(6));
}

#[divan::bench(sample_count = 3)]
fn compress_members(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::new(TEXT_BYTES)).bench(members);
}

/// One part, from an offset in the middle.
#[divan::bench]
fn find_member(bencher: Bencher<'_, '_>) {
    let file = members();
    let seen = &file[file.len() / 2..][..look_bytes(FileKind::Members).unwrap()];
    bencher.bench(|| find_part(FileKind::Members, black_box(seen), false).unwrap());
}
