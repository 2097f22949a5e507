//! A gap, which is streamed, in parts that memory can hold.

use std::ops;

use super::{Limits, row::Row};

/// Where a gap is cut into parts.
pub(super) struct Cuts {
    /// The cuts, in bytes from the gap's beginning.
    pub(super) at: Vec<u64>,
    /// How many of them split a range, which then takes one read more.
    splits: u64,
}

impl Cuts {
    /// Cuts a gap of these spans into parts of `part_bytes_min` to `streamed_bytes`; the last part of all may be shorter.
    ///
    /// Parts plus splits are as few as can be. A part ends with the last range that fits into it (a literal can be cut
    /// anywhere). To split that range instead would make this part reach further, but not past that range's end, which
    /// the next part reaches anyway: so a split costs a read and saves at most one part. Only the last part can be too
    /// short. Then the cut before it moves back, to the nearest border or, should that make the part before too short,
    /// to the nearest byte. Such a split could be avoided only by a gap that the planner never chooses: in what it
    /// does choose ([`super::lend`]), a range is shorter than twice `part_bytes_min` unless the gap makes two parts at
    /// most, and with `streamed_bytes` at four times that, a border remains.
    pub(super) fn of(row: &Row<'_>, gap: ops::Range<usize>, is_last: bool, limits: &Limits) -> Self {
        let mut cuts = Self { at: Vec::new(), splits: 0 };
        let bytes = row.bytes(gap.clone());
        if bytes <= limits.streamed_bytes {
            return cuts;
        }
        let (mut part_start, mut start) = (0, 0);
        for span in gap.clone() {
            let end = start + row.span_bytes(span);
            while end > part_start + limits.streamed_bytes {
                part_start =
                    if row.range(span).is_some() { start } else { part_start + limits.streamed_bytes };
                cuts.at.push(part_start);
            }
            start = end;
        }
        if !is_last && bytes - part_start < limits.part_bytes_min {
            cuts.at.pop();
            cuts.last_so_that_enough_remains(row, gap, limits);
        }
        cuts
    }

    fn last_so_that_enough_remains(&mut self, row: &Row<'_>, gap: ops::Range<usize>, limits: &Limits) {
        let latest = row.bytes(gap.clone()) - limits.part_bytes_min;
        let begins_at = |span: usize| row.bytes(gap.start..span);
        let part_start = self.at.last().copied().unwrap_or(0);
        // The beginning of the gap is a border, and the latest cut lies behind it.
        let span = gap.clone().rev().find(|span| begins_at(*span) <= latest).unwrap_or(gap.start);
        let border = begins_at(span);
        if row.range(span).is_some() && border >= part_start + limits.part_bytes_min {
            self.at.push(border);
        } else {
            self.at.push(latest);
            self.splits += u64::from(row.range(span).is_some() && border < latest);
        }
    }

    /// How many requests it takes to stream the gap: a read for each range, an upload for each part.
    pub(super) fn requests(&self, row: &Row<'_>, gap: ops::Range<usize>) -> u64 {
        row.ranges(gap) + self.splits + self.at.len() as u64 + 1
    }
}
