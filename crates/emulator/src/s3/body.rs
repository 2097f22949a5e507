//! Bodies on their way in and out: at bounded memory, with disk and hashes on blocking threads.
//!
//! Per body in flight there are at most two batches in memory, one that comes in or goes out and one that is worked on.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use s3s::StdError;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::JoinHandle;

use super::blob::{BlobFolder, BlobWriter};
use super::checksum::{Measured, Meter};
use super::error::{Error, FileError};
use super::record::{Part, Segment};
use super::store::now;

/// Bytes that a blocking thread is given, or gives, at once: enough that the hand-over does not show.
const BATCH_BYTES: usize = 1 << 20;

/// Runs what blocks where it may.
///
/// # Errors
/// What `work` says; [`Error::Stopped`] if it panics.
///
/// # Cancellation
/// `work` runs to its end, unseen.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Stopped)?
}

/// A body that has been taken in, and belongs to nobody yet. Dropped, its file goes.
#[derive(Debug)]
pub(crate) struct Received {
    /// None for an empty body.
    pub(crate) segment: Option<Segment>,
    pub(crate) measured: Measured,
}

impl Received {
    /// It as a part, made now.
    pub(crate) fn into_part(self, number: u16) -> Part {
        Part {
            number,
            size: self.measured.size,
            etag: self.measured.etag,
            crc64nvme: self.measured.crc64nvme,
            checksum: self.measured.checksum,
            modified: now(),
            segments: self.segment.into_iter().collect(),
        }
    }
}

/// Takes a body in: into a file of its own, measured on the way.
///
/// # Errors
/// [`Error::BrokenBody`] and [`Error::SignedHash`] when the client does not send what it announced; [`FileError`].
///
/// # Cancellation
/// The batch that is being written is finished, then the file is deleted.
pub(crate) async fn receive(
    body: Option<StreamingBlob>,
    blobs: &Arc<BlobFolder>,
    mut meter: Meter,
) -> Result<Received, Error> {
    let mut source = Source { body, received: 0 };
    let mut writer = BlobWriter::new(Arc::clone(blobs));
    let mut batch = Arc::new(source.batch().await?);
    while !batch.is_empty() {
        // At once: hashes are no faster than the disk, and the next batch comes in meanwhile.
        let (written, measured) = (Arc::clone(&batch), batch);
        let write = blocking(move || {
            writer.append(&written)?;
            Ok(writer)
        });
        let measure = blocking(move || {
            measured.iter().for_each(|piece| meter.update(piece));
            Ok(meter)
        });
        let next;
        (writer, meter, next) = tokio::try_join!(write, measure, source.batch())?;
        batch = Arc::new(next);
    }
    let segment = writer.finish();
    let segment = segment.map(|(blob, length)| Segment { blob, offset: 0, length });
    Ok(Received { segment, measured: meter.finish() })
}

/// The client's end.
struct Source {
    /// None at its end.
    body: Option<StreamingBlob>,
    /// Bytes.
    received: u64,
}

impl Source {
    /// The next batch; an empty one at the end.
    async fn batch(&mut self) -> Result<Vec<Bytes>, Error> {
        let (mut batch, mut length) = (Vec::new(), 0);
        while let Some(body) = &mut self.body
            && length < BATCH_BYTES
        {
            match body.next().await {
                None => self.body = None,
                Some(Err(error)) => return Err(broken(self.received, error.as_ref())),
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    length += piece.len();
                    self.received += piece.len() as u64;
                    batch.push(piece);
                }
            }
        }
        Ok(batch)
    }
}

/// Why a body broke off. The error types of s3s are private: their text is all there is to tell them apart by.
fn broken(received: u64, error: &(dyn std::error::Error + 'static)) -> Error {
    let reason = error.to_string();
    if reason.contains("Sha256Mismatch") || reason.contains("SignatureMismatch") {
        return Error::SignedHash;
    }
    Error::BrokenBody { received, reason }
}

/// The part of `segments` that holds the given bytes of the whole. Bytes beyond its end are left out.
pub(crate) fn cut<'a>(segments: impl Iterator<Item = &'a Segment>, bytes: &Range<u64>) -> Vec<Segment> {
    let mut end = 0;
    let mut kept = Vec::new();
    for segment in segments {
        let start = end;
        end += segment.length;
        let (from, to) = (bytes.start.max(start), bytes.end.min(end));
        if from < to {
            let offset = segment.offset + (from - start);
            kept.push(Segment { blob: segment.blob.clone(), offset, length: to - from });
        }
    }
    kept
}

/// Measures bytes that are here already. Blocks for as long as reading and hashing them takes.
///
/// # Errors
/// [`FileError`].
pub(crate) fn measure(segments: Vec<Segment>, mut meter: Meter) -> Result<Measured, FileError> {
    let mut reader = Reader::new(segments);
    loop {
        let batch = reader.batch()?;
        if batch.is_empty() {
            return Ok(meter.finish());
        }
        meter.update(&batch);
    }
}

/// A stream of the given bytes. What is sent stays on disk while it is sent, whatever happens to its object.
pub(crate) fn send(segments: Vec<Segment>) -> StreamingBlob {
    let reader = Reader::new(segments);
    StreamingBlob::new(Outgoing { unsent: reader.left, idle: Some(reader), reading: None })
}

/// Reads segments, batch by batch.
struct Reader {
    segments: VecDeque<Segment>,
    /// The first segment's file.
    file: Option<File>,
    /// Bytes not yet read.
    left: u64,
}

impl Reader {
    fn new(segments: Vec<Segment>) -> Self {
        let left = segments.iter().map(|segment| segment.length).sum();
        Self { segments: segments.into(), file: None, left }
    }

    /// The next batch; an empty one at the end.
    fn batch(&mut self) -> Result<Vec<u8>, FileError> {
        let mut batch =
            Vec::with_capacity(usize::try_from(self.left).unwrap_or(BATCH_BYTES).min(BATCH_BYTES));
        while batch.len() < batch.capacity()
            && let Some(segment) = self.segments.front_mut()
        {
            let file = match &mut self.file {
                Some(file) => file,
                closed => closed.insert(segment.blob.open()?),
            };
            let room = batch.capacity() - batch.len();
            let wanted = usize::try_from(segment.length).unwrap_or(room).min(room);
            let before = batch.len();
            read_exactly(file, segment.offset, wanted, &mut batch)
                .map_err(FileError::when("read from", &segment.blob.path()))?;
            let read = (batch.len() - before) as u64;
            segment.offset += read;
            segment.length -= read;
            self.left -= read;
            if segment.length == 0 {
                self.segments.pop_front();
                self.file = None;
            }
        }
        Ok(batch)
    }
}

/// Measures a run of a file's bytes, and leaves the file's position behind them. Blocks.
///
/// # Errors
/// What the file system says; the file is too short.
pub(crate) fn meter_file(file: &File, bytes: Range<u64>, meter: &mut Meter) -> std::io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    let mut at = bytes.start;
    while at < bytes.end {
        batch.clear();
        let wanted = usize::try_from(bytes.end - at).unwrap_or(BATCH_BYTES).min(BATCH_BYTES);
        read_exactly(file, at, wanted, &mut batch)?;
        meter.update(&batch);
        at += wanted as u64;
    }
    Ok(())
}

/// Adds `wanted` bytes to `batch`, into room that it has; the room is not filled with zeros first.
fn read_exactly(file: &File, offset: u64, wanted: usize, batch: &mut Vec<u8>) -> std::io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    if file.take(wanted as u64).read_to_end(batch)? < wanted {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// What goes out, read one batch ahead.
struct Outgoing {
    /// Bytes.
    unsent: u64,
    /// The reader, while it does not read.
    idle: Option<Reader>,
    reading: Option<Reading>,
}

/// A batch under way, and the reader for the next.
type Reading = JoinHandle<Result<(Vec<u8>, Reader), FileError>>;

impl Outgoing {
    /// Reads on, unless all is read.
    fn read_on(&mut self) {
        if let Some(mut reader) = self.idle.take()
            && reader.left > 0
        {
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let batch = reader.batch()?;
                Ok((batch, reader))
            }));
        }
    }
}

impl Stream for Outgoing {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.reading.is_none() {
            self.read_on();
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        Poll::Ready(Some(match read {
            Ok(Ok((batch, reader))) => {
                self.unsent -= batch.len() as u64;
                self.idle = Some(reader);
                self.read_on();
                Ok(batch.into())
            }
            Ok(Err(error)) => {
                tracing::error!(%error, cause = %error.source, "a body could not be sent to its end");
                Err(error.into())
            }
            Err(panic) => Err(panic.into()),
        }))
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.unsent).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}
