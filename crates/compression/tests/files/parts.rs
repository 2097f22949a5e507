//! Files that are split without being decoded.

use std::fmt;
use std::ops::Range;

use fanfold_compression::{
    Codec, Decoder, FileKind, FilePart, MEMBER_TEXT_BYTES, PartWalk, WalkStep, find_part, look_bytes,
    stored_members,
};
use proptest::prelude::*;

use crate::samples::{bgzf, compressed, decode, gzip_member, joined, members, noise, rows, text};

/// All steps of a walk that sees no more of the file than it asks for, and so many bytes.
fn walk(kind: FileKind, file: &[u8], seen_bytes: usize) -> (Vec<FilePart>, Option<Range<u64>>) {
    let (mut walk, mut parts, mut want) = (PartWalk::new(kind, 0, file.len() as u64), Vec::new(), seen_bytes);
    loop {
        let offset = walk.offset() as usize;
        match walk.step(&file[offset..file.len().min(offset + want)]) {
            WalkStep::Need(bytes) => {
                assert!(walk.offset() as usize > offset || bytes > want, "it wants what it had");
                want = bytes;
            }
            WalkStep::Part(part) => {
                parts.push(part);
                want = seen_bytes;
            }
            WalkStep::Rest(rest) => return (parts, Some(rest)),
            WalkStep::End => return (parts, None),
        }
    }
}

/// The text of a part, by itself.
fn part_text(kind: FileKind, file: &[u8], part: &Range<u64>) -> Vec<u8> {
    let decoder = Decoder::new(kind.codec().unwrap(), part.start);
    decode(decoder, &file[part.start as usize..part.end as usize], 10_000, 10_000).unwrap().0
}

/// A file that can be split, and its text.
#[derive(Clone)]
struct File {
    kind: FileKind,
    made: String,
    bytes: Vec<u8>,
    text: Vec<u8>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.kind, self.made)
    }
}

fn file() -> impl Strategy<Value = File> {
    let bgzf = (text(60_000), 500..65_280_usize, 0..10_u32).prop_map(|(text, block_bytes, level)| File {
        kind: FileKind::Bgzf,
        made: format!("{text:?} in {block_bytes} at {level}"),
        bytes: bgzf(&text, block_bytes, level),
        text: text.to_vec(),
    });
    let ours =
        (prop::collection::vec(text(2 * MEMBER_TEXT_BYTES), 1..4), 1..10_u8).prop_map(|(texts, level)| {
            let bytes =
                texts.iter().flat_map(|text| [members(text, 70_000, level), stored_members(b",")].concat());
            let text = texts.iter().flat_map(|text| [text, &b","[..]].concat()).collect();
            File {
                kind: FileKind::Members,
                made: format!("{texts:?} at {level}"),
                bytes: bytes.collect(),
                text,
            }
        });
    let zstd = prop::collection::vec((text(300_000), any::<u32>()), 1..6).prop_map(|texts| {
        let bytes = texts.iter().flat_map(|(text, choice)| compressed(Codec::Zstd, text, *choice)).collect();
        File { kind: FileKind::Zstd, made: format!("{texts:?}"), bytes, text: joined(&texts) }
    });
    prop_oneof![bgzf, ours, zstd]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_parts_of_a_walk_are_the_file(file in file(), seen_bytes in 0..100_usize) {
        let File { kind, bytes: file, text, .. } = file;
        let (parts, rest) = walk(kind, &file, seen_bytes);
        prop_assert_eq!(rest, None);
        let (mut end, mut got) = (0, Vec::new());
        for part in parts {
            prop_assert_eq!(part.compressed.start, end);
            end = part.compressed.end;
            let part_text = part_text(kind, &file, &part.compressed);
            prop_assert!(part.decoded.is_none_or(|decoded| decoded == part_text.len() as u64));
            got.extend(part_text);
        }
        prop_assert_eq!(end, file.len() as u64);
        prop_assert!(got == text);
    }

    #[test]
    fn a_walk_ends_on_any_bytes(
        kind in prop::sample::select(&[FileKind::Bgzf, FileKind::Members, FileKind::Zstd, FileKind::Bzip2, FileKind::Gzip][..]),
        file in file(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..50),
    ) {
        let mut file = file.bytes;
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let (parts, rest) = walk(kind, &file, 20);
        // Whatever was found, together it is the file.
        let mut ranges: Vec<_> = parts.into_iter().map(|part| part.compressed).collect();
        ranges.extend(rest);
        prop_assert_eq!(ranges.first().map(|range| range.start), Some(0));
        prop_assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        prop_assert_eq!(ranges.last().map(|range| range.end), Some(file.len() as u64));
    }

    #[test]
    fn what_is_found_from_any_offset_is_a_part(file in file(), at: prop::sample::Index) {
        let File { kind, bytes: file, .. } = file;
        let (parts, _) = walk(kind, &file, 100);
        let starts: Vec<u64> = parts.iter().map(|part| part.compressed.start).collect();
        let at = at.index(file.len());
        let seen = &file[at..file.len().min(at + look_bytes(kind).unwrap())];
        let next = starts.iter().copied().find(|start| *start >= at as u64);
        let found = find_part(kind, seen, at + seen.len() == file.len()).map(|found| (at + found) as u64);
        // A frame to skip is a part and no place to look for.
        if kind == FileKind::Zstd {
            let is_start = |found| starts.contains(&found) || file[..found as usize].ends_with(b"notes");
            prop_assert!(found.is_none_or(is_start));
        } else {
            prop_assert_eq!(found, next);
        }
    }

    #[test]
    fn streams_of_bzip2_are_found_from_any_offset(
        texts in prop::collection::vec((text(30_000), any::<u32>()), 2..6), at: prop::sample::Index,
    ) {
        let streams: Vec<_> = texts.iter().map(|(text, choice)| compressed(Codec::Bzip2, text, *choice)).collect();
        let file = streams.concat();
        let at = at.index(file.len());
        let starts = streams.iter().scan(0, |end, stream| {
            *end += stream.len();
            Some(*end - stream.len())
        });
        let found = find_part(FileKind::Bzip2, &file[at..], true).map(|found| at + found);
        prop_assert_eq!(found, { starts }.find(|start| *start >= at));
    }
}

#[test]
fn files_inside_a_part_are_not_taken_for_parts() {
    // What is compressed already is stored as it is, with its own headers.
    let bgzf_inside = bgzf(&bgzf(&rows(2_000_000, 7), 1_000, 6), 65_000, 0);
    let ours_inside = stored_members(&members(&noise(5 * MEMBER_TEXT_BYTES, 7), 70_000, 6));
    let small_inside = stored_members(&stored_members(b",").repeat(30_000));
    let frames: Vec<u8> = (0..80).flat_map(|seed| compressed(Codec::Zstd, &noise(8_000, seed), 1)).collect();
    let zstd_inside = compressed(Codec::Zstd, &frames, 1).repeat(2);
    for (kind, file) in [
        (FileKind::Bgzf, bgzf_inside),
        (FileKind::Members, ours_inside),
        (FileKind::Members, small_inside),
        (FileKind::Zstd, zstd_inside),
    ] {
        let (parts, rest) = walk(kind, &file, 100);
        assert_eq!(rest, None);
        let starts: Vec<u64> = parts.iter().map(|part| part.compressed.start).collect();
        for at in (0..file.len()).step_by(9_973) {
            let seen = &file[at..file.len().min(at + look_bytes(kind).unwrap())];
            let next = starts.iter().copied().find(|start| *start >= at as u64);
            let found = find_part(kind, seen, at + seen.len() == file.len()).map(|found| (at + found) as u64);
            assert_eq!(found, next, "{kind:?} from {at}");
        }
    }
}

#[test]
fn parts_cut_at_a_wrong_place_are_an_error() {
    for (kind, file) in [
        (FileKind::Bgzf, bgzf(&rows(100_000, 1), 10_000, 6)),
        (FileKind::Zstd, compressed(Codec::Zstd, &rows(30_000, 1), 1).repeat(3)),
        (FileKind::Bzip2, compressed(Codec::Bzip2, &rows(30_000, 1), 1).repeat(3)),
    ] {
        let second = find_part(kind, &file[1..], true).unwrap() + 1;
        let read = |part: &[u8]| decode(Decoder::new(kind.codec().unwrap(), 0), part, 10_000, 10_000);
        assert!(read(&file[..second]).is_ok());
        for wrong in [second - 1, second + 1, second + 40] {
            assert!(read(&file[..wrong]).is_err(), "{kind:?}");
        }
    }
}

#[test]
fn what_cannot_be_told_apart_is_the_rest() {
    let ours = members(&rows(10_000, 1), 10_000, 6);
    let plain = gzip_member(b"a\n", 6);
    let both = [&ours[..], &plain].concat();
    let start = ours.len() as u64;
    let (parts, rest) = walk(FileKind::Members, &both, 0);
    assert_eq!((parts.len(), rest), (1, Some(start..both.len() as u64)));
    assert_eq!(walk(FileKind::Gzip, &plain, 0), (vec![], Some(0..plain.len() as u64)));
    // A member whose length leads past the end of the file.
    let short = &ours[..ours.len() - 1];
    assert_eq!(walk(FileKind::Members, short, 0), (vec![], Some(0..short.len() as u64)));
    for kind in [FileKind::Gzip, FileKind::Xz] {
        assert_eq!((find_part(kind, &both, true), look_bytes(kind)), (None, None));
    }
}

#[test]
fn zeros_after_the_last_part_are_a_rest_without_text() {
    let file = [members(&rows(10_000, 1), 10_000, 6), vec![0; 512]].concat();
    let (_, rest) = walk(FileKind::Members, &file, 0);
    assert_eq!(part_text(FileKind::Members, &file, &rest.unwrap()), b"");
}

#[test]
fn a_zstd_header_says_how_much_is_decoded() {
    for bytes in [0, 1, 255, 256, 300, 65_791, 65_792, 400_000] {
        let file = compressed(Codec::Zstd, &rows(bytes, 1), 1 | 16);
        let (parts, rest) = walk(FileKind::Zstd, &file, 0);
        assert_eq!((parts.len(), rest), (1, None));
        assert_eq!(parts[0].decoded, Some(bytes as u64));
    }
}

#[test]
fn frames_without_a_checksum_are_walked_over() {
    let file = zstd::stream::encode_all(&rows(300_000, 1)[..], 1).unwrap().repeat(3);
    let (parts, rest) = walk(FileKind::Zstd, &file, 0);
    let ends: Vec<_> = parts.iter().map(|part| part.compressed.end as usize).collect();
    assert_eq!((ends, rest), (vec![file.len() / 3, file.len() / 3 * 2, file.len()], None));
}

#[test]
fn a_header_with_an_impossible_length_ends_a_walk() {
    let bgzf = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\0\0".repeat(9);
    let mut ours = stored_members(b"a\n");
    for (kind, mut file) in [(FileKind::Bgzf, bgzf), (FileKind::Members, ours.clone())] {
        if kind == FileKind::Members {
            file[16..20].fill(0);
        }
        assert_eq!(walk(kind, &file, 100), (vec![], Some(0..file.len() as u64)));
    }
    // The shortest that is possible.
    let empty = stored_members(b"");
    ours.splice(..0, empty);
    assert_eq!(walk(FileKind::Members, &ours, 0).0.len(), 2);
}

#[test]
fn a_frame_is_not_found_where_too_little_of_it_is_seen() {
    let frame = compressed(Codec::Zstd, &noise(1_000_000, 1), 1);
    let file = [&frame[..], &frame].concat();
    // The second frame begins here; whether that is so, the bytes do not prove.
    let seen = &file[frame.len() - 10..frame.len() + 1_000];
    assert_eq!(find_part(FileKind::Zstd, seen, false), None);
    let all = &file[frame.len() - 10..];
    assert_eq!(find_part(FileKind::Zstd, all, true), Some(10));
}
