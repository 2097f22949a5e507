//! From files to objects: several files at once, memory bounded.
//!
//! An S3 in this very program takes a file as it is, without HTTP; any other, and what has no end yet (a pipe), is streamed.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use fanfold_emulator::s3::{self, ImportError};
use fanfold_flow::code::Code;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use fanfold_store::{ObjectWriter, Store, WriteOptions};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::find::{LocalFile, STDIN};
use crate::progress::Progress;

/// Files that are copied at once: small ones are bound by the round trip.
const FILES_IN_FLIGHT: usize = 8;

/// Parts of one file that are uploaded at once, 8 MiB each. With [`FILES_IN_FLIGHT`] large files at once, 192 MiB of memory.
const PARTS_IN_FLIGHT: usize = 2;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// Copies all files to their places.
///
/// # Errors
/// The first that fails: `input_missing` when it cannot be read, `store` when it cannot be written.
///
/// # Cancellation
/// Files may have been copied in part; unfinished uploads are dropped.
pub(crate) async fn copy_in(
    files: &[LocalFile],
    store: &Arc<dyn Store>,
    embedded: Option<&s3::Server>,
    progress: &Progress,
) -> Result<(), Error> {
    stream::iter(files)
        .map(|file| async move {
            match embedded {
                Some(server) if file.path != Path::new(STDIN) && file.path.is_file() => {
                    import(file, server, progress).await?;
                }
                _ => upload(file, store, progress).await?,
            }
            // Many small files take their time too.
            progress.tick();
            Ok(())
        })
        .buffer_unordered(FILES_IN_FLIGHT)
        .try_collect()
        .await
}

async fn import(file: &LocalFile, server: &s3::Server, progress: &Progress) -> Result<(), Error> {
    let ObjectUri { bucket, key } = &file.at;
    match server.import(bucket, key, &file.path, |bytes| progress.moved(bytes)).await {
        Ok(_) => Ok(()),
        Err(ImportError::Read { path, source }) => Err(unread(&path, source)),
        Err(error @ ImportError::Store { .. }) => Err(uncopied(&file.path, error)),
    }
}

async fn upload(file: &LocalFile, store: &Arc<dyn Store>, progress: &Progress) -> Result<(), Error> {
    let unread = |error| unread(&file.path, error);
    let uncopied = |error| uncopied(&file.path, error);
    let mut source = open(&file.path).await.map_err(unread)?;
    source.set_max_buf_size(READ_BYTES);
    let options = WriteOptions {
        parts_in_flight: NonZeroUsize::new(PARTS_IN_FLIGHT).unwrap_or(NonZeroUsize::MIN),
        ..WriteOptions::default()
    };
    let mut writer = ObjectWriter::new(Arc::clone(store), file.at.clone(), options);
    let buffer_bytes = usize::try_from(file.bytes).unwrap_or(READ_BYTES).clamp(1, READ_BYTES);
    loop {
        let mut buffer = BytesMut::with_capacity(buffer_bytes);
        let bytes = match source.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(error) => {
                // What cannot be aborted now, the failure to read explains better.
                let _unaborted = writer.abort().await;
                return Err(unread(error));
            }
        };
        writer.write(buffer.freeze()).await.map_err(uncopied)?;
        progress.moved(bytes as u64);
    }
    writer.finish().await.map_err(uncopied)?;
    Ok(())
}

/// A file; standard input as it is, where it is: it may be a socket, which cannot be opened anew, or be read from the middle.
async fn open(path: &Path) -> io::Result<File> {
    if path == Path::new(STDIN) {
        return Ok(File::from_std(io::stdin().as_fd().try_clone_to_owned()?.into()));
    }
    File::open(path).await
}

fn unread(path: &Path, error: io::Error) -> Error {
    Error::caused(Code::InputMissing, format!("read {}", path.display()), error)
}

fn uncopied(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::caused(Code::Store, format!("copy {} into the store", path.display()), error)
}
