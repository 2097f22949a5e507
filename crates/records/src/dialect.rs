//! How a table writes its fields.

use serde::{Deserialize, Serialize};

/// How a CSV writes its fields. Each letter is a byte of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dialect {
    /// What stands between two fields.
    #[serde(with = "letter")]
    pub delimiter: u8,
    /// What stands around a field that may hold delimiters and line ends, if anything. Doubled within such a field, it is a letter.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "letter::option")]
    pub quote: Option<u8>,
    /// What makes the next byte a letter, within quotes and outside, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "letter::option")]
    pub escape: Option<u8>,
    /// What begins a line that is no record, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "letter::option")]
    pub comment: Option<u8>,
    /// What ends a record: LF, or CR where a file has no LF.
    #[serde(with = "letter")]
    pub line_end: u8,
}

impl Dialect {
    /// As RFC 4180 has it, with either LF or CRLF.
    pub const RFC_4180: Self =
        Self { delimiter: b',', quote: Some(b'"'), escape: None, comment: None, line_end: b'\n' };
}

impl Default for Dialect {
    fn default() -> Self {
        Self::RFC_4180
    }
}

/// A byte of ASCII as the character that it is, so that people can read it.
pub(crate) mod letter {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
    pub(crate) fn serialize<S: Serializer>(byte: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_char(char::from(*byte))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let letter = char::deserialize(deserializer)?;
        u8::try_from(letter).map_err(|_| de::Error::custom("must be a character of one byte"))
    }

    pub(crate) mod option {
        use serde::{Deserializer, Serializer};

        #[expect(clippy::ref_option, reason = "serde hands out references")]
        pub(crate) fn serialize<S: Serializer>(byte: &Option<u8>, serializer: S) -> Result<S::Ok, S::Error> {
            match byte {
                Some(byte) => super::serialize(byte, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<u8>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}
