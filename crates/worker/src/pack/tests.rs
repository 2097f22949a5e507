//! However results end, what is packed of them is the output, in few objects, and never more of it in memory than there is room for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use fanfold_flow::concat::{Element, elements};
use fanfold_flow::crc::Crc64;
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::uri::ObjectUri;
use fanfold_pool::Output as _;
use fanfold_store::memory::MemoryStore;
use proptest::prelude::*;
use serde_json::Value;

use super::packer::Place;
use super::*;
use crate::output::{HeaderRule, Output, Printed, Wanted};

const BOUNDS: Bounds = Bounds { pack: 80, result: 50, held: 2 * 80 + (3 + 1) * 50 };

/// What becomes of a chunk.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// A small result of so many bytes.
    Small(u64),
    Empty,
    /// A result with an object of its own.
    Large,
    /// No result, ever.
    Never,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => (1..BOUNDS.result).prop_map(Outcome::Small),
        3 => (1..4_u64).prop_map(Outcome::Small),
        1 => Just(Outcome::Empty),
        1 => Just(Outcome::Large),
        1 => Just(Outcome::Never),
    ]
}

/// Lets chunks end in this order, and gives the packs, each as places and their bytes. `lost` says of which packs nothing is
/// stored, so that their results come again at the end.
fn packed(
    outcomes: &[Outcome],
    order: &[usize],
    mut lost: impl FnMut(usize) -> bool,
) -> Vec<Vec<(Place, u64)>> {
    let mut packer = Packer::new(BOUNDS, (0..outcomes.len() as u64).map(|index| (index, 0)));
    let (mut packs, mut again, mut held_bytes) = (Vec::new(), Vec::new(), 0);
    let mut came: Vec<(Place, u64)> = Vec::new();
    for index in order {
        let place = (*index as u64, 0);
        match outcomes[*index] {
            Outcome::Small(bytes) => came.push((place, bytes)),
            Outcome::Empty => packer.is_empty_at(place),
            Outcome::Large => packer.is_stored_at(place),
            Outcome::Never => {}
        }
        let Some((place, bytes)) = came.pop() else { continue };
        // There is room for it, without waiting.
        assert!(held_bytes + bytes <= BOUNDS.held, "{held_bytes} and {bytes}");
        packer.hold(place, bytes, (place, bytes));
        held_bytes += bytes;
        for pack in packer.take_full() {
            held_bytes -= pack.iter().map(|(_, bytes)| bytes).sum::<u64>();
            if lost(packs.len() + again.len()) {
                pack.iter().for_each(|(place, _)| packer.expect(*place));
                again.push(pack);
            } else {
                packs.push(pack);
            }
        }
        assert!(held_bytes + BOUNDS.result <= BOUNDS.held, "the next may not find room beside {held_bytes}");
    }
    for (place, bytes) in again.into_iter().flatten() {
        packer.hold(place, bytes, (place, bytes));
        packs.extend(packer.take_full());
    }
    packs.extend(packer.take_all());
    packs
}

fn bytes_of(pack: &[(Place, u64)]) -> u64 {
    pack.iter().map(|(_, bytes)| bytes).sum()
}

/// Small results, and an order in which they come where none comes more than two places early.
fn nearly_in_order() -> impl Strategy<Value = (Vec<Outcome>, Vec<usize>)> {
    let small = prop_oneof![5 => (1..BOUNDS.result).prop_map(Outcome::Small), 1 => Just(Outcome::Empty)];
    prop::collection::vec((small, 0..3_usize), 0..80).prop_map(|drawn| {
        let mut order: Vec<usize> = (0..drawn.len()).collect();
        order.sort_by_key(|index| index + drawn[*index].1);
        (drawn.into_iter().map(|(outcome, _)| outcome).collect(), order)
    })
}

proptest! {
    #[test]
    fn each_small_result_is_in_one_pack_and_packs_are_few(
        (outcomes, order) in prop::collection::vec(outcome(), 0..80)
            .prop_flat_map(|outcomes| { let order: Vec<usize> = (0..outcomes.len()).collect(); (Just(outcomes), Just(order).prop_shuffle()) }),
        lost in prop::collection::btree_set(0..6_usize, 0..3),
    ) {
        let packs = packed(&outcomes, &order, |number| lost.contains(&number));
        let mut places: Vec<Place> = packs.iter().flatten().map(|(place, _)| *place).collect();
        prop_assert!(packs.iter().all(|pack| pack.is_sorted()), "{:?}", packs);
        places.sort_unstable();
        let small = (0..).zip(&outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Small(_)));
        prop_assert_eq!(places, small.map(|(index, _)| (index, 0)).collect::<Vec<_>>());
        let total: u64 = packs.iter().map(|pack| bytes_of(pack)).sum();
        prop_assert!(packs.len() as u64 <= total / BOUNDS.pack + 1, "{} for {total} bytes", packs.len());
        prop_assert!(packs.iter().all(|pack| bytes_of(pack) < 2 * BOUNDS.pack + BOUNDS.result), "{:?}", packs);
    }

    #[test]
    fn neighbours_that_end_about_in_order_are_never_torn_apart((outcomes, order) in nearly_in_order()) {
        let packs = packed(&outcomes, &order, |_| false);
        for pack in &packs {
            let (first, last) = (pack[0].0.0, pack[pack.len() - 1].0.0);
            let within: BTreeSet<u64> = pack.iter().map(|(place, _)| place.0).collect();
            let small = (first..=last).filter(|index| matches!(outcomes[*index as usize], Outcome::Small(_)));
            prop_assert_eq!(small.collect::<BTreeSet<u64>>(), within, "{:?}", packs);
            // So each can be copied, unless there is too little in all.
            prop_assert!(bytes_of(pack) >= BOUNDS.pack || packs.len() == 1, "{:?}", packs);
        }
    }
}

#[test]
fn results_between_which_others_stand_or_may_come_are_no_neighbours() {
    let (beside, apart) = ([(3, 0), (4, 0), (5, 0), (6, 0)], [(3, 0), (4, 0), (6, 0), (7, 0)]);
    for (places, to_come, stored, are_full) in [
        (beside, None, None, true),
        // In a redrive, the results of the other indexes stand elsewhere.
        (apart, None, None, false),
        (apart, None, Some((5, 0)), false),
        (apart, Some((5, 0)), None, false),
        (beside, Some((4, 1)), None, false),
        (beside, Some((7, 0)), Some((2, 0)), true),
    ] {
        let mut packer = Packer::new(BOUNDS, places.into_iter().chain(to_come));
        stored.into_iter().for_each(|place| packer.is_stored_at(place));
        for place in places {
            packer.hold(place, BOUNDS.pack / 2, place);
        }
        assert_eq!(!packer.take_full().is_empty(), are_full, "{places:?}, {to_come:?}, {stored:?}");
    }
}

#[test]
fn neighbours_wait_for_one_that_comes_late_while_others_are_stored() {
    let mut packer = Packer::new(BOUNDS, (0..40).map(|index| (index, 0)));
    let mut packs = Vec::new();
    for index in (0..40).filter(|index| *index != 1).chain([1]) {
        packer.hold((index, 0), BOUNDS.result - 1, index);
        packs.extend(packer.take_full());
    }
    packs.extend(packer.take_all());
    assert!(packs.len() > 5 && packs.iter().any(|pack| pack.starts_with(&[0, 1])), "{packs:?}");
}

/// What a program that ended has left in this format, printed in pieces of this size.
async fn printed(wanted: Wanted, text: &[u8], piece_bytes: usize, is_last: bool) -> (Printed, ChunkResult) {
    let mut output =
        Output::new(wanted, Arc::new(MemoryStore::new(["work"])), Arc::new(AtomicBool::new(false)));
    for piece in text.chunks(piece_bytes) {
        output.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let (printed, header) = output.finish(is_last).await.unwrap();
    let result = ChunkResult {
        index: 0,
        cut: 0,
        hop: 0,
        attempt: 1,
        stored: None,
        header: header.map(Arc::new),
        records: 0,
        input: None,
        bytes_in: 0,
        bytes_out: text.len() as u64,
        started_ms: 0,
        wall_ms: 0,
    };
    (printed, result)
}

/// The output of these results: packed into objects where `border` does not stand before one, and read back.
fn output(kind: Kind, texts: &[Vec<u8>], piece_bytes: usize, border: impl Fn(usize) -> bool) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let Kind { format, compress, .. } = kind;
    let (mut objects, mut results) = (BTreeMap::new(), Vec::new());
    let mut pack: Vec<(ChunkResult, Held)> = Vec::new();
    let mut put = |pack: &mut Vec<(ChunkResult, Held)>, results: &mut Vec<ChunkResult>| {
        let (packed, held): (Vec<_>, Vec<_>) = std::mem::take(pack).into_iter().unzip();
        let object = Object::of(kind, &packed.iter().collect::<Vec<_>>(), held);
        let at = ObjectUri::new("work", results.len().to_string());
        let stored: Vec<Stored> = object.stored(&at, "etag").collect();
        results.extend(
            packed
                .into_iter()
                .zip(stored)
                .map(|(result, stored)| ChunkResult { stored: Some(stored), ..result }),
        );
        objects.insert(at, object.bytes);
    };
    for (index, text) in texts.iter().enumerate() {
        if border(index) {
            put(&mut pack, &mut results);
        }
        let header = (format == Format::Csv).then_some(HeaderRule::Records(1));
        let wanted =
            Wanted { format, header, compress, has_lead: true, at: ObjectUri::new("work", "unused") };
        let (printed, result) =
            runtime.block_on(printed(wanted, text, piece_bytes, index + 1 == texts.len()));
        let result = ChunkResult { index: index as u64, ..result };
        match printed {
            Printed::Held(held) => pack.push((result, held)),
            Printed::Nothing => results.push(result),
            Printed::Stored(_) => panic!("{} bytes are small", text.len()),
        }
    }
    put(&mut pack, &mut results);
    results.sort_by_key(|result| result.index);
    let elements = elements(format, compress, &results).unwrap();
    let mut output = Vec::new();
    for element in &elements {
        let bytes = match element {
            Element::Literal(literal) => Bytes::copy_from_slice(&literal.0),
            Element::Piece(range, _) => {
                objects[&range.object.uri].slice(range.start as usize..range.end as usize)
            }
        };
        assert_eq!(element.crc(), Crc64::of(&bytes));
        output.extend_from_slice(&bytes);
    }
    decompressed(compress, &output)
}

fn decompressed(compress: Compress, output: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match compress {
        Compress::None => return output.to_vec(),
        Compress::Gzip => flate2::read::MultiGzDecoder::new(output).read_to_end(&mut bytes).unwrap(),
        Compress::Zstd => zstd::stream::read::Decoder::new(output).unwrap().read_to_end(&mut bytes).unwrap(),
    };
    bytes
}

fn array() -> impl Strategy<Value = Vec<Value>> {
    let text = "[\\[\\]{},:\"\\\\ a]{0,6}".prop_map(Value::from);
    let value = prop_oneof![
        text,
        Just(Value::Null),
        Just(Value::from(-1.5e3)),
        Just(serde_json::json!([[], {"]": "["}]))
    ];
    prop_oneof![2 => prop::collection::vec(value, 0..4), 1 => Just(Vec::new())]
}

fn compress() -> impl Strategy<Value = Compress> {
    prop::sample::select(vec![Compress::None, Compress::Gzip, Compress::Zstd])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn arrays_become_one_array_whatever_they_are_printed_packed_and_compressed_like(
        arrays in prop::collection::vec((array(), any::<bool>()), 1..8), compress in compress(), borders: u8, piece_bytes in 1..9_usize,
    ) {
        let texts: Vec<Vec<u8>> = arrays.iter().map(|(values, pretty)| {
            let value = Value::from(values.clone());
            if *pretty { format!(" \n{value:#}\t\r\n ") } else { value.to_string() }.into_bytes()
        }).collect();
        let kind = Kind { format: Format::JsonArray, compress, total_chunks: texts.len() as u64 };
        let output = output(kind, &texts, piece_bytes, |index| borders >> index & 1 == 1);
        let expected: Vec<Value> = arrays.into_iter().flat_map(|(values, _)| values).collect();
        prop_assert_eq!(serde_json::from_slice::<Vec<Value>>(&output).unwrap(), expected);
        prop_assert!(output.ends_with(b"]\n"));
    }

    #[test]
    fn rows_come_behind_one_header_and_lines_never_run_together(
        tables in prop::collection::vec((prop::collection::vec("[0-9]", 0..4), any::<bool>(), any::<bool>()), 1..8),
        compress in compress(), borders: u8, piece_bytes in 1..9_usize,
    ) {
        let lines = |header: &[&str], rows: &[String], ends: bool| {
            let lines: Vec<&str> = header.iter().copied().chain(rows.iter().map(String::as_str)).collect();
            let end = if ends && !lines.is_empty() { "\n" } else { "" };
            format!("{}{end}", lines.join("\n")).into_bytes()
        };
        let rows: Vec<&String> = tables.iter().flat_map(|(rows, ..)| rows).collect();
        for (format, header) in [(Format::Csv, &["a"][..]), (Format::Lines, &[])] {
            let texts: Vec<Vec<u8>> = tables.iter().map(|(rows, ends, is_empty)| {
                if *is_empty && rows.is_empty() { Vec::new() } else { lines(header, rows, *ends) }
            }).collect();
            let has_header = texts.iter().any(|text| text.starts_with(b"a"));
            let kind = Kind { format, compress, total_chunks: texts.len() as u64 };
            let output = String::from_utf8(output(kind, &texts, piece_bytes, |index| borders >> index & 1 == 1)).unwrap();
            let expected = has_header.then_some("a").into_iter().chain(rows.iter().map(|row| row.as_str()));
            prop_assert_eq!(output.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn what_s3_can_copy_is_stored_by_itself_and_what_is_smaller_is_held() {
    for (bytes, is_held) in [(HELD_BYTES_MAX - 1, true), (HELD_BYTES_MAX, false), (HELD_BYTES_MAX + 1, false)]
    {
        let text = vec![b'x'; bytes as usize];
        let at = ObjectUri::new("work", "one");
        let wanted =
            Wanted { format: Format::Bytes, header: None, compress: Compress::None, has_lead: true, at };
        let (printed, _) = printed(wanted, &text, 100_000, false).await;
        match printed {
            Printed::Held(held) => {
                assert!(is_held && held.bytes.len() as u64 == bytes && held.crc == Crc64::of(&text));
            }
            Printed::Stored(stored) => {
                assert!(!is_held && stored.bytes == bytes && stored.crc == Crc64::of(&text));
            }
            Printed::Nothing => panic!("{bytes} bytes are not nothing"),
        }
    }
}
