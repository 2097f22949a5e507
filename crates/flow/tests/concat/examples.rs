//! Plans that can be looked through, and those at the ends of what there can be.

use fanfold_flow::concat::{Concat, ConcatPlan, Element, Limits, Part, Segment, make};
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::{PART_BYTES_MAX, UPLOAD_PARTS};

use crate::sizes::{GIB, MIB, flaws, literal, piece, range, whole};

/// A plan as lines: `copy 0[1..3]`, `stream "[" 1[0..2]`, in MiB where that is even, else in bytes.
fn lines(plan: &ConcatPlan) -> Vec<String> {
    let position = |bytes: u64| {
        if bytes.is_multiple_of(MIB) { format!("{}M", bytes / MIB) } else { bytes.to_string() }
    };
    let named = |range: &fanfold_flow::concat::Range| {
        format!(" {}[{}..{}]", range.object.uri.key, position(range.start), position(range.end))
    };
    let line = |part: &Part| match part {
        Part::Copy(range) => format!("copy{}", named(range)),
        Part::Stream(segments) => {
            let segments = segments.iter().map(|segment| match segment {
                Segment::Literal(literal) => format!(" {literal:?}"),
                Segment::Range(range) => named(range),
            });
            format!("stream{}", segments.collect::<String>())
        }
    };
    plan.parts.iter().map(line).collect()
}

fn pieces(sizes: &[u64]) -> Vec<Element> {
    sizes.iter().enumerate().map(|(number, bytes)| piece(number, *bytes)).collect()
}

#[test]
fn nothing_is_an_output_without_parts() {
    for elements in [Vec::new(), vec![literal("")], pieces(&[0, 0])] {
        let plan = whole(&elements);
        assert_eq!((plan.parts.len(), plan.bytes, plan.crc), (0, 0, Crc64::EMPTY));
        assert!(flaws(&plan, &elements).is_empty());
    }
}

#[test]
fn what_is_smaller_than_a_part_is_put_even_where_it_is_one_object() {
    assert_eq!(lines(&whole(&pieces(&[4 * MIB]))), ["stream 0[0M..4M]"]);
    assert_eq!(lines(&whole(&[literal("["), literal("]\n")])), [r#"stream "[]\n""#]);
}

#[test]
fn small_pieces_take_from_the_large_ones_what_they_lack() {
    // The bytes of the second piece are gap enough to copy neither more nor less than the rest of the third.
    let plan = whole(&pieces(&[MIB, 6 * MIB, MIB, 7 * MIB, 2 * MIB]));
    assert_eq!(lines(&plan), ["stream 0[0M..1M] 1[0M..6M] 2[0M..1M]", "copy 3[0M..7M]", "copy 4[0M..2M]"]);
    assert_eq!(plan.streamed_bytes(), 8 * MIB);
}

#[test]
fn a_literal_in_front_takes_five_mebibytes_of_the_first_piece_and_one_behind_takes_none() {
    let elements = [literal("["), piece(0, 64 * MIB), piece(1, 5 * MIB), literal("]")];
    let borrowed = 5 * MIB - 1;
    let expected = [
        format!("stream \"[\" 0[0M..{borrowed}]"),
        format!("copy 0[{borrowed}..64M]"),
        "copy 1[0M..5M]".to_owned(),
        "stream \"]\"".to_owned(),
    ];
    assert_eq!(lines(&whole(&elements)), expected);
}

#[test]
fn both_neighbours_lend_where_one_alone_has_too_little() {
    let plan = whole(&pieces(&[8 * MIB, MIB, 6 * MIB, 9 * MIB]));
    assert_eq!(
        lines(&plan),
        ["copy 0[0M..5M]", "stream 0[5M..8M] 1[0M..1M] 2[0M..1M]", "copy 2[1M..6M]", "copy 3[0M..9M]"]
    );
}

#[test]
fn neighbours_in_one_object_are_copied_together() {
    let bytes = 64 * MIB;
    let elements: Vec<Element> = (0..64)
        .map(|number| Element::Piece(range("packed", bytes, number * MIB, (number + 1) * MIB), Crc64(number)))
        .collect();
    assert_eq!(whole(&elements).parts, [Part::Copy(range("packed", bytes, 0, bytes))]);
}

#[test]
fn a_small_object_is_copied_where_it_is_the_last_part() {
    let plan = whole(&pieces(&[5 * MIB, 1]));
    assert_eq!(lines(&plan), ["copy 0[0M..5M]", "copy 1[0M..1]"]);
}

#[test]
fn a_long_run_of_small_pieces_is_streamed_in_parts_that_memory_can_hold() {
    let plan = whole(&pieces(&[MIB; 101]));
    assert_eq!(plan.streamed_bytes(), 100 * MIB);
    let bytes: Vec<u64> = plan.parts.iter().map(|part| part.bytes() / MIB).collect();
    assert_eq!(bytes, [16, 16, 16, 16, 16, 15, 5, 1]);
}

#[test]
fn copied_parts_grow_just_so_far_that_they_are_few_enough() {
    // 40 TiB in 40 objects: 250 parts for each.
    let plan = whole(&pieces(&[1 << 40; 40]));
    assert_eq!(plan.parts.len(), UPLOAD_PARTS as usize);
    let largest = (1_u64 << 40).div_ceil(250);
    assert_eq!(plan.parts.iter().map(Part::bytes).max(), Some(largest));
}

#[test]
fn the_largest_object_that_s3_takes_can_be_made_and_one_byte_more_is_refused() {
    let largest = u64::from(UPLOAD_PARTS) * PART_BYTES_MAX;
    let elements = [piece(0, largest)];
    assert_eq!(flaws(&whole(&elements), &elements), Vec::<String>::new());
    let error = make(&[piece(0, largest), literal("]")], &Limits::S3).unwrap_err();
    assert_eq!(error.bytes, largest + 1);
    assert!(error.to_string().starts_with("the output of 53687091200001 bytes does not fit"), "{error}");
}

#[test]
fn an_output_that_rounded_up_to_parts_is_too_large_is_refused() {
    // Two objects that together are the largest, but each a part and a half short of a whole number of them.
    let half = u64::from(UPLOAD_PARTS) / 2 * PART_BYTES_MAX;
    let elements = [piece(0, half - GIB), piece(1, half + GIB)];
    assert_eq!(make(&elements, &Limits::S3).unwrap_err().bytes, 2 * half);
    let below = [piece(0, half - GIB), piece(1, half - 4 * GIB)];
    assert!(matches!(make(&below, &Limits::S3), Ok(Concat::Whole(_))));
}
