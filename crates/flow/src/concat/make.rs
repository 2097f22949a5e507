//! From elements to parts.

use std::ops;

use super::gap::cuts;
use super::lend::{Copied, copied};
use super::nodes::nodes;
use super::row::Row;
use super::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment, Version};
use crate::crc::Crc64;
use crate::literal::Literal;

/// The output does not fit into one multipart upload, nor do nodes help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the output of {bytes} bytes does not fit into {parts} parts of at most {part_bytes_max} bytes")]
pub struct TooLarge {
    /// How long it would be.
    pub bytes: u64,
    /// Most parts of an upload.
    pub parts: u32,
    /// Largest part, in bytes.
    pub part_bytes_max: u64,
}

/// Plans how S3 puts these elements together.
///
/// Of all ways to make them in one upload, this is one that streams the fewest bytes, and of these one with the fewest
/// requests: a copied part is one, a streamed part is one and one for each range in it. Only where that makes more parts
/// than an upload may have, copied parts grow beyond `copy_bytes`, just so far that they suffice; and where even the
/// largest do not, there are nodes.
///
/// # Errors
/// When the output is larger than an object can be; within some parts of that size also when its pieces, each
/// rounded up to whole parts, need more parts than there are.
pub fn make(elements: &[Element], limits: &Limits) -> Result<Concat, TooLarge> {
    debug_assert!(limits.are_in_proportion(), "{limits:?}");
    let bytes = elements.iter().fold(0, |bytes: u64, element| bytes.saturating_add(element.bytes()));
    let too_large = TooLarge { bytes, parts: limits.parts, part_bytes_max: limits.part_bytes_max };
    if bytes > limits.object_bytes() {
        return Err(too_large);
    }
    let row = Row::new(elements);
    if let Some(plan) = in_one_upload(&row, limits) {
        return Ok(Concat::Whole(plan));
    }
    nodes(&row, limits).map(Concat::Nodes).ok_or(too_large)
}

/// The plan for a row, unless it needs more parts than an upload may have.
pub(super) fn in_one_upload(row: &Row<'_>, limits: &Limits) -> Option<ConcatPlan> {
    let bytes = row.bytes(0..row.len());
    // Of three stretches in a row one at least is copied ([`super::lend`]). A walk over many more would take memory for each.
    let stretches = (0..row.len()).filter(|span| row.is_stretch(*span, limits)).count();
    if stretches / 3 > limits.parts as usize {
        return None;
    }
    // What is smaller than a part is put, not uploaded in parts.
    let copied = if bytes < limits.part_bytes_min { Vec::new() } else { copied(row, limits) };
    if copied.len() > limits.parts as usize {
        return None;
    }
    let stretches = Parts::of(row, &copied, limits);
    let parts = copies_split(stretches, limits)?;
    let crc = Crc64::of_all(row.elements().iter().map(|element| (element.crc(), element.bytes())));
    Some(ConcatPlan { version: Version, parts, bytes, crc })
}

/// Splits copied stretches into parts of equal size, as large as need be.
fn copies_split(stretches: Vec<Part>, limits: &Limits) -> Option<Vec<Part>> {
    let requests = |part: &Part, copy_bytes: u64| match part {
        Part::Copy(range) => range.bytes().div_ceil(copy_bytes),
        Part::Stream(_) => 1,
    };
    let fits = |copy_bytes: u64| {
        let parts: u64 = stretches.iter().map(|part| requests(part, copy_bytes)).sum();
        parts <= u64::from(limits.parts)
    };
    let copy_bytes = least(limits.copy_bytes, limits.part_bytes_max, fits)?;
    let mut parts = Vec::new();
    for part in stretches {
        match part {
            Part::Copy(range) if range.bytes() > copy_bytes => {
                in_equal_parts(&range, range.bytes().div_ceil(copy_bytes), &mut parts);
            }
            part @ (Part::Copy(_) | Part::Stream(_)) => parts.push(part),
        }
    }
    Some(parts)
}

/// The least number from `low` to `high` that is enough, if any is; what is more than enough is enough.
fn least(mut low: u64, mut high: u64, is_enough: impl Fn(u64) -> bool) -> Option<u64> {
    if is_enough(low) {
        return Some(low);
    }
    if !is_enough(high) {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

fn in_equal_parts(range: &Range, count: u64, parts: &mut Vec<Part>) {
    let border =
        |position: u64| (u128::from(range.bytes()) * u128::from(position) / u128::from(count)) as u64;
    let part = |position: u64| range.part(border(position), border(position + 1) - border(position));
    parts.extend((0..count).map(|position| Part::Copy(part(position))));
}

/// Parts, of which each copied one is still a whole stretch.
struct Parts<'a> {
    row: &'a Row<'a>,
    parts: Vec<Part>,
    /// The streamed part that is being collected.
    segments: Vec<Segment>,
}

impl<'a> Parts<'a> {
    fn of(row: &'a Row<'a>, copied: &[Copied], limits: &Limits) -> Vec<Part> {
        let mut parts = Self { row, parts: Vec::new(), segments: Vec::new() };
        let mut gap_start = 0;
        for this in copied {
            let bytes = row.span_bytes(this.span);
            let lent = this.lent_before + this.lent_behind;
            parts.gap(gap_start..this.span, false, limits);
            parts.stream(this.span, 0, this.lent_before);
            parts.end_part();
            parts.copy(this.span, this.lent_before, bytes - lent);
            parts.stream(this.span, bytes - this.lent_behind, this.lent_behind);
            gap_start = this.span + 1;
        }
        parts.gap(gap_start..row.len(), true, limits);
        parts.end_part();
        parts.parts
    }

    /// Streams a gap. To one that is long enough to be cut, nothing is lent.
    fn gap(&mut self, gap: ops::Range<usize>, is_last: bool, limits: &Limits) {
        let mut cuts = cuts(self.row, gap.clone(), is_last, limits);
        cuts.reverse();
        let mut start = 0;
        for span in gap {
            let end = start + self.row.span_bytes(span);
            let mut streamed = start;
            while let Some(cut) = cuts.pop_if(|cut| *cut < end) {
                self.stream(span, streamed - start, cut - streamed);
                self.end_part();
                streamed = cut;
            }
            self.stream(span, streamed - start, end - streamed);
            start = end;
        }
    }

    fn copy(&mut self, span: usize, start: u64, bytes: u64) {
        self.parts.extend(self.row.range(span).map(|range| Part::Copy(range.part(start, bytes))));
    }

    /// Adds so many bytes of a span to the streamed part.
    fn stream(&mut self, span: usize, start: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        match (self.row.begins_with(span), self.segments.last_mut()) {
            (Element::Piece(range, _), _) => self.segments.push(Segment::Range(range.part(start, bytes))),
            (Element::Literal(literal), Some(Segment::Literal(last))) => {
                last.0.extend_from_slice(cut(literal, start, bytes));
            }
            (Element::Literal(literal), _) => {
                self.segments.push(Segment::Literal(cut(literal, start, bytes).into()));
            }
        }
    }

    fn end_part(&mut self) {
        if !self.segments.is_empty() {
            // Most streamed parts have few segments, and there may be a million: none has room for more than it has.
            self.parts.push(Part::Stream(self.segments.drain(..).collect()));
        }
    }
}

fn cut(literal: &Literal, start: u64, bytes: u64) -> &[u8] {
    &literal.0[start as usize..(start + bytes) as usize]
}
