//! Moments and spans of time, as people write them in JSON.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since 1970 (UTC). In JSON a text after RFC 3339: `"2026-11-22T03:00:00Z"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub i64);

/// Why a text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time; write it with its zone, such as 2026-11-22T03:00:00Z")]
pub struct MomentError(String);

impl Moment {
    /// The moment in UTC by a pattern of `strftime`.
    pub(crate) fn formatted(self, pattern: &str) -> String {
        let instant = Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH);
        instant.to_zoned(TimeZone::UTC).strftime(pattern).to_string()
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let instant: Timestamp = text.parse().map_err(|_| MomentError(text.to_owned()))?;
        Ok(Self(instant.as_millisecond()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.formatted("%Y-%m-%dT%H:%M:%S%.fZ"))
    }
}

impl TryFrom<String> for Moment {
    type Error = MomentError;

    fn try_from(text: String) -> Result<Self, MomentError> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "a time such as \"2026-11-22T03:00:00Z\"",
        })
    }
}

/// A span of time of more than nothing. In JSON a text with units: `"60s"`, `"1m 30s"`, `"15m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a span of time; write a number with a unit, such as 90s or 15m")]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refused = || SpanError(text.to_owned());
        let span: SignedDuration = text.parse().map_err(|_| refused())?;
        match Duration::try_from(span) {
            Ok(span) if !span.is_zero() => Ok(Self(span)),
            _ => Err(refused()),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "time-span",
            "description": "a span of time such as \"60s\" or \"15m\"",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_read_with_their_zone_and_not_without() {
        for text in ["2026-11-22T03:00:00Z", "2026-11-22T12:00:00+09:00", "2026-11-22T03:00:00.000Z"] {
            assert_eq!(text.parse(), Ok(Moment(1_795_316_400_000)), "{text}");
        }
        for text in ["", "2026-11-22", "2026-11-22T03:00:00", "<aws.scheduler.scheduled-time>", "1795316400"]
        {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [("60s", 60), ("15m", 900), ("1m 30s", 90), ("1h", 3600)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "0s", "-1s", "60", "soon"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_is_written_as_it_is_read(ms in 0_i64..4_102_444_800_000) {
            prop_assert_eq!(Moment(ms).to_string().parse(), Ok(Moment(ms)));
        }
    }
}
