//! Elements of a few bytes each, with limits in proportion, that can be carried out in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{ConcatPlan, Element, Limits, Part, Range, Segment};
use fanfold_flow::crc::Crc64;
use fanfold_flow::literal::Literal;
use fanfold_flow::uri::ObjectUri;
use proptest::prelude::*;

/// Limits that keep the proportions which the planner's proofs need, at their edges and a little off them.
pub(crate) fn any_limits() -> impl Strategy<Value = Limits> {
    let more = || prop_oneof![Just(0), 0..9_u64];
    (prop_oneof![2 => Just(5), 1 => 1..8_u64], more(), more()).prop_map(
        |(part_bytes_min, copied_more, streamed_more)| Limits {
            parts: 100_000,
            part_bytes_min,
            part_bytes_max: 100,
            copy_bytes: 3 * part_bytes_min + copied_more,
            streamed_bytes: 3 * part_bytes_min + streamed_more,
            node_requests: 12_500,
        },
    )
}

/// Elements, and the objects that they are of.
#[derive(Clone, Debug)]
pub(crate) struct Tiny {
    pub(crate) elements: Vec<Element>,
    pub(crate) objects: BTreeMap<ObjectUri, Vec<u8>>,
}

/// What a few elements come from.
#[derive(Clone, Debug)]
enum Origin {
    Literal(u64),
    /// An object, and of it so often so many bytes left out, so many taken, and a literal of so many behind them; then so
    /// many left out at its end. Where nothing is left out, neighbours touch, or it is whole.
    Object(Vec<(u64, u64, u64)>, u64),
}

/// Sizes around all limits, where an off-by-one shows, and any others.
fn size(limits: &Limits) -> impl Strategy<Value = u64> + Clone + use<> {
    let least = limits.part_bytes_min;
    let mut around = vec![0, 1, least - 1, least, least + 1];
    for limit in [2 * least, 3 * least, limits.copy_bytes, limits.streamed_bytes, limits.part_bytes_max] {
        around.extend([limit.saturating_sub(2), limit.saturating_sub(1), limit, limit + 1]);
    }
    prop_oneof![3 => prop::sample::select(around), 2 => 0..4 * least, 1 => Just(2 * least - 1)]
}

fn origin(limits: &Limits) -> impl Strategy<Value = Origin> + use<> {
    let size = size(limits);
    let piece =
        (prop_oneof![3 => Just(0), 1 => 1..3_u64], size.clone(), prop_oneof![4 => Just(0), 1 => 1..4_u64]);
    let whole = size.clone().prop_map(|bytes| Origin::Object(vec![(0, bytes, 0)], 0));
    let pieces = (prop::collection::vec(piece, 1..4), prop_oneof![Just(0), 1..20_u64]);
    prop_oneof![
        4 => whole,
        2 => pieces.prop_map(|(pieces, rest)| Origin::Object(pieces, rest)),
        2 => prop_oneof![3 => Just(1), 1 => size].prop_map(Origin::Literal),
    ]
}

/// Elements of up to so many origins: short stretches with gaps between them that lack something, so that what a
/// stretch lends to one side decides, far behind, about another.
pub(crate) fn rows_of_short_stretches(
    limits: &Limits,
    origins: usize,
) -> impl Strategy<Value = Tiny> + use<> {
    let least = limits.part_bytes_min;
    let stretch = (least..3 * least, prop_oneof![1 => Just(0), 1 => Just(1), 1 => 0..=least]);
    let origin =
        stretch.prop_map(|(bytes, gap)| [Origin::Object(vec![(0, bytes, 0)], 0), Origin::Literal(gap)]);
    let first = (0..=least).prop_map(Origin::Literal);
    (first, prop::collection::vec(origin, 0..origins)).prop_map(|(first, origins)| {
        let origins: Vec<Origin> = std::iter::once(first).chain(origins.into_iter().flatten()).collect();
        Tiny::from(&origins)
    })
}

/// Elements of up to so many origins: long gaps, of many parts, between stretches of all kinds.
pub(crate) fn rows_of_long_gaps(limits: &Limits, origins: usize) -> impl Strategy<Value = Tiny> + use<> {
    let least = limits.part_bytes_min;
    let small = prop_oneof![4 => 1..=least, 1 => least..3 * least]
        .prop_map(|bytes| Origin::Object(vec![(0, bytes, 0)], 0));
    let comma = Just(Origin::Literal(1));
    let gap = prop::collection::vec(prop_oneof![4 => small, 1 => comma], 3..15);
    let stretch = (least..4 * least).prop_map(|bytes| Origin::Object(vec![(0, bytes, 0)], 0));
    prop::collection::vec((gap, stretch), 0..origins.div_ceil(4)).prop_map(|rows| {
        let origins = rows.into_iter().flat_map(|(gap, stretch)| gap.into_iter().chain([stretch]));
        Tiny::from(&origins.collect::<Vec<_>>())
    })
}

/// Elements of up to so many origins.
pub(crate) fn any_tiny(limits: &Limits, origins: usize) -> impl Strategy<Value = Tiny> + use<> {
    prop::collection::vec(origin(limits), 0..origins).prop_map(|origins| Tiny::from(&origins))
}

impl Tiny {
    fn from(origins: &[Origin]) -> Self {
        let mut tiny = Self { elements: Vec::new(), objects: BTreeMap::new() };
        // A prime period, so that a range that is off by any number of bytes shows.
        let mut bytes = (0..251_u8).cycle();
        let mut some = |count: u64| bytes.by_ref().take(count as usize).collect::<Vec<u8>>();
        for (number, origin) in origins.iter().enumerate() {
            match origin {
                Origin::Literal(count) => tiny.elements.push(Element::Literal(Literal(some(*count)))),
                Origin::Object(pieces, rest) => {
                    let object_bytes = pieces.iter().map(|(out, taken, _)| out + taken).sum::<u64>() + rest;
                    let content = some(object_bytes);
                    let uri = ObjectUri::new("work", number.to_string());
                    let etag = format!("\"{number}\"");
                    let object = Arc::new(ObjectVersion { uri: uri.clone(), etag, bytes: object_bytes });
                    let mut at = 0;
                    for (out, taken, literal) in pieces {
                        let (start, end) = (at + out, at + out + taken);
                        let crc = Crc64::of(&content[start as usize..end as usize]);
                        let range = Range { object: Arc::clone(&object), start, end };
                        tiny.elements.push(Element::Piece(range, crc));
                        tiny.elements.push(Element::Literal(Literal(some(*literal))));
                        at = end;
                    }
                    tiny.objects.insert(uri, content);
                }
            }
        }
        tiny
    }

    /// The bytes that the elements are.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = self.elements.iter().map(|element| match element {
            Element::Literal(literal) => literal.0.as_slice(),
            Element::Piece(range, _) => self.read(range),
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// What S3 and the reducer would make of a plan.
    pub(crate) fn executed(&self, plan: &ConcatPlan) -> Vec<u8> {
        let mut output = Vec::new();
        for part in &plan.parts {
            match part {
                Part::Copy(range) => output.extend_from_slice(self.read(range)),
                Part::Stream(segments) => {
                    for segment in segments {
                        output.extend_from_slice(match segment {
                            Segment::Literal(Literal(bytes)) => bytes,
                            Segment::Range(range) => self.read(range),
                        });
                    }
                }
            }
        }
        output
    }

    fn read(&self, range: &Range) -> &[u8] {
        &self.objects[&range.object.uri][range.start as usize..range.end as usize]
    }
}
