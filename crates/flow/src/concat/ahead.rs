//! What an output certainly begins with, while only its first results are there.

use super::{Element, Range, Segment, elements};
use crate::job::{Compress, Format};
use crate::result::{ChunkResult, Stored};

/// What comes next in the output, given the last result before that has bytes, and the results that follow it: all of their
/// bytes, and what stands before each. What stands behind the last one depends on what follows, so it is left to the next
/// call. None if it is not certain what the output begins with.
pub fn ahead(
    format: Format,
    compress: Compress,
    before: Option<&ChunkResult>,
    next: &[ChunkResult],
) -> Option<Vec<Segment>> {
    let Some(last) = next.iter().rev().find_map(bytes_of) else { return Some(Vec::new()) };
    if before.is_none() && format == Format::Csv && !begins_certainly(next) {
        return None;
    }
    let results: Vec<&ChunkResult> = before.into_iter().chain(next).collect();
    let elements = elements(format, compress, &results).ok()?;
    let last_piece = elements.iter().rposition(|element| matches!(element, Element::Piece(..)))?;
    let mut segments: Vec<Segment> = elements[..=last_piece].iter().map(segment).collect();
    if let Some(Segment::Range(range)) = segments.last_mut() {
        range.end = last.offset + last.bytes;
    }
    if let Some(before) = before.and_then(bytes_of) {
        let first_piece = segments.iter().position(|segment| matches!(segment, Segment::Range(_)))?;
        segments.drain(..first_piece);
        if let Some(Segment::Range(range)) = segments.first_mut() {
            range.start = before.offset + before.bytes;
        }
    }
    segments.retain(|segment| !matches!(segment, Segment::Range(Range { start, end, .. }) if start == end));
    Some(segments)
}

/// Whether the header line is whole in the first result that has one. Another's might be taken in its place otherwise.
fn begins_certainly(results: &[ChunkResult]) -> bool {
    let header = results.iter().find_map(|result| result.header.as_deref());
    header.is_some_and(|header| header.0.ends_with(b"\n"))
}

fn bytes_of(result: &ChunkResult) -> Option<&Stored> {
    result.stored.as_ref().filter(|stored| stored.bytes > 0)
}

fn segment(element: &Element) -> Segment {
    match element {
        Element::Literal(literal) => Segment::Literal(literal.clone()),
        Element::Piece(range, _) => Segment::Range(range.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::chunk::ObjectVersion;
    use crate::crc::Crc64;
    use crate::literal::Literal;

    /// A result as a worker leaves it, in an object of its own; the last of a job ends with what the output ends with.
    fn result(format: Format, index: u64, bytes: u64, is_last: bool) -> ChunkResult {
        let header = (format == Format::Csv).then(|| Arc::new(Literal(b"a,b\n".to_vec())));
        let separator: &[u8] = match format {
            Format::JsonArray if is_last => format.suffix(),
            Format::JsonArray => b",",
            Format::Lines if !is_last && index.is_multiple_of(2) => b"\n",
            _ => b"",
        };
        let object = ObjectVersion {
            uri: format!("s3://b/{index}").parse().unwrap(),
            etag: String::new(),
            bytes: 1_000,
        };
        let stored = Stored {
            object: Arc::new(object),
            lead_bytes: 0,
            offset: 100,
            bytes,
            crc: Crc64::of(b""),
            separator: Literal(separator.to_vec()),
        };
        ChunkResult {
            index,
            cut: 0,
            hop: 0,
            attempt: 1,
            stored: (bytes > 0).then_some(stored),
            header,
            records: 0,
            input: None,
            bytes_in: 0,
            bytes_out: bytes,
            started_ms: 0,
            wall_ms: 0,
        }
    }

    /// Bytes that say where they are from.
    fn content(segments: &[Segment]) -> Vec<String> {
        let bytes = segments.iter().flat_map(|segment| match segment {
            Segment::Literal(literal) => literal.0.iter().map(|byte| format!("literal {byte}")).collect(),
            Segment::Range(range) => {
                (range.start..range.end).map(|at| format!("{} {at}", range.object.uri)).collect::<Vec<_>>()
            }
        });
        bytes.collect()
    }

    proptest! {
        /// Whatever is sent ahead is how the output begins, and all of it but the end is sent.
        #[test]
        fn what_is_sent_ahead_is_how_the_output_begins(
            format in prop_oneof![Just(Format::Bytes), Just(Format::Lines), Just(Format::Csv), Just(Format::JsonArray)],
            compress in prop_oneof![Just(Compress::None), Just(Compress::Gzip), Just(Compress::Zstd)],
            lengths in prop::collection::vec(0_u64..4, 1..9),
            partition in 1_usize..4,
        ) {
            let count = lengths.len();
            let results: Vec<ChunkResult> = lengths.iter().enumerate().map(|(index, bytes)| {
                result(format, index as u64, *bytes, index + 1 == count)
            }).collect();
            let (mut sent, mut before) = (Vec::new(), None);
            for next in results.chunks(partition) {
                sent.extend(ahead(format, compress, before, next).unwrap());
                before = next.iter().rev().find(|result| bytes_of(result).is_some()).or(before);
            }
            let whole = elements(format, compress, &results).unwrap();
            let whole = content(&whole.iter().map(segment).collect::<Vec<_>>());
            let sent = content(&sent);
            prop_assert!(whole.starts_with(&sent), "{:?}\n{:?}", whole, sent);
            // All results' own bytes are sent; only what stands behind the last one is not.
            let own = |lines: &[String]| lines.iter().filter(|line| {
                line.strip_prefix("s3://").and_then(|line| line.split_once(' '))
                    .and_then(|(key, at)| Some((key.strip_prefix("b/")?.parse::<usize>().ok()?, at.parse::<u64>().ok()?)))
                    .is_some_and(|(index, at)| at < 100 + lengths[index])
            }).count();
            prop_assert_eq!(own(&sent), own(&whole));
        }
    }

    #[test]
    fn a_header_that_may_be_replaced_is_not_sent() {
        let mut first = result(Format::Csv, 0, 3, false);
        first.header = Some(Arc::new(Literal(b"a,b".to_vec())));
        assert_eq!(ahead(Format::Csv, Compress::None, None, &[first]), None);
    }
}
