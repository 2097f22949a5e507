//! Putting, reading and deleting objects.

use std::ops::Range;
use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3Request, S3Response};

use super::super::body::{blocking, cut, receive, send};
use super::super::bucket::Bucket;
use super::super::checksum::Algorithm;
use super::super::condition::{ReadCondition, WriteCondition};
use super::super::error::Error;
use super::super::notice::CreatedBy;
use super::super::record::{Attributes, Change, Object};
use super::Service;
use super::answer::{
    CarriesChecksum as _, checksum_type, count, etag, no_version, signed, take_attributes, timestamp,
};
use super::declared::Declared;

pub(super) async fn put(
    service: &Service,
    request: S3Request<PutObjectInput>,
) -> Result<PutObjectOutput, Error> {
    let S3Request { mut input, headers, trailing_headers, .. } = request;
    if input.write_offset_bytes.is_some() {
        return Err(Error::NotOffered("appending to an object".into()));
    }
    let bucket = service.store.bucket(&input.bucket)?;
    let condition = WriteCondition::new(input.if_match.take(), input.if_none_match.take())?;
    let attributes = take_attributes!(input)?;
    let declared = Declared::new(
        input.given_checksum()?,
        input.checksum_algorithm.as_ref(),
        input.content_md5.take(),
        input.content_length,
        &headers,
        trailing_headers,
    )?;
    let algorithm = declared.algorithm.unwrap_or(Algorithm::Crc64Nvme);
    let meter = declared.meter(algorithm, service.etags);
    let received = receive(input.body.take(), service.store.blobs(), meter).await?;
    declared.verify(&received.measured)?;
    let object = Arc::new(Object::of_part(received.into_part(1), attributes));
    let mut output = PutObjectOutput {
        e_tag: Some(etag(&object.etag)),
        checksum_type: Some(checksum_type(&object.checksum)),
        ..PutObjectOutput::default()
    };
    output.set_checksum(&object.checksum);
    commit(service, bucket, input.key, object, condition, CreatedBy::Put).await?;
    Ok(output)
}

/// Puts a finished object in its place, and tells of it.
pub(super) async fn commit(
    service: &Service,
    bucket: Arc<Bucket>,
    key: String,
    object: Arc<Object>,
    condition: WriteCondition,
    by: CreatedBy,
) -> Result<(), Error> {
    let notices = Arc::clone(&service.notices);
    blocking(move || bucket.put(key, object, by, &notices, |key, index| condition.check(key, index))).await
}

/// Which bytes of an object are asked for.
struct Selection {
    bytes: Range<u64>,
    /// As in `Content-Range`, when it is not simply all.
    content_range: Option<String>,
    parts_count: Option<i32>,
}

fn select(
    key: &str,
    object: &Object,
    range: Option<&s3s::dto::Range>,
    part: Option<i32>,
) -> Result<Selection, Error> {
    let parts_count = (part.is_some() && object.multipart).then(|| count(object.parts.len()));
    let bytes = match (range, part) {
        (Some(_), Some(_)) => {
            return Err(Error::Request("a range and a part number exclude each other".into()));
        }
        (None, None) => return Ok(Selection { bytes: 0..object.size, content_range: None, parts_count }),
        (Some(range), None) => {
            let bytes = range.check(object.size).ok().filter(|bytes| !bytes.is_empty());
            let (key, size) = (key.to_owned(), object.size);
            bytes.ok_or_else(|| Error::Range { key, range: range.to_header_string(), size })?
        }
        (None, Some(number)) => part_bytes(key, object, number)?,
    };
    let content_range =
        (!bytes.is_empty()).then(|| format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, object.size));
    Ok(Selection { bytes, content_range, parts_count })
}

/// The bytes of a part; parts of an object are counted from 1 without gaps.
fn part_bytes(key: &str, object: &Object, number: i32) -> Result<Range<u64>, Error> {
    let mut end = 0;
    for (at, part) in (1..).zip(&object.parts) {
        let start = end;
        end += part.size;
        if at == number {
            return Ok(start..end);
        }
    }
    Err(Error::NoSuchPart { key: key.to_owned(), number, count: object.parts.len() })
}

/// What S3 answers for an object that was put without a type.
const DEFAULT_TYPE: &str = "binary/octet-stream";

/// The conditions of a read; a macro, since GET and HEAD have the same fields in two types.
macro_rules! read_condition {
    ($input:expr) => {
        ReadCondition {
            if_match: $input.if_match.take(),
            if_none_match: $input.if_none_match.take(),
            if_modified_since: $input.if_modified_since.take(),
            if_unmodified_since: $input.if_unmodified_since.take(),
        }
    };
}

/// What GET and HEAD say about an object; a macro for the same reason.
macro_rules! description {
    ($output:ident, $object:expr, $selection:expr, $checksum_mode:expr) => {{
        let Attributes { metadata, .. } = &$object.attributes;
        let attributes = $object.attributes.clone();
        let mut output = $output {
            accept_ranges: Some("bytes".into()),
            cache_control: attributes.cache_control,
            content_disposition: attributes.content_disposition,
            content_encoding: attributes.content_encoding,
            content_language: attributes.content_language,
            content_length: Some(signed($selection.bytes.end - $selection.bytes.start)),
            content_range: $selection.content_range,
            content_type: attributes.content_type.or_else(|| Some(DEFAULT_TYPE.into())),
            e_tag: Some(etag(&$object.etag)),
            expires: attributes.expires,
            last_modified: Some(timestamp($object.modified)),
            metadata: (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect()),
            parts_count: $selection.parts_count,
            website_redirect_location: attributes.website_redirect_location,
            ..$output::default()
        };
        // A checksum is of the whole object: with a range it would be held against the wrong bytes.
        if $checksum_mode.is_some() && output.content_range.is_none() {
            output.set_checksum(&$object.checksum);
            output.checksum_type = Some(checksum_type(&$object.checksum));
        }
        output
    }};
}

pub(super) fn get(service: &Service, mut input: GetObjectInput) -> Result<GetObjectOutput, Error> {
    no_version(input.version_id.as_deref())?;
    let object = service.store.bucket(&input.bucket)?.read().object(&input.key)?;
    read_condition!(input).check(&input.key, &object)?;
    let selection = select(&input.key, &object, input.range.as_ref(), input.part_number)?;
    let body = send(cut(object.segments(), &selection.bytes));
    let tags = object.attributes.tags.len();
    Ok(GetObjectOutput {
        body: Some(body),
        tag_count: (tags > 0).then(|| count(tags)),
        ..description!(GetObjectOutput, object, selection, input.checksum_mode)
    })
}

pub(super) fn head(
    service: &Service,
    mut input: HeadObjectInput,
) -> Result<S3Response<HeadObjectOutput>, Error> {
    no_version(input.version_id.as_deref())?;
    let object = service.store.bucket(&input.bucket)?.read().object(&input.key)?;
    read_condition!(input).check(&input.key, &object)?;
    let selection = select(&input.key, &object, input.range.as_ref(), input.part_number)?;
    let partial = selection.content_range.is_some();
    let status = if partial { http::StatusCode::PARTIAL_CONTENT } else { http::StatusCode::OK };
    let output = description!(HeadObjectOutput, object, selection, input.checksum_mode);
    Ok(S3Response::with_status(output, status))
}

pub(super) async fn delete(service: &Service, input: DeleteObjectInput) -> Result<DeleteObjectOutput, Error> {
    no_version(input.version_id.as_deref())?;
    let bucket = service.store.bucket(&input.bucket)?;
    let condition = WriteCondition::new(input.if_match, None)?;
    if condition.holds_always() && !bucket.read().objects.contains_key(&input.key) {
        return Ok(DeleteObjectOutput::default());
    }
    let change = Change::Delete { keys: vec![input.key.clone()] };
    blocking(move || bucket.commit(change, |index| condition.check(&input.key, index))).await?;
    Ok(DeleteObjectOutput::default())
}

/// Source: API reference of `DeleteObjects`.
const MOST_DELETED: usize = 1_000;

pub(super) async fn delete_many(
    service: &Service,
    input: DeleteObjectsInput,
) -> Result<DeleteObjectsOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let Delete { objects, quiet } = input.delete;
    if objects.is_empty() || objects.len() > MOST_DELETED {
        return Err(Error::Xml("between 1 and 1,000 keys can be deleted in one request"));
    }
    let (deleted, errors) = blocking(move || delete_each(&bucket, objects)).await?;
    Ok(DeleteObjectsOutput {
        deleted: (quiet != Some(true)).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        request_charged: None,
    })
}

/// Keys without a condition go in one commit; one with a condition is a commit of its own.
fn delete_each(
    bucket: &Bucket,
    objects: Vec<ObjectIdentifier>,
) -> Result<(Vec<DeletedObject>, Vec<s3s::dto::Error>), Error> {
    let (mut deleted, mut errors, mut free) = (Vec::new(), Vec::new(), Vec::new());
    for object in objects {
        let condition = object.e_tag.map(ETagCondition::ETag);
        let result = no_version(object.version_id.as_deref()).and_then(|()| {
            if condition.is_none() {
                free.push(object.key.clone());
                return Ok(());
            }
            let condition = WriteCondition::new(condition, None)?;
            let change = Change::Delete { keys: vec![object.key.clone()] };
            bucket.commit(change, |index| condition.check(&object.key, index))
        });
        match result {
            Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
            Err(error) => {
                let error = s3s::S3Error::from(error);
                errors.push(s3s::dto::Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                });
            }
        }
    }
    free.retain(|key| bucket.read().objects.contains_key(key));
    if !free.is_empty() {
        bucket.commit(Change::Delete { keys: free }, |_| Ok(()))?;
    }
    Ok((deleted, errors))
}
