//! Elements of the sizes that S3 has limits for, whose bytes nobody reads.

use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{Concat, ConcatPlan, Element, Limits, Range, defects, make};
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::{COPY_BYTES_MAX, PART_BYTES_MAX, PART_BYTES_MIN};
use fanfold_flow::uri::ObjectUri;
use proptest::prelude::*;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn range(object: &str, object_bytes: u64, start: u64, end: u64) -> Range {
    let etag = format!("\"{object}\"");
    let object = ObjectVersion { uri: ObjectUri::new("work", object), etag, bytes: object_bytes };
    Range { object: Arc::new(object), start, end }
}

/// A whole object. Its CRC is made up: the planner never sees the bytes.
pub(crate) fn piece(number: usize, bytes: u64) -> Element {
    let crc = Crc64((number as u64 + 1).wrapping_mul(0x9e37_79b9));
    Element::Piece(range(&number.to_string(), bytes, 0, bytes), crc)
}

pub(crate) fn literal(text: &str) -> Element {
    Element::Literal(text.as_bytes().into())
}

/// The plan of what fits into one upload.
pub(crate) fn whole(elements: &[Element]) -> ConcatPlan {
    match make(elements, &Limits::S3) {
        Ok(Concat::Whole(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn flaws(plan: &ConcatPlan, elements: &[Element]) -> Vec<String> {
    defects(&Concat::Whole(plan.clone()), elements, &Limits::S3)
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

/// Pieces of such sizes, whole objects, ranges, or neighbours in one object, with literals in between.
pub(crate) fn any_elements() -> impl Strategy<Value = Vec<Element>> {
    let element = prop_oneof![
        4 => size().prop_map(|bytes| (Some(bytes), 0)),
        2 => size().prop_map(|bytes| (Some(bytes), 7)),
        2 => size().prop_map(|bytes| (Some(bytes), u64::MAX)),
        1 => Just((None, 0)),
    ];
    prop::collection::vec(element, 0..30).prop_map(|kinds| {
        let mut elements: Vec<Element> = Vec::new();
        for (number, (bytes, start)) in kinds.into_iter().enumerate() {
            let neighbour = match elements.last() {
                Some(Element::Piece(last, _)) if start > 0 && !last.is_whole() => Some(last.clone()),
                _ => None,
            };
            let of_large = |object: &str, start: u64, bytes: u64| {
                Element::Piece(range(object, 1 << 50, start, start + bytes), Crc64(number as u64))
            };
            elements.push(match (bytes, neighbour) {
                (Some(bytes), Some(Range { object, end, .. })) if start == u64::MAX => {
                    of_large(&object.uri.key, end, bytes)
                }
                (Some(bytes), _) if start == 7 => of_large(&number.to_string(), start, bytes),
                (Some(bytes), _) => piece(number, bytes),
                (None, _) => literal(","),
            });
        }
        elements
    })
}

proptest! {
    #[test]
    fn a_plan_has_no_defects(elements in any_elements()) {
        prop_assert_eq!(flaws(&whole(&elements), &elements), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_streamed_where_no_piece_is_small(sizes in prop::collection::vec(PART_BYTES_MIN..6 * GIB, 0..30)) {
        let elements: Vec<Element> = sizes.iter().enumerate().map(|(number, bytes)| piece(number, *bytes)).collect();
        prop_assert_eq!(whole(&elements).streamed_bytes(), 0);
    }

    #[test]
    fn a_plan_survives_json(elements in any_elements()) {
        let plan = whole(&elements);
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<ConcatPlan>(&json).unwrap(), plan);
    }
}
