//! Where an object is: `s3://bucket/key`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The address of one object, written `s3://bucket/key`.
///
/// The key is taken as it stands, byte for byte: no percent-decoding, no normalising of slashes, since S3 does neither.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectUri {
    /// The bucket's name.
    pub bucket: String,
    /// The key: up to 1,024 bytes of UTF-8. Empty only where a whole bucket is meant as a prefix.
    pub key: String,
}

/// Why a text is not an object's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It does not begin with `s3://`.
    #[error("'{0}' does not begin with s3://; write s3://bucket/key")]
    Scheme(String),
    /// No bucket is named.
    #[error("'{0}' names no bucket; write s3://bucket/key")]
    Bucket(String),
    /// The key is longer than S3 takes.
    #[error("the key of '{0}' has {1} bytes; S3 takes at most 1024")]
    LongKey(String, usize),
}

impl ObjectUri {
    /// An address from its two halves.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), key: key.into() }
    }
}

impl FromStr for ObjectUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| UriError::Scheme(text.to_owned()))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(UriError::Bucket(text.to_owned()));
        }
        if key.len() > crate::limits::KEY_BYTES {
            return Err(UriError::LongKey(text.to_owned(), key.len()));
        }
        Ok(Self::new(bucket, key))
    }
}

impl TryFrom<String> for ObjectUri {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl From<ObjectUri> for String {
    fn from(uri: ObjectUri) -> Self {
        uri.to_string()
    }
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl JsonSchema for ObjectUri {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObjectUri".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "s3-uri",
            "pattern": "^s3://[^/]+(/.*)?$",
            "description": "an address such as s3://bucket/key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_byte_for_byte() {
        for text in ["s3://b/", "s3://b/a//b", "s3://b/한글 파일+%25.csv", "s3://b//lead", "s3://b/😀"]
        {
            assert_eq!(text.parse::<ObjectUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_advice() {
        assert!(matches!("out.csv".parse::<ObjectUri>(), Err(UriError::Scheme(_))));
        assert!(matches!("s3:///key".parse::<ObjectUri>(), Err(UriError::Bucket(_))));
        let long = format!("s3://b/{}", "x".repeat(1025));
        assert!(matches!(long.parse::<ObjectUri>(), Err(UriError::LongKey(_, 1025))));
    }
}
