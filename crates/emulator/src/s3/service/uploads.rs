//! Multipart uploads up to their completion: start, parts, abort, listings.

use std::sync::Arc;

use s3s::S3Request;
use s3s::dto::*;

use super::super::body::{blocking, receive};
use super::super::bucket::Bucket;
use super::super::checksum::{Algorithm, Scope};
use super::super::error::Error;
use super::super::index::Upload;
use super::super::page::{After, Query, page};
use super::super::record::{self, Change, UploadKey, UploadStart};
use super::super::store::now;
use super::Service;
use super::answer::{
    CarriesChecksum as _, checksum_algorithm, count, etag, named_algorithm, page_limit, signed,
    take_attributes, timestamp,
};
use super::declared::Declared;
use super::list::{encode_with, groups};

/// Source: S3 user guide, "Amazon S3 multipart upload limits".
const MOST_PARTS: u16 = 10_000;

pub(super) async fn create(
    service: &Service,
    mut input: CreateMultipartUploadInput,
) -> Result<CreateMultipartUploadOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let attributes = take_attributes!(input)?;
    let chosen = named_algorithm(input.checksum_algorithm.as_ref())?;
    let algorithm = chosen.unwrap_or(Algorithm::Crc64Nvme);
    let scope = scope(chosen, input.checksum_type.as_ref())?;
    let initiated = now();
    // In hexadecimal digits of fixed width the ids of a key sort by time.
    let id = format!("{initiated:016x}{}", uuid::Uuid::new_v4().simple());
    let upload = UploadKey { key: input.key.clone(), id: id.clone() };
    let start = UploadStart { initiated, attributes, algorithm, scope, chosen: chosen.is_some() };
    let change = Change::Start { upload, start: Arc::new(start) };
    blocking(move || bucket.commit(change, |_| Ok(()))).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: chosen.map(checksum_algorithm),
        checksum_type: chosen.map(|_| ChecksumType::from_static(scope.name())),
        ..CreateMultipartUploadOutput::default()
    })
}

/// Over what the finished object's checksum is to be. Source: S3 user guide, "Checking object integrity": CRC64NVME is
/// of the full object always, the hashes are composite always, CRC32 and CRC32C are either.
fn scope(chosen: Option<Algorithm>, asked: Option<&ChecksumType>) -> Result<Scope, Error> {
    let Some(algorithm) = chosen else {
        return match asked {
            None => Ok(Scope::FullObject),
            Some(_) => Err(Error::Request("a checksum type needs a checksum algorithm beside it".into())),
        };
    };
    let usual = if algorithm == Algorithm::Crc64Nvme { Scope::FullObject } else { Scope::Composite };
    let Some(asked) = asked else { return Ok(usual) };
    let scope = Scope::parse(asked.as_str());
    let possible =
        |scope: &Scope| *scope == usual || algorithm != Algorithm::Crc64Nvme && algorithm.combines();
    scope.filter(possible).ok_or_else(|| {
        Error::Request(format!("checksum type {} is not possible with {}", asked.as_str(), algorithm.name()))
    })
}

/// # Errors
/// [`Error::Argument`] for a number that no part can have.
pub(super) fn part_number(number: i32) -> Result<u16, Error> {
    let possible = u16::try_from(number).ok().filter(|number| (1..=MOST_PARTS).contains(number));
    possible.ok_or_else(|| Error::Argument(format!("part number {number} is not between 1 and {MOST_PARTS}")))
}

pub(super) async fn upload_part(
    service: &Service,
    request: S3Request<UploadPartInput>,
) -> Result<UploadPartOutput, Error> {
    let S3Request { mut input, headers, trailing_headers, .. } = request;
    let number = part_number(input.part_number)?;
    let bucket = service.store.bucket(&input.bucket)?;
    let upload = UploadKey { key: input.key.clone(), id: input.upload_id.clone() };
    let start = Arc::clone(&bucket.read().upload(&upload)?.start);
    let declared = Declared::new(
        input.given_checksum()?,
        input.checksum_algorithm.as_ref(),
        input.content_md5.take(),
        input.content_length,
        &headers,
        trailing_headers,
    )?;
    let algorithm = declared.algorithm.unwrap_or(start.algorithm);
    if start.chosen && algorithm != start.algorithm {
        let (expected, given) = (start.algorithm.name(), algorithm.name());
        return Err(Error::Request(format!(
            "the upload was started with {expected}; a part came with {given}"
        )));
    }
    let meter = declared.meter(algorithm, service.etags);
    let received = receive(input.body.take(), service.store.blobs(), meter).await?;
    declared.verify(&received.measured)?;
    let given = received.measured.checksum.clone();
    let mut part = received.into_part(number);
    if let Some(checksum) = part.checksum_by(start.algorithm) {
        part.checksum = checksum;
    }
    let mut output =
        UploadPartOutput { e_tag: Some(etag(&part.etag.to_string())), ..UploadPartOutput::default() };
    output.set_checksum(&given);
    commit_part(bucket, upload, part).await?;
    Ok(output)
}

/// Makes a part one of its upload's.
pub(super) async fn commit_part(
    bucket: Arc<Bucket>,
    upload: UploadKey,
    part: record::Part,
) -> Result<(), Error> {
    let change = Change::Part { upload: upload.clone(), part: Arc::new(part) };
    blocking(move || bucket.commit(change, |index| index.upload(&upload).map(drop))).await
}

pub(super) async fn abort(
    service: &Service,
    input: AbortMultipartUploadInput,
) -> Result<AbortMultipartUploadOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let upload = UploadKey { key: input.key, id: input.upload_id };
    let change = Change::Abort { upload: upload.clone() };
    blocking(move || bucket.commit(change, |index| index.upload(&upload).map(drop))).await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) fn list_parts(service: &Service, input: ListPartsInput) -> Result<ListPartsOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let limit = page_limit(input.max_parts, "max-parts")?;
    let after = input.part_number_marker.unwrap_or(0);
    let upload = UploadKey { key: input.key, id: input.upload_id };
    let index = bucket.read();
    let Upload { start, parts } = index.upload(&upload)?;
    let behind = parts.values().filter(|part| i32::from(part.number) > after);
    let listed: Vec<Part> = behind.clone().take(limit).map(|part| listed_part(part)).collect();
    let truncated = listed.len() < behind.count() && limit > 0;
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(upload.key.clone()),
        upload_id: Some(upload.id.clone()),
        checksum_algorithm: start.chosen.then(|| checksum_algorithm(start.algorithm)),
        checksum_type: start.chosen.then(|| ChecksumType::from_static(start.scope.name())),
        is_truncated: Some(truncated),
        max_parts: Some(count(limit)),
        next_part_number_marker: listed.last().filter(|_| truncated).and_then(|part| part.part_number),
        part_number_marker: Some(after),
        parts: Some(listed),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..ListPartsOutput::default()
    })
}

fn listed_part(part: &record::Part) -> Part {
    let mut listed = Part {
        e_tag: Some(etag(&part.etag.to_string())),
        last_modified: Some(timestamp(part.modified)),
        part_number: Some(part.number.into()),
        size: Some(signed(part.size)),
        ..Part::default()
    };
    listed.set_checksum(&part.checksum);
    listed
}

pub(super) fn list_uploads(
    service: &Service,
    input: ListMultipartUploadsInput,
) -> Result<ListMultipartUploadsOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let limit = page_limit(input.max_uploads, "max-uploads")?;
    let after = match (input.key_marker.as_deref(), input.upload_id_marker.as_deref()) {
        (None | Some(""), _) => After::Nothing,
        // Without an id: behind every upload of the key. Ids are ASCII, so this one is behind them all.
        (Some(key), None | Some("")) => After::Key(UploadKey { key: key.into(), id: char::MAX.into() }),
        (Some(key), Some(id)) => After::Key(UploadKey { key: key.into(), id: id.into() }),
    };
    let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let query = Query { prefix: input.prefix.as_deref().unwrap_or_default(), delimiter, after, limit };
    let index = bucket.read();
    let page = page(&index.uploads, &query);
    let encode = encode_with(input.encoding_type.as_ref());
    let uploads = page.entries.iter().map(|(upload, Upload { start, .. })| MultipartUpload {
        key: Some(encode(&upload.key)),
        upload_id: Some(upload.id.clone()),
        initiated: Some(timestamp(start.initiated)),
        checksum_algorithm: start.chosen.then(|| checksum_algorithm(start.algorithm)),
        checksum_type: start.chosen.then(|| ChecksumType::from_static(start.scope.name())),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..MultipartUpload::default()
    });
    let (next_key, next_id) = match &page.next {
        None | Some(After::Nothing) => (None, None),
        Some(After::Key(upload)) => (Some(encode(&upload.key)), Some(upload.id.clone())),
        Some(After::Group(group)) => (Some(encode(group)), None),
    };
    Ok(ListMultipartUploadsOutput {
        uploads: Some(uploads.collect()),
        common_prefixes: groups(&page.groups, &encode),
        is_truncated: Some(page.next.is_some()),
        next_key_marker: next_key,
        next_upload_id_marker: next_id,
        max_uploads: Some(count(limit)),
        bucket: Some(input.bucket),
        prefix: input.prefix.as_deref().map(&encode),
        delimiter: delimiter.map(&encode),
        key_marker: input.key_marker.as_deref().map(&encode),
        upload_id_marker: input.upload_id_marker,
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}
