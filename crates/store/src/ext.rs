//! What is made of the port's operations, the same for every store.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::{ETag, GetOptions, Listed, Page, PutOptions};
use crate::read::read_exactly;
use crate::store::Store;
use crate::surely::{ATTEMPTS, Wanted, backoff, surely};
use crate::upload::{CompleteOptions, Part, Upload};

/// Most bytes of a document that is read into memory at once: 256 MiB. Our own stay far below; one that does not is
/// refused by name instead of ending the process.
pub const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// The media type of our documents.
const JSON: &str = "application/json";

/// What became of a write that may happen only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This call wrote the object.
    New,
    /// The object was there already: somebody else was first, or an earlier try of this very call whose answer was
    /// lost. Who must tell the two apart reads the object.
    Existed,
}

/// Conveniences over any [`Store`].
#[async_trait]
pub trait StoreExt: Store {
    /// Reads a whole object into memory, going on where a body breaks off, as long as the content stays the same.
    ///
    /// # Errors
    /// `BadDigest` when the bytes do not have the checksum that the store keeps of the object, where it keeps one;
    /// `TooLarge` for an object of more than `limit_bytes`, before its body is read; else those of [`Store::get`].
    async fn get_bytes(&self, at: &ObjectUri, limit_bytes: u64) -> Result<Bytes, StoreError> {
        Ok(self.get_tagged(at, limit_bytes).await?.0)
    }

    /// As [`get_bytes`](Self::get_bytes), with the mark of the content, for a later conditional write.
    ///
    /// # Errors
    /// As [`get_bytes`](Self::get_bytes).
    async fn get_tagged(&self, at: &ObjectUri, limit_bytes: u64) -> Result<(Bytes, ETag), StoreError> {
        let mut reads = 1;
        loop {
            match whole(self, at, limit_bytes).await {
                // Overwritten between the two halves of a body that broke off: what is there now is as good.
                Err(error) if error.kind() == ErrorKind::PreconditionFailed && reads < ATTEMPTS => reads += 1,
                read => return read,
            }
        }
    }

    /// Reads a JSON document of at most [`DOCUMENT_BYTES_MAX`].
    ///
    /// # Errors
    /// `Malformed` when it is not the JSON of a `T`; else as [`get_bytes`](Self::get_bytes).
    async fn get_json<T: DeserializeOwned>(&self, at: &ObjectUri) -> Result<T, StoreError> {
        Ok(self.get_json_tagged(at).await?.0)
    }

    /// As [`get_json`](Self::get_json), with the mark of the content, for a later conditional write.
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    async fn get_json_tagged<T: DeserializeOwned>(&self, at: &ObjectUri) -> Result<(T, ETag), StoreError> {
        let (bytes, etag) = self.get_tagged(at, DOCUMENT_BYTES_MAX).await?;
        let value = serde_json::from_slice(&bytes).map_err(|problem| {
            StoreError::new(ErrorKind::Malformed, Operation::Get, at, "not the JSON document it should be")
                .with_source(problem)
        })?;
        Ok((value, etag))
    }

    /// Whether there is an object.
    ///
    /// # Errors
    /// Those of [`Store::head`], but that there is none is an answer.
    async fn exists(&self, at: &ObjectUri) -> Result<bool, StoreError> {
        match self.head(at).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a JSON document under the conditions of `options`.
    ///
    /// # Errors
    /// `Malformed` when the value cannot be written as JSON; else those of [`Store::put`].
    async fn put_json<T: Serialize + Sync>(
        &self,
        at: &ObjectUri,
        value: &T,
        options: PutOptions,
    ) -> Result<ETag, StoreError> {
        self.put(at, to_json(at, value)?, options.with_content_type(JSON)).await
    }

    /// Writes a JSON document over the very content with this mark, and finds out whether it was written, as
    /// [`put_surely`](Self::put_surely) does: so no two writers may write the same.
    ///
    /// # Errors
    /// As [`put_json`](Self::put_json).
    async fn rewrite_json<T: Serialize + Sync>(
        &self,
        at: &ObjectUri,
        value: &T,
        over: ETag,
    ) -> Result<ETag, StoreError> {
        let options = PutOptions::if_matches(over).with_content_type(JSON);
        self.put_surely(at, to_json(at, value)?, options).await
    }

    /// Writes a JSON document where there is none yet. A race with another write is tried again until it is decided.
    ///
    /// # Errors
    /// As [`put_json`](Self::put_json), but that the object exists is an answer. After a transient error the document
    /// may be there.
    async fn create_json<T: Serialize + Sync>(
        &self,
        at: &ObjectUri,
        value: &T,
    ) -> Result<Created, StoreError> {
        let bytes = to_json(at, value)?;
        let options = PutOptions::if_absent().with_content_type(JSON);
        let mut failures = 0;
        loop {
            match self.put(at, bytes.clone(), options.clone()).await {
                Ok(_) => return Ok(Created::New),
                Err(error) if error.kind() == ErrorKind::PreconditionFailed => return Ok(Created::Existed),
                Err(error) if error.kind() == ErrorKind::Conflict && failures + 1 < ATTEMPTS => failures += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(backoff(failures)).await;
        }
    }

    /// Writes an object and finds out whether it was written, also when the answer is lost: then an object of the same
    /// size and checksum counts as this one, be it from this call or from another that wrote the same bytes.
    ///
    /// # Errors
    /// Those of [`Store::put`], after several tries where they are transient.
    async fn put_surely(
        &self,
        at: &ObjectUri,
        bytes: Bytes,
        options: PutOptions,
    ) -> Result<ETag, StoreError> {
        let wanted = Wanted { size: Some(bytes.len() as u64), crc: Some(Crc64::of(&bytes)) };
        surely(self, at, wanted, true, || self.put(at, bytes.clone(), options.clone())).await
    }

    /// Completes an upload and finds out whether it was completed, also when the answer is lost, as
    /// [`put_surely`](Self::put_surely) does. For that, `options` must have both size and checksum.
    ///
    /// # Errors
    /// Those of [`Store::complete_upload`], after several tries where they are transient.
    async fn complete_surely(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        let wanted = Wanted { size: options.bytes, crc: options.crc };
        surely(self, &upload.at, wanted, false, || self.complete_upload(upload, parts, options.clone())).await
    }

    /// The pages of a list, one request each, as they are asked for.
    fn pages<'a>(&'a self, bucket: &'a str, prefix: &'a str) -> BoxStream<'a, Result<Page, StoreError>> {
        let first: Option<Option<String>> = Some(None);
        try_unfold(first, move |position| async move {
            let Some(after) = position else { return Ok(None) };
            let page = self.list(bucket, prefix, after.as_deref()).await?;
            let next = page.next.clone().map(Some);
            Ok(Some((page, next)))
        })
        .boxed()
    }

    /// All objects whose keys begin with `prefix`, in byte order.
    ///
    /// # Errors
    /// Those of [`Store::list`].
    async fn list_all(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut all = Vec::new();
        let mut pages = self.pages(bucket, prefix);
        while let Some(page) = pages.next().await {
            all.extend(page?.objects);
        }
        Ok(all)
    }

    /// Deletes all objects whose keys begin with `prefix`, page by page, and says how many there were.
    ///
    /// # Errors
    /// Those of [`Store::list`] and [`Store::delete`]. What was deleted before stays deleted; call it again.
    async fn delete_prefix(&self, bucket: &str, prefix: &str) -> Result<u64, StoreError> {
        let mut deleted = 0;
        let mut pages = self.pages(bucket, prefix);
        while let Some(page) = pages.next().await {
            let keys: Vec<String> = page?.objects.into_iter().map(|object| object.key).collect();
            if !keys.is_empty() {
                self.delete(bucket, &keys).await?;
                deleted += keys.len() as u64;
            }
        }
        Ok(deleted)
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

fn to_json<T: Serialize>(at: &ObjectUri, value: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|problem| {
        StoreError::new(ErrorKind::Malformed, Operation::Put, at, "the value cannot be written as JSON")
            .with_source(problem)
    })
}

/// An object's bytes and its mark, of one content.
async fn whole<S: Store + ?Sized>(
    store: &S,
    at: &ObjectUri,
    limit_bytes: u64,
) -> Result<(Bytes, ETag), StoreError> {
    let got = store.get(at, GetOptions::default()).await?;
    let (etag, size, crc) = (got.info.etag.clone(), got.info.size, got.info.crc64);
    if size > limit_bytes {
        let message = format!("it has {size} bytes; at most {limit_bytes} are read at once");
        return Err(StoreError::new(ErrorKind::TooLarge, Operation::Get, at, message));
    }
    let pieces = read_exactly(store, at, &etag, 0..size, Some(got.body)).await?;
    let whole = join(pieces);
    // An adapter may hold a body to its checksum, but nobody holds one that was resumed to that of the whole.
    if let Some(crc) = crc.filter(|crc| *crc != Crc64::of(&whole)) {
        let message = format!("the bytes read do not have the checksum of the object, {crc}");
        return Err(StoreError::new(ErrorKind::BadDigest, Operation::Get, at, message));
    }
    Ok((whole, etag))
}

/// One piece from many; a single one is not copied.
fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if let [only] = pieces.as_mut_slice() {
        return std::mem::take(only);
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}
