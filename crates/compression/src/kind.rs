//! What a file is, from its first bytes.

use std::fmt;

use crate::parts::{Subfield, gzip_subfield};

/// A compressed or binary format that is recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// gzip whose members have no length in their headers (RFC 1952).
    Gzip,
    /// gzip in blocks of at most 64 KiB that have their lengths in their headers, as htslib's `bgzip` writes.
    Bgzf,
    /// gzip by [`crate::MemberWriter`]: its members have their lengths in their headers.
    Members,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// zip, and what is built on it: xlsx, jar, docx.
    Zip,
    /// 7z.
    SevenZip,
    /// LZ4, its frame format.
    Lz4,
    /// `.Z`, by Unix `compress`.
    UnixCompress,
    /// Snappy, its frame format.
    Snappy,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro.
    Avro,
    /// Apache Arrow, its file format (Feather).
    Arrow,
}

/// A format that [`crate::Decoder`] decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// gzip, and so BGZF.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
}

/// First bytes that are enough.
const MAGICS: [(&[u8], FileKind); 11] = [
    (b"\x28\xb5\x2f\xfd", FileKind::Zstd),
    (b"\xfd7zXZ\0", FileKind::Xz),
    (b"PK\x03\x04", FileKind::Zip),
    // An archive without files, and one in several volumes.
    (b"PK\x05\x06", FileKind::Zip),
    (b"PK\x07\x08", FileKind::Zip),
    (b"7z\xbc\xaf\x27\x1c", FileKind::SevenZip),
    (b"\x04\x22\x4d\x18", FileKind::Lz4),
    (b"\x1f\x9d", FileKind::UnixCompress),
    (b"\xff\x06\x00\x00sNaPpY", FileKind::Snappy),
    (b"Obj\x01", FileKind::Avro),
    (b"ARROW1\0\0", FileKind::Arrow),
];

impl FileKind {
    /// How many first bytes to look at, if the file has so many.
    pub const FIRST_BYTES: usize = 64;

    /// The kind of a file that begins with these bytes; `None` if they are of no kind here, as for all text.
    ///
    /// Text can begin with any letters, so letters alone decide nothing: a CSV whose first column is named `PAR1` is no Parquet.
    pub fn of(first: &[u8]) -> Option<Self> {
        if let Some((_, kind)) = MAGICS.iter().find(|(magic, _)| first.starts_with(magic)) {
            return Some(*kind);
        }
        match first {
            [0x1f, 0x8b, 8, ..] => Some(match gzip_subfield(first) {
                Some(Subfield::Bgzf { .. }) => Self::Bgzf,
                Some(Subfield::Ours { .. }) => Self::Members,
                None => Self::Gzip,
            }),
            // A skippable frame (RFC 8878, section 3.1.2). LZ4 has these too, but its encoders do not begin with one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
                if crate::bzip2::MAGICS.iter().any(|magic| rest.starts_with(magic)) =>
            {
                Some(Self::Bzip2)
            }
            // What follows in such a file is binary, with bytes that text does not have.
            [b'P', b'A', b'R', b'1' | b'E', rest @ ..] if rest.iter().any(|byte| is_binary(*byte)) => {
                Some(Self::Parquet)
            }
            _ => None,
        }
    }

    /// The decoder for it; `None` if we do not decode it.
    pub fn codec(self) -> Option<Codec> {
        match self {
            Self::Gzip | Self::Bgzf | Self::Members => Some(Codec::Gzip),
            Self::Zstd => Some(Codec::Zstd),
            Self::Bzip2 => Some(Codec::Bzip2),
            _ => None,
        }
    }

    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip | Self::Members => "gzip",
            Self::Bgzf => "BGZF",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zip => "zip",
            Self::SevenZip => "7z",
            Self::Lz4 => "LZ4",
            Self::UnixCompress => "compress (.Z)",
            Self::Snappy => "Snappy",
            Self::Parquet => "Parquet",
            Self::Avro => "Avro",
            Self::Arrow => "Arrow",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// True for control characters that text does not use.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 14..=26 | 28..=31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_first_bytes() {
        let cases: [(&[u8], FileKind); 16] = [
            (b"\x1f\x8b\x08\x00\0\0\0\0\0\x03", FileKind::Gzip),
            (b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0", FileKind::Bgzf),
            (&crate::stored_members(b"a,b\n"), FileKind::Members),
            (b"\x28\xb5\x2f\xfd\x04", FileKind::Zstd),
            (b"\x5e\x2a\x4d\x18\x04\0\0\0", FileKind::Zstd),
            (b"BZh91AY&SY", FileKind::Bzip2),
            (b"BZh1\x17\x72\x45\x38\x50\x90\0\0\0\0", FileKind::Bzip2),
            (b"\xfd7zXZ\0\0", FileKind::Xz),
            (b"PK\x03\x04\x14", FileKind::Zip),
            (b"7z\xbc\xaf\x27\x1c\0\x04", FileKind::SevenZip),
            (b"\x04\x22\x4d\x18\x64", FileKind::Lz4),
            (b"\x1f\x9d\x90", FileKind::UnixCompress),
            (b"\xff\x06\x00\x00sNaPpY", FileKind::Snappy),
            (b"PAR1\x15\x04\x15\x20", FileKind::Parquet),
            (b"Obj\x01\x04", FileKind::Avro),
            (b"ARROW1\0\0\xff", FileKind::Arrow),
        ];
        for (first, kind) in cases {
            assert_eq!(FileKind::of(first), Some(kind), "{first:?}");
        }
    }

    #[test]
    fn text_is_of_no_kind() {
        let texts: [&[u8]; 11] = [
            b"",
            b"a,b\n1,2\n",
            b"PAR1,PAR2\n1,2\n",
            b"BZh9 is a magic\n",
            b"BZh9",
            b"PK\tname\n",
            b"7z\n",
            b"Obj\n",
            b"ARROW1\n",
            b"\x1f",
            b"\xef\xbb\xbfa,b\n",
        ];
        for text in texts {
            assert_eq!(FileKind::of(text), None, "{text:?}");
        }
    }

    #[test]
    fn half_a_magic_decides_nothing() {
        for (magic, _) in MAGICS {
            assert_eq!(FileKind::of(&magic[..magic.len() - 1]), None, "{magic:?}");
        }
    }
}
