//! A tree where one upload has too few parts.

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment, defects, make};
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use proptest::prelude::*;

use crate::sizes::{GIB, MIB, literal, piece, whole};
use crate::tiny::{Tiny, any_tiny};

/// Nodes as the pieces of the object that they make together.
fn pieces(nodes: &[ConcatPlan]) -> Vec<Element> {
    let piece = |(number, node): (usize, &ConcatPlan)| {
        let uri = ObjectUri::new("nodes", number.to_string());
        let object = ObjectVersion { uri, etag: format!("\"{number}\""), bytes: node.bytes };
        Element::Piece(Range::whole(object), node.crc)
    };
    nodes.iter().enumerate().map(piece).collect()
}

fn any_case() -> impl Strategy<Value = (Limits, Tiny)> {
    let few_parts = Limits {
        parts: 40,
        part_bytes_min: 5,
        part_bytes_max: 1_000,
        copy_bytes: 50,
        streamed_bytes: 20,
        node_requests: 5,
    };
    // Elements for which a tree suffices.
    let tiny = any_tiny(&Limits { part_bytes_max: 100, ..few_parts.clone() }, 60);
    (Just(few_parts), tiny)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn made_and_then_copied_nodes_are_the_elements((limits, tiny) in any_case()) {
        let concat = make(&tiny.elements, &limits).unwrap();
        prop_assert_eq!(defects(&concat, &tiny.elements, &limits), Vec::<String>::new());
        let Concat::Nodes(nodes) = concat else { return Ok(()) };
        let made: Vec<Vec<u8>> = nodes.iter().map(|node| tiny.executed(node)).collect();
        let mut tree = Tiny { elements: pieces(&nodes), objects: Default::default() };
        for (element, bytes) in tree.elements.iter().zip(made) {
            let Element::Piece(range, crc) = element else { panic!("a node is a piece") };
            prop_assert_eq!(*crc, Crc64::of(&bytes));
            tree.objects.insert(range.object.uri.clone(), bytes);
        }
        let Ok(Concat::Whole(plan)) = make(&tree.elements, &limits) else { panic!("{:?}", tree.elements) };
        prop_assert_eq!(plan.streamed_bytes(), 0);
        let output = tree.executed(&plan);
        prop_assert_eq!(plan.crc, Crc64::of(&output));
        prop_assert_eq!(output, tiny.bytes());
    }

    #[test]
    fn there_are_nodes_only_where_the_best_plan_has_too_many_parts((limits, tiny) in any_case()) {
        let concat = make(&tiny.elements, &limits).unwrap();
        let unlimited = Limits { parts: 100_000, copy_bytes: limits.part_bytes_max, ..limits.clone() };
        let Ok(Concat::Whole(plan)) = make(&tiny.elements, &unlimited) else { panic!("parts are without limit") };
        prop_assert_eq!(plan.parts.len() > limits.parts as usize, matches!(concat, Concat::Nodes(_)));
    }
}

fn nodes(elements: &[Element]) -> Vec<ConcatPlan> {
    let concat = make(elements, &Limits::S3).unwrap();
    assert_eq!(defects(&concat, elements, &Limits::S3), Vec::<String>::new());
    match concat {
        Concat::Nodes(nodes) => nodes,
        Concat::Whole(plan) => panic!("{} parts", plan.parts.len()),
    }
}

fn requests(node: &ConcatPlan) -> usize {
    let requests = node.parts.iter().map(|part| match part {
        Part::Copy(_) => 1,
        Part::Stream(segments) => {
            1 + segments.iter().filter(|segment| matches!(segment, Segment::Range(_))).count()
        }
    });
    requests.sum()
}

#[test]
fn one_piece_too_many_makes_several_nodes_of_about_equal_work() {
    let elements: Vec<Element> = (0..10_001).map(|number| piece(number, 6 * MIB)).collect();
    assert_eq!(whole(&elements[1..]).parts.len(), 10_000);
    let nodes = nodes(&elements);
    assert!((8..=12).contains(&nodes.len()), "{}", nodes.len());
    for node in &nodes[..nodes.len() - 1] {
        assert!((900..=1_100).contains(&requests(node)), "{}", requests(node));
    }
}

#[test]
fn more_pieces_that_could_be_copied_than_there_are_parts_are_one_upload_where_some_are_better_streamed() {
    // Of 5 MiB nothing is left to be lent to a comma. Of four with commas between them the inner two are streamed, as one part.
    let four = |first: usize| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|place| piece(4 * first + place, 5 * MIB));
        [a, literal(","), b, literal(","), c, literal(","), d]
    };
    let elements: Vec<Element> = (0..3_333).flat_map(four).collect();
    assert_eq!(whole(&elements).parts.len(), 9_999);
}

#[test]
fn a_million_pieces_make_about_a_thousand_nodes_of_which_nothing_is_streamed() {
    let elements: Vec<Element> = (0..1_000_000).map(|number| piece(number, 5 * MIB)).collect();
    let nodes = nodes(&elements);
    assert!((900..=1_000).contains(&nodes.len()), "{}", nodes.len());
    assert!(nodes.iter().all(|node| node.streamed_bytes() == 0));
    let tree = whole(&pieces(&nodes));
    assert_eq!((tree.streamed_bytes(), tree.bytes), (0, 1_000_000 * 5 * MIB));
}

#[test]
fn a_node_ends_before_a_stretch_so_that_the_gap_at_its_end_may_be_short() {
    let separated = |number: usize| [piece(number, 12 * MIB), literal(",")];
    let elements: Vec<Element> = (0..10_001).flat_map(separated).collect();
    for node in nodes(&elements) {
        assert!(matches!(node.parts.first(), Some(Part::Copy(_))));
        assert_eq!(node.parts.last().map(Part::bytes), Some(1));
    }
}

#[test]
fn one_piece_as_large_as_an_output_can_be_is_a_node_among_small_ones() {
    let mut elements: Vec<Element> = (0..1_500).map(|number| piece(number, 5 * MIB)).collect();
    elements.insert(500, piece(9_999, 45 << 40));
    elements.push(literal("]"));
    let nodes = nodes(&elements);
    assert_eq!(nodes.iter().map(|node| node.bytes).max(), Some(45 << 40));
    assert_eq!(whole(&pieces(&nodes)).bytes, (45 << 40) + 1_500 * 5 * MIB + 1);
    assert!(nodes.iter().flat_map(|node| &node.parts).all(|part| part.bytes() <= 5 * GIB));
}
