//! Finding a separator in bytes that come in pieces.

use memchr::memmem;

/// A separator that does not overlap itself, so that its places do not depend on where the search began.
#[derive(Clone, Debug)]
pub(crate) struct Separator {
    bytes: Vec<u8>,
    /// The last bytes seen, at most as many as the separator has.
    carry: Vec<u8>,
}

impl Separator {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), carry: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next piece in; where in it the first separator ends, if one does.
    pub(crate) fn find_end(&mut self, piece: &[u8]) -> Option<usize> {
        let found = self.first_end(piece);
        self.remember(piece);
        found
    }

    /// Where in the next piece, which is not taken in, a separator ends: the last one within its first `room` bytes, else
    /// the first one behind them.
    pub(crate) fn end_about(&self, piece: &[u8], room: usize) -> Option<usize> {
        let within = &piece[..room.min(piece.len())];
        let last = if self.len() == 1 {
            memchr::memrchr(self.bytes[0], within)
        } else {
            memmem::rfind(within, &self.bytes)
        };
        last.map(|place| place + self.len()).or_else(|| self.first_end(piece))
    }

    /// As [`Self::end_about`], of the separators that lie in the piece as a whole.
    pub(crate) fn end_within(&self, piece: &[u8], room: usize) -> Option<usize> {
        let within = &piece[..room.min(piece.len())];
        let place = memmem::rfind(within, &self.bytes).or_else(|| memmem::find(piece, &self.bytes))?;
        Some(place + self.len())
    }

    fn first_end(&self, piece: &[u8]) -> Option<usize> {
        let length = self.len();
        if length == 1 {
            return memchr::memchr(self.bytes[0], piece).map(|place| place + 1);
        }
        let seam = self.seam(piece);
        let across = memmem::find(&seam, &self.bytes).map(|place| place + length - self.behind().len());
        across.or_else(|| memmem::find(piece, &self.bytes).map(|place| place + length))
    }

    /// Takes the next piece in; how many separators end in it.
    pub(crate) fn count(&mut self, piece: &[u8]) -> u64 {
        let count = if self.len() == 1 {
            memchr::memchr_iter(self.bytes[0], piece).count()
        } else {
            let seam = self.seam(piece);
            memmem::find_iter(&seam, &self.bytes).count() + memmem::find_iter(piece, &self.bytes).count()
        };
        self.remember(piece);
        count as u64
    }

    /// Whether something was seen, and no separator ended it.
    pub(crate) fn is_open(&self) -> bool {
        !self.carry.is_empty() && self.carry != self.bytes
    }

    /// The last bytes seen among which a separator may have begun that has not ended.
    fn behind(&self) -> &[u8] {
        &self.carry[self.carry.len().saturating_sub(self.len() - 1)..]
    }

    /// Bytes on both sides of the seam between the last piece and this one, too few on either for a whole separator.
    fn seam(&self, piece: &[u8]) -> Vec<u8> {
        let ahead = piece.len().min(self.len() - 1);
        [self.behind(), &piece[..ahead]].concat()
    }

    fn remember(&mut self, piece: &[u8]) {
        let kept = self.len();
        self.carry.extend_from_slice(&piece[piece.len().saturating_sub(kept)..]);
        self.carry.drain(..self.carry.len().saturating_sub(kept));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab;\n".to_vec()), 0..6), 0..8)
    }

    proptest! {
        #[test]
        fn pieces_are_searched_as_if_they_were_one(pieces in pieces(), separator in prop::sample::select(vec!["\n", ";\n", "ab;", "a;b\n"]), room in 0..8_usize) {
            let whole = pieces.concat();
            let first = memmem::find(&whole, separator.as_bytes()).map(|place| place + separator.len());
            let (mut finder, mut counter) = (Separator::new(separator.as_bytes()), Separator::new(separator.as_bytes()));
            let (mut found, mut count, mut offset) = (None, 0, 0);
            for piece in &pieces {
                let ends = memmem::find_iter(&whole, separator.as_bytes()).map(|place| place + separator.len());
                let ends: Vec<_> = ends.filter(|end| (offset + 1..=offset + piece.len()).contains(end)).collect();
                let last_within = ends.iter().rfind(|end| **end <= offset + room);
                prop_assert_eq!(counter.end_about(piece, room).map(|end| offset + end), last_within.or(ends.first()).copied());
                found = found.or_else(|| finder.find_end(piece).map(|end| offset + end));
                count += counter.count(piece);
                offset += piece.len();
            }
            prop_assert_eq!(found, first);
            prop_assert_eq!(count as usize, memmem::find_iter(&whole, separator.as_bytes()).count());
            prop_assert_eq!(counter.is_open(), !whole.is_empty() && !whole.ends_with(separator.as_bytes()));
        }
    }
}
