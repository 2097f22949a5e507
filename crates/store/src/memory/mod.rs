//! A store in memory, as strict as S3 where Fanfold relies on it: conditions checked with the write, sizes and order
//! of parts, checksum and size at completion, ranges of copies, paging in byte order.
//!
//! For tests of other crates and for worlds without a disk. One lock covers everything, so each operation is one
//! atomic step; bytes are shared, never copied, except where S3 would need them in one piece. ETags are derived from
//! content, like S3's, so writing equal bytes twice leaves an equal tag; they are not MD5s.

mod object;
mod uploads;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::limits::{KEY_BYTES, KEYS_PER_REQUEST, PART_BYTES_MIN};
use fanfold_flow::uri::ObjectUri;
use futures::StreamExt;

use self::object::Object;
use self::uploads::Pending;
use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::{Condition, ETag, GetOptions, Got, Listed, ObjectInfo, Page, PutOptions};
use crate::store::Store;
use crate::upload::{CompleteOptions, Part, Upload};

/// Objects in memory. See the [module](self).
#[derive(Debug)]
pub struct MemoryStore {
    settings: MemorySettings,
    state: Mutex<State>,
}

/// How large the pieces are in which a [`MemoryStore`] answers, and those of which it puts objects together.
#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// Most objects of one page of a list. S3 has 1,000.
    pub page_objects: NonZeroUsize,
    /// Most bytes of one piece of a body.
    pub body_piece_bytes: NonZeroUsize,
    /// Least bytes of a part that is not the last; and ranges are copied only out of objects of more than this. S3 has 5 MiB.
    pub part_bytes_min: u64,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            page_objects: NonZeroUsize::new(KEYS_PER_REQUEST).unwrap_or(NonZeroUsize::MIN),
            // About what a socket gives at once, so that readers meet bodies in several pieces.
            body_piece_bytes: NonZeroUsize::new(64 << 10).unwrap_or(NonZeroUsize::MIN),
            part_bytes_min: PART_BYTES_MIN,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    /// Counts objects written and uploads begun, so that it can be told which came first.
    steps: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Pending>,
}

impl State {
    fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    fn bucket(&mut self, name: &str, operation: Operation) -> Result<&mut Bucket, StoreError> {
        self.buckets.get_mut(name).ok_or_else(|| {
            StoreError::new(ErrorKind::NotFound, operation, format!("s3://{name}"), "there is no such bucket")
                .with_code("NoSuchBucket")
        })
    }
}

impl Bucket {
    fn object(&self, at: &ObjectUri, operation: Operation) -> Result<&Object, StoreError> {
        self.objects.get(&at.key).ok_or_else(|| no_such_key(operation, at))
    }

    /// The one place where a condition is checked; the caller writes under the same lock.
    fn check(&self, at: &ObjectUri, condition: &Condition, operation: Operation) -> Result<(), StoreError> {
        match (condition, self.objects.get(&at.key)) {
            (Condition::Always, _) | (Condition::IfAbsent, None) => Ok(()),
            (Condition::IfAbsent, Some(_)) => Err(precondition(operation, at, "the object exists")),
            (Condition::IfMatches(_), None) => Err(no_such_key(operation, at)),
            (Condition::IfMatches(wanted), Some(object)) => object.check_etag(wanted, operation, at),
        }
    }

    /// S3 refuses to replace an object by an upload that was begun before the object was written, even where the
    /// upload names the object's content: the upload has to be built again.
    fn check_untouched_since(
        &self,
        begun: u64,
        at: &ObjectUri,
        condition: &Condition,
    ) -> Result<(), StoreError> {
        let touched = self.objects.get(&at.key).is_some_and(|object| object.written > begun);
        if touched && matches!(condition, Condition::IfMatches(_)) {
            let message = "the object was written after the upload was begun";
            return Err(StoreError::new(ErrorKind::Conflict, Operation::CompleteUpload, at, message)
                .with_code("ConditionalRequestConflict"));
        }
        Ok(())
    }
}

impl MemoryStore {
    /// A store with these buckets, all empty, and S3's own sizes.
    pub fn new<B: Into<String>>(buckets: impl IntoIterator<Item = B>) -> Self {
        Self::with_settings(buckets, MemorySettings::default())
    }

    /// A store with these buckets and sizes.
    pub fn with_settings<B: Into<String>>(
        buckets: impl IntoIterator<Item = B>,
        settings: MemorySettings,
    ) -> Self {
        let buckets = buckets.into_iter().map(|name| (name.into(), Bucket::default())).collect();
        Self { settings, state: Mutex::new(State { buckets, steps: 0 }) }
    }

    /// Adds an empty bucket. One of that name that is there already stays as it is.
    pub fn add_bucket(&self, name: impl Into<String>) {
        self.lock().buckets.entry(name.into()).or_default();
    }

    // No method panics between two changes of the state, so what a poisoned lock protects is still consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        let operation = Operation::Get;
        let mut state = self.lock();
        let object = state.bucket(&at.bucket, operation)?.object(at, operation)?;
        if let Some(wanted) = &options.if_match {
            object.check_etag(wanted, operation, at)?;
        }
        let range = match options.range {
            Some(range) => clip(range, object.info.size, operation, at)?,
            None => 0..object.info.size,
        };
        let pieces = object.slices(&range, self.settings.body_piece_bytes);
        let body = futures::stream::iter(pieces.into_iter().map(Ok)).boxed();
        Ok(Got { info: object.info.clone(), range, body })
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        let mut state = self.lock();
        Ok(state.bucket(&at.bucket, Operation::Head)?.object(at, Operation::Head)?.info.clone())
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError> {
        check_key(at, Operation::Put)?;
        let object = Object::whole(bytes);
        let etag = object.info.etag.clone();
        let mut state = self.lock();
        let written = state.step();
        let bucket = state.bucket(&at.bucket, Operation::Put)?;
        bucket.check(at, &options.condition, Operation::Put)?;
        bucket.objects.insert(at.key.clone(), object.written_in(written));
        Ok(etag)
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        let mut state = self.lock();
        let found = state.bucket(bucket, Operation::Delete)?;
        for key in keys {
            found.objects.remove(key);
        }
        Ok(())
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let mut state = self.lock();
        let found = state.bucket(bucket, Operation::List)?;
        // Whichever of the two bounds lies further on; `str` compares by bytes, as S3's order does.
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut rest = found
            .objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        let objects: Vec<Listed> = rest
            .by_ref()
            .take(self.settings.page_objects.get())
            .map(|(key, object)| Listed {
                key: key.clone(),
                size: object.info.size,
                etag: object.info.etag.clone(),
            })
            .collect();
        let more = rest.next().is_some();
        let next = objects.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }

    async fn create_upload(&self, at: &ObjectUri, _content_type: Option<&str>) -> Result<Upload, StoreError> {
        check_key(at, Operation::CreateUpload)?;
        let mut state = self.lock();
        let begun = state.step();
        let id = format!("upload-{begun:08}");
        let bucket = state.bucket(&at.bucket, Operation::CreateUpload)?;
        bucket.uploads.insert(id.clone(), Pending::new(at.clone(), begun));
        Ok(Upload { at: at.clone(), id })
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        let object = Object::whole(bytes);
        let mut state = self.lock();
        let bucket = state.bucket(&upload.at.bucket, Operation::UploadPart)?;
        bucket.pending(upload, Operation::UploadPart)?.keep(number, object, Operation::UploadPart)
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        let operation = Operation::CopyPart;
        // The copy's checksum is taken outside the lock, from bytes that are shared and do not change.
        let copied = {
            let mut state = self.lock();
            state.bucket(&upload.at.bucket, operation)?.pending(upload, operation)?;
            let found = state.bucket(&source.bucket, operation)?.object(source, operation)?;
            if let Some(wanted) = source_etag {
                found.check_etag(wanted, operation, source)?;
            }
            found.copy(source, range, self.settings.part_bytes_min)?
        };
        let copied = copied.into_object();
        let mut state = self.lock();
        let bucket = state.bucket(&upload.at.bucket, operation)?;
        bucket.pending(upload, operation)?.keep(number, copied, operation)
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        let operation = Operation::CompleteUpload;
        let mut state = self.lock();
        let written = state.step();
        let bucket = state.bucket(&upload.at.bucket, operation)?;
        let pending = bucket.pending(upload, operation)?;
        let (object, begun) =
            (pending.assemble(parts, &options, self.settings.part_bytes_min)?, pending.begun);
        bucket.check(&upload.at, &options.condition, operation)?;
        bucket.check_untouched_since(begun, &upload.at, &options.condition)?;
        let etag = object.info.etag.clone();
        bucket.uploads.remove(&upload.id);
        bucket.objects.insert(upload.at.key.clone(), object.written_in(written));
        Ok(etag)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.bucket(&upload.at.bucket, Operation::AbortUpload)?.uploads.remove(&upload.id);
        Ok(())
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        let mut state = self.lock();
        let found = state.bucket(bucket, Operation::ListUploads)?;
        let mut uploads: Vec<Upload> = found
            .uploads
            .iter()
            .filter(|(_, pending)| pending.at.key.starts_with(prefix))
            .map(|(id, pending)| Upload { at: pending.at.clone(), id: id.clone() })
            .collect();
        uploads.sort_by(|left, right| (&left.at.key, &left.id).cmp(&(&right.at.key, &right.id)));
        Ok(uploads)
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        let mut state = self.lock();
        let bucket = state.bucket(&upload.at.bucket, Operation::ListParts)?;
        Ok(bucket.pending(upload, Operation::ListParts)?.list())
    }
}

/// The part of the range that lies in the object; S3's rule for reads.
fn clip(
    range: Range<u64>,
    size: u64,
    operation: Operation,
    at: &ObjectUri,
) -> Result<Range<u64>, StoreError> {
    if range.is_empty() || range.start >= size {
        let message = format!("bytes {range:?} cannot be read from an object of {size} bytes");
        return Err(StoreError::new(ErrorKind::Invalid, operation, at, message).with_code("InvalidRange"));
    }
    Ok(range.start..range.end.min(size))
}

fn check_key(at: &ObjectUri, operation: Operation) -> Result<(), StoreError> {
    let bytes = at.key.len();
    if bytes == 0 || bytes > KEY_BYTES {
        let message = format!("the key has {bytes} bytes; it must have 1 to {KEY_BYTES}");
        return Err(StoreError::new(ErrorKind::Invalid, operation, at, message).with_code("KeyTooLongError"));
    }
    Ok(())
}

fn no_such_key(operation: Operation, at: &ObjectUri) -> StoreError {
    StoreError::new(ErrorKind::NotFound, operation, at, "").with_code("NoSuchKey")
}

fn precondition(operation: Operation, at: &ObjectUri, message: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::PreconditionFailed, operation, at, message).with_code("PreconditionFailed")
}
