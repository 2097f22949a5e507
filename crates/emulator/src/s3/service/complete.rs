//! Completing a multipart upload: what is asked for is held against what the parts really are, then committed at once.
//!
//! Nothing is read or copied: the object is the list of its parts' files. A completion that is refused leaves the
//! upload as it was.

use std::sync::Arc;

use s3s::dto::*;

use super::super::body::blocking;
use super::super::bucket::Bucket;
use super::super::checksum::{self, Scope, combine, combine_crc64nvme, composite};
use super::super::condition::WriteCondition;
use super::super::error::Error;
use super::super::etag::multipart_etag;
use super::super::index::Index;
use super::super::notice::{CreatedBy, Notices};
use super::super::record::{Change, Object, Part, UploadKey, UploadStart};
use super::super::store::now;
use super::Service;
use super::answer::{CarriesChecksum as _, checksum_type, etag};

/// The least size of every part but the last. Source: S3 user guide, "Amazon S3 multipart upload limits".
const LEAST_PART_BYTES: u64 = 5 << 20;

pub(super) async fn complete(
    service: &Service,
    mut input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, Error> {
    let bucket = service.store.bucket(&input.bucket)?;
    let condition = WriteCondition::new(input.if_match.take(), input.if_none_match.take())?;
    let upload = UploadKey { key: input.key.clone(), id: input.upload_id.clone() };
    let location = format!("{}/{}/{}", service.endpoint, input.bucket, input.key);
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        location: Some(location),
        ..CompleteMultipartUploadOutput::default()
    };
    let notices = Arc::clone(&service.notices);
    let object = blocking(move || commit(&bucket, &upload, input, &condition, &notices)).await?;
    output.e_tag = Some(etag(&object.etag));
    output.checksum_type = Some(checksum_type(&object.checksum));
    output.set_checksum(&object.checksum);
    Ok(output)
}

fn commit(
    bucket: &Bucket,
    upload: &UploadKey,
    mut input: CompleteMultipartUploadInput,
    condition: &WriteCondition,
    notices: &Notices,
) -> Result<Arc<Object>, Error> {
    let listed = input.multipart_upload.take().and_then(|listed| listed.parts).unwrap_or_default();
    let (start, parts) = choose(&bucket.read(), upload, &listed)?;
    check_parts(&start, listed, &parts)?;
    let object = Arc::new(assemble(&start, &parts)?);
    check_whole(&start, input, &object)?;
    let change = Change::Complete { upload: upload.clone(), object: Arc::clone(&object) };
    let mut sequencer = 0;
    bucket.commit(change, |index| {
        let present = index.upload(upload)?;
        let replaced = parts
            .iter()
            .find(|part| !present.parts.get(&part.number).is_some_and(|present| Arc::ptr_eq(present, part)));
        if let Some(part) = replaced {
            let reason = "it was uploaded anew while the upload was being completed".into();
            return Err(Error::InvalidPart { number: part.number.into(), reason });
        }
        condition.check(&upload.key, index)?;
        sequencer = notices.sequencer();
        Ok(())
    })?;
    notices.created(bucket.name(), &upload.key, &object, CreatedBy::CompleteMultipartUpload, sequencer);
    Ok(object)
}

/// The parts that the client lists, as they are.
fn choose(
    index: &Index,
    upload: &UploadKey,
    listed: &[CompletedPart],
) -> Result<(Arc<UploadStart>, Vec<Arc<Part>>), Error> {
    let present = index.upload(upload)?;
    if listed.is_empty() {
        return Err(Error::Xml("the list of parts is empty; at least one part makes an object"));
    }
    let parts = listed.iter().map(|listed| {
        let number = listed.part_number.ok_or(Error::Xml("a listed part has no number"))?;
        let part = u16::try_from(number).ok().and_then(|number| present.parts.get(&number));
        part.cloned().ok_or_else(|| Error::InvalidPart { number, reason: "it was not uploaded".into() })
    });
    Ok((Arc::clone(&present.start), parts.collect::<Result<_, _>>()?))
}

/// Order, ETags, checksums and sizes of the listed parts.
fn check_parts(start: &UploadStart, listed: Vec<CompletedPart>, parts: &[Arc<Part>]) -> Result<(), Error> {
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].number >= pair[1].number) {
        return Err(Error::PartOrder { before: pair[0].number.into(), number: pair[1].number.into() });
    }
    for (mut listed, part) in listed.into_iter().zip(parts) {
        let wrong = |reason: String| Error::InvalidPart { number: part.number.into(), reason };
        let found = part.etag.to_string();
        match &listed.e_tag {
            None => return Err(Error::Xml("a listed part has no ETag")),
            Some(given) if given.value() != found => {
                return Err(wrong(format!("its ETag is \"{found}\", not \"{}\"", given.value())));
            }
            Some(_) => {}
        }
        if let Some((algorithm, given)) = listed.given_checksum()? {
            let found = part.checksum_by(algorithm);
            if found.as_ref().is_none_or(|found| found.value != given) {
                let found = found.map_or_else(|| "not known".to_owned(), |found| found.value);
                return Err(wrong(format!("its {} is {found}, not {given}", algorithm.name())));
            }
        } else if start.chosen && start.scope == Scope::Composite {
            let text = format!(
                "the upload was started with {} over its parts; part {} is listed without its checksum",
                start.algorithm.name(),
                part.number
            );
            return Err(Error::Request(text));
        }
    }
    let (_, all_but_last) = parts.split_last().unwrap_or((&parts[0], &[]));
    match all_but_last.iter().find(|part| part.size < LEAST_PART_BYTES) {
        None => Ok(()),
        Some(part) => {
            Err(Error::PartTooSmall { number: part.number, size: part.size, least: LEAST_PART_BYTES })
        }
    }
}

fn assemble(start: &UploadStart, parts: &[Arc<Part>]) -> Result<Object, Error> {
    let checksum = match start.scope {
        Scope::Composite => Some(composite(start.algorithm, parts.iter().map(|part| &part.checksum))),
        Scope::FullObject => combine(start.algorithm, parts.iter().map(|part| (&part.checksum, part.size))),
    };
    let not_combined = || Error::Request(format!("{} has no full-object checksum", start.algorithm.name()));
    Ok(Object {
        etag: multipart_etag(parts.iter().map(|part| part.etag)),
        size: parts.iter().map(|part| part.size).sum(),
        modified: now(),
        attributes: start.attributes.clone(),
        checksum: checksum.ok_or_else(not_combined)?,
        crc64nvme: combine_crc64nvme(parts.iter().map(|part| (part.crc64nvme, part.size))),
        multipart: true,
        parts: parts.iter().map(|part| Part::clone(part)).collect(),
    })
}

/// Size and checksum of the whole, where the client says what they are to be.
fn check_whole(
    start: &UploadStart,
    mut input: CompleteMultipartUploadInput,
    object: &Object,
) -> Result<(), Error> {
    if let Some(expected) = input.mpu_object_size
        && u64::try_from(expected) != Ok(object.size)
    {
        return Err(Error::Request(format!(
            "the object is to have {expected} bytes; the parts have {}",
            object.size
        )));
    }
    if let Some(asked) = &input.checksum_type
        && asked.as_str() != start.scope.name()
    {
        let (asked, started) = (asked.as_str(), start.scope.name());
        return Err(Error::Request(format!(
            "the upload was started with checksum type {started}, not {asked}"
        )));
    }
    let Some((algorithm, given)) = input.given_checksum()? else { return Ok(()) };
    let found = if start.scope == Scope::Composite && algorithm == start.algorithm {
        Some(object.checksum.clone())
    } else {
        checksum::checksum_by(algorithm, &object.checksum, object.crc64nvme)
    };
    let Some(found) = found else {
        let (started, given) = (start.algorithm.name(), algorithm.name());
        return Err(Error::Request(format!(
            "the upload was started with {started}; its checksum is given in {given}"
        )));
    };
    let plain = found.value.split_once('-').map_or(found.value.as_str(), |(plain, _)| plain);
    if given == found.value || given == plain {
        return Ok(());
    }
    Err(Error::Digest { what: algorithm.name(), given, found: found.value })
}
