//! Decoders that resume.

use fanfold_compression::{Checkpoint, Codec, DecodeErrorKind, Decoder};
use proptest::prelude::*;

use crate::samples::{CODECS, compressed, decode, gzip_in_blocks, gzip_member, joined, noise, rows, text};

/// All checkpoints of a file that are so far apart.
fn checkpoints(codec: Codec, file: &[u8], spacing: u64, input_bytes: usize) -> Vec<Checkpoint> {
    let decoder = Decoder::new(codec, 0).with_checkpoints(spacing);
    decode(decoder, file, input_bytes, 4 << 10).unwrap().1
}

/// What a decoder gives that resumes there, its own checkpoints included.
fn resumed(checkpoint: &Checkpoint, file: &[u8], input_bytes: usize) -> (Vec<u8>, Vec<Checkpoint>) {
    let checkpoint = Checkpoint::from_token(&checkpoint.to_token()).unwrap();
    let rest = &file[checkpoint.compressed() as usize..];
    decode(Decoder::resume(&checkpoint).with_checkpoints(0), rest, input_bytes, 64 << 10).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_checkpoint_gives_exactly_the_rest(
        text in text(120_000), block_bytes in 500..20_000_usize, level in 0..10_i32,
        input_bytes in prop_oneof![1..50_usize, 1_000..100_000_usize],
    ) {
        let file = gzip_in_blocks(&text, block_bytes, level);
        for checkpoint in checkpoints(Codec::Gzip, &file, 0, 5_000) {
            let (rest, _) = resumed(&checkpoint, &file, input_bytes);
            prop_assert!(rest == text[checkpoint.decoded() as usize..]);
        }
    }

    #[test]
    fn a_resumed_decoder_makes_the_same_checkpoints(text in text(100_000), block_bytes in 2_000..9_000_usize) {
        let file = gzip_in_blocks(&text, block_bytes, 6);
        let all = checkpoints(Codec::Gzip, &file, 0, 1_000_000);
        for (number, checkpoint) in all.iter().enumerate() {
            for again in resumed(checkpoint, &file, 1_000_000).1 {
                // It may have been busy with another border when the first passed this.
                if let Some(first) = all[number..].iter().find(|first| first.decoded() == again.decoded()) {
                    prop_assert!(again == *first);
                }
                let (rest, _) = resumed(&again, &file, 1_000_000);
                prop_assert!(rest == text[again.decoded() as usize..]);
            }
        }
    }

    #[test]
    fn members_frames_and_streams_can_be_resumed_between(
        codec in prop::sample::select(&CODECS[..]),
        texts in prop::collection::vec((text(30_000), any::<u32>()), 1..6),
    ) {
        let file: Vec<u8> = texts.iter().flat_map(|(text, choice)| compressed(codec, text, *choice)).collect();
        let text = joined(&texts);
        let all = checkpoints(codec, &file, 0, 100);
        // Some are replaced by a newer one before they are taken.
        prop_assert!(!all.is_empty());
        for checkpoint in all {
            prop_assert!(resumed(&checkpoint, &file, 300).0 == text[checkpoint.decoded() as usize..]);
        }
    }

    #[test]
    fn a_resumed_decoder_checks_the_whole_member(at: prop::sample::Index, by in 1..=255_u8) {
        let text = rows(60_000, 9);
        let mut file = gzip_in_blocks(&text, 10_000, 6);
        let checkpoint = checkpoints(Codec::Gzip, &file, 0, 1_000).remove(0);
        let from = checkpoint.compressed() as usize + 1;
        let at = from + at.index(file.len() - from);
        file[at] ^= by;
        let rest = &file[checkpoint.compressed() as usize..];
        if let Ok((rest, _)) = decode(Decoder::resume(&checkpoint), rest, 1_000, 1_000) {
            prop_assert!(rest == text[checkpoint.decoded() as usize..]);
        }
    }
}

#[test]
fn borders_at_each_of_the_eight_bits_are_found() {
    let mut bits = [0; 8];
    for seed in 0..20 {
        let text = rows(100_000, seed);
        let file = gzip_in_blocks(&text, 5_000 + seed as usize, 6);
        for checkpoint in checkpoints(Codec::Gzip, &file, 0, 1_000_000) {
            let debug = format!("{checkpoint:?}");
            let bit = debug.split("bit: ").nth(1).and_then(|rest| rest.chars().next());
            if let Some(bit) = bit.and_then(|bit| bit.to_digit(10)) {
                bits[bit as usize] += 1;
            }
        }
    }
    assert!(bits.iter().all(|count| *count > 5), "{bits:?}");
}

#[test]
fn most_borders_that_are_wanted_are_proved() {
    let text = rows(3 << 20, 11);
    for level in [2, 6, 9] {
        let file = gzip_member(&text, level);
        let all = checkpoints(Codec::Gzip, &file, 300 << 10, 64 << 10);
        assert!(all.len() >= 6, "level {level}: {}", all.len());
        for pair in all.windows(2) {
            assert!(pair[1].decoded() - pair[0].decoded() >= 300 << 10);
            assert!(pair[1].decoded() - pair[0].decoded() < 600 << 10, "level {level}");
        }
    }
}

#[test]
fn stored_blocks_have_checkpoints_too() {
    for text in [rows(1_500_000, 3), noise(1_500_000, 3)] {
        let file = gzip_member(&text, 0);
        let all = checkpoints(Codec::Gzip, &file, 0, 64 << 10);
        assert!(all.len() >= 3, "{}", all.len());
        for checkpoint in all {
            assert!(resumed(&checkpoint, &file, 1_000_000).0 == text[checkpoint.decoded() as usize..]);
        }
    }
}

#[test]
fn blocks_that_are_stored_between_others_leave_no_wrong_checkpoints() {
    for seed in 0..8 {
        let block_bytes = 6_000 + seed as usize;
        let blocks = (0..20).map(|number| match number % 3 {
            0 => rows(block_bytes, seed + number),
            _ => noise(block_bytes, seed + number),
        });
        let text: Vec<u8> = blocks.flatten().collect();
        let file = gzip_in_blocks(&text, block_bytes, 6);
        for checkpoint in checkpoints(Codec::Gzip, &file, 0, 5_000) {
            assert!(resumed(&checkpoint, &file, 5_000).0 == text[checkpoint.decoded() as usize..]);
        }
    }
}

#[test]
fn a_checkpoint_has_the_whole_window() {
    // Each byte is copied from as far back as encoders look.
    let text = noise(32_500, 1).repeat(12);
    let file = gzip_in_blocks(&text, 5_000, 9);
    let all = checkpoints(Codec::Gzip, &file, 0, 5_000);
    // With less, the proof of a border fails: nothing is wrong, and there are fewer checkpoints.
    assert!(all.len() > 70, "{}", all.len());
    for checkpoint in all {
        assert!(resumed(&checkpoint, &file, 5_000).0 == text[checkpoint.decoded() as usize..]);
    }
}

#[test]
fn a_border_in_bits_taken_before_does_not_stop_the_decoder() {
    // The end of such a block has a code of a few bits, which are there once the room is full.
    for text in [vec![b'a'; 100_000], b"ab".repeat(50_000)] {
        for block_bytes in [64, 258, 1_000, 4_096] {
            let file = gzip_in_blocks(&text, block_bytes, 6);
            for output_bytes in [block_bytes, 2 * block_bytes] {
                let decoder = Decoder::new(Codec::Gzip, 0).with_checkpoints(0);
                assert!(decode(decoder, &file, 1_000_000, output_bytes).unwrap().0 == text);
            }
        }
    }
}

#[test]
fn a_resumed_decoder_notices_that_the_file_is_cut_short() {
    let file = gzip_in_blocks(&rows(60_000, 2), 10_000, 6);
    let checkpoint = checkpoints(Codec::Gzip, &file, 0, 1_000).remove(0);
    for end in [checkpoint.compressed() as usize, checkpoint.compressed() as usize + 100, file.len() - 1] {
        let rest = &file[checkpoint.compressed() as usize..end];
        let error = decode(Decoder::resume(&checkpoint), rest, 1_000, 1_000).unwrap_err();
        assert_eq!((error.kind, error.compressed), (DecodeErrorKind::Truncated, end as u64));
    }
}

#[test]
fn without_a_wish_there_are_no_checkpoints() {
    let file = gzip_in_blocks(&rows(60_000, 2), 10_000, 6);
    assert!(decode(Decoder::new(Codec::Gzip, 0), &file, 1_000, 1_000).unwrap().1.is_empty());
}
