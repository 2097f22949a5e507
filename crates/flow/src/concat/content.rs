//! Whether parts, one after another, are the elements.

use std::fmt;

use super::{Element, Part, Range, Segment};

/// Where the parts begin to be something else than the elements, if they do.
pub(super) fn difference(parts: &[Part], elements: &[Element]) -> Option<String> {
    let mut planned = parts.iter().flat_map(bits).filter(|bit| bit.bytes() > 0);
    let mut wanted = elements.iter().map(Bit::of_element).filter(|bit| bit.bytes() > 0);
    let (mut planned_rest, mut wanted_rest) = (None, None);
    let mut position = 0;
    loop {
        let next_planned = planned_rest.take().or_else(|| planned.next());
        let next_wanted = wanted_rest.take().or_else(|| wanted.next());
        match (next_planned, next_wanted) {
            (None, None) => return None,
            (Some(this), Some(that)) if this.begins_like(&that) => {
                let bytes = this.bytes().min(that.bytes());
                (planned_rest, wanted_rest) = (this.after(bytes), that.after(bytes));
                position += bytes;
            }
            (this, that) => {
                return Some(format!(
                    "the parts, one after the other, are not the elements: at byte {position}, where {} should be, \
                     there is {}",
                    named(that),
                    named(this)
                ));
            }
        }
    }
}

fn bits(part: &Part) -> impl Iterator<Item = Bit<'_>> {
    let (copied, streamed) = match part {
        Part::Copy(range) => (Some(range), &[][..]),
        Part::Stream(segments) => (None, segments.as_slice()),
    };
    copied.into_iter().map(Bit::of_range).chain(streamed.iter().map(Bit::of_segment))
}

fn named(bit: Option<Bit<'_>>) -> String {
    bit.map_or_else(|| "the end".to_owned(), |bit| bit.to_string())
}

/// Bytes from one place.
#[derive(Clone, Copy)]
enum Bit<'a> {
    Literal(&'a [u8]),
    Range { of: &'a Range, start: u64, end: u64 },
}

impl<'a> Bit<'a> {
    fn of_element(element: &'a Element) -> Self {
        match element {
            Element::Literal(literal) => Self::Literal(&literal.0),
            Element::Piece(range, _) => Self::of_range(range),
        }
    }

    fn of_segment(segment: &'a Segment) -> Self {
        match segment {
            Segment::Literal(literal) => Self::Literal(&literal.0),
            Segment::Range(range) => Self::of_range(range),
        }
    }

    fn of_range(range: &'a Range) -> Self {
        Self::Range { of: range, start: range.start, end: range.end }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Literal(bytes) => bytes.len() as u64,
            Self::Range { start, end, .. } => end.saturating_sub(*start),
        }
    }

    /// Whether they are the same as far as both go.
    fn begins_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(this), Self::Literal(that)) => {
                this.iter().zip(*that).all(|(this, that)| this == that)
            }
            (Self::Range { of: this, start, .. }, Self::Range { of: that, start: other_start, .. }) => {
                start == other_start && this.object == that.object
            }
            (Self::Literal(_), Self::Range { .. }) | (Self::Range { .. }, Self::Literal(_)) => false,
        }
    }

    /// What is left behind the first `bytes` bytes, of which there are so many.
    fn after(self, bytes: u64) -> Option<Self> {
        let rest = match self {
            Self::Literal(literal) => Self::Literal(&literal[bytes as usize..]),
            Self::Range { of, start, end } => Self::Range { of, start: start + bytes, end },
        };
        (rest.bytes() > 0).then_some(rest)
    }
}

impl fmt::Display for Bit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A literal may be a mebibyte.
            Self::Literal(bytes) => write!(f, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)])),
            Self::Range { of, start, end } => write!(f, "{start}..{end} of {}", of.object.uri),
        }
    }
}
