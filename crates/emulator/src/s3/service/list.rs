//! Listings of objects, and what is known about a single one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;

use super::super::error::Error;
use super::super::page::{After, Page, Query, page};
use super::super::record::{self, Object};
use super::Service;
use super::answer::{
    CarriesChecksum as _, checksum_algorithm, checksum_type, count, etag, no_version, page_limit, signed,
    timestamp,
};

/// What `encoding-type=url` leaves as it is.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// How names are written into an answer: XML can't hold every character that a key can.
pub(super) fn encode_with(encoding: Option<&EncodingType>) -> impl Fn(&str) -> String + use<> {
    let url = encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
    move |name| if url { utf8_percent_encode(name, &ENCODED).to_string() } else { name.to_owned() }
}

/// Common prefixes, in S3's type.
pub(super) fn groups(groups: &[String], encode: impl Fn(&str) -> String) -> Option<Vec<CommonPrefix>> {
    let groups = groups.iter().map(|group| CommonPrefix { prefix: Some(encode(group)) });
    Some(groups.collect())
}

fn contents(
    page: &Page<'_, String, std::sync::Arc<Object>>,
    encode: impl Fn(&str) -> String,
) -> Vec<s3s::dto::Object> {
    let entries = page.entries.iter();
    let entries = entries.map(|(key, object)| s3s::dto::Object {
        checksum_algorithm: Some(vec![checksum_algorithm(object.checksum.algorithm)]),
        checksum_type: Some(checksum_type(&object.checksum)),
        e_tag: Some(etag(&object.etag)),
        key: Some(encode(key)),
        last_modified: Some(timestamp(object.modified)),
        size: Some(signed(object.size)),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..s3s::dto::Object::default()
    });
    entries.collect()
}

pub(super) fn objects(service: &Service, input: ListObjectsInput) -> Result<ListObjectsOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let limit = page_limit(input.max_keys, "max-keys")?;
    let marker = input.marker.clone().filter(|marker| !marker.is_empty());
    let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let after = marker.map_or(After::Nothing, After::Key);
    let query = Query { prefix: input.prefix.as_deref().unwrap_or_default(), delimiter, after, limit };
    let index = bucket.read();
    let page = page(&index.objects, &query);
    let encode = encode_with(input.encoding_type.as_ref());
    // S3 names the next marker only if there is a delimiter; without one it is the last key.
    let next_marker = match page.next.as_ref().filter(|_| delimiter.is_some()) {
        Some(After::Key(name) | After::Group(name)) => Some(encode(name)),
        Some(After::Nothing) | None => None,
    };
    Ok(ListObjectsOutput {
        contents: Some(contents(&page, &encode)),
        common_prefixes: groups(&page.groups, &encode),
        is_truncated: Some(page.next.is_some()),
        next_marker,
        max_keys: Some(count(limit)),
        name: Some(input.bucket),
        prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
        marker: Some(encode(input.marker.as_deref().unwrap_or_default())),
        delimiter: delimiter.map(&encode),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

pub(super) fn objects_v2(service: &Service, input: ListObjectsV2Input) -> Result<ListObjectsV2Output, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let limit = page_limit(input.max_keys, "max-keys")?;
    let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => after_token(token)?,
        (None, Some(key)) if !key.is_empty() => After::Key(key.clone()),
        (None, _) => After::Nothing,
    };
    let query = Query { prefix: input.prefix.as_deref().unwrap_or_default(), delimiter, after, limit };
    let index = bucket.read();
    let page = page(&index.objects, &query);
    let encode = encode_with(input.encoding_type.as_ref());
    Ok(ListObjectsV2Output {
        contents: Some(contents(&page, &encode)),
        common_prefixes: groups(&page.groups, &encode),
        key_count: Some(count(page.entries.len() + page.groups.len())),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(token_of),
        max_keys: Some(count(limit)),
        name: Some(input.bucket),
        prefix: Some(encode(input.prefix.as_deref().unwrap_or_default())),
        continuation_token: input.continuation_token,
        start_after: input.start_after.as_deref().map(&encode),
        delimiter: delimiter.map(&encode),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

fn token_of(after: &After<String>) -> String {
    TOKEN.encode(match after {
        After::Nothing => String::new(),
        After::Key(key) => format!("k{key}"),
        After::Group(group) => format!("g{group}"),
    })
}

fn after_token(token: &str) -> Result<After<String>, Error> {
    let text = TOKEN.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let after = text.and_then(|text| match text.split_at_checked(1)? {
        ("k", key) => Some(After::Key(key.to_owned())),
        ("g", group) => Some(After::Group(group.to_owned())),
        _ => None,
    });
    after.ok_or_else(|| Error::Argument(format!("continuation token `{token}` is none of ours")))
}

pub(super) fn attributes(
    service: &Service,
    input: &GetObjectAttributesInput,
) -> Result<GetObjectAttributesOutput, Error> {
    no_version(input.version_id.as_deref())?;
    let object = service.store.bucket(&input.bucket)?.read().object(&input.key)?;
    // s3s splits repeated headers, not the comma-separated list in one that clients send.
    let asked = input.object_attributes.iter().flat_map(|listed| listed.as_str().split(',').map(str::trim));
    let asked = |name: &str| asked.clone().any(|attribute| attribute == name);
    let checksum = || {
        let mut checksum =
            Checksum { checksum_type: Some(checksum_type(&object.checksum)), ..Checksum::default() };
        checksum.set_checksum(&object.checksum);
        checksum
    };
    let parts = if asked(ObjectAttributes::OBJECT_PARTS) && object.multipart {
        Some(object_parts(&object, input)?)
    } else {
        None
    };
    Ok(GetObjectAttributesOutput {
        checksum: asked(ObjectAttributes::CHECKSUM).then(checksum),
        e_tag: asked(ObjectAttributes::ETAG).then(|| etag(&object.etag)),
        last_modified: Some(timestamp(object.modified)),
        object_parts: parts,
        object_size: asked(ObjectAttributes::OBJECT_SIZE).then(|| signed(object.size)),
        storage_class: asked(ObjectAttributes::STORAGE_CLASS)
            .then(|| StorageClass::from_static(StorageClass::STANDARD)),
        ..GetObjectAttributesOutput::default()
    })
}

fn object_parts(
    object: &Object,
    input: &GetObjectAttributesInput,
) -> Result<GetObjectAttributesParts, Error> {
    let limit = page_limit(input.max_parts, "max-parts")?;
    let after = input.part_number_marker.unwrap_or(0);
    let numbered = (1..).zip(&object.parts).filter(|(number, _)| *number > after);
    let listed: Vec<ObjectPart> =
        numbered.clone().take(limit).map(|(number, part)| object_part(number, part)).collect();
    let truncated = limit > 0 && listed.len() < numbered.count();
    Ok(GetObjectAttributesParts {
        is_truncated: Some(truncated),
        max_parts: Some(count(limit)),
        next_part_number_marker: listed.last().filter(|_| truncated).and_then(|part| part.part_number),
        part_number_marker: Some(after),
        parts: Some(listed),
        total_parts_count: Some(count(object.parts.len())),
    })
}

fn object_part(number: i32, part: &record::Part) -> ObjectPart {
    let mut listed =
        ObjectPart { part_number: Some(number), size: Some(signed(part.size)), ..ObjectPart::default() };
    listed.set_checksum(&part.checksum);
    listed
}
