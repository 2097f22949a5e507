//! Local files as a store that planning can read: each at the address that it would be copied to, from where it lies now.
//!
//! So that `fanfold plan` lists with the dispatcher's own code, and copies nothing.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::SeekFrom;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{
    CompleteOptions, ETag, ErrorKind, GetOptions, Got, Listed, ObjectInfo, Operation, Page, Part, PutOptions,
    Store, StoreError, Upload,
};
use futures::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::find::LocalFile;

/// Local files by address, over another store for all other addresses. Read-only.
#[derive(Debug)]
pub(crate) struct PlanStore {
    files: BTreeMap<ObjectUri, LocalFile>,
    /// What stands in the files' bucket besides them is of no interest here, so lists do not mix.
    prefix: ObjectUri,
    others: Option<Arc<dyn Store>>,
}

impl PlanStore {
    /// These files, all of which lie below `prefix`, and `others` for whatever does not.
    pub(crate) fn new(files: Vec<LocalFile>, prefix: ObjectUri, others: Option<Arc<dyn Store>>) -> Self {
        Self { files: files.into_iter().map(|file| (file.at.clone(), file)).collect(), prefix, others }
    }

    fn is_ours(&self, bucket: &str, key: &str) -> bool {
        bucket == self.prefix.bucket && key.starts_with(&self.prefix.key)
    }

    fn others(&self, operation: Operation, at: &impl Display) -> Result<&Arc<dyn Store>, StoreError> {
        self.others.as_ref().ok_or_else(|| {
            let message =
                "planning sees the embedded S3 only with --data, and your own with --s3 environment";
            StoreError::new(ErrorKind::NotFound, operation, at, message)
        })
    }

    fn file(&self, operation: Operation, at: &ObjectUri) -> Result<&LocalFile, StoreError> {
        self.files.get(at).ok_or_else(|| StoreError::new(ErrorKind::NotFound, operation, at, ""))
    }
}

/// What is known of a file; its mark is its length, as nothing is written between the listing and the reading that matters.
fn info(file: &LocalFile) -> ObjectInfo {
    ObjectInfo { etag: etag(file), size: file.bytes, crc64: None }
}

fn etag(file: &LocalFile) -> ETag {
    ETag::new(format!("file-{}", file.bytes))
}

async fn read(path: &Path, range: Range<u64>) -> std::io::Result<Bytes> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(range.start)).await?;
    let mut bytes = Vec::new();
    file.take(range.end - range.start).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

fn refused(operation: Operation, at: &impl Display) -> StoreError {
    StoreError::new(ErrorKind::Denied, operation, at, "planning writes nothing")
}

#[async_trait]
impl Store for PlanStore {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        if !self.is_ours(&at.bucket, &at.key) {
            return self.others(Operation::Get, at)?.get(at, options).await;
        }
        let file = self.file(Operation::Get, at)?;
        let wanted = options.range.unwrap_or(0..file.bytes);
        let range = wanted.start..wanted.end.min(file.bytes);
        let bytes = read(&file.path, range.clone()).await.map_err(|error| {
            StoreError::new(ErrorKind::Other, Operation::Get, file.path.display(), "").with_source(error)
        })?;
        let body = futures::stream::once(async { Ok(bytes) }).boxed();
        Ok(Got { info: info(file), range, body })
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        if !self.is_ours(&at.bucket, &at.key) {
            return self.others(Operation::Head, at)?.head(at).await;
        }
        self.file(Operation::Head, at).map(info)
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        if !self.is_ours(bucket, prefix) {
            return self.others(Operation::List, &bucket)?.list(bucket, prefix, after).await;
        }
        let first = ObjectUri::new(bucket, prefix);
        let objects = self
            .files
            .range(first..)
            .take_while(|(at, _)| at.bucket == bucket && at.key.starts_with(prefix))
            .map(|(at, file)| Listed { key: at.key.clone(), size: file.bytes, etag: etag(file) });
        Ok(Page { objects: objects.collect(), next: None })
    }

    async fn put(&self, at: &ObjectUri, _: Bytes, _: PutOptions) -> Result<ETag, StoreError> {
        Err(refused(Operation::Put, at))
    }

    async fn delete(&self, bucket: &str, _: &[String]) -> Result<(), StoreError> {
        Err(refused(Operation::Delete, &bucket))
    }

    async fn create_upload(&self, at: &ObjectUri, _: Option<&str>) -> Result<Upload, StoreError> {
        Err(refused(Operation::CreateUpload, at))
    }

    async fn upload_part(&self, upload: &Upload, _: u32, _: Bytes) -> Result<Part, StoreError> {
        Err(refused(Operation::UploadPart, &upload.at))
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        _: u32,
        _: &ObjectUri,
        _: Option<Range<u64>>,
        _: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        Err(refused(Operation::CopyPart, &upload.at))
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        _: &[Part],
        _: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        Err(refused(Operation::CompleteUpload, &upload.at))
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        Err(refused(Operation::AbortUpload, &upload.at))
    }

    async fn list_uploads(&self, bucket: &str, _: &str) -> Result<Vec<Upload>, StoreError> {
        Err(refused(Operation::ListUploads, &bucket))
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        Err(refused(Operation::ListParts, &upload.at))
    }
}

#[cfg(test)]
mod tests {
    use fanfold_store::StoreExt;
    use fanfold_store::memory::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn files_are_read_and_listed_where_they_would_stand_and_the_rest_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let prefix: ObjectUri = "s3://store/local/".parse().unwrap();
        let mut files = Vec::new();
        for name in ["b", "a/c", "a-"] {
            let path = folder.path().join(name.replace('/', "_"));
            std::fs::write(&path, name).unwrap();
            let at = ObjectUri::new("store", format!("local/{name}"));
            files.push(LocalFile { path, at, bytes: name.len() as u64 });
        }
        let others: Arc<dyn Store> = Arc::new(MemoryStore::new(["theirs"]));
        let theirs = "s3://theirs/x".parse().unwrap();
        others.put(&theirs, Bytes::from_static(b"1"), PutOptions::default()).await.unwrap();
        let store = PlanStore::new(files, prefix, Some(others));
        let keys: Vec<_> =
            store.list_all("store", "local/").await.unwrap().into_iter().map(|listed| listed.key).collect();
        assert_eq!(keys, ["local/a-", "local/a/c", "local/b"]);
        let at = ObjectUri::new("store", "local/a/c");
        assert_eq!(store.get_bytes(&at, 10).await.unwrap(), "a/c");
        let part = GetOptions { range: Some(1..9), if_match: None };
        assert_eq!(store.get(&at, part).await.unwrap().range, 1..3);
        assert_eq!(store.head(&theirs).await.unwrap().size, 1);
        assert_eq!(
            store.put(&at, Bytes::new(), PutOptions::default()).await.unwrap_err().kind(),
            ErrorKind::Denied
        );
    }

    #[tokio::test]
    async fn an_address_in_a_store_that_is_not_there_says_how_to_name_one() {
        let store = PlanStore::new(Vec::new(), "s3://store/local/".parse().unwrap(), None);
        let error = store.head(&"s3://theirs/x".parse().unwrap()).await.unwrap_err().to_string();
        assert!(error.contains("--s3 environment"), "{error}");
    }
}
