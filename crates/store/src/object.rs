//! What is said about single objects: tags, conditions, what reading and listing give.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The service's mark of one content of an object, without its quotes. Opaque: compare it, send it back, no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ETag(String);

impl ETag {
    /// A tag as the service wrote it, with or without its quotes.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Self(bare.unwrap_or(text).to_owned())
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag as HTTP wants it: in quotes.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a write may happen. The check and the write are one atomic step of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// In any case; the last write wins.
    #[default]
    Always,
    /// Only where there is no object yet (`If-None-Match: *`).
    IfAbsent,
    /// Only over this very content (`If-Match`).
    IfMatches(ETag),
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The mark of its content.
    pub etag: ETag,
    /// Its whole size in bytes, also where only a range is read.
    pub size: u64,
    /// The checksum of the whole, where the service keeps one. An object written by others may have none.
    pub crc64: Option<Crc64>,
}

/// What to read of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// The bytes from `start` up to, not including, `end`; the whole object when `None`. May reach past the object's
    /// end, where it is clipped; may not begin there, nor be empty (HTTP has no way to ask for nothing).
    pub range: Option<Range<u64>>,
    /// Only this very content; else [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed).
    pub if_match: Option<ETag>,
}

impl GetOptions {
    /// A range of one very content.
    pub fn range_of(range: Range<u64>, etag: ETag) -> Self {
        Self { range: Some(range), if_match: Some(etag) }
    }
}

/// Bytes as they arrive. An error ends the stream; a stream that ends without one was whole.
pub type Body = BoxStream<'static, Result<Bytes, StoreError>>;

/// An answer to a get: what is known, and the bytes on their way.
pub struct Got {
    /// What is known of the object.
    pub info: ObjectInfo,
    /// Which of its bytes come: the range asked for, clipped to the object.
    pub range: Range<u64>,
    /// Those bytes. Exactly `range.end - range.start` of them, or an error.
    pub body: Body,
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Got").field("info", &self.info).field("range", &self.range).finish_non_exhaustive()
    }
}

/// How to write an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// When the write may happen.
    pub condition: Condition,
    /// The media type kept with the object.
    pub content_type: Option<String>,
}

impl PutOptions {
    /// A write that happens only where there is no object yet.
    pub fn if_absent() -> Self {
        Self { condition: Condition::IfAbsent, ..Self::default() }
    }

    /// A write that happens only over this very content.
    pub fn if_matches(etag: ETag) -> Self {
        Self { condition: Condition::IfMatches(etag), ..Self::default() }
    }

    /// Adds the media type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

/// One object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key, the prefix included.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The mark of its content.
    pub etag: ETag,
}

/// A page of a list, in the byte order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects of this page, at most 1,000.
    pub objects: Vec<Listed>,
    /// Where the next page begins: give it as `after`. `None` on the last page.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_the_same_with_and_without_quotes() {
        assert_eq!(ETag::new("\"abc-2\""), ETag::new("abc-2"));
        assert_eq!(ETag::new("abc-2").quoted(), "\"abc-2\"");
        assert_eq!(ETag::new("\"").as_str(), "\"");
    }
}
