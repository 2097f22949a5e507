//! Encodings of text in which bytes are no characters, detected by the first bytes.

/// An encoding in which a line feed is not a byte of its own, so that records cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WideEncoding {
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// UTF-32.
    Utf32,
}

const MARKS: [(&[u8], WideEncoding); 4] = [
    // Before UTF-16, whose mark is the beginning of this one.
    (b"\xFF\xFE\0\0", WideEncoding::Utf32),
    (b"\0\0\xFE\xFF", WideEncoding::Utf32),
    (b"\xFF\xFE", WideEncoding::Utf16Le),
    (b"\xFE\xFF", WideEncoding::Utf16Be),
];

/// So many pairs of bytes of a text in UTF-16 without a mark are enough to know it by.
const PAIRS_MIN: usize = 8;

impl WideEncoding {
    /// The encoding of a text with these first bytes; none where its bytes are characters, as in UTF-8 and Latin-1.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let by_mark = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, encoding)| *encoding);
        by_mark.or_else(|| by_zeros(bytes))
    }

    /// Its name, as people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf16Le | Self::Utf16Be => "UTF-16",
            Self::Utf32 => "UTF-32",
        }
    }
}

/// ASCII in UTF-16 without a byte order mark has a zero in every other byte, and in the others none.
fn by_zeros(bytes: &[u8]) -> Option<WideEncoding> {
    let (pairs, _) = bytes[..bytes.len().min(1 << 10)].as_chunks::<2>();
    let all = |is_so: fn(&[u8; 2]) -> bool| pairs.len() >= PAIRS_MIN && pairs.iter().all(is_so);
    if all(|[low, high]| *low != 0 && *high == 0) {
        Some(WideEncoding::Utf16Le)
    } else if all(|[high, low]| *high == 0 && *low != 0) {
        Some(WideEncoding::Utf16Be)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_encoding_is_known_by_its_mark_or_its_zeros() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (bytes, encoding) in [
            (&b"\xFF\xFEa\0"[..], Some(WideEncoding::Utf16Le)),
            (b"\xFE\xFF\0a", Some(WideEncoding::Utf16Be)),
            (b"\xFF\xFE\0\0a\0\0\0", Some(WideEncoding::Utf32)),
            (&utf16("row 1\nrow 2\n"), Some(WideEncoding::Utf16Le)),
            (b"a,b\n1,2\n", None),
            (b"\xEF\xBB\xBFa,b\n", None),
            ("Größe,Straße\n".as_bytes(), None),
            (b"a\0b\0c\nd\0e\0f\n", None),
            (b"", None),
        ] {
            assert_eq!(WideEncoding::of(bytes), encoding, "{bytes:?}");
        }
    }
}
