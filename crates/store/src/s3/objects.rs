//! Requests about single objects and lists of them.

use std::borrow::Cow;
use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, Delete, EncodingType, Object, ObjectIdentifier};
use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::KEYS_PER_REQUEST;
use fanfold_flow::uri::ObjectUri;
use futures::{StreamExt, stream};
use percent_encoding::percent_decode_str;

use super::errors::{broken_body, failed, kind_of_key};
use super::{decode, encode, upload_time};
use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::{Body, Condition, ETag, GetOptions, Got, Listed, ObjectInfo, Page, PutOptions};

pub(super) async fn get(client: &Client, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
    let operation = Operation::Get;
    let asked = options.range.as_ref();
    if asked.is_some_and(Range::is_empty) {
        let message = "an empty range cannot be read";
        return Err(StoreError::new(ErrorKind::Invalid, operation, at, message).with_code("InvalidRange"));
    }
    let output = client
        .get_object()
        .bucket(&at.bucket)
        .key(&at.key)
        .checksum_mode(ChecksumMode::Enabled)
        .set_range(asked.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
        .set_if_match(options.if_match.as_ref().map(ETag::quoted))
        .send()
        .await
        .map_err(|error| failed(operation, at, error))?;
    let missing = |what: &str| incomplete(operation, at, what);
    let length = bytes(output.content_length).ok_or_else(|| missing("a length"))?;
    let (range, size) = match (asked, output.content_range.as_deref()) {
        (None, _) => (0..length, length),
        (Some(_), Some(text)) => content_range(text).ok_or_else(|| missing("a range that can be read"))?,
        (Some(_), None) => return Err(missing("a range, though one was asked for")),
    };
    if length != range.end - range.start {
        return Err(missing("as many bytes as its range"));
    }
    let info = ObjectInfo {
        etag: ETag::new(output.e_tag.as_deref().ok_or_else(|| missing("an etag"))?),
        size,
        crc64: output.checksum_crc64_nvme.as_deref().and_then(decode),
    };
    Ok(Got { info, range, body: exactly(output.body, length, at.to_string()) })
}

pub(super) async fn head(client: &Client, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
    let operation = Operation::Head;
    let output = client
        .head_object()
        .bucket(&at.bucket)
        .key(&at.key)
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .map_err(|error| failed(operation, at, error))?;
    let missing = |what: &str| incomplete(operation, at, what);
    Ok(ObjectInfo {
        etag: ETag::new(output.e_tag.as_deref().ok_or_else(|| missing("an etag"))?),
        size: bytes(output.content_length).ok_or_else(|| missing("a length"))?,
        crc64: output.checksum_crc64_nvme.as_deref().and_then(decode),
    })
}

pub(super) async fn put(
    client: &Client,
    at: &ObjectUri,
    bytes: Bytes,
    options: PutOptions,
) -> Result<ETag, StoreError> {
    let (if_none_match, if_match) = headers(&options.condition);
    let time = upload_time(bytes.len());
    let output = client
        .put_object()
        .bucket(&at.bucket)
        .key(&at.key)
        .checksum_crc64_nvme(encode(Crc64::of(&bytes)))
        .set_content_type(options.content_type)
        .set_if_none_match(if_none_match)
        .set_if_match(if_match)
        .body(bytes.into())
        .customize()
        // The CRC64NVME proves the content; a SHA-256 beside it would cost more than the rest of the request.
        .disable_payload_signing()
        .config_override(time)
        .send()
        .await
        .map_err(|error| failed(Operation::Put, at, error))?;
    let etag = output.e_tag.ok_or_else(|| incomplete(Operation::Put, at, "an etag"))?;
    Ok(ETag::new(etag))
}

pub(super) async fn delete(client: &Client, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
    let operation = Operation::Delete;
    for some in keys.chunks(KEYS_PER_REQUEST) {
        let at = ObjectUri::new(bucket, some.first().map_or("", String::as_str));
        let named = some.iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let delete = named
            .collect::<Result<Vec<_>, _>>()
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
            .map_err(|error| {
                StoreError::new(ErrorKind::Invalid, operation, &at, "the request could not be made")
                    .with_source(error)
            })?;
        let output = client
            .delete_objects()
            .bucket(bucket)
            .delete(delete)
            .send()
            .await
            .map_err(|error| failed(operation, &at, error))?;
        if let Some(first) = output.errors().first() {
            return Err(undeleted(bucket, first, output.errors().len(), some.len()));
        }
    }
    Ok(())
}

pub(super) async fn list(
    client: &Client,
    bucket: &str,
    prefix: &str,
    after: Option<&str>,
) -> Result<Page, StoreError> {
    let operation = Operation::List;
    let at = ObjectUri::new(bucket, prefix);
    let output = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix(prefix)
        .set_start_after(after.map(str::to_owned))
        // Else keys with characters that XML cannot hold would come back as others.
        .encoding_type(EncodingType::Url)
        .send()
        .await
        .map_err(|error| failed(operation, &at, error))?;
    let encoded = output.encoding_type == Some(EncodingType::Url);
    let objects =
        output.contents().iter().map(|object| listed(object, encoded, &at)).collect::<Result<Vec<_>, _>>()?;
    let more = output.is_truncated.unwrap_or(false);
    let next = objects.last().filter(|_| more).map(|last| last.key.clone());
    if more && next.is_none() {
        return Err(incomplete(operation, &at, "a key, though it says that there are more"));
    }
    Ok(Page { objects, next })
}

/// The two headers of a condition: `If-None-Match` and `If-Match`.
pub(super) fn headers(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Always => (None, None),
        Condition::IfAbsent => (Some("*".to_owned()), None),
        Condition::IfMatches(etag) => (None, Some(etag.quoted())),
    }
}

/// The error of an answer that lacks what S3 always gives.
pub(super) fn incomplete(operation: Operation, at: &ObjectUri, what: &str) -> StoreError {
    StoreError::new(ErrorKind::Other, operation, at, format!("the answer does not have {what}"))
}

/// A key as it is, from a list whose answer may be URL-encoded, with plus for space.
pub(super) fn key_of(text: &str, encoded: bool) -> Option<String> {
    if !encoded {
        return Some(text.to_owned());
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// A count of bytes that the service wrote.
pub(super) fn bytes(count: Option<i64>) -> Option<u64> {
    count.and_then(|count| u64::try_from(count).ok())
}

fn listed(object: &Object, encoded: bool, at: &ObjectUri) -> Result<Listed, StoreError> {
    let missing = |what: &str| incomplete(Operation::List, at, what);
    let key = object.key.as_deref().and_then(|key| key_of(key, encoded));
    Ok(Listed {
        key: key.ok_or_else(|| missing("a key that can be read"))?,
        size: bytes(object.size).ok_or_else(|| missing("an object's size"))?,
        etag: ETag::new(object.e_tag.as_deref().ok_or_else(|| missing("an object's etag"))?),
    })
}

/// `bytes 5-9/42` as the range 5..10 of 42 bytes.
fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then(|| (first..last + 1, size))
}

/// The body, held to its length: one that ends early or goes on is an error, whatever the transport thinks of it.
fn exactly(body: ByteStream, length: u64, at: String) -> Body {
    stream::unfold(Some((body, length, at)), |state| async move {
        let (mut body, left, at) = state?;
        match body.next().await {
            Some(Ok(piece)) => match left.checked_sub(piece.len() as u64) {
                Some(left) => Some((Ok(piece), Some((body, left, at)))),
                None => {
                    let message = "the body goes on past its length";
                    Some((Err(StoreError::new(ErrorKind::Other, Operation::Get, at, message)), None))
                }
            },
            Some(Err(error)) => Some((Err(broken_body(&at, error)), None)),
            None if left > 0 => {
                let message = format!("the body ended {left} bytes early");
                Some((Err(StoreError::new(ErrorKind::Unavailable, Operation::Get, at, message)), None))
            }
            None => None,
        }
    })
    .boxed()
}

fn undeleted(bucket: &str, first: &aws_sdk_s3::types::Error, failures: usize, keys: usize) -> StoreError {
    let at = ObjectUri::new(bucket, first.key().unwrap_or_default());
    let said = first.message().unwrap_or_default();
    let message = format!("{said} ({failures} of the {keys} keys of this request were not deleted)");
    let code = first.code().unwrap_or_default();
    StoreError::new(kind_of_key(code), Operation::Delete, at, message).with_code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_as_half_open() {
        assert_eq!(content_range("bytes 5-9/42"), Some((5..10, 42)));
        assert_eq!(content_range("bytes 0-0/1"), Some((0..1, 1)));
        for wrong in ["bytes 9-5/42", "bytes 5-9/*", "bytes 5-42/42", "5-9/42", ""] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_encoded_key_is_decoded_and_a_plain_one_left_alone() {
        assert_eq!(key_of("a+b%2Bc%25/%F0%9F%98%80", true).as_deref(), Some("a b+c%/😀"));
        assert_eq!(key_of("a+b%2Bc", false).as_deref(), Some("a+b%2Bc"));
        assert_eq!(key_of("%FF", true), None);
    }

    #[tokio::test]
    async fn a_body_that_is_not_as_long_as_it_should_be_is_an_error() {
        let collect = |bytes: &'static [u8], length| async move {
            let body = exactly(ByteStream::from_static(bytes), length, "s3://b/k".to_owned());
            body.collect::<Vec<_>>().await
        };
        assert!(collect(b"abc", 3).await.iter().all(Result::is_ok));
        let early = collect(b"abc", 5).await;
        assert_eq!(early.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(collect(b"abc", 2).await[0].as_ref().unwrap_err().kind(), ErrorKind::Other);
    }
}
