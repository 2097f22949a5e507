//! Damaged files: an error, or the same text; never other text.

use fanfold_compression::{Codec, DecodeErrorKind, Decoder};
use proptest::prelude::*;

use crate::samples::{CODECS, bgzf, compressed, decode, decoded, gzip_in_blocks, joined, rows, text};

/// One member, frame or stream a file, small enough to try all that can happen to it.
fn small_files() -> Vec<(Codec, Vec<u8>, Vec<u8>)> {
    let text = rows(300, 5);
    let mut files: Vec<_> = CODECS
        .into_iter()
        .flat_map(|codec| [0, 1 | 16 | 32 | 64, 6 | 128].map(|choice| (codec, choice)))
        .map(|(codec, choice)| (codec, compressed(codec, &text, choice), text.clone()))
        .collect();
    files.push((Codec::Gzip, gzip_in_blocks(&text, 50, 6), text));
    files
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    for (codec, file, text) in small_files() {
        assert_eq!(decoded(codec, &file).as_ref(), Ok(&text));
        for length in 0..file.len() {
            // A frame to skip is a file by itself.
            if codec == Codec::Zstd && length == 13 && file[0] == 0x5b {
                continue;
            }
            let error = decoded(codec, &file[..length]).unwrap_err();
            assert_eq!(
                (&error.kind, error.compressed),
                (&DecodeErrorKind::Truncated, length as u64),
                "{codec}"
            );
        }
    }
}

#[test]
fn a_bit_that_changed_is_an_error_or_changes_nothing() {
    for (codec, file, text) in small_files() {
        for bit in 0..8 * file.len() {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(got) = decoded(codec, &changed) {
                assert!(got == text, "{codec}: bit {bit} changed the text");
            }
        }
    }
}

#[test]
fn an_error_names_the_byte_at_which_it_was_noticed() {
    let text = rows(100_000, 8);
    for (codec, choice) in [(Codec::Gzip, 6), (Codec::Zstd, 2), (Codec::Bzip2, 0)] {
        let mut file = compressed(codec, &text, choice);
        let length = file.len();
        file[length / 2] ^= 0x55;
        let error = decode(Decoder::new(codec, 0), &file, 100, 1_000).unwrap_err();
        assert!(error.compressed as usize >= length / 2 && error.compressed as usize <= length, "{error}");
        assert!(error.to_string().contains(&format!("at byte {} of the {codec} file", error.compressed)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn damage_is_never_silent(
        codec in prop::sample::select(&CODECS[..]),
        texts in prop::collection::vec((text(4_000), any::<u32>()), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6),
    ) {
        let mut file: Vec<u8> = texts.iter().flat_map(|(text, choice)| compressed(codec, text, *choice)).collect();
        let text = joined(&texts);
        for (at, by) in damage {
            let at = at.index(file.len());
            file[at] ^= by;
        }
        if let Ok(got) = decoded(codec, &file) {
            prop_assert!(got == text);
        }
    }

    #[test]
    fn damaged_files_give_no_wrong_checkpoints(
        text in text(150_000), at: prop::sample::Index, by in 1..=255_u8,
    ) {
        let mut file = gzip_in_blocks(&text, 6_000, 6);
        let at = at.index(file.len());
        file[at] ^= by;
        let decoder = Decoder::new(Codec::Gzip, 0).with_checkpoints(0);
        if let Ok((got, _)) = decode(decoder, &file, 10_000, 10_000) {
            prop_assert!(got == text);
        }
    }

    #[test]
    fn a_bgzf_without_its_last_blocks_decodes_to_the_text_of_the_others(length in 0..6_000_usize) {
        // Whole members are a file, which no decoder can know to be too short.
        let text = rows(20_000, 4);
        let file = bgzf(&text, 2_000, 6);
        if let Ok(got) = decoded(Codec::Gzip, &file[..length]) {
            prop_assert!(got == text[..got.len()] && got.len() % 2_000 == 0);
        }
    }
}
