//! A wrapper that counts what goes through it, for reports, for tests of how many requests something takes, and for
//! the cost model.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use futures::StreamExt;

use crate::error::{Operation, StoreError};
use crate::object::{ETag, GetOptions, Got, ObjectInfo, Page, PutOptions};
use crate::store::Store;
use crate::upload::{CompleteOptions, Part, Upload};

/// What went through a [`Counting`] store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of each operation, failed ones included. An adapter may need several requests for one of them.
    pub calls: BTreeMap<Operation, u64>,
    /// Calls that failed. A body that broke off counts as one more failure of its get.
    pub failures: BTreeMap<Operation, u64>,
    /// Bytes that were read from bodies.
    pub bytes_read: u64,
    /// Bytes that were handed over to be written.
    pub bytes_written: u64,
}

impl Counts {
    /// Calls of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or(0)
    }
}

/// Counts calls and bytes. See the [module](self).
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn Store>,
    counts: Arc<Mutex<Counts>>,
}

impl Counting {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, counts: Arc::default() }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    fn note<T>(&self, operation: Operation, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut counts = lock(&self.counts);
        *counts.calls.entry(operation).or_default() += 1;
        if result.is_err() {
            *counts.failures.entry(operation).or_default() += 1;
        }
        result
    }

    fn note_written(&self, bytes: &Bytes) {
        lock(&self.counts).bytes_written += bytes.len() as u64;
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Counting {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        let got = self.note(Operation::Get, self.inner.get(at, options).await)?;
        let counts = Arc::clone(&self.counts);
        let body = got.body.inspect(move |piece| match piece {
            Ok(bytes) => lock(&counts).bytes_read += bytes.len() as u64,
            Err(_) => *lock(&counts).failures.entry(Operation::Get).or_default() += 1,
        });
        Ok(Got { info: got.info, range: got.range, body: body.boxed() })
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        self.note(Operation::Head, self.inner.head(at).await)
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError> {
        self.note_written(&bytes);
        self.note(Operation::Put, self.inner.put(at, bytes, options).await)
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        self.note(Operation::Delete, self.inner.delete(bucket, keys).await)
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.note(Operation::List, self.inner.list(bucket, prefix, after).await)
    }

    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError> {
        self.note(Operation::CreateUpload, self.inner.create_upload(at, content_type).await)
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        self.note_written(&bytes);
        self.note(Operation::UploadPart, self.inner.upload_part(upload, number, bytes).await)
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        let copied = self.inner.copy_part(upload, number, source, range, source_etag).await;
        self.note(Operation::CopyPart, copied)
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        self.note(Operation::CompleteUpload, self.inner.complete_upload(upload, parts, options).await)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.note(Operation::AbortUpload, self.inner.abort_upload(upload).await)
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        self.note(Operation::ListUploads, self.inner.list_uploads(bucket, prefix).await)
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        self.note(Operation::ListParts, self.inner.list_parts(upload).await)
    }
}

// Counting cannot panic half way, so what a poisoned lock protects is still right.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
