//! Elements as a copying store sees them.

use std::ops;

use super::{Element, Limits, Range};

/// A row of spans: elements one after another, empty ones left out, and ranges that touch made one.
///
/// It borrows its elements and keeps 16 bytes for each span, since there may be a million of them.
pub(super) struct Row<'a> {
    elements: &'a [Element],
    /// One more than there are spans: the last one stands behind the end.
    spans: Vec<Span>,
}

struct Span {
    /// Its first element.
    element: usize,
    /// Where it begins in the row, in bytes.
    start: u64,
}

impl<'a> Row<'a> {
    pub(super) fn new(elements: &'a [Element]) -> Self {
        let mut spans = Vec::new();
        let (mut start, mut before) = (0, None);
        for (element, this) in elements.iter().enumerate().filter(|(_, this)| this.bytes() > 0) {
            if !before.is_some_and(|before| touch(before, this)) {
                spans.push(Span { element, start });
            }
            start += this.bytes();
            before = Some(this);
        }
        spans.push(Span { element: elements.len(), start });
        Self { elements, spans }
    }

    pub(super) fn elements(&self) -> &'a [Element] {
        self.elements
    }

    /// How many spans.
    pub(super) fn len(&self) -> usize {
        self.spans.len() - 1
    }

    /// How many bytes these spans have.
    pub(super) fn bytes(&self, spans: ops::Range<usize>) -> u64 {
        self.spans[spans.end].start - self.spans[spans.start].start
    }

    /// How many bytes this span has.
    pub(super) fn span_bytes(&self, span: usize) -> u64 {
        self.bytes(span..span + 1)
    }

    /// The first element of a span; for the one behind the last, how many elements there are.
    pub(super) fn element(&self, span: usize) -> usize {
        self.spans[span].element
    }

    /// The element that a span is, or begins with.
    pub(super) fn begins_with(&self, span: usize) -> &'a Element {
        &self.elements[self.spans[span].element]
    }

    /// The first range of a span, of which it may be a continuation; none for a literal.
    pub(super) fn range(&self, span: usize) -> Option<&'a Range> {
        match self.begins_with(span) {
            Element::Piece(range, _) => Some(range),
            Element::Literal(_) => None,
        }
    }

    /// How many of these spans are ranges: that many reads it takes to stream them.
    pub(super) fn ranges(&self, spans: ops::Range<usize>) -> u64 {
        spans.filter(|span| self.range(*span).is_some()).count() as u64
    }

    /// Whether a span is a stretch: one that can be a copied part where it stands, or several.
    pub(super) fn is_stretch(&self, span: usize, limits: &Limits) -> bool {
        let Some(range) = self.range(span) else { return false };
        let bytes = self.span_bytes(span);
        let is_last = span + 1 == self.len();
        let is_whole = range.start == 0 && bytes == range.object.bytes;
        bytes >= limits.part_bytes_min || is_last && (is_whole || limits.takes_ranges_of(range.object.bytes))
    }

    /// How many bytes a stretch can lend to the gaps beside it, so that a copied part remains.
    pub(super) fn lendable(&self, stretch: usize, limits: &Limits) -> u64 {
        let is_last = stretch + 1 == self.len();
        let kept = if is_last { 1 } else { limits.part_bytes_min };
        match self.range(stretch) {
            Some(range) if limits.takes_ranges_of(range.object.bytes) => self.span_bytes(stretch) - kept,
            _ => 0,
        }
    }
}

fn touch(before: &Element, next: &Element) -> bool {
    match (before, next) {
        (Element::Piece(before, _), Element::Piece(next, _)) => {
            before.end == next.start && before.object == next.object
        }
        _ => false,
    }
}
