//! Counts of bytes, and shares, as people write them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes. In JSON a number, or a text with a unit: `"64MiB"`, `"1.5 GB"`, `"64k"`, `"4096"`.
///
/// As `split`, `dd` and `parallel` have it: `K`, `M`, `G`, `T`, `P` alone, and `KiB`, `MiB` and so on, are powers of 1,024; `kB`,
/// `MB` and so on are powers of 1,000. Capitals and small letters mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteCount(pub u64);

/// Why a text is not a number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It is no number with a unit.
    #[error(
        "'{0}' is not a number of bytes; write 4096, or with a unit 64k or 64KiB (of 1,024), 1M, 1GB (of 1,000)"
    )]
    NoNumber(String),
    /// It is more than a count can hold.
    #[error(
        "'{0}' is too large: the most that can be counted is 18446744073709551615 bytes, a byte less than 16 EiB"
    )]
    TooLarge(String),
}

/// Letters that units begin with, by the power of 1,024 or 1,000 that they stand for.
const POWERS: &str = "kmgtp";

/// What a unit stands for, in bytes.
fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let Some(power) = unit.chars().next().and_then(|letter| POWERS.find(letter)) else {
        return matches!(&*unit, "" | "b").then_some(1);
    };
    let power = u32::try_from(power).ok()? + 1;
    match &unit[1..] {
        "" | "i" | "ib" => Some(1_024_u64.pow(power)),
        "b" => Some(1_000_u64.pow(power)),
        _ => None,
    }
}

impl FromStr for ByteCount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let refused = || SizeError::NoNumber(text.to_owned());
        let too_large = || SizeError::TooLarge(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor = factor(unit.trim_start()).ok_or_else(refused)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
            return Err(refused());
        }
        // Only digits are left, so what cannot be read is too much.
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let bytes = whole.checked_mul(factor).ok_or_else(too_large)?;
        if fraction.is_empty() {
            return Ok(Self(bytes));
        }
        let tail: f64 = format!("0.{fraction}").parse().map_err(|_| refused())?;
        bytes.checked_add((tail * factor as f64) as u64).map(Self).ok_or_else(too_large)
    }
}

/// The units that a count is shown in.
const SHOWN: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl fmt::Display for ByteCount {
    /// The largest unit of 1,024 of which there is one or more, with one decimal where it is not exact: `64 MiB`, `1.2 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            SHOWN.iter().rev().find(|(_, factor)| self.0 >= *factor).copied().unwrap_or(("bytes", 1));
        if self.0.is_multiple_of(factor) {
            write!(f, "{} {unit}", self.0 / factor)
        } else {
            write!(f, "{:.1} {unit}", self.0 as f64 / factor as f64)
        }
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText<N> {
    Number(N),
    Text(String),
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for ByteCount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteCount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["integer", "string"],
            "minimum": 1,
            "format": "byte-count",
            "description": "a number of bytes, or a text with a unit, such as \"64MiB\" or \"1GB\"",
        })
    }
}

/// How many chunks may fail before the whole job counts as failed: a number, or a share such as `"5%"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// At most so many chunks.
    Chunks(u64),
    /// At most so many of a hundred chunks.
    Percent(f64),
}

/// Why a text is not a tolerance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a tolerance; write a number of chunks such as 3, or a share from \"0%\" to \"100%\"")]
pub struct ToleranceError(String);

impl Tolerance {
    /// Whether this many failed chunks of so many are still tolerated.
    pub fn allows(self, failed: u64, chunks: u64) -> bool {
        match self {
            Self::Chunks(most) => failed <= most,
            Self::Percent(share) => failed as f64 * 100.0 <= share * chunks as f64,
        }
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Chunks(0)
    }
}

impl FromStr for Tolerance {
    type Err = ToleranceError;

    fn from_str(text: &str) -> Result<Self, ToleranceError> {
        let refused = || ToleranceError(text.to_owned());
        let Some(share) = text.trim().strip_suffix('%') else {
            return text.trim().parse().map(Self::Chunks).map_err(|_| refused());
        };
        match share.trim().parse::<f64>() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunks(chunks) => write!(f, "{chunks}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Chunks(chunks) => serializer.serialize_u64(*chunks),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(chunks) => Ok(Self::Chunks(chunks)),
            NumberOrText::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Tolerance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tolerance".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "format": "tolerance",
            "description": "a number of chunks, or a share such as \"5%\"",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("64 MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("1.5KiB", 1536),
            ("64k", 65_536),
            ("64K", 65_536),
            ("1M", 1 << 20),
            ("2g", 2 << 30),
            ("64 mib", 64 << 20),
            ("1Mi", 1 << 20),
            ("1 mb", 1_000_000),
            ("50kB", 50_000),
            ("7b", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.", ".5k", "1.5.5k", "1e3", "64MiBs", "64kk", "1é"] {
            assert_eq!(text.parse::<ByteCount>(), Err(SizeError::NoNumber(text.to_owned())));
        }
        for text in ["18446744073709551616", "99999999999TiB", "16384P", "99999999999999999999999k"] {
            assert_eq!(text.parse::<ByteCount>(), Err(SizeError::TooLarge(text.to_owned())));
        }
    }

    #[test]
    fn a_share_counts_against_all_chunks() {
        assert!("5%".parse::<Tolerance>().unwrap().allows(5, 100));
        assert!(!"5%".parse::<Tolerance>().unwrap().allows(6, 100));
        assert!("0%".parse::<Tolerance>().unwrap().allows(0, 0));
        assert!(!Tolerance::default().allows(1, 1_000_000));
        assert!("101%".parse::<Tolerance>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_size_parser_panic(text in "\\PC{0,12}") {
            let _ = text.parse::<ByteCount>();
            let _ = text.parse::<Tolerance>();
        }
    }
}
