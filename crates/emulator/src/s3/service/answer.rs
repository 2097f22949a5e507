//! Between our nouns and s3s's: the fields that many requests and answers share.

use s3s::dto::*;
use time::{Duration, OffsetDateTime};

use super::super::checksum::{self, Algorithm};
use super::super::error::Error;
use super::super::record::{Attributes, Milliseconds};

/// The most bytes of user metadata, keys and values together. Source: S3 user guide, "Working with object metadata".
const METADATA_BYTES: usize = 2_048;

pub(super) fn etag(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

pub(super) fn timestamp(at: Milliseconds) -> Timestamp {
    OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::milliseconds(at)).into()
}

/// S3's numbers are signed.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// How many entries a page may have: what is asked for, 1,000 at most and by default, as on S3.
pub(super) fn page_limit(asked: Option<i32>, name: &str) -> Result<usize, Error> {
    let asked = asked.unwrap_or(1_000);
    let limit =
        usize::try_from(asked).map_err(|_| Error::Argument(format!("{name} is {asked}, below zero")))?;
    Ok(limit.min(1_000))
}

/// The count of a page's entries, or its limit, in S3's type.
pub(super) fn count(entries: usize) -> i32 {
    i32::try_from(entries).unwrap_or(i32::MAX)
}

/// A message that has one field for each checksum algorithm.
pub(super) trait CarriesChecksum {
    fn fields(&mut self) -> [(Algorithm, &mut Option<String>); 5];

    /// Fills in the field of the checksum's algorithm.
    fn set_checksum(&mut self, checksum: &checksum::Checksum) {
        for (algorithm, field) in self.fields() {
            if algorithm == checksum.algorithm {
                *field = Some(checksum.value.clone());
            }
        }
    }

    /// The checksum that is given, if any.
    ///
    /// # Errors
    /// [`Error::Request`] for more than one.
    fn given_checksum(&mut self) -> Result<Option<(Algorithm, String)>, Error> {
        let mut given = None;
        for (algorithm, field) in self.fields() {
            let Some(value) = field.take() else { continue };
            if given.replace((algorithm, value)).is_some() {
                return Err(Error::Request("there is more than one checksum; S3 takes one".into()));
            }
        }
        Ok(given)
    }
}

macro_rules! carries_checksum {
    ($($message:ty),* $(,)?) => {$(
        impl CarriesChecksum for $message {
            fn fields(&mut self) -> [(Algorithm, &mut Option<String>); 5] {
                [
                    (Algorithm::Crc32, &mut self.checksum_crc32),
                    (Algorithm::Crc32c, &mut self.checksum_crc32c),
                    (Algorithm::Crc64Nvme, &mut self.checksum_crc64nvme),
                    (Algorithm::Sha1, &mut self.checksum_sha1),
                    (Algorithm::Sha256, &mut self.checksum_sha256),
                ]
            }
        }
    )*};
}

carries_checksum!(
    Checksum,
    CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput,
    CompletedPart,
    CopyObjectResult,
    CopyPartResult,
    GetObjectOutput,
    HeadObjectOutput,
    ObjectPart,
    Part,
    PutObjectInput,
    PutObjectOutput,
    UploadPartInput,
    UploadPartOutput,
);

pub(super) fn checksum_type(checksum: &checksum::Checksum) -> ChecksumType {
    ChecksumType::from_static(checksum.scope.name())
}

pub(super) fn checksum_algorithm(algorithm: Algorithm) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(algorithm.name())
}

/// The algorithm that a request names.
///
/// # Errors
/// [`Error::Request`] for one that S3 does not have.
pub(super) fn named_algorithm(name: Option<&ChecksumAlgorithm>) -> Result<Option<Algorithm>, Error> {
    let Some(name) = name else { return Ok(None) };
    let unknown = || Error::Request(format!("checksum algorithm `{}` is none of S3's", name.as_str()));
    Algorithm::parse(name.as_str()).map(Some).ok_or_else(unknown)
}

/// Takes an object's attributes out of a request; a macro, since three requests have the same fields in three types.
macro_rules! take_attributes {
    ($input:expr) => {
        $crate::s3::service::answer::checked($crate::s3::record::Attributes {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            content_disposition: $input.content_disposition.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            website_redirect_location: $input.website_redirect_location.take(),
            metadata: $input.metadata.take().unwrap_or_default().into_iter().collect(),
            tags: $crate::s3::service::tagging::parse($input.tagging.as_deref().unwrap_or_default())?,
        })
    };
}
pub(super) use take_attributes;

/// Attributes within the limits, without what belongs to the transport.
///
/// # Errors
/// [`Error::MetadataTooLarge`].
pub(super) fn checked(mut attributes: Attributes) -> Result<Attributes, Error> {
    let bytes = attributes.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_BYTES {
        return Err(Error::MetadataTooLarge(bytes));
    }
    // `aws-chunked` is how the request was framed, not how the object is encoded.
    attributes.content_encoding = attributes.content_encoding.and_then(|encodings| {
        let encodings = encodings.split(',').map(str::trim);
        let kept: Vec<&str> =
            encodings.filter(|encoding| !encoding.eq_ignore_ascii_case("aws-chunked")).collect();
        (!kept.is_empty()).then(|| kept.join(","))
    });
    Ok(attributes)
}

/// Refuses a version: this store keeps one of each object.
///
/// # Errors
/// [`Error::Argument`] for any version but `null`.
pub(super) fn no_version(version: Option<&str>) -> Result<(), Error> {
    match version {
        None | Some("null") => Ok(()),
        Some(version) => {
            Err(Error::Argument(format!("version `{version}` does not exist: versions are not kept")))
        }
    }
}
