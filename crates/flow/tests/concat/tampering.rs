//! The checker finds whatever is wrong with a plan, and calls it what it is.

use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment, defects, make};
use fanfold_flow::crc::Crc64;
use proptest::prelude::*;

use crate::sizes::{MIB, any_elements, flaws, literal, piece, range, whole};

proptest! {
    #[test]
    fn whatever_is_tampered_with_is_found(elements in any_elements(), at: prop::sample::Index) {
        let plan = whole(&elements);
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
        ("a range past its object", of_range(&|range| object(range).bytes = range.end - 1)),
        ("another object", of_range(&|range| object(range).uri.key.push('x'))),
        ("another object of that name", of_range(&|range| object(range).etag.push('x'))),
        ("other literals", changed(&|plan| plan.parts.iter_mut().for_each(other_literals))),
        ("a wrong length", changed(&|plan| plan.bytes += 1)),
        ("a wrong CRC", changed(&|plan| plan.crc.0 ^= 1)),
    ]
}

fn object(range: &mut Range) -> &mut ObjectVersion {
    Arc::make_mut(&mut range.object)
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

/// The only defect of these parts as a way to put these elements together.
fn only_flaw(parts: Vec<Part>, elements: &[Element]) -> String {
    let plan = ConcatPlan { parts, ..whole(elements) };
    let flaws = flaws(&plan, elements);
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    flaws[0].clone()
}

#[test]
fn a_copied_range_of_a_small_object_is_found() {
    let small = range("small", 5 * MIB, 0, 5 * MIB - 1);
    let elements = [piece(0, 9 * MIB), Element::Piece(small.clone(), Crc64(1))];
    let first = Part::Copy(range("0", 9 * MIB, 0, 9 * MIB));
    assert_eq!(
        only_flaw(vec![first, Part::Copy(small)], &elements),
        "part 2 copies bytes 0..5242879 of s3://work/small, which has 5242880: a range is copied only of an object of \
         more than 5242880"
    );
}

#[test]
fn a_streamed_part_that_memory_should_not_hold_is_found() {
    let all = Segment::Range(range("0", 21 * MIB, 0, 21 * MIB));
    let flaw = only_flaw(vec![Part::Stream(vec![all])], &[piece(0, 21 * MIB)]);
    assert_eq!(flaw, "part 1 has 22020096 bytes, not 1 to 16777216");
}

#[test]
fn a_copy_larger_than_need_be_is_found() {
    let bytes = 600 * MIB;
    let flaw = only_flaw(vec![Part::Copy(range("0", bytes, 0, bytes))], &[piece(0, bytes)]);
    assert_eq!(flaw, "a copied part has 629145600 bytes, over 536870912, where smaller ones are few enough");
}

#[test]
fn an_upload_of_what_can_be_put_is_found() {
    let flaw = only_flaw(vec![Part::Copy(range("0", MIB, 0, MIB))], &[piece(0, MIB)]);
    assert_eq!(flaw, "1048576 bytes are uploaded in parts; they can be put");
}

#[test]
fn bytes_in_another_place_are_named() {
    let elements = [literal("a"), piece(0, MIB), literal("b")];
    let mut plan = whole(&elements);
    let [Part::Stream(segments)] = plan.parts.as_mut_slice() else { panic!("{plan:?}") };
    segments.swap(1, 2);
    let flaws = flaws(&plan, &elements);
    assert_eq!(flaws.len(), 1, "{flaws:?}");
    let expected = "the parts, one after the other, are not the elements: at byte 1, where 0..1048576 of s3://work/0 \
                    should be, there is \"b\"";
    assert_eq!(flaws[0], expected);
}

#[test]
fn a_result_that_says_more_than_its_object_has_is_found() {
    for bytes in [MIB, 6 * MIB] {
        let elements = [Element::Piece(range("short", bytes - 1, 0, bytes), Crc64(1))];
        let flaws = flaws(&whole(&elements), &elements);
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaws[0].starts_with("part 1 reads bytes 0.."), "{flaws:?}");
    }
}

#[test]
fn a_result_whose_range_is_backwards_is_found() {
    let elements = [Element::Piece(range("odd", 9, 5, 3), Crc64(1))];
    let flaws = flaws(&whole(&elements), &elements);
    assert_eq!(flaws, ["bytes 5..3 of s3://work/odd are wanted, which is backwards"]);
}

#[test]
fn nodes_that_are_not_the_elements_or_cannot_be_copied_are_found() {
    let elements: Vec<Element> = (0..10_001).map(|number| piece(number, 6 * MIB)).collect();
    let Ok(Concat::Nodes(nodes)) = make(&elements, &Limits::S3) else { panic!("there are too many parts") };
    let flaws = |nodes: Vec<ConcatPlan>| defects(&Concat::Nodes(nodes), &elements, &Limits::S3);
    assert_eq!(flaws(nodes.clone()), Vec::<String>::new());
    let changed = |change: &dyn Fn(&mut Vec<ConcatPlan>)| {
        let mut nodes = nodes.clone();
        change(&mut nodes);
        flaws(nodes)
    };
    let last = changed(&|nodes| drop(nodes.pop()));
    let last_bytes = nodes.last().unwrap().bytes;
    assert_eq!(last, [format!("the last {last_bytes} bytes of the elements are in no node")]);
    assert!(!changed(&|nodes| nodes.swap(0, 1)).is_empty());
    assert!(!changed(&|nodes| nodes.push(whole(&[]))).is_empty());
    let crc = changed(&|nodes| nodes[3].crc.0 ^= 1);
    assert!(crc.len() == 1 && crc[0].starts_with("node 4: the plan says CRC "), "{crc:?}");
    let part = changed(&|nodes| drop(nodes[2].parts.pop()));
    assert!(part.len() == 1 && part[0].starts_with("node 3: the parts, one after the other"), "{part:?}");
    let one = flaws(vec![ConcatPlan { parts: Vec::new(), ..whole(&[]) }]);
    assert!(one.iter().any(|flaw| flaw == "1 nodes are no tree"), "{one:?}");
    let small = [whole(&[literal("a")]), whole(&[literal("b")])];
    let small = defects(&Concat::Nodes(small.to_vec()), &[literal("a"), literal("b")], &Limits::S3);
    assert_eq!(small, ["node 1: 1 bytes are too few to be copied"]);
}
