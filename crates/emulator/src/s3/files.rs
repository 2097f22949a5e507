//! Whole files in and out, for the program that has the server in its own process: the kernel copies between the files of
//! the user and those of the store, and no HTTP, no signature and no MD5 stands between them.
//!
//! What is copied is read once more, while it is still in memory, for its CRC64NVME: of an import it is the object's
//! checksum like any other's, of an export the proof of what has arrived. Files are never linked into the store, since
//! their owner may write to them later.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OwnedRwLockReadGuard;

use super::Server;
use super::blob::{BlobFolder, BlobWriter};
use super::body::{Received, blocking, meter_file};
use super::checksum::{Algorithm, Meter};
use super::error::{Error, FileError};
use super::etag::ETags;
use super::notice::CreatedBy;
use super::record::{Attributes, Object, Segment};

/// Bytes that are copied at once, and then measured: few enough to be in the processor's cache or near it, enough that the
/// hand-over to a blocking thread does not show.
const STEP_BYTES: u64 = 16 << 20;

/// An object that a file was imported as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its length in bytes: what the file had when it was read.
    pub bytes: u64,
    /// The CRC64NVME of its bytes.
    pub crc64nvme: u64,
    /// Its ETag, without quotes; never an MD5.
    pub etag: String,
}

/// Why a file is not imported. No object has appeared or changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened, or is no regular one.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The bucket is not there, the key is none, or the bytes cannot be copied.
    #[error("failed to import {} as `{key}` into bucket `{bucket}`", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// The bucket it was to go into.
        bucket: String,
        /// The key it was to have.
        key: String,
        /// What stands in the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What has arrived in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Bytes.
    pub bytes: u64,
    /// The CRC64NVME of the bytes that the file holds now, to be held against what they should be.
    pub crc64nvme: u64,
}

/// Why an object is not exported. The file may hold a part of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such object, or its bytes cannot be read.
    #[error("failed to export `{key}` of bucket `{bucket}`")]
    Store {
        /// The object's bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// What stands in the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes cannot be copied into the file, or what arrived there cannot be read again.
    #[error("failed to write a copy of `{key}` of bucket `{bucket}`")]
    Write {
        /// The object's bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Server {
    /// Makes an object of a file's bytes, in the place of whatever the key has named before. It appears as a whole.
    ///
    /// `moved` is told of bytes as they have been copied.
    ///
    /// # Errors
    /// [`ImportError`].
    ///
    /// # Cancellation
    /// The copying ends within some megabytes and leaves nothing; after the last byte the object may appear all the same.
    pub async fn import(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        moved: impl FnMut(u64),
    ) -> Result<Imported, ImportError> {
        let failed = |source: Error| {
            let (path, bucket, key) = (path.to_owned(), bucket.to_owned(), key.to_owned());
            ImportError::Store { path, bucket, key, source: source.into() }
        };
        if key.is_empty() || !s3s::path::check_key(key) {
            return Err(failed(Error::Argument(format!("a key has 1 to 1,024 bytes, not {}", key.len()))));
        }
        let into = self.store.bucket(bucket).map_err(failed)?;
        let source = {
            let path = path.to_owned();
            blocking(move || Ok(open_regular(&path))).await.map_err(failed)?
        };
        let source = source.map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
        let under_way = Arc::clone(&self.transfers).read_owned().await;
        let received = take_in(source, self.store.blobs(), under_way, moved).await.map_err(failed)?;
        let object = Arc::new(Object::of_part(received.into_part(1), Attributes::default()));
        let imported =
            Imported { bytes: object.size, crc64nvme: object.crc64nvme, etag: object.etag.clone() };
        let (key, notices) = (key.to_owned(), Arc::clone(&self.notices));
        let put = move || into.put(key, object, CreatedBy::Put, &notices, |_, _| Ok(()));
        blocking(put).await.map_err(failed)?;
        Ok(imported)
    }

    /// Copies an object's bytes into `file`, which must be a regular one, open for writing and for reading, from where
    /// it stands. An object that is overwritten or deleted meanwhile is exported as it was.
    ///
    /// `moved` is told of bytes as they have been copied.
    ///
    /// # Errors
    /// [`ExportError`].
    ///
    /// # Cancellation
    /// The copying ends within some megabytes; the file holds a part.
    pub async fn export(
        &self,
        bucket: &str,
        key: &str,
        file: File,
        mut moved: impl FnMut(u64),
    ) -> Result<Exported, ExportError> {
        let failed = |error: Error| {
            let (bucket, key) = (bucket.to_owned(), key.to_owned());
            ExportError::Store { bucket, key, source: error.into() }
        };
        let unwritten = |source| {
            let (bucket, key) = (bucket.to_owned(), key.to_owned());
            ExportError::Write { bucket, key, source }
        };
        let object = self.store.bucket(bucket).and_then(|from| from.read().object(key)).map_err(failed)?;
        let mut outgoing = Outgoing {
            left: object.segments().cloned().collect(),
            file,
            meter: Meter::new(Algorithm::Crc64Nvme, ETags::Opaque),
            _under_way: Arc::clone(&self.transfers).read_owned().await,
        };
        while !outgoing.left.is_empty() {
            let step = blocking(move || {
                let copied = outgoing.step()?;
                Ok((copied, outgoing))
            });
            let copied;
            (copied, outgoing) = step.await.map_err(failed)?;
            moved(copied.map_err(unwritten)?);
        }
        let measured = outgoing.meter.finish();
        Ok(Exported { bytes: measured.size, crc64nvme: measured.crc64nvme })
    }
}

/// Keeps the server from ending.
type UnderWay = OwnedRwLockReadGuard<()>;

/// A pipe or a device has no end that could be waited for, and a folder no bytes.
fn open_regular(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

/// Takes a file in: into a body of its own, measured on the way.
async fn take_in(
    source: File,
    blobs: &Arc<BlobFolder>,
    under_way: UnderWay,
    mut moved: impl FnMut(u64),
) -> Result<Received, Error> {
    let writer = BlobWriter::new(Arc::clone(blobs));
    let meter = Meter::new(Algorithm::Crc64Nvme, ETags::Opaque);
    let mut incoming = Incoming { source, writer, meter, bytes: 0, _under_way: under_way };
    loop {
        let step = blocking(move || {
            let copied = incoming.step()?;
            Ok((copied, incoming))
        });
        let copied;
        (copied, incoming) = step.await?;
        if copied == 0 {
            break;
        }
        moved(copied);
    }
    let segment = incoming.writer.finish();
    let segment = segment.map(|(blob, length)| Segment { blob, offset: 0, length });
    Ok(Received { segment, measured: incoming.meter.finish() })
}

/// A file on its way in.
struct Incoming {
    source: File,
    writer: BlobWriter,
    meter: Meter,
    /// Bytes that are in.
    bytes: u64,
    /// The last field: it is given back when the writer has let go of its file.
    _under_way: UnderWay,
}

impl Incoming {
    /// Copies on, and answers with how many bytes; 0 at the end. Blocks.
    fn step(&mut self) -> Result<u64, FileError> {
        let copied = self.writer.append_file(&self.source, STEP_BYTES)?;
        if let Some(blob) = self.writer.blob() {
            let bytes = self.bytes..self.bytes + copied;
            // From the copy, not from the source, which may change in between.
            let measured = meter_file(&blob.open()?, bytes, &mut self.meter);
            measured.map_err(FileError::when("read from", &blob.path()))?;
        }
        self.bytes += copied;
        Ok(copied)
    }
}

/// An object on its way out.
struct Outgoing {
    left: VecDeque<Segment>,
    file: File,
    meter: Meter,
    _under_way: UnderWay,
}

impl Outgoing {
    /// Copies on, and answers with how many bytes, or with what the file does not take. Blocks.
    fn step(&mut self) -> Result<io::Result<u64>, Error> {
        let start = match self.file.stream_position() {
            Ok(start) => start,
            Err(error) => return Ok(Err(error)),
        };
        let mut copied = 0;
        while copied < STEP_BYTES
            && let Some(segment) = self.left.front_mut()
        {
            let mut body = segment.blob.open()?;
            let from = SeekFrom::Start(segment.offset);
            body.seek(from).map_err(FileError::when("read from", &segment.blob.path()))?;
            let wanted = segment.length.min(STEP_BYTES - copied);
            match io::copy(&mut body.take(wanted), &mut self.file) {
                Ok(length) if length == wanted => copied += length,
                Ok(_) => {
                    let short = io::ErrorKind::UnexpectedEof.into();
                    return Err(FileError::when("read from", &segment.blob.path())(short).into());
                }
                Err(error) => return Ok(Err(error)),
            }
            segment.offset += wanted;
            segment.length -= wanted;
            if segment.length == 0 {
                self.left.pop_front();
            }
        }
        Ok(meter_file(&self.file, start..start + copied, &mut self.meter).map(|()| copied))
    }
}
