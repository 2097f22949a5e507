//! Writing objects of unknown length: one request when they stay small, else parts uploaded while more arrives.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::{PART_BYTES_MAX, PART_BYTES_MIN, UPLOAD_PARTS};
use fanfold_flow::uri::ObjectUri;
use tokio::task::JoinSet;

use crate::error::{ErrorKind, Operation, StoreError};
use crate::ext::StoreExt;
use crate::object::{Condition, ETag, PutOptions};
use crate::store::Store;
use crate::surely::again;
use crate::upload::{CompleteOptions, Part, Upload};

/// After so many parts the size of a part doubles. From 8 MiB, 10,000 parts then hold 7.8 TiB, more than the 5 TiB
/// that are asked for, while the first 8 GiB are uploaded in parts of 8 MiB.
const PARTS_PER_DOUBLING: u32 = 1_000;

/// How to write an object of unknown length.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// When the object may appear.
    pub condition: Condition,
    /// The media type kept with the object.
    pub content_type: Option<String>,
    /// Bytes of a part, 8 MiB by default, taken as 5 MiB at least. An object below that is one request. Doubles after
    /// every 1,000 parts.
    pub part_bytes: NonZeroU64,
    /// Parts that are uploaded at once, besides the one that is being filled: 2 by default. Fewer once parts have
    /// doubled, so that memory stays at `part_bytes * (parts_in_flight + 1)` until one part alone is larger.
    pub parts_in_flight: NonZeroUsize,
    /// Whether an object without a byte is written at all.
    pub when_empty: WhenEmpty,
}

/// What becomes of an object without a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenEmpty {
    /// It is written, and is empty.
    #[default]
    Write,
    /// Nothing is written.
    Skip,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            condition: Condition::Always,
            content_type: None,
            part_bytes: NonZeroU64::new(8 << 20).unwrap_or(NonZeroU64::MIN),
            parts_in_flight: NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN),
            when_empty: WhenEmpty::Write,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The object's mark; `None` where nothing was written since there was nothing to write.
    pub etag: Option<ETag>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its checksum, as the service has verified it.
    pub crc: Crc64,
}

/// Writes bytes of unknown length into an object. Nothing is visible before [`finish`](Self::finish).
///
/// A writer that failed, or whose future was dropped inside [`write`](Self::write), refuses everything but
/// [`abort`](Self::abort): it may have lost bytes. Dropping a writer aborts its upload in the background, if a Tokio
/// runtime is there to do it; where none is, or it ends first, the bucket's lifecycle rule has to.
#[derive(Debug)]
pub struct ObjectWriter {
    options: WriteOptions,
    work: Work,
    filling: Vec<u8>,
    bytes: u64,
    /// Set while bytes are on their way between two consistent states.
    interrupted: bool,
}

/// The upload and its parts; apart from the writer so that it can be moved out of it when it is dropped.
#[derive(Debug)]
struct Work {
    store: Arc<dyn Store>,
    at: ObjectUri,
    upload: Option<Upload>,
    parts_sent: u32,
    sending: JoinSet<Result<Part, StoreError>>,
    sent: Vec<Part>,
}

impl ObjectWriter {
    /// A writer to this object. No request is made before a part is full.
    pub fn new(store: Arc<dyn Store>, at: ObjectUri, options: WriteOptions) -> Self {
        let (sending, sent) = (JoinSet::new(), Vec::new());
        let work = Work { store, at, upload: None, parts_sent: 0, sending, sent };
        Self { options, work, filling: Vec::new(), bytes: 0, interrupted: false }
    }

    /// How many bytes were taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes. Waits while as many parts are under way as may be.
    ///
    /// # Errors
    /// The failure of this part or of an earlier one; `TooLarge` past 10,000 parts.
    ///
    /// # Cancellation
    /// A future dropped before its end leaves a writer that refuses to go on.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.refuse_if_interrupted()?;
        self.interrupted = true;
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let part_bytes = self.part_bytes();
            let room = part_bytes - self.filling.len();
            if self.filling.is_empty() && bytes.len() >= room {
                self.send(bytes.split_to(room)).await?;
                continue;
            }
            let taken = bytes.split_to(room.min(bytes.len()));
            make_room(&mut self.filling, taken.len(), part_bytes);
            self.filling.extend_from_slice(&taken);
            if self.filling.len() == part_bytes {
                let full = std::mem::take(&mut self.filling);
                self.send(full.into()).await?;
            }
        }
        self.interrupted = false;
        Ok(())
    }

    /// Makes the object appear, whole, or not at all. The service verifies size and checksum. A lost answer is looked
    /// up, see [`StoreExt::complete_surely`].
    ///
    /// # Errors
    /// The failure of any part, or of the completion; then the upload is aborted first.
    ///
    /// # Cancellation
    /// The object may or may not appear.
    pub async fn finish(mut self) -> Result<Written, StoreError> {
        self.refuse_if_interrupted()?;
        if self.work.upload.is_none() {
            return self.finish_in_one().await;
        }
        match self.finish_upload().await {
            Ok(written) => {
                self.work.upload = None;
                Ok(written)
            }
            Err(error) => {
                // The failure to abort would hide the one that matters; the lifecycle rule is the second net.
                let _unaborted = self.work.abort().await;
                Err(error)
            }
        }
    }

    /// Gives the object up: stops what is under way and drops the parts.
    ///
    /// # Errors
    /// Those of [`Store::abort_upload`]; then the parts stay until the bucket's lifecycle rule takes them.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        self.work.abort().await
    }

    async fn finish_in_one(&mut self) -> Result<Written, StoreError> {
        let bytes = Bytes::from(std::mem::take(&mut self.filling));
        let (size, crc) = (bytes.len() as u64, Crc64::of(&bytes));
        if size == 0 && self.options.when_empty == WhenEmpty::Skip {
            return Ok(Written { etag: None, bytes: size, crc });
        }
        let options = PutOptions {
            condition: self.options.condition.clone(),
            content_type: self.options.content_type.clone(),
        };
        let etag = self.work.store.put_surely(&self.work.at, bytes, options).await?;
        Ok(Written { etag: Some(etag), bytes: size, crc })
    }

    async fn finish_upload(&mut self) -> Result<Written, StoreError> {
        if !self.filling.is_empty() {
            let last = std::mem::take(&mut self.filling);
            self.send(last.into()).await?;
        }
        self.work.wait_for_room(0).await?;
        self.work.complete(self.bytes, self.options.condition.clone()).await
    }

    async fn send(&mut self, part: Bytes) -> Result<(), StoreError> {
        let in_flight = parts_in_flight_after(self.work.parts_sent, self.options.parts_in_flight);
        self.work.wait_for_room(in_flight - 1).await?;
        self.work.send(part, self.options.content_type.as_deref()).await
    }

    /// Bytes of the part that is being filled.
    fn part_bytes(&self) -> usize {
        let bytes = part_bytes_after(self.work.parts_sent, self.options.part_bytes);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn refuse_if_interrupted(&self) -> Result<(), StoreError> {
        if !self.interrupted {
            return Ok(());
        }
        let message = "an earlier write failed or was interrupted, bytes may be missing; begin a new object";
        Err(StoreError::new(ErrorKind::Invalid, Operation::UploadPart, &self.work.at, message))
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if self.work.upload.is_none() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut work = self.work.take();
        // Nobody is left to own this task. It is one request long, and what it may leave undone the bucket's lifecycle
        // rule does.
        runtime.spawn(async move {
            let _unaborted = work.abort().await;
        });
    }
}

impl Work {
    fn take(&mut self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            at: self.at.clone(),
            upload: self.upload.take(),
            parts_sent: self.parts_sent,
            sending: std::mem::take(&mut self.sending),
            sent: Vec::new(),
        }
    }

    /// Waits until at most so many parts are under way.
    async fn wait_for_room(&mut self, under_way: usize) -> Result<(), StoreError> {
        while self.sending.len() > under_way {
            let Some(ended) = self.sending.join_next().await else { break };
            let part = ended.map_err(|problem| {
                StoreError::new(ErrorKind::Other, Operation::UploadPart, &self.at, "the uploading task ended")
                    .with_source(problem)
            })??;
            self.sent.push(part);
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes, content_type: Option<&str>) -> Result<(), StoreError> {
        if self.parts_sent == UPLOAD_PARTS {
            let message = format!("it does not fit into {UPLOAD_PARTS} parts");
            return Err(StoreError::new(ErrorKind::TooLarge, Operation::UploadPart, &self.at, message));
        }
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                // An upload whose answer was lost stays without parts, for the lifecycle rule.
                let begun = again(|| self.store.create_upload(&self.at, content_type)).await?;
                self.upload.insert(begun).clone()
            }
        };
        self.parts_sent += 1;
        let (store, number) = (Arc::clone(&self.store), self.parts_sent);
        // A part that is sent twice is one part.
        self.sending.spawn(async move { again(|| store.upload_part(&upload, number, bytes.clone())).await });
        Ok(())
    }

    async fn complete(&mut self, bytes: u64, condition: Condition) -> Result<Written, StoreError> {
        let Some(upload) = &self.upload else {
            let message = "there is no upload to complete";
            return Err(StoreError::new(
                ErrorKind::NoSuchUpload,
                Operation::CompleteUpload,
                &self.at,
                message,
            ));
        };
        self.sent.sort_by_key(|part| part.number);
        // Each part's checksum is of the bytes that were sent; without one the service would have nothing to check.
        let crc = self
            .sent
            .iter()
            .try_fold(Crc64::EMPTY, |whole, part| part.crc.map(|crc| whole.then(crc, part.size)))
            .ok_or_else(|| {
                let message = "the store keeps no checksum of a part";
                StoreError::new(ErrorKind::Other, Operation::CompleteUpload, &self.at, message)
            })?;
        let options = CompleteOptions { condition, crc: Some(crc), bytes: Some(bytes) };
        let etag = self.store.complete_surely(upload, &self.sent, options).await?;
        Ok(Written { etag: Some(etag), bytes, crc })
    }

    async fn abort(&mut self) -> Result<(), StoreError> {
        // First the parts under way, or one of them could arrive after the abort and stay.
        self.sending.shutdown().await;
        match self.upload.take() {
            Some(upload) => self.store.abort_upload(&upload).await,
            None => Ok(()),
        }
    }
}

/// Bytes of the part that follows so many others.
fn part_bytes_after(parts_sent: u32, first: NonZeroU64) -> u64 {
    let first = first.get().clamp(PART_BYTES_MIN, PART_BYTES_MAX);
    (first << (parts_sent / PARTS_PER_DOUBLING)).min(PART_BYTES_MAX)
}

/// Parts under way at once when so many were sent: as many fewer as they have become larger, but one.
fn parts_in_flight_after(parts_sent: u32, at_first: NonZeroUsize) -> usize {
    (at_first.get() >> (parts_sent / PARTS_PER_DOUBLING)).max(1)
}

/// Grows by doubling, but never past the part, so that a small object costs little and a large one no more than it
/// must.
fn make_room(filling: &mut Vec<u8>, more: usize, part_bytes: usize) {
    let needed = filling.len() + more;
    if needed > filling.capacity() {
        let capacity = needed.max(filling.capacity() * 2).min(part_bytes);
        filling.reserve_exact(capacity - filling.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_five_tebibytes_from_the_default_size_on() {
        let first = WriteOptions::default().part_bytes;
        let whole: u64 = (0..UPLOAD_PARTS).map(|sent| part_bytes_after(sent, first)).sum();
        assert!(whole >= 5 << 40, "{whole}");
    }

    #[test]
    fn parts_keep_to_the_limits_of_the_service() {
        for first in [1, PART_BYTES_MIN, 8 << 20, PART_BYTES_MAX, u64::MAX] {
            let first = NonZeroU64::new(first).unwrap();
            for sent in (0..UPLOAD_PARTS).step_by(500) {
                let bytes = part_bytes_after(sent, first);
                assert!((PART_BYTES_MIN..=PART_BYTES_MAX).contains(&bytes), "{sent}: {bytes}");
            }
        }
    }

    #[test]
    fn bytes_under_way_stay_bounded_until_one_part_is_more() {
        let (first, at_first) = (WriteOptions::default().part_bytes, NonZeroUsize::new(8).unwrap());
        let bound = first.get() * 8;
        for sent in 0..UPLOAD_PARTS {
            let part = part_bytes_after(sent, first);
            let under_way = part * parts_in_flight_after(sent, at_first) as u64;
            assert!(under_way <= bound.max(part), "after {sent} parts {under_way} bytes are under way");
        }
    }
}
