//! From the output object to where the user wants it: whole and checked, or not at all.
//!
//! A file is written beside its place and renamed into it, once its length and its CRC64NVME are those of the report. What
//! is no regular file (standard output, a pipe, a device) cannot be taken back: there a mismatch is an error all the same.
//! An S3 in this very program copies into a file without HTTP; all else is streamed.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use fanfold_emulator::s3::{self, ExportError};
use fanfold_flow::code::Code;
use fanfold_flow::crc::{Crc64, RunningCrc};
use fanfold_flow::report;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use fanfold_store::{ObjectReader, ReadOptions, Store};
use futures::StreamExt;
use tempfile::NamedTempFile;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::progress::Progress;
use crate::stdout;
use crate::target::{self, Target, exists, unwritten};

/// An object that is copied out.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    /// What it is, for a person.
    what: &'static str,
    uri: &'a ObjectUri,
    bytes: u64,
    /// The checksum that it must have, where that is known.
    crc: Option<Crc64>,
}

/// Copies the output out, behind what is `written` of it to standard output already.
///
/// # Errors
/// `output_corrupt` when what arrives is not what the report says; `output_exists` when a file came up meanwhile; `store`
/// when the object cannot be read or the target cannot be written.
///
/// # Cancellation
/// No file appears, and none is left behind.
pub(crate) async fn copy_out(
    output: &report::Output,
    written: RunningCrc,
    target: &Target,
    store: &Arc<dyn Store>,
    embedded: Option<&s3::Server>,
    progress: &Progress,
) -> Result<(), Error> {
    let report::Output { uri, bytes, crc64nvme, .. } = output;
    let wanted = Wanted { what: "output", uri, bytes: *bytes, crc: Some(*crc64nvme) };
    copy(wanted, written, target, store, embedded, progress).await
}

/// Copies the joblog out, as the store has it.
///
/// # Errors
/// As for [`copy_out`].
///
/// # Cancellation
/// As for [`copy_out`].
pub(crate) async fn copy_joblog(
    at: &ObjectUri,
    target: &Target,
    store: &Arc<dyn Store>,
    embedded: Option<&s3::Server>,
) -> Result<(), Error> {
    let there = store.head(at).await?;
    let wanted = Wanted { what: "joblog", uri: at, bytes: there.size, crc: there.crc64 };
    copy(wanted, RunningCrc::new(), target, store, embedded, &Progress::quiet()).await
}

async fn copy(
    wanted: Wanted<'_>,
    written: RunningCrc,
    target: &Target,
    store: &Arc<dyn Store>,
    embedded: Option<&s3::Server>,
    progress: &Progress,
) -> Result<(), Error> {
    match target {
        Target::Stdout => {
            stream(wanted, written, &mut tokio::io::stdout(), Path::new(stdout::NAME), store, progress).await
        }
        Target::Stream(path) => {
            let opened = tokio::fs::File::options().write(true).open(path).await;
            let mut file = opened.map_err(|error| unwritten(path, error))?;
            stream(wanted, RunningCrc::new(), &mut file, path, store, progress).await
        }
        Target::File { path, overwrite } => {
            let unwritten = |error| unwritten(path, error);
            let temporary = target::beside(path).map_err(unwritten)?;
            // Not opened again: for that, its permissions might be too few.
            let file = temporary.as_file().try_clone().map_err(unwritten)?;
            match embedded {
                Some(server) => export(wanted, file, path, server, progress).await?,
                None => {
                    let mut file = tokio::fs::File::from_std(file);
                    stream(wanted, RunningCrc::new(), &mut file, path, store, progress).await?;
                }
            }
            keep_permissions(&temporary, path).map_err(unwritten)?;
            if *overwrite {
                temporary.persist(path).map_err(|error| unwritten(error.error))?;
                return Ok(());
            }
            match temporary.persist_noclobber(path) {
                Ok(_) => Ok(()),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
                Err(error) => Err(unwritten(error.error)),
            }
        }
    }
}

/// Gives a new file the permissions of the one that it replaces, if there is one.
fn keep_permissions(new: &NamedTempFile, path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(about) => {
            new.as_file().set_permissions(Permissions::from_mode(about.permissions().mode() & 0o777))
        }
        Err(_) => Ok(()),
    }
}

async fn export(
    wanted: Wanted<'_>,
    file: fs::File,
    name: &Path,
    server: &s3::Server,
    progress: &Progress,
) -> Result<(), Error> {
    let ObjectUri { bucket, key } = wanted.uri;
    match server.export(bucket, key, file, |bytes| progress.moved(bytes)).await {
        Ok(s3::Exported { bytes, crc64nvme }) => check(wanted, bytes, Crc64(crc64nvme), name),
        Err(ExportError::Write { source, .. }) => Err(unwritten(name, source)),
        Err(error @ ExportError::Store { .. }) => {
            let what = wanted.what;
            Err(Error::caused(Code::Store, format!("copy the {what} to {}", name.display()), error))
        }
    }
}

async fn stream(
    wanted: Wanted<'_>,
    mut crc: RunningCrc,
    target: &mut (dyn AsyncWrite + Unpin + Send),
    name: &Path,
    store: &Arc<dyn Store>,
    progress: &Progress,
) -> Result<(), Error> {
    let (uri, about) = (wanted.uri.clone(), store.head(wanted.uri).await?);
    let range = crc.bytes().min(about.size)..about.size;
    let reader = ObjectReader::new(Arc::clone(store), uri, about.etag, range, ReadOptions::default());
    let mut body = reader.into_stream();
    while let Some(bytes) = body.next().await.transpose()? {
        crc.update(&bytes);
        target.write_all(&bytes).await.map_err(|error| unwritten(name, error))?;
        progress.moved(bytes.len() as u64);
    }
    target.flush().await.map_err(|error| unwritten(name, error))?;
    check(wanted, crc.bytes(), crc.crc(), name)
}

/// Whether what came is what was wanted.
fn check(wanted: Wanted<'_>, bytes: u64, crc: Crc64, name: &Path) -> Result<(), Error> {
    let expected = wanted.crc.unwrap_or(crc);
    if (bytes, crc) == (wanted.bytes, expected) {
        return Ok(());
    }
    let message = format!(
        "copy the {} to {}: {bytes} bytes with CRC64NVME {crc} came, not {} with {expected}",
        wanted.what,
        name.display(),
        wanted.bytes,
    );
    Err(Error::new(Code::OutputCorrupt, message))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfold_store::PutOptions;
    use fanfold_store::memory::MemoryStore;

    use super::*;
    use crate::copy_in::copy_in;
    use crate::find::LocalFile;

    async fn output(bytes: &'static [u8]) -> (report::Output, Arc<dyn Store>) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(["b"]));
        let uri = "s3://b/out".parse().unwrap();
        let etag =
            store.put(&uri, Bytes::from_static(bytes), PutOptions::default()).await.unwrap().to_string();
        let crc64nvme = Crc64::of(bytes);
        (report::Output { uri, bytes: bytes.len() as u64, crc64nvme, etag, streamed_bytes: 0 }, store)
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn an_output_that_is_not_what_the_report_says_never_appears() {
        let folder = tempfile::tempdir().unwrap();
        let (mut output, store) = output(b"right").await;
        output.crc64nvme = Crc64::of(b"wrong");
        let target = Target::at("-o", "out", folder.path(), true).unwrap();
        let error = copy_out(&output, RunningCrc::new(), &target, &store, None, &Progress::quiet())
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::OutputCorrupt);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_file_is_replaced_as_a_whole_and_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "old").unwrap();
        // More for the group than a new file would get, and not even its owner may write it.
        fs::set_permissions(&file, Permissions::from_mode(0o464)).unwrap();
        std::os::unix::fs::symlink(&file, folder.path().join("link")).unwrap();
        let (output, store) = output(b"new").await;
        let target = Target::at("-o", "link", folder.path(), true).unwrap();
        copy_out(&output, RunningCrc::new(), &target, &store, None, &Progress::quiet()).await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o464);
        assert!(fs::symlink_metadata(folder.path().join("link")).unwrap().is_symlink());
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[tokio::test]
    async fn a_file_that_came_up_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (output, store) = output(b"new").await;
        let target = Target::at("-o", "out", folder.path(), false).unwrap();
        fs::write(folder.path().join("out"), "theirs").unwrap();
        let error = copy_out(&output, RunningCrc::new(), &target, &store, None, &Progress::quiet())
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::OutputExists);
        assert_eq!(fs::read(folder.path().join("out")).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["out"]);
    }

    /// An embedded S3 that holds an output, imported from a file.
    async fn embedded(folder: &Path, bytes: &'static [u8]) -> (report::Output, s3::Server) {
        let config = s3::Config {
            data: folder.join("s3"),
            address: ([127, 0, 0, 1], 0).into(),
            access_key_id: "key".into(),
            secret_access_key: "secret".into(),
            region: "us-east-1".into(),
        };
        let server = s3::Server::start_with(config, s3::ETags::Opaque).await.unwrap();
        server.ensure_bucket("bucket").await.unwrap();
        let (path, at) = (folder.join("input"), "s3://bucket/out".parse::<ObjectUri>().unwrap());
        fs::write(&path, bytes).unwrap();
        let file = LocalFile { path, at: at.clone(), bytes: bytes.len() as u64 };
        // Nothing may go through the store: this one has no such bucket.
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(["other"]));
        copy_in(&[file], &store, Some(&server), &Progress::quiet()).await.unwrap();
        fs::remove_file(folder.join("input")).unwrap();
        let (bytes, crc64nvme) = (bytes.len() as u64, Crc64::of(bytes));
        (report::Output { uri: at, bytes, crc64nvme, etag: String::new(), streamed_bytes: 0 }, server)
    }

    #[tokio::test]
    async fn without_http_an_output_is_held_against_the_report_all_the_same() {
        let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (right, server) = embedded(data.path(), b"right").await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(["other"]));
        let target = Target::at("-o", "out", folder.path(), true).unwrap();
        let wrong_crc = report::Output { crc64nvme: Crc64::of(b"wrong"), ..right.clone() };
        let wrong_length = report::Output { bytes: 4, ..right.clone() };
        let missing = report::Output { uri: "s3://bucket/missing".parse().unwrap(), ..right.clone() };
        let wrong =
            [(wrong_crc, Code::OutputCorrupt), (wrong_length, Code::OutputCorrupt), (missing, Code::Store)];
        for (output, code) in wrong {
            let copied =
                copy_out(&output, RunningCrc::new(), &target, &store, Some(&server), &Progress::quiet())
                    .await;
            assert_eq!(copied.unwrap_err().code, code);
            assert_eq!(names(folder.path()), Vec::<String>::new());
        }
        copy_out(&right, RunningCrc::new(), &target, &store, Some(&server), &Progress::quiet())
            .await
            .unwrap();
        assert_eq!(fs::read(folder.path().join("out")).unwrap(), b"right");
        assert_eq!(names(folder.path()), ["out"]);
        server.stop().await;
    }
}
