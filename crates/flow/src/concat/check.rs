//! What is wrong with a concat plan, found without knowing how it was made.

use super::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment, joined, segments};
use crate::crc::Crc64;
use crate::limits::{PART_BYTES_MAX, PART_BYTES_MIN, UPLOAD_PARTS};

/// What is wrong with `concat` as a way to put `elements` together: nothing, unless the planner has a fault.
pub fn defects(concat: &Concat, elements: &[Element], _limits: &Limits) -> Vec<String> {
    let mut defects = Vec::new();
    let plan = match concat {
        Concat::Whole(plan) => plan,
        Concat::Nodes(nodes) => return vec![format!("{} nodes", nodes.len())],
    };
    parts_keep_the_limits(plan, &mut defects);
    ranges_lie_in_their_objects(plan, &mut defects);
    let parts = joined(plan.parts.iter().flat_map(|part| match part {
        Part::Copy(range) => vec![Segment::Range(range.clone())],
        Part::Stream(segments) => segments.clone(),
    }));
    let wanted = segments(elements);
    if parts != wanted {
        let at = parts.iter().zip(&wanted).take_while(|(part, wanted)| part == wanted).count();
        defects.push(format!(
            "the parts, one after the other, are not the elements: where {} should be, there is {}",
            named(wanted.get(at)),
            named(parts.get(at))
        ));
    }
    let bytes: u64 = elements.iter().map(Element::bytes).sum();
    if plan.bytes != bytes {
        defects.push(format!("the plan says {} bytes, the elements have {bytes}", plan.bytes));
    }
    let crc = elements.iter().fold(Crc64::EMPTY, |crc, element| crc.then(element.crc(), element.bytes()));
    if plan.crc != crc {
        defects.push(format!("the plan says CRC {}, the elements have {crc}", plan.crc));
    }
    defects
}

fn named(segment: Option<&Segment>) -> String {
    match segment {
        Some(Segment::Range(Range { object, start, end, .. })) => format!("{start}..{end} of {object}"),
        Some(Segment::Literal(literal)) => format!("{literal:?}"),
        None => "the end".to_owned(),
    }
}

fn parts_keep_the_limits(plan: &ConcatPlan, defects: &mut Vec<String>) {
    if plan.parts.len() > UPLOAD_PARTS as usize {
        defects.push(format!("{} parts are more than {UPLOAD_PARTS}", plan.parts.len()));
    }
    for (position, part) in plan.parts.iter().enumerate() {
        let bytes = part.bytes();
        let least = if position + 1 == plan.parts.len() { 1 } else { PART_BYTES_MIN };
        if !(least..=PART_BYTES_MAX).contains(&bytes) {
            defects.push(format!("part {} has {bytes} bytes, not {least} to {PART_BYTES_MAX}", position + 1));
        }
    }
}

fn ranges_lie_in_their_objects(plan: &ConcatPlan, defects: &mut Vec<String>) {
    for (position, part) in plan.parts.iter().enumerate() {
        let ranges = match part {
            Part::Copy(range) => vec![range],
            Part::Stream(segments) => segments
                .iter()
                .filter_map(|segment| match segment {
                    Segment::Range(range) => Some(range),
                    Segment::Literal(_) => None,
                })
                .collect(),
        };
        for range in ranges {
            if range.start >= range.end || range.end > range.object_bytes {
                defects.push(format!(
                    "part {} reads bytes {}..{} of {}, which has {}",
                    position + 1,
                    range.start,
                    range.end,
                    range.object,
                    range.object_bytes
                ));
            }
        }
    }
}
