//! Records that are separated by blank lines.
//!
//! A record begins with a line that is not blank behind one that is; the blank lines belong to the record before them. A line is
//! blank that has nothing before its line end, which may be LF or CRLF.

use memchr::memchr;

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// Behind a CR that begins the line.
    Cr,
    Text,
}

/// Follows lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paragraphs {
    place: Place,
    /// Whether the line before this one is blank.
    is_behind_blank: bool,
}

impl Paragraphs {
    /// So many bytes before a line's first say whether the line before it is blank.
    pub(crate) const LOOK_BEHIND_BYTES: u64 = 3;

    /// In the midst of an object.
    pub(crate) fn within() -> Self {
        Self { place: Place::Text, is_behind_blank: false }
    }

    /// At the beginning of a record.
    pub(crate) fn at_record() -> Self {
        Self { place: Place::Start, is_behind_blank: false }
    }

    /// Takes bytes that begin at `position`; where in the object the first record begins that begins at `from` or behind it.
    pub(crate) fn find_begin(&mut self, position: u64, from: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = 0;
        while at < bytes.len() {
            let (taken, begun) = self.take(&bytes[at..]);
            // A record that begins with a CR is noticed one byte later.
            let begin = begun.map(|back| position + at as u64 - back);
            at += taken;
            if begin.is_some_and(|begin| begin >= from) {
                return begin;
            }
        }
        None
    }

    /// Takes a byte, or the rest of a line's text: how many bytes, and how many before the first of them a record begins.
    fn take(&mut self, bytes: &[u8]) -> (usize, Option<u64>) {
        match (self.place, bytes[0]) {
            (Place::Text, _) => match memchr(b'\n', bytes) {
                Some(end) => {
                    *self = Self { place: Place::Start, is_behind_blank: false };
                    (end + 1, None)
                }
                None => (bytes.len(), None),
            },
            (Place::Start | Place::Cr, b'\n') => {
                *self = Self { place: Place::Start, is_behind_blank: true };
                (1, None)
            }
            (Place::Start, b'\r') => {
                self.place = Place::Cr;
                (1, None)
            }
            (place, _) => {
                let begun = self.is_behind_blank.then_some(u64::from(place == Place::Cr));
                *self = Self { place: Place::Text, is_behind_blank: false };
                (1, begun)
            }
        }
    }

    /// How many records begin in these bytes.
    pub(crate) fn count(&mut self, bytes: &[u8]) -> u64 {
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            let (taken, begun) = self.take(&bytes[at..]);
            count += u64::from(begun.is_some());
            at += taken;
        }
        count
    }

    /// Where in the next bytes, which are not taken, a record begins behind their first: the last one that does within `room` bytes,
    /// else the first one behind them.
    pub(crate) fn begin_about(mut self, bytes: &[u8], room: usize) -> Option<usize> {
        let (mut at, mut last) = (0, None);
        while at < bytes.len() {
            let (taken, begun) = self.take(&bytes[at..]);
            let begin = begun.and_then(|back| at.checked_sub(usize::try_from(back).unwrap_or(0)));
            at += taken;
            match begin.filter(|begin| *begin > 0) {
                Some(begin) if begin > room => return last.or(Some(begin)),
                Some(begin) => last = Some(begin),
                // A record that begins with a CR is noticed one byte later.
                None if at > room.saturating_add(1) && last.is_some() => return last,
                None => {}
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_begins_with_a_cr_is_found_at_the_end_of_the_room() {
        let bytes = b"a\n\nb\n\n\rc\n";
        assert_eq!(Paragraphs::at_record().begin_about(bytes, 6), Some(6));
        assert_eq!(Paragraphs::at_record().begin_about(bytes, 5), Some(3));
    }
}
