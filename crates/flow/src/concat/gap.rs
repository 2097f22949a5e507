//! A gap, which is streamed, in parts that memory can hold.

use std::ops;

use super::{Limits, row::Row};

/// Where to cut a gap of these spans into parts of `part_bytes_min` to `streamed_bytes`, of which the last part of all
/// may be shorter: in bytes from the gap's beginning.
///
/// No range is split, and the parts are as few as can be: each ends with the last range that fits into it. To split
/// that would make the part reach further, but not past that range's end, which the next part reaches anyway: so a split
/// costs a read and saves one part at most. (To split a literal costs nothing.) The last part may so become too short;
/// then the cut before it moves back to the nearest border that leaves enough.
///
/// Neither makes a part too short, for with `m` for `part_bytes_min` and parts of `3 m` or more: a range of a gap is
/// shorter than `m`, or is a needy stretch ([`super::lend`]). If that has on one side something that lacks nothing, then
/// it has, with the gap on its other side, fewer than `2 m` bytes; if both gaps lack, with both of them fewer than `3 m`.
/// So what does not fit leaves a part of `m` or more before it; and when the last cut moves back from less than `m` before
/// the end, it does so by less than `2 m`, or to the beginning of a stretch that follows another.
pub(super) fn cuts(row: &Row<'_>, gap: ops::Range<usize>, is_last: bool, limits: &Limits) -> Vec<u64> {
    let bytes = row.bytes(gap.clone());
    let mut cuts = Vec::new();
    if bytes <= limits.streamed_bytes {
        return cuts;
    }
    let (mut part_start, mut start) = (0, 0);
    for span in gap.clone() {
        let end = start + row.span_bytes(span);
        while end > part_start + limits.streamed_bytes {
            let is_border = row.range(span).is_some() && start > part_start;
            part_start = if is_border { start } else { part_start + limits.streamed_bytes };
            cuts.push(part_start);
        }
        start = end;
    }
    if !is_last && bytes - part_start < limits.part_bytes_min {
        cuts.pop();
        cuts.push(border_before(bytes - limits.part_bytes_min, row, gap));
    }
    cuts
}

/// The last place at or before `position` where a gap can be cut without splitting a range.
fn border_before(position: u64, row: &Row<'_>, gap: ops::Range<usize>) -> u64 {
    let start = |span: usize| row.bytes(gap.start..span);
    let span = gap.clone().rev().find(|span| start(*span) <= position).unwrap_or(gap.start);
    if row.range(span).is_some() { start(span) } else { position }
}
