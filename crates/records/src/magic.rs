//! What a file is by its first bytes, where that is not plain text in an encoding that keeps ASCII.

/// A kind of file that has no records as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// ZIP: also XLSX, DOCX, JAR.
    Zip,
    /// 7-Zip.
    SevenZip,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro.
    Avro,
    /// Apache ORC.
    Orc,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// UTF-32.
    Utf32,
}

const MAGIC: [(&[u8], FileKind); 13] = [
    (b"\x1F\x8B\x08", FileKind::Gzip),
    (b"\x28\xB5\x2F\xFD", FileKind::Zstd),
    (b"\xFD7zXZ\0", FileKind::Xz),
    (b"PK\x03\x04", FileKind::Zip),
    (b"PK\x05\x06", FileKind::Zip),
    (b"7z\xBC\xAF\x27\x1C", FileKind::SevenZip),
    (b"PAR1", FileKind::Parquet),
    (b"Obj\x01", FileKind::Avro),
    (b"ORC\0", FileKind::Orc),
    // Before UTF-16, whose mark is the beginning of theirs.
    (b"\xFF\xFE\0\0", FileKind::Utf32),
    (b"\0\0\xFE\xFF", FileKind::Utf32),
    (b"\xFF\xFE", FileKind::Utf16Le),
    (b"\xFE\xFF", FileKind::Utf16Be),
];

/// So many bytes of a text in UTF-16 without a mark are enough to know it by.
const PAIRS_MIN: usize = 8;

impl FileKind {
    /// What a file with these first bytes is; none of plain text.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let by_magic = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind);
        by_magic.or_else(|| is_bzip2(bytes).then_some(Self::Bzip2)).or_else(|| by_zeros(bytes))
    }

    /// Its name, as people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zip => "ZIP",
            Self::SevenZip => "7-Zip",
            Self::Parquet => "Parquet",
            Self::Avro => "Avro",
            Self::Orc => "ORC",
            Self::Utf16Le | Self::Utf16Be => "UTF-16",
            Self::Utf32 => "UTF-32",
        }
    }

    /// Whether it is text in an encoding of its own.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Utf16Le | Self::Utf16Be | Self::Utf32)
    }

    /// Whether it is text that was compressed.
    pub fn is_compressed(self) -> bool {
        matches!(self, Self::Gzip | Self::Zstd | Self::Bzip2 | Self::Xz)
    }
}

/// "BZh", a block size, and the first block's mark.
fn is_bzip2(bytes: &[u8]) -> bool {
    matches!(bytes, [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..])
}

/// ASCII in UTF-16 without a byte order mark has a zero in every other byte, and in the others none.
fn by_zeros(bytes: &[u8]) -> Option<FileKind> {
    let (pairs, _) = bytes[..bytes.len().min(1 << 10)].as_chunks::<2>();
    let all = |is_so: fn(&[u8; 2]) -> bool| pairs.len() >= PAIRS_MIN && pairs.iter().all(is_so);
    if all(|[low, high]| *low != 0 && *high == 0) {
        Some(FileKind::Utf16Le)
    } else if all(|[high, low]| *high == 0 && *low != 0) {
        Some(FileKind::Utf16Be)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes_and_text_is_none() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (bytes, kind) in [
            (&b"\x1F\x8B\x08\0"[..], Some(FileKind::Gzip)),
            (b"BZh91AY&SY", Some(FileKind::Bzip2)),
            (b"PK\x03\x04\x14", Some(FileKind::Zip)),
            (b"PAR1\x15", Some(FileKind::Parquet)),
            (b"\xFF\xFEa\0", Some(FileKind::Utf16Le)),
            (b"\xFE\xFF\0a", Some(FileKind::Utf16Be)),
            (b"\xFF\xFE\0\0a\0\0\0", Some(FileKind::Utf32)),
            (&utf16("row 1\nrow 2\n"), Some(FileKind::Utf16Le)),
            (b"BZhash,value\n", None),
            (b"PK,name\n", None),
            (b"a,b\n1,2\n", None),
            (b"\xEF\xBB\xBFa,b\n", None),
            ("Größe,Straße\n".as_bytes(), None),
            (b"a\0b\0c\nd\0e\0f\n", None),
            (b"", None),
        ] {
            assert_eq!(FileKind::of(bytes), kind, "{bytes:?}");
        }
    }
}
