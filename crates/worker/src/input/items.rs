//! The job's own items as lines.

use bytes::Bytes;
use fanfold_flow::job::{Job, Source};

/// The items from `first` on, `count` of them, a line each.
pub(super) fn lines(job: &Job, first: u64, count: u64) -> Bytes {
    let Source::Items(items) = &job.source else { return Bytes::new() };
    let values = items.values.as_deref().unwrap_or_default();
    let (first, count) =
        (usize::try_from(first).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    let mut lines = Vec::new();
    for item in values.iter().skip(first).take(count) {
        lines.extend_from_slice(item.line().as_bytes());
        lines.push(b'\n');
    }
    Bytes::from(lines)
}

/// Where in `lines` the first `count` of them end; none if there are not so many.
pub(super) fn end_of(lines: &[u8], count: u64) -> Option<u64> {
    let Some(last) = count.checked_sub(1) else { return Some(0) };
    let mut ends = memchr::memchr_iter(b'\n', lines);
    ends.nth(usize::try_from(last).unwrap_or(usize::MAX)).map(|place| place as u64 + 1)
}
