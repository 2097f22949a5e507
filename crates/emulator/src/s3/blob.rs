//! Bodies on disk: immutable files under random names, deleted when nothing refers to them any more.
//!
//! Owed to the neighbours: a [`Blob`] that somebody holds can be read in full, whatever is put, completed or deleted
//! meanwhile. A file that no journal names is garbage by definition, so a body needs no temporary name: it is written
//! where it stays, and what a kill left half-written is removed by [`BlobFolder::sweep`] at the next start.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::FileError;

/// Sub-folders by the name's first byte, so that no folder grows huge; each is made when it gets its first blob, since
/// making them all takes longer than many a short run.
const SHARDS: u16 = 256;

/// The name of a body's file: 128 random bits, as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlobId(u128);

impl BlobId {
    fn random() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }

    fn file_name(self) -> String {
        format!("{:032x}", self.0)
    }

    fn parse(name: &str) -> Option<Self> {
        (name.len() == 32).then(|| u128::from_str_radix(name, 16).ok().map(Self)).flatten()
    }

    fn shard(self) -> String {
        format!("{:02x}", self.0 >> 120)
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.file_name())
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is not a blob's name")))
    }
}

/// Somebody's share in a blob. The file goes when the last share does.
#[derive(Debug, Clone)]
pub(crate) struct Blob(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: BlobId,
    folder: Arc<BlobFolder>,
}

impl Blob {
    pub(crate) fn id(&self) -> BlobId {
        self.0.id
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.folder.path_of(self.0.id)
    }

    /// Opens the file for reading at any offset.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn open(&self) -> Result<File, FileError> {
        let path = self.path();
        File::open(&path).map_err(FileError::when("open", &path))
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.id.serialize(serializer)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.folder.removing.load(Ordering::Acquire) {
            self.folder.remover.remove(self.folder.path_of(self.id));
        }
    }
}

/// The folder that holds every body of a store.
#[derive(Debug)]
pub(crate) struct BlobFolder {
    root: PathBuf,
    /// Whether a blob's file goes with its last share. Not so while the journals are being read, and not after the store
    /// has closed: dropping the index must not delete what the journals name.
    removing: AtomicBool,
    remover: Remover,
}

impl BlobFolder {
    /// Makes the folder where it is missing. It removes nothing until it is told to.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn open(root: PathBuf) -> Result<Arc<Self>, FileError> {
        fs::create_dir_all(&root).map_err(FileError::when("create the folder", &root))?;
        let remover =
            Remover::start().map_err(FileError::when("start the thread that deletes files in", &root))?;
        Ok(Arc::new(Self { root, removing: AtomicBool::new(false), remover }))
    }

    /// From now on a blob's file goes with its last share, or does not.
    pub(crate) fn set_removing(&self, removing: bool) {
        self.removing.store(removing, Ordering::Release);
    }

    /// The blobs that exist, with their lengths in bytes; whatever else lies in the folder is not ours to touch.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn lengths(&self) -> Result<HashMap<BlobId, u64>, FileError> {
        let mut lengths = HashMap::new();
        for shard in 0..SHARDS {
            let folder = self.root.join(format!("{shard:02x}"));
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(FileError::when("list", &folder))?,
            };
            for entry in entries {
                let entry = entry.map_err(FileError::when("list", &folder))?;
                let Some(id) = entry.file_name().to_str().and_then(BlobId::parse) else { continue };
                let length = entry.metadata().map_err(FileError::when("look at", &entry.path()))?.len();
                lengths.insert(id, length);
            }
        }
        Ok(lengths)
    }

    /// Deletes the given blobs: what a kill left behind.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn sweep(&self, unnamed: impl Iterator<Item = BlobId>) -> Result<(), FileError> {
        for id in unnamed {
            let path = self.path_of(id);
            fs::remove_file(&path).map_err(FileError::when("delete the leftover", &path))?;
        }
        Ok(())
    }

    /// A first share in a blob: one that a journal names, or a new one.
    pub(crate) fn adopt(self: &Arc<Self>, id: BlobId) -> Blob {
        Blob(Arc::new(Shared { id, folder: Arc::clone(self) }))
    }

    fn path_of(&self, id: BlobId) -> PathBuf {
        self.root.join(id.shard()).join(id.file_name())
    }
}

/// A blob that is being written. Dropped without [`BlobWriter::finish`], its file goes.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    folder: Arc<BlobFolder>,
    /// None until there is something to add: an empty body keeps no file.
    open: Option<(Blob, File)>,
    /// Bytes.
    length: u64,
}

impl BlobWriter {
    pub(crate) fn new(folder: Arc<BlobFolder>) -> Self {
        Self { folder, open: None, length: 0 }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn append(&mut self, pieces: &[Bytes]) -> Result<(), FileError> {
        let (blob, file) = self.opened()?;
        let mut added = 0;
        for piece in pieces {
            file.write_all(piece).map_err(FileError::when("write to", &blob.path()))?;
            added += piece.len() as u64;
        }
        self.length += added;
        Ok(())
    }

    /// Adds at most this many bytes of a file, from where it stands, at the end; answers with how many there were, 0 at the
    /// file's end. The kernel copies them, or shares them where the file system can (`copy_file_range`).
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses, be it the reading or the writing.
    pub(crate) fn append_file(&mut self, source: &File, most: u64) -> Result<u64, FileError> {
        let (blob, file) = self.opened()?;
        let copied = io::copy(&mut source.take(most), file);
        let copied = copied.map_err(FileError::when("copy a file into", &blob.path()))?;
        self.length += copied;
        Ok(copied)
    }

    /// The blob so far, to be read again; none while there is none.
    pub(crate) fn blob(&self) -> Option<&Blob> {
        self.open.as_ref().map(|(blob, _)| blob)
    }

    fn opened(&mut self) -> Result<&mut (Blob, File), FileError> {
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let blob = self.folder.adopt(BlobId::random());
                let path = blob.path();
                let file = create_new(&path).map_err(FileError::when("create", &path))?;
                Ok(none.insert((blob, file)))
            }
        }
    }

    /// The whole blob, and its length in bytes; none if that is 0.
    pub(crate) fn finish(self) -> Option<(Blob, u64)> {
        self.open.map(|(blob, _)| (blob, self.length)).filter(|(_, length)| *length > 0)
    }
}

/// Creates a blob's file, and its folder where it is the first one there.
fn create_new(path: &Path) -> io::Result<File> {
    match File::create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create_new(path)
        }
        created => created,
    }
}

/// Deletes files on a thread of its own: unlinking gigabytes takes long, and the last share in a blob may be dropped
/// on the reactor. It works off what is queued before it ends.
#[derive(Debug)]
struct Remover {
    queue: Option<mpsc::Sender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    fn start() -> io::Result<Self> {
        let (queue, doomed) = mpsc::channel::<PathBuf>();
        let thread = std::thread::Builder::new().name("s3-remover".into()).spawn(move || {
            for path in doomed {
                remove(&path);
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    fn remove(&self, path: PathBuf) {
        if let Some(queue) = &self.queue
            && let Err(mpsc::SendError(path)) = queue.send(path)
        {
            remove(&path);
        }
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that deletes bodies panicked; the next start clears what it left");
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "failed to delete a body; the next start clears it");
    }
}
