//! What is wrong with a concat plan, found without knowing how it was made.

use super::content::difference;
use super::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment};
use crate::crc::Crc64;

/// What is wrong with `concat` as a way to put `elements` together: nothing, unless the planner has a fault, or a range
/// among the elements cannot be.
pub fn defects(concat: &Concat, elements: &[Element], limits: &Limits) -> Vec<String> {
    let mut defects = match concat {
        Concat::Whole(plan) => of_upload(plan, elements, limits),
        Concat::Nodes(nodes) => of_nodes(nodes, elements, limits),
    };
    // Else they would pass for empty ones.
    let backwards = elements.iter().filter_map(|element| match element {
        Element::Piece(range, _) if range.start > range.end => Some(range),
        Element::Piece(..) | Element::Literal(_) => None,
    });
    defects.extend(backwards.map(|range| {
        format!("bytes {}..{} of {} are wanted, which is backwards", range.start, range.end, range.object.uri)
    }));
    defects
}

fn of_upload(plan: &ConcatPlan, elements: &[Element], limits: &Limits) -> Vec<String> {
    let mut defects = Vec::new();
    for (position, part) in plan.parts.iter().enumerate() {
        let is_last = position + 1 == plan.parts.len();
        let of_part = of_size(part, is_last, limits).into_iter().chain(of_ranges(part, limits));
        defects.extend(of_part.map(|defect| format!("part {} {defect}", position + 1)));
    }
    defects.extend(of_number(plan, limits));
    defects.extend(of_content(plan, elements));
    defects
}

/// Nodes are uploads of runs of elements, and fit into one upload themselves, where all of each can be copied.
fn of_nodes(nodes: &[ConcatPlan], elements: &[Element], limits: &Limits) -> Vec<String> {
    let mut defects = Vec::new();
    let mut left = elements;
    for (position, node) in nodes.iter().enumerate() {
        let (run, rest) = run(left, node.bytes);
        left = rest;
        let found =
            of_upload(node, run, limits).into_iter().chain(of_node_size(node, rest.is_empty(), limits));
        defects.extend(found.map(|defect| format!("node {}: {defect}", position + 1)));
    }
    let left_bytes: u64 = left.iter().map(Element::bytes).sum();
    if left_bytes > 0 {
        defects.push(format!("the last {left_bytes} bytes of the elements are in no node"));
    }
    let parts: u64 = nodes.iter().map(|node| node.bytes.div_ceil(limits.part_bytes_max)).sum();
    if parts > u64::from(limits.parts) {
        defects.push(format!("the nodes make {parts} parts, more than {}", limits.parts));
    }
    if nodes.len() < 2 {
        defects.push(format!("{} nodes are no tree", nodes.len()));
    }
    defects
}

/// The first elements that have so many bytes, or more if none have exactly that, and the rest. Empty ones in between
/// are of the first.
fn run(elements: &[Element], bytes: u64) -> (&[Element], &[Element]) {
    let mut sum = 0;
    let next = elements.iter().position(|element| {
        let is_next = sum >= bytes && element.bytes() > 0;
        sum += element.bytes();
        is_next
    });
    elements.split_at(next.unwrap_or(elements.len()))
}

fn of_node_size(node: &ConcatPlan, is_last: bool, limits: &Limits) -> Option<String> {
    let least = if is_last { 1 } else { limits.part_bytes_min };
    (node.bytes < least).then(|| format!("{} bytes are too few to be copied", node.bytes))
}

fn of_size(part: &Part, is_last: bool, limits: &Limits) -> Option<String> {
    let least = if is_last { 1 } else { limits.part_bytes_min };
    let most = match part {
        Part::Copy(_) => limits.part_bytes_max,
        Part::Stream(_) => limits.streamed_bytes,
    };
    let bytes = part.bytes();
    (!(least..=most).contains(&bytes)).then(|| format!("has {bytes} bytes, not {least} to {most}"))
}

fn of_ranges(part: &Part, limits: &Limits) -> Vec<String> {
    let mut defects = Vec::new();
    match part {
        Part::Copy(range) => {
            defects.extend(of_range(range));
            if !range.is_whole() && range.object.bytes <= limits.part_bytes_min {
                defects.push(format!(
                    "copies bytes {}..{} of {}, which has {}: a range is copied only of an object of more than {}",
                    range.start, range.end, range.object.uri, range.object.bytes, limits.part_bytes_min
                ));
            }
        }
        Part::Stream(segments) => {
            for segment in segments {
                match segment {
                    Segment::Range(range) => defects.extend(of_range(range)),
                    Segment::Literal(literal) if literal.is_empty() => {
                        defects.push("has an empty literal".to_owned());
                    }
                    Segment::Literal(_) => {}
                }
            }
        }
    }
    defects
}

fn of_range(range: &Range) -> Option<String> {
    let Range { object, start, end } = range;
    (start >= end || *end > object.bytes)
        .then(|| format!("reads bytes {start}..{end} of {}, which has {}", object.uri, object.bytes))
}

/// As many parts as there may be, copied ones no larger than that needs, and none where it is a put.
fn of_number(plan: &ConcatPlan, limits: &Limits) -> Vec<String> {
    let mut defects = Vec::new();
    let most = u64::from(limits.parts);
    if plan.parts.len() as u64 > most {
        defects.push(format!("{} parts are more than {most}", plan.parts.len()));
    }
    let copies = plan.parts.iter().filter(|part| matches!(part, Part::Copy(_)));
    let largest = copies.map(Part::bytes).max().unwrap_or(0);
    if largest > limits.copy_bytes && parts_with_copies_of(plan, largest - 1) <= most {
        let copy_bytes = limits.copy_bytes;
        defects.push(format!(
            "a copied part has {largest} bytes, over {copy_bytes}, where smaller ones are few enough"
        ));
    }
    if plan.bytes < limits.part_bytes_min && !matches!(plan.parts.as_slice(), [] | [Part::Stream(_)]) {
        defects.push(format!("{} bytes are uploaded in parts; they can be put", plan.bytes));
    }
    defects
}

/// How many parts there would be, were no copied one larger than that.
fn parts_with_copies_of(plan: &ConcatPlan, copy_bytes: u64) -> u64 {
    let mut parts = 0;
    let mut before: Option<&Range> = None;
    let mut stretch_bytes = 0;
    for part in &plan.parts {
        let Part::Copy(range) = part else {
            (before, parts) = (None, parts + 1);
            continue;
        };
        let goes_on = before.is_some_and(|before| before.end == range.start && before.object == range.object);
        let known: u64 = if goes_on { stretch_bytes } else { 0 };
        stretch_bytes = known + range.bytes();
        parts += stretch_bytes.div_ceil(copy_bytes) - known.div_ceil(copy_bytes);
        before = Some(range);
    }
    parts
}

/// Content, length and CRC.
fn of_content(plan: &ConcatPlan, elements: &[Element]) -> Vec<String> {
    let mut defects = Vec::new();
    defects.extend(difference(&plan.parts, elements));
    let bytes: u64 = elements.iter().map(Element::bytes).sum();
    if plan.bytes != bytes {
        defects.push(format!("the plan says {} bytes, the elements have {bytes}", plan.bytes));
    }
    let crc = Crc64::of_all(elements.iter().map(|element| (element.crc(), element.bytes())));
    if plan.crc != crc {
        defects.push(format!("the plan says CRC {}, the elements have {crc}", plan.crc));
    }
    defects
}
