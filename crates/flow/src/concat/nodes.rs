//! A tree, where one upload has too few parts.

use super::make::in_one_upload;
use super::row::Row;
use super::{ConcatPlan, Element, Limits, Range};
use crate::chunk::ObjectVersion;
use crate::uri::ObjectUri;

/// Plans objects in between, which one after another are this row; none where that does not help.
///
/// Each is planned by itself, so that its last part may be small. They end between spans, so between elements, and
/// their CRCs follow from those of elements. Every one but the last has the bytes of a part: all of it is copied.
pub(super) fn nodes(row: &Row<'_>, limits: &Limits) -> Option<Vec<ConcatPlan>> {
    let mut nodes = Vec::new();
    let mut start = 0;
    for end in ends(row, limits) {
        let end = row.element(end);
        nodes.push(in_one_upload(&Row::new(&row.elements()[start..end]), limits)?);
        start = end;
    }
    let pieces: Vec<Element> = nodes.iter().enumerate().map(|(number, node)| piece(number, node)).collect();
    in_one_upload(&Row::new(&pieces), limits).map(|_| nodes)
}

/// A node as it will be, but for its address.
fn piece(number: usize, node: &ConcatPlan) -> Element {
    let uri = ObjectUri::new("", number.to_string());
    let object = ObjectVersion { uri, etag: String::new(), bytes: node.bytes };
    Element::Piece(Range::whole(object), node.crc)
}

/// The spans before which the nodes end; for the last the row's length.
///
/// A node takes `node_requests`, and then all up to the next stretch, since a gap at its end need not be as long as a
/// part; but not more than twice as many. Each span adds two parts at most (a gap beside it, itself), so that makes no
/// more than half as many parts as there may be. A stretch that alone is work enough has a node of its own, but for
/// what is too small to make one before it.
fn ends(row: &Row<'_>, limits: &Limits) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut start, mut requests) = (0, 0);
    for span in 0..row.len() {
        let more = span_requests(row, span, limits);
        let is_border = row.is_stretch(span, limits) && requests.max(more) >= limits.node_requests;
        let is_enough = is_border || requests >= 2 * limits.node_requests;
        if is_enough && row.bytes(start..span) >= limits.part_bytes_min {
            ends.push(span);
            (start, requests) = (span, 0);
        }
        requests += more;
    }
    ends.push(row.len());
    ends
}

/// How many requests a span takes: copies, or a read; a literal none, unless it makes parts of its own.
fn span_requests(row: &Row<'_>, span: usize, limits: &Limits) -> u64 {
    let bytes = row.span_bytes(span);
    match row.range(span) {
        Some(_) if row.is_stretch(span, limits) => bytes.div_ceil(limits.copy_bytes),
        Some(_) => 1,
        None => bytes / limits.streamed_bytes,
    }
}
