//! A concat plan is one that S3 takes, is exactly its elements, and the checker sees it when it is not.

use std::collections::BTreeMap;

use fanfold_flow::concat::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment, defects, make};
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::{COPY_BYTES_MAX, PART_BYTES_MAX, PART_BYTES_MIN, UPLOAD_PARTS};
use fanfold_flow::literal::Literal;
use fanfold_flow::uri::ObjectUri;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn range(object: &str, object_bytes: u64, start: u64, end: u64) -> Range {
    let etag = format!("\"{object}\"");
    Range { object: ObjectUri::new("work", object), etag, object_bytes, start, end }
}

/// A whole object. Its CRC is made up: the planner never sees the bytes.
fn piece(number: usize, bytes: u64) -> Element {
    Element::Piece(
        range(&number.to_string(), bytes, 0, bytes),
        Crc64((number as u64 + 1).wrapping_mul(0x9e37_79b9)),
    )
}

fn literal(text: &str) -> Element {
    Element::Literal(text.as_bytes().into())
}

/// Sizes around the limits, where an off-by-one shows, and any others.
fn size() -> impl Strategy<Value = u64> {
    let limits = [
        0,
        1,
        PART_BYTES_MIN - 1,
        PART_BYTES_MIN,
        PART_BYTES_MIN + 1,
        2 * PART_BYTES_MIN - 1,
        COPY_BYTES_MAX,
        COPY_BYTES_MAX + 1,
        PART_BYTES_MAX,
        PART_BYTES_MAX + 1,
    ];
    prop_oneof![3 => prop::sample::select(limits.to_vec()), 1 => 0..20 * MIB, 1 => 0..6 * GIB]
}

/// Pieces of such sizes, some of them neighbours in one object, with literals in between.
fn any_elements() -> impl Strategy<Value = Vec<Element>> {
    let element = prop_oneof![
        6 => size().prop_map(|bytes| (Some(bytes), false)),
        2 => size().prop_map(|bytes| (Some(bytes), true)),
        1 => Just((None, false)),
    ];
    prop::collection::vec(element, 0..30).prop_map(|kinds| {
        let mut elements: Vec<Element> = Vec::new();
        for (number, (bytes, with_the_last)) in kinds.into_iter().enumerate() {
            let neighbour = match elements.last() {
                Some(Element::Piece(last, _)) if with_the_last => Some(last.clone()),
                _ => None,
            };
            let object_bytes = 1 << 50;
            elements.push(match (bytes, neighbour) {
                (Some(bytes), Some(Range { object, end, .. })) => {
                    Element::Piece(range(&object.key, object_bytes, end, end + bytes), Crc64(number as u64))
                }
                (Some(bytes), None) => Element::Piece(
                    range(&number.to_string(), object_bytes, 7, 7 + bytes),
                    Crc64(number as u64),
                ),
                (None, _) => literal(","),
            });
        }
        elements
    })
}

fn made(elements: &[Element]) -> ConcatPlan {
    match make(elements, &Limits::S3) {
        Ok(Concat::Whole(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

fn flaws(plan: &ConcatPlan, elements: &[Element]) -> Vec<String> {
    defects(&Concat::Whole(plan.clone()), elements, &Limits::S3)
}

proptest! {
    #[test]
    fn a_made_plan_has_no_defects(elements in any_elements()) {
        prop_assert_eq!(flaws(&made(&elements), &elements), Vec::<String>::new());
    }

    #[test]
    fn only_short_stretches_and_what_they_borrow_go_through_the_reducer(sizes in prop::collection::vec(size(), 0..30)) {
        let elements: Vec<Element> = sizes.iter().enumerate().map(|(number, bytes)| piece(number, *bytes)).collect();
        let streamed = made(&elements).streamed_bytes();
        let (short, long): (Vec<u64>, Vec<u64>) = sizes.into_iter().partition(|bytes| *bytes < PART_BYTES_MIN);
        let borrowed: u64 = long.iter().map(|bytes| bytes.min(&(2 * PART_BYTES_MIN - 1))).sum();
        prop_assert!(streamed <= short.iter().sum::<u64>() + borrowed, "{streamed} streamed");
        if short.iter().all(|bytes| *bytes == 0) {
            prop_assert_eq!(streamed, 0);
        }
    }

    #[test]
    fn one_copy_request_stays_within_what_a_request_should_take(elements in any_elements()) {
        for part in made(&elements).parts {
            if let Part::Copy(range) = part {
                prop_assert!(range.bytes() <= COPY_BYTES_MAX);
            }
        }
    }

    #[test]
    fn a_plan_survives_json(elements in any_elements()) {
        let plan = made(&elements);
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<ConcatPlan>(&json).unwrap(), plan);
    }

    #[test]
    fn whatever_is_tampered_with_is_found(elements in any_elements(), at: prop::sample::Index) {
        let plan = made(&elements);
        prop_assume!(!plan.parts.is_empty());
        for (what, tampered) in tamperings(&plan, at.index(plan.parts.len())) {
            if tampered != plan {
                prop_assert!(!flaws(&tampered, &elements).is_empty(), "{what}: {tampered:?}");
            }
        }
    }
}

/// The ways in which a plan can be wrong, each applied to one part. Some leave some plans as they were.
fn tamperings(plan: &ConcatPlan, place: usize) -> Vec<(&'static str, ConcatPlan)> {
    let changed = |change: &dyn Fn(&mut ConcatPlan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan
    };
    let of_range = |change: &dyn Fn(&mut Range)| {
        changed(&|plan| {
            if let Some(range) = first_range(&mut plan.parts[place]) {
                change(range);
            }
        })
    };
    vec![
        ("a part dropped", changed(&|plan| drop(plan.parts.remove(place)))),
        ("a part twice", changed(&|plan| plan.parts.insert(place, plan.parts[place].clone()))),
        ("parts swapped", changed(&|plan| plan.parts.swap(0, place))),
        ("an empty part", changed(&|plan| plan.parts.insert(place, Part::Stream(Vec::new())))),
        (
            "foreign bytes",
            changed(&|plan| plan.parts.push(Part::Stream(vec![Segment::Literal(b"x"[..].into())]))),
        ),
        ("a part too small", changed(&|plan| split_off_a_byte(plan, place))),
        ("a range shifted", of_range(&|range| (range.start, range.end) = (range.start + 1, range.end + 1))),
        ("a byte lost in front", of_range(&|range| range.start += 1)),
        ("a byte lost behind", of_range(&|range| range.end -= 1)),
        ("a range backwards", of_range(&|range| (range.start, range.end) = (range.end, range.start))),
        ("a range past its object", of_range(&|range| range.object_bytes = range.end - 1)),
        ("another object", of_range(&|range| range.object.key.push('x'))),
        ("another object of that name", of_range(&|range| range.etag.push('x'))),
        ("other literals", changed(&|plan| plan.parts.iter_mut().for_each(other_literals))),
        ("a wrong length", changed(&|plan| plan.bytes += 1)),
        ("a wrong CRC", changed(&|plan| plan.crc.0 ^= 1)),
    ]
}

fn first_range(part: &mut Part) -> Option<&mut Range> {
    match part {
        Part::Copy(range) => Some(range),
        Part::Stream(segments) => segments.iter_mut().find_map(|segment| match segment {
            Segment::Range(range) => Some(range),
            Segment::Literal(_) => None,
        }),
    }
}

fn other_literals(part: &mut Part) {
    let Part::Stream(segments) = part else { return };
    for segment in segments {
        if let Segment::Literal(literal) = segment {
            literal.0[0] ^= 1;
        }
    }
}

/// The same bytes in the same order, but with a part of one byte before the rest of a copied one.
fn split_off_a_byte(plan: &mut ConcatPlan, place: usize) {
    let Part::Copy(range) = &mut plan.parts[place] else { return };
    let byte = Range { end: range.start + 1, ..range.clone() };
    range.start += 1;
    plan.parts.insert(place, Part::Copy(byte));
}

/// Objects whose period is a prime, so that a range that is off by any number of bytes shows.
fn objects(sizes: &[u64]) -> BTreeMap<String, Vec<u8>> {
    let period: Vec<u8> = (0..251).collect();
    let object = |number: usize, bytes: u64| {
        let mut object = period.repeat(bytes as usize / period.len() + 2);
        object.drain(..number % period.len());
        object.truncate(bytes as usize);
        object
    };
    sizes.iter().enumerate().map(|(number, bytes)| (number.to_string(), object(number, *bytes))).collect()
}

/// What S3 and the reducer would make of a plan.
fn executed(plan: &ConcatPlan, objects: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let read = |range: &Range| &objects[&range.object.key][range.start as usize..range.end as usize];
    let mut output = Vec::new();
    for part in &plan.parts {
        match part {
            Part::Copy(range) => output.extend_from_slice(read(range)),
            Part::Stream(segments) => {
                for segment in segments {
                    output.extend_from_slice(match segment {
                        Segment::Literal(Literal(bytes)) => bytes,
                        Segment::Range(range) => read(range),
                    });
                }
            }
        }
    }
    output
}

proptest! {
    // A case moves tens of megabytes.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn carried_out_a_plan_gives_the_elements_bytes_and_their_crc(sizes in prop::collection::vec(
        prop_oneof![Just(0), Just(1), 0..MIB, Just(PART_BYTES_MIN - 1), Just(PART_BYTES_MIN), Just(PART_BYTES_MIN + 1), Just(11 * MIB)], 1..8))
    {
        let objects = objects(&sizes);
        let mut elements = vec![literal("[")];
        let mut expected = b"[".to_vec();
        for (number, bytes) in &objects {
            let whole = range(number, bytes.len() as u64, 0, bytes.len() as u64);
            elements.extend([Element::Piece(whole, Crc64::of(bytes)), literal(",")]);
            expected.extend_from_slice(bytes);
            expected.push(b',');
        }
        let plan = made(&elements);
        let output = executed(&plan, &objects);
        prop_assert!(output == expected, "the bytes differ");
        prop_assert_eq!(plan.bytes, output.len() as u64);
        prop_assert_eq!(plan.crc, Crc64::of(&output));
    }
}

#[test]
fn nothing_is_an_output_without_parts() {
    for elements in [Vec::new(), vec![literal("")], vec![piece(0, 0), piece(1, 0)]] {
        let plan = made(&elements);
        assert_eq!((plan.parts.len(), plan.bytes, plan.crc), (0, 0, Crc64::EMPTY));
        assert!(flaws(&plan, &elements).is_empty());
    }
}

#[test]
fn a_result_that_says_more_than_its_object_has_is_found() {
    for bytes in [MIB, 6 * MIB] {
        let elements = [Element::Piece(range("short", bytes - 1, 0, bytes), Crc64(1))];
        let defects = flaws(&made(&elements), &elements);
        assert_eq!(defects.len(), 1, "{defects:?}");
        assert!(defects[0].starts_with("part 1 reads bytes 0.."), "{defects:?}");
    }
}

#[test]
fn neighbours_in_one_object_are_copied_together() {
    let bytes = 64 * MIB;
    let elements: Vec<Element> = (0..64)
        .map(|number| Element::Piece(range("packed", bytes, number * MIB, (number + 1) * MIB), Crc64(number)))
        .collect();
    assert_eq!(made(&elements).parts, [Part::Copy(range("packed", bytes, 0, bytes))]);
}

#[test]
fn a_hundred_thousand_pieces_keep_to_ten_thousand_parts() {
    for bytes in [MIB, 6 * MIB] {
        let elements: Vec<Element> = (0..100_000).map(|number| piece(number, bytes)).collect();
        let plan = made(&elements);
        assert!(plan.parts.len() <= UPLOAD_PARTS as usize);
        assert_eq!(flaws(&plan, &elements), Vec::<String>::new());
    }
}

#[test]
fn the_largest_object_that_s3_takes_can_be_made_and_one_byte_more_is_refused() {
    let largest = u64::from(UPLOAD_PARTS) * PART_BYTES_MAX;
    let elements = [piece(0, largest)];
    assert_eq!(flaws(&made(&elements), &elements), Vec::<String>::new());
    let error = make(&[piece(0, largest), literal("]")], &Limits::S3).unwrap_err();
    assert_eq!(error.bytes, largest + 1);
    assert!(error.to_string().starts_with("the output of 53687091200001 bytes does not fit"), "{error}");
}
