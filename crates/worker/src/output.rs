//! What a process prints, on its way to the store.
//!
//! A [`shape`] takes off what does not count (a CSV header, the brackets of an array) and says what separates the result
//! from the next one; what is left is stored, with its length and CRC taken on the way.

mod json_array;
mod shape;

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fanfold_flow::code::Code;
use fanfold_flow::crc::RunningCrc;
use fanfold_flow::job::Format;
use fanfold_flow::limits::PART_BYTES_MIN;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Stored;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{Condition, ObjectWriter, Store, StoreError, WhenEmpty, WriteOptions};

use shape::Shape;

/// Why a result could not be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The store failed.
    #[error("store the result")]
    Store(#[from] StoreError),
    /// The result is not what the format asks for.
    #[error("take the result: {0}")]
    Malformed(String),
}

impl OutputError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Store(_) => Code::Store,
            Self::Malformed(_) => Code::ResultMalformed,
        }
    }
}

/// Parts of the smallest size, two on their way: a process has at most 15 MiB of output in memory, six of them 90.
const PART_BYTES: NonZeroU64 = NonZeroU64::new(PART_BYTES_MIN).unwrap();
const PARTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Where a process's standard output goes.
pub(crate) struct Output {
    shape: Shape,
    crc: RunningCrc,
    writer: ObjectWriter,
    at: ObjectUri,
    has_printed: Arc<AtomicBool>,
}

impl Output {
    /// An output to the object `at`. Sets `has_printed` when there is something of it.
    pub(crate) fn new(
        format: Format,
        store: Arc<dyn Store>,
        at: ObjectUri,
        has_printed: Arc<AtomicBool>,
    ) -> Self {
        let options = WriteOptions {
            condition: Condition::Always,
            content_type: None,
            part_bytes: PART_BYTES,
            parts_in_flight: PARTS_IN_FLIGHT,
            when_empty: WhenEmpty::Skip,
        };
        let writer = ObjectWriter::new(store, at.clone(), options);
        Self { shape: Shape::new(format), crc: RunningCrc::new(), writer, at, has_printed }
    }

    async fn store(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        self.crc.update(&bytes);
        Ok(self.writer.write(bytes).await?)
    }

    /// Makes the result appear in the store, unless it has no byte, and gives the header that was taken off. The job's last
    /// result needs no separator behind it.
    ///
    /// # Errors
    /// When the result turns out not to be what the format asks for, or the store fails. Nothing is visible then.
    pub(crate) async fn finish(
        mut self,
        is_last: bool,
    ) -> Result<(Option<Stored>, Option<Literal>), OutputError> {
        let shape::End { header, separator } = match self.shape.end(self.crc.bytes(), is_last) {
            Ok(end) => end,
            Err(error) => {
                // The failure to abort would hide the one that matters; the bucket's lifecycle is the second net.
                let _unaborted = self.writer.abort().await;
                return Err(error);
            }
        };
        let (crc, bytes) = (self.crc.crc(), self.crc.bytes());
        if bytes > 0 && !separator.is_empty() {
            self.writer.write(Bytes::from_static(separator)).await?;
        }
        let written = self.writer.finish().await?;
        let stored = written.etag.map(|etag| Stored {
            object: self.at,
            etag: etag.to_string(),
            object_bytes: written.bytes,
            offset: 0,
            bytes,
            crc,
            separator: Literal::from(separator),
        });
        Ok((stored, header))
    }

    /// Drops what was stored.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn abort(self) -> Result<(), StoreError> {
        self.writer.abort().await
    }
}

impl fanfold_pool::Output for Output {
    type Error = OutputError;

    async fn write(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        self.has_printed.store(true, Ordering::Relaxed);
        let counts = self.shape.take(bytes)?;
        if counts.is_empty() { Ok(()) } else { self.store(counts).await }
    }
}
