//! From results and a format to what the output is.

use std::borrow::Borrow;

use super::{Element, Range};
use crate::crc::Crc64;
use crate::job::Format;
use crate::literal::Literal;
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
}

/// What the output is: a format's literals around the results in order of `(index, cut)`.
///
/// # Errors
/// When results of format `csv` begin with different headers.
pub fn elements<R: Borrow<ChunkResult>>(
    format: Format,
    results: &[R],
) -> Result<Vec<Element>, ElementsError> {
    debug_assert!(results.is_sorted_by_key(|result| (result.borrow().index, result.borrow().cut)));
    let mut elements = match format {
        Format::Bytes | Format::Lines => Vec::new(),
        Format::Csv => header(results)?.into_iter().map(Element::Literal).collect(),
        Format::JsonArray => vec![literal(b"[")],
    };
    let pieces: Vec<&Stored> = results
        .iter()
        .filter_map(|result| result.borrow().stored.as_ref())
        .filter(|stored| stored.bytes > 0)
        .collect();
    for (position, stored) in pieces.iter().enumerate() {
        elements.push(piece(stored, position + 1 < pieces.len()));
    }
    if format == Format::JsonArray {
        elements.push(literal(b"]\n"));
    }
    Ok(elements)
}

fn literal(bytes: &[u8]) -> Element {
    Element::Literal(Literal::from(bytes))
}

fn piece(stored: &Stored, with_separator: bool) -> Element {
    let separator = if with_separator { stored.separator.0.as_slice() } else { &[] };
    let range = Range {
        object: stored.object.clone(),
        etag: stored.etag.clone(),
        object_bytes: stored.object_bytes,
        start: stored.offset,
        end: stored.offset + stored.bytes + separator.len() as u64,
    };
    Element::Piece(range, stored.crc.then(Crc64::of(separator), separator.len() as u64))
}

/// The one header of all results that have one. A result may be empty; then it has none. One that is nothing but its
/// header may lack the line's end, so that of another is taken where there is one.
fn header<R: Borrow<ChunkResult>>(results: &[R]) -> Result<Option<Literal>, ElementsError> {
    let results = results.iter().map(Borrow::borrow);
    let mut with_header = results.clone().filter_map(|result| Some((result.index, result.header.as_ref()?)));
    let Some((first, first_header)) = with_header.next() else { return Ok(None) };
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
