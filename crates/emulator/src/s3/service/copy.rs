//! Copies, of objects and of ranges into parts. No byte is written: a copy points into the files of its source, and
//! only what is not known yet about the bytes, an MD5 or a checksum, is read.

use std::ops::Range;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::S3Request;
use s3s::dto::*;

use super::super::body::{blocking, cut, measure};
use super::super::checksum::{Algorithm, Checksum, Meter, combine, combine_crc64nvme};
use super::super::condition::{ReadCondition, WriteCondition};
use super::super::error::Error;
use super::super::etag::{ETags, EntityTag};
use super::super::notice::CreatedBy;
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

/// The given bytes of an object as a part. Blocks when some must be read to be measured.
fn part_of(
    object: &Object,
    bytes: &Range<u64>,
    algorithm: Algorithm,
    etags: ETags,
    number: u16,
) -> Result<Part, Error> {
    let segments = cut(object.segments(), bytes);
    let modified = now();
    if let [Piece { part, whole: true, .. }] = pieces(object, bytes).as_slice()
        && part.etag.suits_a_copy(etags)
        && let Some(checksum) = part.checksum_by(algorithm)
    {
        // Exactly one of the source's own parts: all is known about it.
        return Ok(Part { number, checksum, modified, segments, ..Part::clone(part) });
    }
    if etags == ETags::Opaque && algorithm.combines() {
        let (crc64nvme, checksum) = checksums(object, bytes, algorithm)?;
        let size = bytes.end - bytes.start;
        let etag = EntityTag::random();
        return Ok(Part { number, size, etag, crc64nvme, checksum, modified, segments });
    }
    let measured = measure(segments.clone(), Meter::new(algorithm, etags))?;
    Ok(Part {
        number,
        size: measured.size,
        etag: measured.etag,
        crc64nvme: measured.crc64nvme,
        checksum: measured.checksum,
        modified,
        segments,
    })
}

/// What a range takes of one part of its object.
struct Piece<'a> {
    part: &'a Part,
    /// In the object.
    bytes: Range<u64>,
    /// Whether that is the whole part.
    whole: bool,
}

/// The pieces of parts that the bytes consist of, in order; none for no bytes of an object that has some.
fn pieces<'a>(object: &'a Object, bytes: &Range<u64>) -> Vec<Piece<'a>> {
    let mut end = 0;
    let parts = object.parts.iter().filter_map(|part| {
        let start = end;
        end += part.size;
        let taken = bytes.start.max(start)..bytes.end.min(end);
        let whole = taken == (start..end);
        (whole || !taken.is_empty()).then_some(Piece { part, bytes: taken, whole })
    });
    parts.collect()
}

/// The CRC64NVME of the given bytes of an object, and their checksum by an algorithm that combines: from what is known
/// about the parts that they take whole. Only the others, at the ends, are read.
fn checksums(object: &Object, bytes: &Range<u64>, algorithm: Algorithm) -> Result<(u64, Checksum), Error> {
    let mut known: Vec<(u64, Checksum, u64)> = Vec::new();
    for piece in pieces(object, bytes) {
        let size = piece.bytes.end - piece.bytes.start;
        let part = if piece.whole { piece.part.checksum_by(algorithm) } else { None };
        known.push(match part {
            Some(checksum) => (piece.part.crc64nvme, checksum, size),
            None => {
                let meter = Meter::new(algorithm, ETags::Opaque);
                let measured = measure(cut(object.segments(), &piece.bytes), meter)?;
                (measured.crc64nvme, measured.checksum, size)
            }
        });
    }
    let crc64nvme = combine_crc64nvme(known.iter().map(|(crc, _, size)| (*crc, *size)));
    let checksum = combine(algorithm, known.iter().map(|(_, checksum, size)| (checksum, *size)));
    let not_combined = || Error::Request(format!("{} does not combine", algorithm.name()));
    Ok((crc64nvme, checksum.ok_or_else(not_combined)?))
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
    let etags = service.etags;
    let part = blocking(move || part_of(&source, &(0..source.size), algorithm, etags, 1)).await?;
    let object = Arc::new(Object::of_part(part, attributes));
    let mut result = CopyObjectResult {
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(timestamp(object.modified)),
        checksum_type: Some(checksum_type(&object.checksum)),
        ..CopyObjectResult::default()
    };
    result.set_checksum(&object.checksum);
    objects::commit(service, bucket, input.key, object, condition, CreatedBy::Copy).await?;
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
    let etags = service.etags;
    let part = blocking(move || part_of(&source, &bytes, algorithm, etags, number)).await?;
    let mut result = CopyPartResult {
        e_tag: Some(etag(&part.etag.to_string())),
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
