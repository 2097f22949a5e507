//! All buckets of a data folder, and the folder itself.
//!
//! ```text
//! lock                        held while a server runs on the folder
//! blobs/<2 digits>/<32>       bodies (blob.rs)
//! buckets/<name>/journal      what the bucket holds (journal.rs)
//! trash/                      deleted buckets, emptied at the next start
//! ```
//! A process may be killed at any moment: what was answered with success is there at the next start, what was not is
//! there whole or not at all. Files are not flushed to the disk itself, so the promise does not cover a power cut;
//! what that tears is reported at the next start, not served.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::blob::{Blob, BlobFolder, BlobId};
use super::bucket::Bucket;
use super::error::{Error, FileError};
use super::journal::JournalError;
use super::record::Milliseconds;

/// How long to wait for the folder: a server that was just stopped may still have a write under way.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Why a data folder can't be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{} is in use by another server", .0.display())]
    InUse(PathBuf),
    #[error(
        "the body of `{key}` in bucket `{bucket}` is torn: {} has {length} bytes, too few; \
         a power cut does this: delete the data folder, or put the file back",
        path.display()
    )]
    Torn { bucket: String, key: String, path: PathBuf, length: u64 },
}

/// An open data folder.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    blobs: Arc<BlobFolder>,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
    lock: Arc<FolderLock>,
}

/// Held by the store and by each of its buckets, so that no commit of a request that was cut off comes after another
/// store has read the journals. It goes with the process.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.blobs.set_removing(false);
    }
}

impl Store {
    /// Opens a data folder, made where it is missing, and clears what a kill left in it. Blocks.
    ///
    /// # Errors
    /// [`OpenError`]: the folder is in use, damaged in a way that a kill can't explain, or not accessible.
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(root).map_err(FileError::when("create the folder", root))?;
        let lock = lock(root)?;
        let trash = root.join("trash");
        if trash.exists() {
            fs::remove_dir_all(&trash).map_err(FileError::when("empty", &trash))?;
        }
        let folders = root.join("buckets");
        for folder in [&trash, &folders] {
            fs::create_dir_all(folder).map_err(FileError::when("create the folder", folder))?;
        }
        let blobs = BlobFolder::open(root.join("blobs"))?;
        let buckets = read_buckets(&folders, &blobs, &lock)?;
        blobs.set_removing(true);
        Ok(Self { root: root.to_owned(), blobs, buckets: RwLock::new(buckets), lock })
    }

    pub(crate) fn blobs(&self) -> &Arc<BlobFolder> {
        &self.blobs
    }

    /// # Errors
    /// [`Error::NoSuchBucket`].
    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<Bucket>, Error> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).cloned().ok_or_else(|| Error::NoSuchBucket(name.to_owned()))
    }

    /// All buckets, by name.
    pub(crate) fn buckets(&self) -> Vec<Arc<Bucket>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Makes a bucket. Blocks.
    ///
    /// # Errors
    /// [`Error::BucketExists`], [`FileError`].
    pub(crate) fn create_bucket(&self, name: &str) -> Result<(), Error> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if buckets.contains_key(name) {
            return Err(Error::BucketExists(name.to_owned()));
        }
        let bucket = Bucket::create(name, &self.folder_of(name), now(), Arc::clone(&self.lock))?;
        buckets.insert(name.to_owned(), Arc::new(bucket));
        Ok(())
    }

    /// Deletes an empty bucket. Blocks.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::BucketNotEmpty`], [`FileError`].
    pub(crate) fn delete_bucket(&self, name: &str) -> Result<(), Error> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(name).ok_or_else(|| Error::NoSuchBucket(name.to_owned()))?;
        let grave = self.root.join("trash").join(uuid::Uuid::new_v4().simple().to_string());
        bucket.delete(&self.folder_of(name), &grave)?;
        buckets.remove(name);
        Ok(())
    }

    /// A bucket's name is a folder's name: s3s lets through lower-case letters, digits, hyphens and single dots.
    fn folder_of(&self, name: &str) -> PathBuf {
        self.root.join("buckets").join(name)
    }
}

/// The time that objects are stamped with.
pub(crate) fn now() -> Milliseconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Milliseconds::try_from(since.as_millis()).unwrap_or(Milliseconds::MAX)
}

fn lock(root: &Path) -> Result<Arc<FolderLock>, OpenError> {
    let path = root.join("lock");
    let file = File::create(&path).map_err(FileError::when("create", &path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Arc::new(FolderLock { _file: file })),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PATIENCE / 50);
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(FileError::when("lock", &path)(error).into()),
        }
    }
}

fn read_buckets(
    folders: &Path,
    blobs: &Arc<BlobFolder>,
    lock: &Arc<FolderLock>,
) -> Result<BTreeMap<String, Arc<Bucket>>, OpenError> {
    let mut shares: HashMap<BlobId, Blob> = HashMap::new();
    let mut buckets = BTreeMap::new();
    for entry in fs::read_dir(folders).map_err(FileError::when("list", folders))? {
        let entry = entry.map_err(FileError::when("list", folders))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let folder = entry.path();
        let share = |id| shares.entry(id).or_insert_with(|| blobs.adopt(id)).clone();
        match Bucket::open(&name, &folder, share, Arc::clone(lock))? {
            Some(bucket) => drop(buckets.insert(name, Arc::new(bucket))),
            None => fs::remove_dir_all(&folder).map_err(FileError::when("delete the leftover", &folder))?,
        }
    }
    claim_bodies(&buckets, blobs)?;
    Ok(buckets)
}

/// Holds what the buckets refer to against what is there, and deletes what nothing refers to.
fn claim_bodies(buckets: &BTreeMap<String, Arc<Bucket>>, blobs: &BlobFolder) -> Result<(), OpenError> {
    let lengths = blobs.lengths()?;
    let mut named = HashSet::new();
    for (name, bucket) in buckets {
        for (key, segment) in bucket.read().segments() {
            let length = lengths.get(&segment.blob.id()).copied().unwrap_or(0);
            if length < segment.offset + segment.length {
                let (bucket, key, path) = (name.clone(), key.to_owned(), segment.blob.path());
                return Err(OpenError::Torn { bucket, key, path, length });
            }
            named.insert(segment.blob.id());
        }
    }
    blobs.sweep(lengths.into_keys().filter(|id| !named.contains(id)))?;
    Ok(())
}
