//! CRC64NVME: the checksum that S3 keeps for whole objects, and that combines.
//!
//! The CRC of a concatenation follows from the CRCs and lengths of its pieces, so the reducer can tell S3 what the
//! output must be without reading a byte of it.

use std::fmt;

use crc_fast::{CrcAlgorithm, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod combine;

/// A CRC64NVME. As JSON and as text it is 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crc64(pub u64);

impl Crc64 {
    /// The CRC of no bytes.
    pub const EMPTY: Self = Self(0);

    /// The CRC of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes))
    }

    /// The CRC of what `self` stands for followed by `tail_bytes` bytes that `tail` stands for.
    #[must_use]
    pub fn then(self, tail: Self, tail_bytes: u64) -> Self {
        if tail_bytes == 0 {
            return self;
        }
        Self(combine::Shift::by(tail_bytes).of(self.0) ^ tail.0)
    }

    /// The CRC of texts one after another, of which each has a CRC and a length in bytes.
    #[must_use]
    pub fn of_all(pieces: impl IntoIterator<Item = (Self, u64)>) -> Self {
        let mut shifts = combine::Shifts::new();
        let crc = pieces.into_iter().filter(|(_, bytes)| *bytes > 0);
        crc.fold(Self::EMPTY, |head, (tail, bytes)| Self(shifts.by(bytes).of(head.0) ^ tail.0))
    }

    /// The eight bytes that S3 wants in base64: big-endian.
    pub fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Crc64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Crc64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // `from_str_radix` alone would take a sign, and fewer digits where some were lost.
        let whole = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        whole.then(|| u64::from_str_radix(&text, 16).ok()).flatten().map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("'{text}' is not a CRC64NVME; it has 16 hexadecimal digits"))
        })
    }
}

impl JsonSchema for Crc64 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Crc64".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

/// A CRC64NVME and a length, taken while bytes pass by.
pub struct RunningCrc {
    digest: Digest,
    bytes: u64,
}

impl RunningCrc {
    /// Starts with no bytes seen.
    pub fn new() -> Self {
        Self { digest: Digest::new(CrcAlgorithm::Crc64Nvme), bytes: 0 }
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The CRC of all bytes so far.
    pub fn crc(&self) -> Crc64 {
        Crc64(self.digest.finalize())
    }

    /// How many bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Default for RunningCrc {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RunningCrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningCrc").field("crc", &self.crc()).field("bytes", &self.bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_check_value_is_the_published_one() {
        assert_eq!(Crc64::of(b"123456789"), Crc64(0xAE8B_1486_0A79_9888));
        assert_eq!(Crc64::of(b""), Crc64::EMPTY);
    }

    #[test]
    fn a_crc_survives_json_and_a_damaged_one_is_refused() {
        let json = serde_json::to_value(Crc64(0xab)).unwrap();
        assert_eq!(json, "00000000000000ab");
        assert_eq!(serde_json::from_value::<Crc64>(json).unwrap(), Crc64(0xab));
        for damaged in ["", "ab", "+0000000000000ab", "00000000000000ag", "00000000000000abc"] {
            let error = serde_json::from_value::<Crc64>(damaged.into()).unwrap_err().to_string();
            assert!(error.contains("16 hexadecimal digits"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_crc_of_a_concatenation_follows_from_its_pieces(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut combined = Crc64::EMPTY;
            let mut running = RunningCrc::new();
            for piece in &pieces {
                combined = combined.then(Crc64::of(piece), piece.len() as u64);
                running.update(piece);
            }
            prop_assert_eq!(combined, Crc64::of(&pieces.concat()));
            let all = pieces.iter().map(|piece| (Crc64::of(piece), piece.len() as u64));
            prop_assert_eq!(Crc64::of_all(all), combined);
            prop_assert_eq!(running.crc(), combined);
            prop_assert_eq!(running.bytes(), pieces.concat().len() as u64);
        }
    }
}
