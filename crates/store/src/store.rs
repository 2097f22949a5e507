//! The port itself.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;

use crate::error::StoreError;
use crate::object::{ETag, GetOptions, Got, ObjectInfo, Page, PutOptions};
use crate::upload::{CompleteOptions, Part, Upload};

/// Objects in buckets, with the promises of S3 that Fanfold stands on:
///
/// - an object appears whole or not at all, and whoever reads or lists after a write sees it;
/// - the condition of a write is checked in the same atomic step that writes;
/// - lists come in the byte order of keys;
/// - what is written is checked against the CRC64NVME of what was meant.
///
/// # Errors
/// Every method fails with a [`StoreError`] that names operation and place. Besides what each method says, any of them
/// may be `Denied`, `Throttled`, `Timeout` or `Unavailable`; after the last two a write may have happened all the same.
///
/// # Cancellation
/// A future that is dropped leaves the request undecided, as if its answer had been lost.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads an object, or a range of it. The body carries on after this returned, and may still fail.
    ///
    /// # Errors
    /// `NotFound`; `PreconditionFailed` when `if_match` names another content; `Invalid` for a range that is empty or
    /// begins at or past the object's end.
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError>;

    /// What is known of an object.
    ///
    /// # Errors
    /// `NotFound`.
    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError>;

    /// Writes an object in one request, with the CRC64NVME of the bytes, at most 5 GiB.
    ///
    /// # Errors
    /// `PreconditionFailed` when the condition does not hold; `NotFound` when the condition names a content and there
    /// is no object; `Conflict` when another conditional write was under way.
    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError>;

    /// Deletes objects, any number of them, in requests of 1,000 keys. A key without an object is fine.
    ///
    /// # Errors
    /// The first key that could not be deleted, by name. The other keys of its request are dealt with all the same;
    /// later requests are not sent.
    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError>;

    /// One page of the objects whose keys begin with `prefix` and come after `after`, in byte order.
    ///
    /// # Errors
    /// `NotFound` when there is no such bucket.
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError>;

    /// Begins a multipart upload.
    ///
    /// # Errors
    /// `NotFound` when there is no such bucket. After a transient error an upload may have been begun of which nobody has the
    /// id; [`list_uploads`](Self::list_uploads) finds it.
    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError>;

    /// Uploads a part, with its CRC64NVME. A part of the same number is replaced.
    ///
    /// # Errors
    /// `NoSuchUpload`; `Invalid` for a number outside 1 to 10,000.
    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError>;

    /// Has the service copy a part from another object: the whole of it, or a range that lies inside it. A range is
    /// only for sources over 5 MiB; leave it out where the whole is meant.
    ///
    /// # Errors
    /// `NoSuchUpload`; `NotFound` for the source; `PreconditionFailed` when the source is no longer `source_etag`;
    /// `Invalid` for a range that leaves the source.
    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError>;

    /// Turns the parts, in this order, into the object. Parts that are not named are dropped. A refusal leaves the
    /// upload as it was.
    ///
    /// # Errors
    /// `NoSuchUpload`; `Invalid` for parts that are unknown, out of order, or make another size than `options.bytes`;
    /// `TooSmall` for a part under 5 MiB that is not the last; `BadDigest`; and those of the condition as for
    /// [`put`](Self::put). After a transient error or `NoSuchUpload` the object may be there:
    /// [`StoreExt::complete_surely`](crate::StoreExt::complete_surely) looks.
    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError>;

    /// Drops an upload and its parts. An unknown upload is fine.
    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError>;

    /// All unfinished uploads to keys that begin with `prefix`, in the byte order of keys.
    ///
    /// # Errors
    /// `NotFound` when there is no such bucket.
    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError>;

    /// All parts of an unfinished upload, in order of their numbers.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError>;
}
