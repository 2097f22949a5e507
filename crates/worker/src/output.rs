//! What a process prints, on its way to the store.
//!
//! A [`shape`] takes off what does not count (a CSV header, the brackets of an array) and says what separates the result
//! from the next one; what is left is compressed, if the job says so, and stored, with its length and CRC taken on the way.
//! What the output has before its first result is stored before it, so that the reducer need not bring it.

mod encoder;
mod json_array;
mod shape;

use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fanfold_flow::code::Code;
use fanfold_flow::crc::RunningCrc;
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::limits::PART_BYTES_MIN;
use fanfold_flow::literal::Literal;
use fanfold_flow::member::member;
use fanfold_flow::result::Stored;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{Condition, ObjectWriter, Store, StoreError, WhenEmpty, WriteOptions};

use encoder::Encoder;
use shape::Shape;

/// Why a result could not be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The store failed.
    #[error("store the result")]
    Store(#[from] StoreError),
    /// The encoder failed, which it does only for lack of memory.
    #[error("compress the result")]
    Compress(#[source] io::Error),
    /// The result is not what the format asks for.
    #[error("take the result: {0}")]
    Malformed(String),
}

impl OutputError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Store(_) => Code::Store,
            Self::Compress(_) => Code::Internal,
            Self::Malformed(_) => Code::ResultMalformed,
        }
    }
}

/// Parts of the smallest size, two on their way: a process has at most 15 MiB of output in memory, six of them 90.
const PART_BYTES: NonZeroU64 = NonZeroU64::new(PART_BYTES_MIN).unwrap();
const PARTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// What is to become of a result.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) format: Format,
    pub(crate) compress: Compress,
    /// Whether it may be the output's first, and is worth a lead then. What ends the output has none unless it begins it
    /// too: without one it can be copied whole, however small, as an output's last part.
    pub(crate) has_lead: bool,
    /// Where it goes.
    pub(crate) at: ObjectUri,
}

/// Where a process's standard output goes.
pub(crate) struct Output {
    wanted: Wanted,
    shape: Shape,
    /// Made when there is something for it.
    encoder: Option<Encoder>,
    lead_bytes: u64,
    /// Of what counts, as it is stored.
    crc: RunningCrc,
    /// How many bytes counted.
    counted_bytes: u64,
    writer: ObjectWriter,
    has_printed: Arc<AtomicBool>,
}

impl Output {
    /// An output. Sets `has_printed` when there is something of it.
    pub(crate) fn new(wanted: Wanted, store: Arc<dyn Store>, has_printed: Arc<AtomicBool>) -> Self {
        let options = WriteOptions {
            condition: Condition::Always,
            content_type: None,
            part_bytes: PART_BYTES,
            parts_in_flight: PARTS_IN_FLIGHT,
            when_empty: WhenEmpty::Skip,
        };
        Self {
            shape: Shape::new(wanted.format),
            encoder: None,
            lead_bytes: 0,
            crc: RunningCrc::new(),
            counted_bytes: 0,
            writer: ObjectWriter::new(store, wanted.at.clone(), options),
            has_printed,
            wanted,
        }
    }

    /// Takes what counts.
    async fn take(&mut self, mut counts: Bytes) -> Result<(), OutputError> {
        self.counted_bytes += counts.len() as u64;
        while !counts.is_empty() {
            let most = if self.wanted.compress.is_none() { counts.len() } else { encoder::PIECE_BYTES_MAX };
            let piece = counts.split_to(most.min(counts.len()));
            let ready = self.begun().await?.write(piece).map_err(OutputError::Compress)?;
            self.store(ready).await?;
            if !counts.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// The encoder. When there is none yet, the result begins here: with its lead.
    async fn begun(&mut self) -> Result<&mut Encoder, OutputError> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => {
                let lead = self.shape.lead();
                if self.wanted.has_lead && !lead.is_empty() {
                    let lead = member(self.wanted.compress, lead);
                    self.lead_bytes = lead.len() as u64;
                    self.writer.write(lead.into()).await?;
                }
                Encoder::new(self.wanted.compress).map_err(OutputError::Compress)?
            }
        };
        Ok(self.encoder.insert(encoder))
    }

    async fn store(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        self.crc.update(&bytes);
        Ok(self.writer.write(bytes).await?)
    }

    /// Makes the result appear in the store, unless it has no byte, and gives the header that was taken off. The job's last
    /// result is followed by the end of the output.
    ///
    /// # Errors
    /// When the result turns out not to be what the format asks for, or the store fails. Nothing is visible then.
    pub(crate) async fn finish(
        mut self,
        is_last: bool,
    ) -> Result<(Option<Stored>, Option<Literal>), OutputError> {
        match self.end(is_last).await {
            Ok(shape::End { header, separator }) => {
                let written = self.writer.finish().await?;
                let stored = written.etag.map(|etag| Stored {
                    object: self.wanted.at,
                    etag: etag.to_string(),
                    object_bytes: written.bytes,
                    lead_bytes: self.lead_bytes,
                    offset: self.lead_bytes,
                    bytes: self.crc.bytes(),
                    crc: self.crc.crc(),
                    separator: Literal::from(separator),
                });
                Ok((stored, header))
            }
            Err(error) => {
                // The failure to abort would hide the one that matters; the bucket's lifecycle is the second net.
                let _unaborted = self.writer.abort().await;
                Err(error)
            }
        }
    }

    /// Stores what comes behind the last byte that counts, if there is one.
    async fn end(&mut self, is_last: bool) -> Result<shape::End, OutputError> {
        let end = self.shape.end(self.counted_bytes, is_last)?;
        if let Some(encoder) = self.encoder.take() {
            let rest = encoder.finish().map_err(OutputError::Compress)?;
            self.store(rest).await?;
            if !end.separator.is_empty() {
                self.writer.write(member(self.wanted.compress, end.separator).into()).await?;
            }
        }
        Ok(end)
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
        self.take(counts).await
    }
}
