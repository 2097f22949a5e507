//! From results and a format to what the output is.

use std::borrow::Borrow;
use std::sync::Arc;

use super::{Element, Range};
use crate::crc::Crc64;
use crate::job::{Compress, Format};
use crate::literal::Literal;
use crate::member::member;
use crate::result::{ChunkResult, Stored};

/// Results do not make one output of this format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementsError {
    /// Two results begin with different CSV headers.
    #[error(
        "the results of index {first} and index {index} begin with different header lines, {first_header:?} and {header:?}; \
         the program must print the same header for every chunk, or the output's format must be \"lines\""
    )]
    Header {
        /// The first result that has a header.
        first: u64,
        /// Its header.
        first_header: Literal,
        /// The first result that differs from it.
        index: u64,
        /// Its header.
        header: Literal,
    },
    /// Some results begin with a header, and one with rows does not.
    #[error(
        "the result of index {with} begins with a header, and that of index {without} has none; the program must print the same header \
         for every chunk, or the output's format must be \"lines\""
    )]
    HeaderMissing {
        /// A result that has one.
        with: u64,
        /// A result that has rows, and none.
        without: u64,
    },
}

/// What the output is: a format's literals around the results in order of `(index, cut)`. What is compressed never has no
/// byte, since a decoder would refuse that.
///
/// What stands before the first result that has bytes is taken out of that result's object, where it is its lead; and what
/// the output ends with, where it stands behind the last one. Otherwise they are literals.
///
/// # Errors
/// When results of format `csv` begin with different headers.
pub fn elements<R: Borrow<ChunkResult>>(
    format: Format,
    compress: Compress,
    results: &[R],
) -> Result<Vec<Element>, ElementsError> {
    debug_assert!(results.is_sorted_by_key(|result| (result.borrow().index, result.borrow().cut)));
    let header = if format == Format::Csv { header(results)? } else { None };
    let prefix = header.as_ref().map_or(format.prefix(), |header| &header.0);
    let pieces: Vec<(&ChunkResult, &Stored)> =
        results.iter().map(Borrow::borrow).filter_map(with_bytes).collect();
    let (Some((first, at_first)), Some((_, at_last))) = (pieces.first(), pieces.last()) else {
        let whole = member(compress, &[prefix, format.suffix()].concat());
        return Ok(literal(whole).into_iter().collect());
    };
    let wrapped = |bytes: &[u8]| if bytes.is_empty() { Vec::new() } else { member(compress, bytes) };
    let (prefix, suffix) = (wrapped(prefix), wrapped(format.suffix()));
    let leads = first.header.as_deref() == header.as_ref() && at_first.lead_bytes == prefix.len() as u64;
    let ends = at_last.separator.0 == format.suffix();

    let mut elements = Vec::with_capacity(pieces.len() + 2);
    if !leads {
        elements.extend(literal(prefix.clone()));
    }
    for (position, (_, stored)) in pieces.iter().enumerate() {
        let lead = if position == 0 && leads { prefix.as_slice() } else { &[] };
        let is_last = position + 1 == pieces.len();
        let tail = if is_last && !ends { Vec::new() } else { wrapped(&stored.separator.0) };
        elements.push(piece(stored, lead, &tail));
    }
    if !ends {
        elements.extend(literal(suffix));
    }
    Ok(elements)
}

/// A result and where it is, if it has any bytes.
fn with_bytes(result: &ChunkResult) -> Option<(&ChunkResult, &Stored)> {
    result.stored.as_ref().filter(|stored| stored.bytes > 0).map(|stored| (result, stored))
}

fn literal(bytes: Vec<u8>) -> Option<Element> {
    (!bytes.is_empty()).then_some(Element::Literal(Literal(bytes)))
}

/// A result, with what stands right before it in its object, and right behind it.
fn piece(stored: &Stored, lead: &[u8], tail: &[u8]) -> Element {
    let (lead_bytes, tail_bytes) = (lead.len() as u64, tail.len() as u64);
    let range = Range {
        object: Arc::clone(&stored.object),
        start: stored.offset - lead_bytes,
        end: stored.offset + stored.bytes + tail_bytes,
    };
    let crc = Crc64::of(lead).then(stored.crc, stored.bytes).then(Crc64::of(tail), tail_bytes);
    Element::Piece(range, crc)
}

/// The one header of all results that have one. A result may be empty; then it has none. One that is nothing but its
/// header may lack the line's end, so that of another is taken where there is one.
fn header<R: Borrow<ChunkResult>>(results: &[R]) -> Result<Option<Literal>, ElementsError> {
    let results = results.iter().map(Borrow::borrow);
    let mut with_header =
        results.clone().filter_map(|result| Some((result.index, result.header.as_deref()?)));
    let Some((first, first_header)) = with_header.next() else { return Ok(None) };
    let is_without = |result: &&ChunkResult| result.header.is_none() && result.bytes() > 0;
    if let Some(without) = results.clone().find(is_without) {
        return Err(ElementsError::HeaderMissing { with: first, without: without.index });
    }
    let mut chosen = first_header;
    for (index, header) in with_header {
        if line(header) != line(first_header) {
            let (first_header, header) = (first_header.clone(), header.clone());
            return Err(ElementsError::Header { first, first_header, index, header });
        }
        if !chosen.0.ends_with(b"\n") {
            chosen = header;
        }
    }
    let mut header = chosen.clone();
    if !header.0.ends_with(b"\n") && results.clone().any(|result| result.bytes() > 0) {
        header.0.push(b'\n');
    }
    Ok(Some(header))
}

fn line(header: &Literal) -> &[u8] {
    let line = header.0.strip_suffix(b"\n").unwrap_or(&header.0);
    line.strip_suffix(b"\r").unwrap_or(line)
}
