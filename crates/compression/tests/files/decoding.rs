//! Whole files.

use fanfold_compression::{Codec, DecodeErrorKind, Decoder, FileKind, MEMBER_TEXT_BYTES, stored_members};
use proptest::prelude::*;

use crate::samples::{
    CODECS, bgzf, compressed, decode, decoded, gunzip, gzip_member, gzip_trailer, joined, members, rows, text,
};

/// Enough of a header to get past it.
const BEGINNINGS: [&[u8]; 4] = [b"\x1f\x8b\x08\x1f", b"\x28\xb5\x2f\xfd", b"BZh11AY&SY", b""];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pieces_of_any_size_give_the_text(
        codec in prop::sample::select(&CODECS[..]),
        texts in prop::collection::vec((text(3_000), any::<u32>()), 1..5),
        input_bytes in prop_oneof![1..20_usize, Just(5_000)],
        output_bytes in prop_oneof![1..20_usize, Just(5_000)],
    ) {
        let file: Vec<u8> = texts.iter().flat_map(|(text, choice)| compressed(codec, text, *choice)).collect();
        let text = joined(&texts);
        prop_assert_eq!(FileKind::of(&file[..file.len().min(FileKind::FIRST_BYTES)]).unwrap().codec(), Some(codec));
        let (got, _) = decode(Decoder::new(codec, 0), &file, input_bytes, output_bytes).unwrap();
        prop_assert!(got == text);
    }

    #[test]
    fn long_texts_of_any_kind_are_decoded(
        codec in prop::sample::select(&CODECS[..]), text in text(400_000), choice: u32,
    ) {
        prop_assert!(decoded(codec, &compressed(codec, &text, choice)).unwrap() == text);
    }

    #[test]
    fn checkpoints_do_not_change_the_text(
        text in text(200_000), choice: u32, spacing in 0..50_000_u64, input_bytes in 1_000..50_000_usize,
    ) {
        for codec in CODECS {
            let file = compressed(codec, &text, choice);
            let decoder = Decoder::new(codec, 0).with_checkpoints(spacing);
            prop_assert!(decode(decoder, &file, input_bytes, 30_000).unwrap().0 == text);
        }
    }

    #[test]
    fn members_are_the_same_in_whatever_pieces_they_are_written(
        text in text(3 * MEMBER_TEXT_BYTES), level in 1..10_u8, piece_bytes in 1_000..700_000_usize,
    ) {
        let file = members(&text, piece_bytes, level);
        prop_assert!(file == members(&text, usize::MAX, level));
        prop_assert!(gunzip(&file) == text);
        prop_assert!(decoded(Codec::Gzip, &file).unwrap() == text);
    }

    #[test]
    fn stored_members_give_their_text(text in prop_oneof![text(200_000), text(3 * MEMBER_TEXT_BYTES)]) {
        let file = stored_members(&text);
        prop_assert!(gunzip(&file) == text);
        prop_assert!(decoded(Codec::Gzip, &file).unwrap() == text);
    }

    #[test]
    fn whatever_bytes_there_are_nothing_panics(
        codec in prop::sample::select(&CODECS[..]),
        magic in prop::sample::select(&BEGINNINGS[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let file = [magic, &bytes].concat();
        let _ = FileKind::of(&file);
        prop_assert!(decode(Decoder::new(codec, 0).with_checkpoints(0), &file, 7, 50).is_err());
    }
}

#[test]
fn a_file_of_nothing_is_cut_short() {
    for codec in CODECS {
        let error = decoded(codec, b"").unwrap_err();
        assert_eq!((error.kind, error.compressed), (DecodeErrorKind::Truncated, 0));
    }
}

#[test]
fn of_no_text_there_is_one_member() {
    let file = members(b"", 1, 6);
    assert_eq!(file, members(b"", 1, 1));
    assert_eq!((gunzip(&file), decoded(Codec::Gzip, &file)), (vec![], Ok(vec![])));
    assert_eq!((gunzip(&stored_members(b"")), stored_members(b"").len()), (vec![], 37));
}

#[test]
fn reserved_flags_are_refused() {
    let mut file = gzip_member(b"a\n", 6);
    for bit in 5..8 {
        file[3] = 1 << bit;
        let error = decoded(Codec::Gzip, &file).unwrap_err();
        assert_eq!(
            (error.kind, error.compressed),
            (DecodeErrorKind::Corrupt("reserved flags".to_owned()), 3)
        );
    }
}

#[test]
fn bgzf_is_decoded_as_gzip_is() {
    let text = rows(200_000, 1);
    let file = bgzf(&text, 65_280, 6);
    assert_eq!(FileKind::of(&file), Some(FileKind::Bgzf));
    assert!(decoded(Codec::Gzip, &file).unwrap() == text);
}

#[test]
fn gzip_may_be_padded_with_zeros() {
    let member = gzip_member(b"a\n", 6);
    for (file, text) in [
        ([&member[..], &[0; 700]].concat(), &b"a\n"[..]),
        ([&member[..], &[0; 3], &member].concat(), b"a\na\n"),
    ] {
        assert_eq!(decode(Decoder::new(Codec::Gzip, 0), &file, 5, 9).unwrap().0, text);
    }
    let padding_first = [&[0; 3], &member[..]].concat();
    assert_eq!(decoded(Codec::Gzip, &padding_first).unwrap_err().kind, DecodeErrorKind::NoHeader);
}

#[test]
fn a_header_crc_is_checked() {
    let mut file = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abcname\0comment\0".to_vec();
    let mut crc = flate2::Crc::new();
    crc.update(&file);
    file.extend((crc.sum() as u16).to_le_bytes());
    file.extend(b"\x03\0");
    file.extend(gzip_trailer(b""));
    assert_eq!(decoded(Codec::Gzip, &file), Ok(Vec::new()));
    for at in 10..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(decoded(Codec::Gzip, &changed).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_not_the_format_has_no_header() {
    for codec in CODECS {
        let error = decoded(codec, b"a,b\n1,2\n").unwrap_err();
        assert_eq!((error.kind, error.decoded), (DecodeErrorKind::NoHeader, 0));
    }
}

#[test]
fn bytes_after_the_end_are_an_error_that_names_the_first() {
    for codec in CODECS {
        let good = compressed(codec, &rows(1_000, 3), 1);
        for tail in [&b"trailing"[..], b"\x1ftrailing", b"\nBZh9"] {
            let file = [&good[..], tail].concat();
            let error = decoded(codec, &file).unwrap_err();
            assert_eq!((&error.kind, error.decoded), (&DecodeErrorKind::TrailingBytes, 1_000));
            assert!((good.len()..=good.len() + 1).contains(&(error.compressed as usize)), "{error:?}");
        }
    }
}

#[test]
fn a_window_that_takes_too_much_memory_is_refused() {
    // A frame with a window of 2^31 bytes.
    let file = b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0";
    let error = decoded(Codec::Zstd, file).unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn an_error_stays() {
    let mut decoder = Decoder::new(Codec::Gzip, 0);
    let error = decoder.decode(b"text", &mut [0; 9]).unwrap_err();
    assert_eq!(decoder.decode(b"", &mut [0; 9]), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn a_decoder_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
    is_send::<fanfold_compression::MemberWriter>();
}

#[test]
fn room_for_exactly_the_text_is_enough() {
    for codec in CODECS {
        for choice in 0..10 {
            for text in [vec![b'a'; 5_000], rows(5_000, choice)] {
                let file = compressed(codec, &text, choice as u32);
                let mut decoder = Decoder::new(codec, 0);
                let mut output = vec![0; 5_000];
                let progress = decoder.decode(&file, &mut output).unwrap();
                assert!((progress.produced, &output) == (5_000, &text));
                let last = decoder.decode(&file[progress.consumed..], &mut output).unwrap();
                assert_eq!((progress.consumed + last.consumed, last.produced), (file.len(), 0));
                decoder.finish().unwrap();
            }
        }
    }
}
