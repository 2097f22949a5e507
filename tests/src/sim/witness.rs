//! Objects as they really are: nothing goes wrong here, and the judge sees all that changes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::World as _;
use fanfold_store::{
    CompleteOptions, ETag, GetOptions, Got, ObjectInfo, Page, Part, PutOptions, Store, StoreError, Upload,
};

use super::life::Life;

/// What an invocation does to the objects of its world, for the judge to see.
pub(crate) struct Witness {
    life: Arc<Life>,
    inner: Arc<dyn Store>,
}

impl Witness {
    pub(crate) fn new(life: &Arc<Life>, inner: Arc<dyn Store>) -> Self {
        Self { life: Arc::clone(life), inner }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("life", &self.life).finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Witness {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        self.inner.get(at, options).await
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        self.inner.head(at).await
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError> {
        let etag = self.inner.put(at, bytes.clone(), options).await?;
        let world = &self.life.world;
        world.judge.wrote(&self.life, &at.key, &bytes, world.clock.now_ms());
        Ok(etag)
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        self.life.world.judge.deleted(&self.life, keys);
        self.inner.delete(bucket, keys).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.inner.list(bucket, prefix, after).await
    }

    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError> {
        self.inner.create_upload(at, content_type).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        self.inner.upload_part(upload, number, bytes).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        self.inner.copy_part(upload, number, source, range, source_etag).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        self.inner.complete_upload(upload, parts, options).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        self.inner.list_uploads(bucket, prefix).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        self.inner.list_parts(upload).await
    }
}
