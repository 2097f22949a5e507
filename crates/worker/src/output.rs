//! What a process prints, on its way to the store.
//!
//! A [`shape`] takes off what does not count (a CSV header, the brackets of an array) and says what separates the result
//! from the next one; what is left is compressed, if the job says so, with its length and CRC taken on the way. Small
//! results stay in memory, to be [packed](crate::pack) with others; of a large one there is never more in memory than a few
//! parts of its upload.

mod encoder;
mod header;
mod shape;

use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::code::Code;
use fanfold_flow::crc::{Crc64, RunningCrc};
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::limits::PART_BYTES_MIN;
use fanfold_flow::literal::Literal;
use fanfold_flow::member::member;
use fanfold_flow::result::Stored;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{Condition, ObjectWriter, Store, StoreError, WhenEmpty, WriteOptions};

use encoder::Encoder;
pub(crate) use header::{HEADER_BYTES_MAX, HeaderRule};
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

/// What stays below is in memory when it ends, and is packed: what S3 can copy is not.
pub(crate) const HELD_BYTES_MAX: u64 = PART_BYTES_MIN;

/// Parts of the smallest size, two on their way: a process has at most 15 MiB of output in memory, six of them 90.
const PART_BYTES: NonZeroU64 = NonZeroU64::new(PART_BYTES_MIN).unwrap();
const PARTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// What is to become of a result.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) format: Format,
    /// How the header is known that is taken off it, if one is.
    pub(crate) header: Option<HeaderRule>,
    pub(crate) compress: Compress,
    /// Whether it is worth a lead, should it get an object of its own.
    pub(crate) has_lead: bool,
    /// Where it goes then.
    pub(crate) at: ObjectUri,
}

/// What a process has printed, as far as it counts.
#[derive(Debug)]
pub(crate) enum Printed {
    /// Not a byte.
    Nothing,
    /// What stands in an object of its own now.
    Stored(Stored),
    /// What is in memory.
    Held(Held),
}

/// A small result that is not stored yet.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its bytes, compressed: at least one, and fewer than [`HELD_BYTES_MAX`].
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: Crc64,
    /// What stands behind it, before it is compressed.
    pub(crate) separator: &'static [u8],
}

/// Where a process's standard output goes.
pub(crate) struct Output {
    wanted: Wanted,
    store: Arc<dyn Store>,
    shape: Shape,
    /// Made when there is something for it.
    encoder: Option<Encoder>,
    /// Of what counts, compressed.
    crc: RunningCrc,
    /// What counts, compressed, as long as there is little of it.
    held: Vec<u8>,
    /// Where it goes since there is more.
    upload: Option<Upload>,
    has_printed: Arc<AtomicBool>,
}

/// An object of a result's own.
struct Upload {
    writer: ObjectWriter,
    lead_bytes: u64,
}

impl Output {
    /// An output. Sets `has_printed` when there is something of it.
    pub(crate) fn new(wanted: Wanted, store: Arc<dyn Store>, has_printed: Arc<AtomicBool>) -> Self {
        Self {
            shape: Shape::new(wanted.format, wanted.header.clone()),
            encoder: None,
            crc: RunningCrc::new(),
            held: Vec::new(),
            upload: None,
            has_printed,
            store,
            wanted,
        }
    }

    /// Takes what counts.
    async fn take(&mut self, mut counts: Bytes) -> Result<(), OutputError> {
        while !counts.is_empty() {
            let most = if self.wanted.compress.is_none() { counts.len() } else { encoder::PIECE_BYTES_MAX };
            let piece = counts.split_to(most.min(counts.len()));
            let encoder = match &mut self.encoder {
                Some(encoder) => encoder,
                none => none.insert(Encoder::new(self.wanted.compress).map_err(OutputError::Compress)?),
            };
            let ready = encoder.write(piece).map_err(OutputError::Compress)?;
            self.keep(ready).await?;
            if !counts.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Keeps what is ready: in memory, until it is too much for that.
    async fn keep(&mut self, ready: Bytes) -> Result<(), OutputError> {
        self.crc.update(&ready);
        if self.upload.is_none() && self.crc.bytes() < HELD_BYTES_MAX {
            self.held.extend_from_slice(&ready);
            return Ok(());
        }
        let mut before = [Bytes::new(), Bytes::new()];
        let upload = self.upload.get_or_insert_with(|| {
            let lead = if self.wanted.has_lead { self.shape.lead() } else { &[] };
            let lead = wrapped(self.wanted.compress, lead);
            let lead_bytes = lead.len() as u64;
            before = [lead.into(), std::mem::take(&mut self.held).into()];
            let (store, at) = (Arc::clone(&self.store), self.wanted.at.clone());
            Upload { writer: ObjectWriter::new(store, at, write_options()), lead_bytes }
        });
        let [lead, held] = before;
        for piece in [lead, held, ready] {
            upload.writer.write(piece).await?;
        }
        Ok(())
    }

    /// What was printed, stored where it is not small, and the header that was taken off. The job's last result is followed
    /// by the end of the output.
    ///
    /// # Errors
    /// When the result turns out not to be what the format asks for, or the store fails. Nothing is visible then.
    pub(crate) async fn finish(mut self, is_last: bool) -> Result<(Printed, Option<Literal>), OutputError> {
        match self.end(is_last).await {
            Ok(shape::End { header, separator, .. }) => Ok((self.printed(separator).await?, header)),
            Err(error) => {
                // The failure to abort would hide the one that matters; the bucket's lifecycle is the second net.
                let _unaborted = self.abort().await;
                Err(error)
            }
        }
    }

    /// Keeps what comes with the last byte that counts.
    async fn end(&mut self, is_last: bool) -> Result<shape::End, OutputError> {
        let mut end = self.shape.end(is_last)?;
        self.take(std::mem::take(&mut end.rest)).await?;
        if let Some(encoder) = self.encoder.take() {
            let rest = encoder.finish().map_err(OutputError::Compress)?;
            self.keep(rest).await?;
        }
        Ok(end)
    }

    async fn printed(self, separator: &'static [u8]) -> Result<Printed, OutputError> {
        let (crc, bytes) = (self.crc.crc(), self.crc.bytes());
        let Some(Upload { mut writer, lead_bytes }) = self.upload else {
            let mut bytes = self.held;
            // It grew by doubling, and what is held is counted by its length.
            bytes.shrink_to_fit();
            let is_nothing = bytes.is_empty();
            return Ok(if is_nothing {
                Printed::Nothing
            } else {
                Printed::Held(Held { bytes, crc, separator })
            });
        };
        writer.write(wrapped(self.wanted.compress, separator).into()).await?;
        let written = writer.finish().await?;
        let stored = written.etag.map(|etag| Stored {
            object: Arc::new(ObjectVersion {
                uri: self.wanted.at,
                etag: etag.to_string(),
                bytes: written.bytes,
            }),
            lead_bytes,
            offset: lead_bytes,
            bytes,
            crc,
            separator: Literal::from(separator),
        });
        Ok(stored.map_or(Printed::Nothing, Printed::Stored))
    }

    /// Drops what was stored.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn abort(self) -> Result<(), StoreError> {
        match self.upload {
            Some(Upload { writer, .. }) => writer.abort().await,
            None => Ok(()),
        }
    }
}

fn write_options() -> WriteOptions {
    WriteOptions {
        condition: Condition::Always,
        content_type: None,
        part_bytes: PART_BYTES,
        parts_in_flight: PARTS_IN_FLIGHT,
        when_empty: WhenEmpty::Skip,
    }
}

/// What stands before or behind results, as a member of its own; nothing, if it is nothing.
pub(crate) fn wrapped(compress: Compress, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { Vec::new() } else { member(compress, bytes) }
}

impl fanfold_pool::Output for Output {
    type Error = OutputError;

    async fn write(&mut self, bytes: Bytes) -> Result<(), OutputError> {
        self.has_printed.store(true, Ordering::Relaxed);
        let counts = self.shape.take(bytes)?;
        self.take(counts).await
    }
}
