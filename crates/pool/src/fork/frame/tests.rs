//! Frames come apart as they were put together, however the pipe cuts them; and whatever else comes is an error or data, never
//! a panic.

use std::io::{self, Read, Seek, Write};

use proptest::prelude::*;

use super::*;
use crate::fork::task::{Asked, Input, Output};

/// A file that holds these bytes, to be read from the start.
fn file(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// What a decoder makes of bytes that come in pieces of these lengths, in turn.
fn decoded(bytes: &[u8], lengths: &[usize]) -> Result<(Vec<u8>, Vec<Outcome>), FrameError> {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let (mut data, mut outcomes, mut left) = (Vec::new(), Vec::new(), bytes);
    let mut lengths = lengths.iter().cycle();
    while !left.is_empty() {
        let (piece, rest) = left.split_at(left.len().min(*lengths.next().unwrap()));
        (left, _) = (rest, buffer.extend_from_slice(piece));
        while let Some(written) = decoder.next(&mut buffer)? {
            match written {
                Written::Data(piece) => data.extend_from_slice(&piece),
                Written::Done(outcome) => outcomes.push(outcome),
            }
        }
    }
    Ok((data, outcomes))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Done),
        ".{0,200}".prop_map(Outcome::Failed),
        ".{0,200}".prop_map(Outcome::Panicked),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![4 => 0..200_usize, 1 => 60_000..140_000_usize];
    length.prop_map(|length| (0..length).map(|at| (at % 251) as u8).collect())
}

/// A kind, a length, and bytes: frames, and what only looks like some.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => prop::sample::select(b"SCLDEO".to_vec()), 1 => any::<u8>()];
    let length = prop_oneof![4 => 0..40_u32, 1 => any::<u32>()];
    let frame = (byte, length, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, length, bytes)| [&[kind], length.to_le_bytes().as_slice(), &bytes].concat());
    prop::collection::vec(frame, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn what_a_process_writes_comes_apart_however_it_is_cut(
        calls in prop::collection::vec((prop::collection::vec(bytes(), 0..4), outcome()), 0..4),
        lengths in prop::collection::vec(1..70_000_usize, 1..5),
    ) {
        let mut written = tempfile::tempfile().unwrap();
        let mut output = Output::new(written.try_clone().unwrap());
        for (pieces, outcome) in &calls {
            for piece in pieces {
                output.write_all(piece).unwrap();
            }
            output.end(outcome).unwrap();
        }
        let mut frames = Vec::new();
        written.rewind().unwrap();
        written.read_to_end(&mut frames).unwrap();
        let (data, outcomes) = decoded(&frames, &lengths).unwrap();
        prop_assert!(data == calls.iter().flat_map(|(pieces, _)| pieces.concat()).collect::<Vec<u8>>());
        prop_assert_eq!(outcomes, calls.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_frame_is_refused_and_cuts_do_not_matter(
        bytes in prop_oneof![nearly_frames(), prop::collection::vec(any::<u8>(), 0..200)],
        lengths in prop::collection::vec(1..50_usize, 1..5),
    ) {
        let whole = decoded(&bytes, &[bytes.len().max(1)]);
        let cut = decoded(&bytes, &lengths);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn a_process_makes_of_any_bytes_calls_or_an_error(
        bytes in prop_oneof![nearly_frames(), prop::collection::vec(any::<u8>(), 0..200)],
    ) {
        let mut input = Input::new(file(&bytes));
        let mut read_bytes = 0;
        while let Ok(asked) = input.next_asked() {
            match asked {
                Asked::Nothing => break,
                Asked::Setup(bytes) => read_bytes += HEADER_BYTES + bytes.len(),
                Asked::Call { message, .. } => {
                    read_bytes += HEADER_BYTES + message.len();
                    match io::copy(&mut input, &mut io::sink()) {
                        Ok(length) => read_bytes += HEADER_BYTES + usize::try_from(length).unwrap(),
                        Err(_) => break,
                    }
                }
            }
        }
        prop_assert!(read_bytes <= bytes.len(), "no byte is made up");
    }
}

#[test]
fn words_that_are_too_long_are_cut_between_letters() {
    let outcome = Outcome::Failed("ü".repeat(OUTCOME_TEXT_BYTES_MAX));
    let payload = outcome.payload();
    assert_eq!(payload.len(), 1 + OUTCOME_TEXT_BYTES_MAX);
    assert_eq!(Outcome::parse(&payload), Ok(Outcome::Failed("ü".repeat(OUTCOME_TEXT_BYTES_MAX / 2))));
}
