//! Strings: long runs of plain characters, eight bytes at a time, and UTF-8 that may be cut anywhere.

const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Characters of a string that stand for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many bytes they are, up to a quote, a backslash, a control character or the end.
    pub(super) bytes: usize,
    pub(super) is_ascii: bool,
}

/// The run that `bytes` begin with.
pub(super) fn run(bytes: &[u8]) -> Run {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut seen = 0;
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let stops = stops(word);
        if stops != 0 {
            // The bits below the first stop are those of the bytes before it.
            let before = word & (stops & stops.wrapping_neg()).wrapping_sub(1);
            let bytes = number * 8 + (stops.trailing_zeros() / 8) as usize;
            return Run { bytes, is_ascii: (seen | before) & HIGH_BITS == 0 };
        }
        seen |= word;
    }
    let plain = rest.iter().position(|byte| is_stop(*byte)).unwrap_or(rest.len());
    let is_ascii = seen & HIGH_BITS == 0 && rest[..plain].is_ascii();
    Run { bytes: words.len() * 8 + plain, is_ascii }
}

fn is_stop(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// The high bits of those bytes that end a run. Only the lowest one is exact: a borrow can set others above it.
fn stops(word: u64) -> u64 {
    let below = |bound: u8, word: u64| word.wrapping_sub(LOW_BITS * u64::from(bound)) & !word;
    let equals = |byte: u8| below(1, word ^ (LOW_BITS * u64::from(byte)));
    (below(b' ', word) | equals(b'"') | equals(b'\\')) & HIGH_BITS
}

/// A character of which only the first bytes have come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CutCharacter {
    bytes: [u8; 4],
    length: usize,
}

/// A byte, at this offset, that is no UTF-8.
pub(super) struct NotUtf8(pub(super) usize);

impl CutCharacter {
    /// True if no character is cut.
    pub(super) fn is_whole(self) -> bool {
        self.length == 0
    }

    /// Checks characters that begin in `bytes`. If they may, the last one is cut where they end.
    pub(super) fn check(&mut self, bytes: &[u8], may_be_cut: bool) -> Result<(), NotUtf8> {
        let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
        let valid = error.valid_up_to();
        let rest = &bytes[valid..];
        if error.error_len().is_some() || !may_be_cut {
            return Err(NotUtf8(valid));
        }
        self.bytes[..rest.len()].copy_from_slice(rest);
        self.length = rest.len();
        Ok(())
    }

    /// Its bytes that have come.
    pub(super) fn begin(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Adds its next byte, unless that does not fit.
    pub(super) fn add(&mut self, byte: u8) -> Result<(), NotUtf8> {
        let known = self.length;
        self.bytes[known] = byte;
        match std::str::from_utf8(&self.bytes[..=known]) {
            Ok(_) => self.length = 0,
            Err(error) if error.error_len().is_none() => self.length += 1,
            Err(_) => return Err(NotUtf8(0)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_end_where_a_look_at_each_byte_ends_them(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x1e..0x24_u8, 0x5b..0x5e_u8, Just(0x80), Just(b'a')], 0..40),
        ) {
            let plain = bytes.iter().position(|byte| is_stop(*byte)).unwrap_or(bytes.len());
            prop_assert_eq!(run(&bytes), Run { bytes: plain, is_ascii: bytes[..plain].is_ascii() });
        }

        #[test]
        fn cut_characters_are_checked_as_whole_ones(
            bytes in prop_oneof!["\\PC{0,6}".prop_map(String::into_bytes), prop::collection::vec(0x7f..=0xff_u8, 0..8)], cut in 0..8_usize,
        ) {
            let cut = cut.min(bytes.len());
            let mut character = CutCharacter::default();
            let mut check = || {
                character.check(&bytes[..cut], true).map_err(|NotUtf8(at)| at)?;
                let mut rest = &bytes[cut..];
                while let (false, [next, behind @ ..]) = (character.is_whole(), rest) {
                    let at = bytes.len() - rest.len();
                    character.add(*next).map_err(|_| at - character.begin().len())?;
                    rest = behind;
                }
                let at = bytes.len() - rest.len();
                character.check(rest, true).map_err(|NotUtf8(offset)| at + offset)
            };
            let checked = check();
            let expected = std::str::from_utf8(&bytes);
            match expected.map_err(|error| (error.error_len(), error.valid_up_to())) {
                Err((Some(_), valid)) => prop_assert_eq!(checked, Err(valid)),
                cut_or_right => {
                    prop_assert_eq!(checked, Ok(()));
                    prop_assert_eq!(character.is_whole(), cut_or_right.is_ok());
                }
            }
        }
    }
}
