//! Requests about multipart uploads.

use std::ops::Range;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType,
};
use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::UPLOAD_PARTS;
use fanfold_flow::uri::ObjectUri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::errors::failed;
use super::objects::{bytes as count, head, headers, incomplete, key_of};
use super::{COMPLETE, COPY, decode, encode, once, silent_time, upload_time};
use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::ETag;
use crate::upload::{CompleteOptions, Part, Upload};

/// What is encoded in the header that names a copy's source: all but the unreserved characters of RFC 3986 and slash.
const COPY_SOURCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

pub(super) async fn create(
    client: &Client,
    at: &ObjectUri,
    content_type: Option<&str>,
) -> Result<Upload, StoreError> {
    let output = client
        .create_multipart_upload()
        .bucket(&at.bucket)
        .key(&at.key)
        .set_content_type(content_type.map(str::to_owned))
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject)
        .customize()
        .config_override(once())
        .send()
        .await
        .map_err(|error| failed(Operation::CreateUpload, at, error))?;
    let id = output.upload_id.ok_or_else(|| incomplete(Operation::CreateUpload, at, "an upload id"))?;
    Ok(Upload { at: at.clone(), id })
}

pub(super) async fn upload_part(
    client: &Client,
    upload: &Upload,
    number: u32,
    bytes: Bytes,
) -> Result<Part, StoreError> {
    let operation = Operation::UploadPart;
    let (size, crc) = (bytes.len() as u64, Crc64::of(&bytes));
    let time = upload_time(bytes.len());
    let output = client
        .upload_part()
        .bucket(&upload.at.bucket)
        .key(&upload.at.key)
        .upload_id(&upload.id)
        .part_number(part_number(operation, upload, number)?)
        .checksum_crc64_nvme(encode(crc))
        .body(bytes.into())
        .customize()
        // The CRC64NVME proves the content; a SHA-256 beside it would cost more than the rest of the request.
        .disable_payload_signing()
        .config_override(time)
        .send()
        .await
        .map_err(|error| failed(operation, &upload.at, error))?;
    let etag = output.e_tag.ok_or_else(|| incomplete(operation, &upload.at, "an etag"))?;
    Ok(Part { number, etag: ETag::new(etag), size, crc: Some(crc) })
}

pub(super) async fn copy_part(
    client: &Client,
    upload: &Upload,
    number: u32,
    source: &ObjectUri,
    range: Option<Range<u64>>,
    source_etag: Option<&ETag>,
) -> Result<Part, StoreError> {
    let operation = Operation::CopyPart;
    if range.as_ref().is_some_and(Range::is_empty) {
        let message = "an empty range cannot be copied";
        return Err(StoreError::new(ErrorKind::Invalid, operation, source, message));
    }
    let (size, etag) = source_content(client, source, range.as_ref(), source_etag).await?;
    let key = utf8_percent_encode(&source.key, COPY_SOURCE);
    let output = client
        .upload_part_copy()
        .bucket(&upload.at.bucket)
        .key(&upload.at.key)
        .upload_id(&upload.id)
        .part_number(part_number(operation, upload, number)?)
        .copy_source(format!("{}/{key}", source.bucket))
        .set_copy_source_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
        .set_copy_source_if_match(etag.as_ref().map(ETag::quoted))
        .customize()
        .config_override(silent_time(COPY))
        .send()
        .await
        .map_err(|error| failed(operation, format!("{source} to {}", upload.at), error))?;
    let copied = output.copy_part_result();
    let etag =
        copied.and_then(|part| part.e_tag()).ok_or_else(|| incomplete(operation, &upload.at, "an etag"))?;
    let crc = copied.and_then(|part| part.checksum_crc64_nvme()).and_then(decode);
    Ok(Part { number, etag: ETag::new(etag), size, crc })
}

pub(super) async fn complete(
    client: &Client,
    upload: &Upload,
    parts: &[Part],
    options: CompleteOptions,
) -> Result<ETag, StoreError> {
    let operation = Operation::CompleteUpload;
    let named = parts
        .iter()
        .map(|part| {
            let number = part_number(operation, upload, part.number)?;
            Ok(CompletedPart::builder().part_number(number).e_tag(part.etag.quoted()).build())
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let size = options.bytes.map(i64::try_from).transpose().map_err(|error| {
        StoreError::new(ErrorKind::TooLarge, operation, &upload.at, "the size cannot be told to the service")
            .with_source(error)
    })?;
    let (if_none_match, if_match) = headers(&options.condition);
    let output = client
        .complete_multipart_upload()
        .bucket(&upload.at.bucket)
        .key(&upload.at.key)
        .upload_id(&upload.id)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(named)).build())
        .set_checksum_crc64_nvme(options.crc.map(encode))
        .checksum_type(ChecksumType::FullObject)
        .set_mpu_object_size(size)
        .set_if_none_match(if_none_match)
        .set_if_match(if_match)
        .customize()
        .config_override(silent_time(COMPLETE))
        .send()
        .await
        .map_err(|error| failed(operation, &upload.at, error))?;
    let etag = output.e_tag.ok_or_else(|| incomplete(operation, &upload.at, "an etag"))?;
    Ok(ETag::new(etag))
}

pub(super) async fn abort(client: &Client, upload: &Upload) -> Result<(), StoreError> {
    let aborted = client
        .abort_multipart_upload()
        .bucket(&upload.at.bucket)
        .key(&upload.at.key)
        .upload_id(&upload.id)
        .send()
        .await
        .map_err(|error| failed(Operation::AbortUpload, &upload.at, error));
    match aborted {
        Err(error) if error.kind() == ErrorKind::NoSuchUpload => Ok(()),
        other => other.map(|_| ()),
    }
}

pub(super) async fn list(client: &Client, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
    let operation = Operation::ListUploads;
    let at = ObjectUri::new(bucket, prefix);
    let missing = |what: &str| incomplete(operation, &at, what);
    let mut uploads = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let output = client
            .list_multipart_uploads()
            .bucket(bucket)
            .prefix(prefix)
            .encoding_type(EncodingType::Url)
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker)
            .send()
            .await
            .map_err(|error| failed(operation, &at, error))?;
        let encoded = output.encoding_type == Some(EncodingType::Url);
        for upload in output.uploads() {
            let key = upload.key().and_then(|key| key_of(key, encoded));
            let key = key.ok_or_else(|| missing("a key that can be read"))?;
            let id = upload.upload_id().ok_or_else(|| missing("an upload id"))?.to_owned();
            uploads.push(Upload { at: ObjectUri::new(bucket, key), id });
        }
        if !output.is_truncated.unwrap_or(false) {
            return Ok(uploads);
        }
        let marker = output.next_key_marker().and_then(|key| key_of(key, encoded));
        key_marker =
            Some(marker.ok_or_else(|| missing("the next page's key, though it says that there is one"))?);
        id_marker = output.next_upload_id_marker;
    }
}

pub(super) async fn list_parts(client: &Client, upload: &Upload) -> Result<Vec<Part>, StoreError> {
    let operation = Operation::ListParts;
    let missing = |what: &str| incomplete(operation, &upload.at, what);
    let mut pages = client
        .list_parts()
        .bucket(&upload.at.bucket)
        .key(&upload.at.key)
        .upload_id(&upload.id)
        .into_paginator()
        .send();
    let mut parts = Vec::new();
    while let Some(page) = pages.next().await {
        for part in page.map_err(|error| failed(operation, &upload.at, error))?.parts() {
            let number = part.part_number.and_then(|number| u32::try_from(number).ok());
            parts.push(Part {
                number: number.ok_or_else(|| missing("a part's number"))?,
                etag: ETag::new(part.e_tag().ok_or_else(|| missing("a part's etag"))?),
                size: count(part.size).ok_or_else(|| missing("a part's size"))?,
                crc: part.checksum_crc64_nvme().and_then(decode),
            });
        }
    }
    Ok(parts)
}

/// How many bytes a copy moves, and of which content. S3 does not say how much it copied: where the whole is meant, it
/// is asked beforehand, and the copy held to the content that it told the size of.
async fn source_content(
    client: &Client,
    source: &ObjectUri,
    range: Option<&Range<u64>>,
    etag: Option<&ETag>,
) -> Result<(u64, Option<ETag>), StoreError> {
    if let Some(range) = range {
        return Ok((range.end - range.start, etag.cloned()));
    }
    let info = head(client, source).await?;
    match etag {
        Some(wanted) if *wanted != info.etag => {
            let message = format!("its etag is {}, not {wanted}", info.etag);
            Err(StoreError::new(ErrorKind::PreconditionFailed, Operation::CopyPart, source, message))
        }
        _ => Ok((info.size, Some(info.etag))),
    }
}

fn part_number(operation: Operation, upload: &Upload, number: u32) -> Result<i32, StoreError> {
    i32::try_from(number).ok().filter(|_| (1..=UPLOAD_PARTS).contains(&number)).ok_or_else(|| {
        let message = format!("part {number} cannot be; parts have numbers from 1 to {UPLOAD_PARTS}");
        StoreError::new(ErrorKind::Invalid, operation, &upload.at, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_copy_is_encoded_but_for_its_slashes() {
        let encoded = utf8_percent_encode("a b+c%/한.csv", COPY_SOURCE).to_string();
        assert_eq!(encoded, "a%20b%2Bc%25/%ED%95%9C.csv");
    }
}
