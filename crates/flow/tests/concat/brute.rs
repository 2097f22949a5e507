//! The best way to put a few bytes together, by trying them all.

use fanfold_flow::concat::{Element, Limits};

/// Where a byte of the output comes from: an element that is a range, as `(object, offset in it, its length)`, or a
/// literal.
type Origin<'a> = Option<(&'a str, u64, u64)>;

/// The fewest bytes that must be streamed, and the fewest requests with that, over all ways to cut the output into parts
/// that are copied or streamed; no matter how many parts.
///
/// Each part may end at any byte: a shortest path over the bytes of the output.
pub(crate) fn optimum(elements: &[Element], limits: &Limits) -> (u64, u64) {
    let bytes = origins(elements);
    let total = bytes.len();
    if total == 0 {
        return (0, 0);
    }
    if (total as u64) < limits.part_bytes_min {
        return (total as u64, 1 + reads(&bytes));
    }
    let mut best: Vec<Option<(u64, u64)>> = vec![None; total + 1];
    best[0] = Some((0, 0));
    for start in 0..total {
        let Some((streamed, requests)) = best[start] else { continue };
        let mut reads = 0;
        let mut is_one_range = true;
        for end in start + 1..=total {
            let part = &bytes[start..end];
            let is_new = !goes_on(part);
            reads += u64::from(is_new && part[part.len() - 1].is_some());
            is_one_range &= part[0].is_some() && (part.len() == 1 || !is_new);
            let length = part.len() as u64;
            if length > limits.copy_bytes.max(limits.streamed_bytes) {
                break;
            }
            if length < limits.part_bytes_min && end < total {
                continue;
            }
            let mut offer =
                |cost: (u64, u64)| best[end] = Some(best[end].map_or(cost, |known| known.min(cost)));
            if length <= limits.streamed_bytes {
                offer((streamed + length, requests + 1 + reads));
            }
            if length <= limits.copy_bytes && is_one_range && can_be_copied(part, limits) {
                offer((streamed, requests + 1));
            }
        }
    }
    best[total].unwrap()
}

fn origins(elements: &[Element]) -> Vec<Origin<'_>> {
    let mut origins = Vec::new();
    for element in elements {
        match element {
            Element::Literal(literal) => origins.extend(literal.0.iter().map(|_| None)),
            Element::Piece(range, _) => {
                let bytes = range.start..range.end;
                origins.extend(bytes.map(|at| Some((range.object.uri.key.as_str(), at, range.object.bytes))));
            }
        }
    }
    origins
}

/// Whether the last byte of a part follows the one before it in the same object.
fn goes_on(part: &[Origin<'_>]) -> bool {
    match part {
        [.., Some((object, at, _)), Some((next_object, next, _))] => object == next_object && at + 1 == *next,
        _ => false,
    }
}

fn reads(bytes: &[Origin<'_>]) -> u64 {
    (1..=bytes.len()).filter(|end| bytes[end - 1].is_some() && !goes_on(&bytes[..*end])).count() as u64
}

fn can_be_copied(part: &[Origin<'_>], limits: &Limits) -> bool {
    part[0].is_some_and(|(_, at, object_bytes)| {
        object_bytes > limits.part_bytes_min || (at == 0 && object_bytes == part.len() as u64)
    })
}
