//! Copies, of objects and of ranges into parts. No byte is written: a copy points into the files of its source, and
//! only what is not known yet about the bytes, their MD5 or a checksum, is read.

use std::ops::Range;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::S3Request;
use s3s::dto::*;

use super::super::body::{blocking, cut, measure};
use super::super::checksum::Algorithm;
use super::super::condition::{ReadCondition, WriteCondition};
use super::super::error::Error;
use super::super::record::{Attributes, Object, Part, UploadKey};
use super::super::store::now;
use super::Service;
use super::answer::{
    CarriesChecksum as _, checksum_type, etag, named_algorithm, no_version, take_attributes, timestamp,
};
use super::{objects, uploads};

/// The source of a copy; a macro, since the two kinds of copy have the same fields in two types.
macro_rules! source {
    ($service:expr, $input:expr) => {{
        let condition = ReadCondition {
            if_match: $input.copy_source_if_match.take(),
            if_none_match: $input.copy_source_if_none_match.take(),
            if_modified_since: $input.copy_source_if_modified_since.take(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.take(),
        };
        find($service, &$input.copy_source, &condition)
    }};
}

fn find(service: &Service, source: &CopySource, condition: &ReadCondition) -> Result<Arc<Object>, Error> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(Error::NotOffered("copying from an access point".into()));
    };
    no_version(version_id.as_deref())?;
    let object = service.store.bucket(bucket)?.read().object(key)?;
    condition.check_source(key, &object)?;
    Ok(object)
}

fn is_same(input: &CopyObjectInput) -> bool {
    matches!(&input.copy_source, CopySource::Bucket { bucket, key, .. } if **bucket == input.bucket && **key == input.key)
}

/// The condition on a copy's target. S3 has it since 2025; s3s leaves it in the headers.
fn condition(headers: &HeaderMap, name: &HeaderName) -> Result<Option<ETagCondition>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let condition = ETagCondition::parse_http_header(value.as_bytes());
    condition.map(Some).map_err(|_| Error::Argument(format!("{name} is neither an ETag nor `*`")))
}

/// The given bytes of an object as a part. Blocks when they must be read to be measured.
fn part_of(object: &Object, bytes: &Range<u64>, algorithm: Algorithm, number: u16) -> Result<Part, Error> {
    let segments = cut(object.segments(), bytes);
    let mut start = 0;
    for part in &object.parts {
        // Exactly one of the source's own parts: all is known about it.
        if start == bytes.start
            && start + part.size == bytes.end
            && let Some(checksum) = part.checksum_by(algorithm)
        {
            return Ok(Part { number, checksum, modified: now(), segments, ..part.clone() });
        }
        start += part.size;
    }
    let measured = measure(segments.clone(), algorithm)?;
    Ok(Part {
        number,
        size: measured.size,
        md5: measured.md5,
        crc64nvme: measured.crc64nvme,
        checksum: measured.checksum,
        modified: now(),
        segments,
    })
}

pub(super) async fn object(
    service: &Service,
    request: S3Request<CopyObjectInput>,
) -> Result<CopyObjectOutput, Error> {
    let S3Request { mut input, headers, .. } = request;
    let bucket = service.store.bucket(&input.bucket)?;
    let source = source!(service, input)?;
    let condition =
        WriteCondition::new(condition(&headers, &IF_MATCH)?, condition(&headers, &IF_NONE_MATCH)?)?;
    let replace = |directive: Option<&str>| directive == Some("REPLACE");
    let given = take_attributes!(input)?;
    let kept = source.attributes.clone();
    let tags = if replace(input.tagging_directive.as_ref().map(TaggingDirective::as_str)) {
        given.tags.clone()
    } else {
        kept.tags.clone()
    };
    let replaced = replace(input.metadata_directive.as_ref().map(MetadataDirective::as_str));
    if !replaced && is_same(&input) {
        return Err(Error::Request(
            "a copy onto itself must replace the metadata; this one changes nothing".into(),
        ));
    }
    let attributes = Attributes { tags, ..if replaced { given } else { kept } };
    let algorithm = named_algorithm(input.checksum_algorithm.as_ref())?.unwrap_or(source.checksum.algorithm);
    let part = blocking(move || part_of(&source, &(0..source.size), algorithm, 1)).await?;
    let object = Arc::new(Object::of_part(part, attributes));
    let mut result = CopyObjectResult {
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(timestamp(object.modified)),
        checksum_type: Some(checksum_type(&object.checksum)),
        ..CopyObjectResult::default()
    };
    result.set_checksum(&object.checksum);
    objects::commit(bucket, input.key, object, condition).await?;
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
}

pub(super) async fn part(
    service: &Service,
    mut input: UploadPartCopyInput,
) -> Result<UploadPartCopyOutput, Error> {
    let number = uploads::part_number(input.part_number)?;
    let bucket = service.store.bucket(&input.bucket)?;
    let upload = UploadKey { key: input.key.clone(), id: input.upload_id.clone() };
    let algorithm = bucket.read().upload(&upload)?.start.algorithm;
    let source = source!(service, input)?;
    let bytes = match input.copy_source_range.as_deref() {
        None => 0..source.size,
        Some(range) => closed_range(range, source.size)?,
    };
    let part = blocking(move || part_of(&source, &bytes, algorithm, number)).await?;
    let mut result = CopyPartResult {
        e_tag: Some(etag(&part.md5.to_string())),
        last_modified: Some(timestamp(part.modified)),
        ..CopyPartResult::default()
    };
    result.set_checksum(&part.checksum);
    uploads::commit_part(bucket, upload, part).await?;
    Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
}

/// Reads `bytes=first-last`; both ends are needed and must lie in the source.
fn closed_range(range: &str, size: u64) -> Result<Range<u64>, Error> {
    let ends = range.strip_prefix("bytes=").and_then(|ends| ends.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    match ends {
        Some((first, last)) if first <= last && last < size => Ok(first..last + 1),
        Some(_) => {
            Err(Error::Argument(format!("range {range} does not lie in the source, which has {size} bytes")))
        }
        None => Err(Error::Argument(format!("range {range} is not of the form bytes=first-last"))),
    }
}
