//! One bucket: its index, its journal, and the one step in which a condition is checked and a change committed.
//!
//! Owed to the neighbours: of any number of writers with a condition that only one can meet, exactly one wins; a reader
//! sees a change when it is committed and not before. Bodies are written, hashed and encoded before the lock is
//! taken and given back after it is released: under it there is one look and one short write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::error::{Error, FileError};
use super::index::{Index, VERSION};
use super::journal::{Journal, JournalError, Line};
use super::blob::{Blob, BlobId};
use super::record::{Change, Milliseconds};

const JOURNAL: &str = "journal";

/// A bucket that is there, or was while somebody still holds it.
#[derive(Debug)]
pub(crate) struct Bucket {
    name: String,
    journal_path: PathBuf,
    /// Changed by those alone who hold `journal`; read by all.
    index: RwLock<Index>,
    /// Held over check and commit. None once the bucket is deleted.
    journal: Mutex<Option<Journal>>,
}

impl Bucket {
    /// A new and empty bucket in `folder`, which appears whole or not at all.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn create(name: &str, folder: &Path, created: Milliseconds) -> Result<Self, FileError> {
        fs::create_dir_all(folder).map_err(FileError::when("create the folder", folder))?;
        let mut index = Index::default();
        index.apply(Change::Bucket { version: VERSION, created });
        let path = folder.join(JOURNAL);
        let journal = Journal::write(&path, index.changes())?;
        Ok(Self::with(name, path, index, journal))
    }

    /// The bucket as its journal says; none if a kill came before its creation was committed.
    ///
    /// # Errors
    /// [`JournalError`] for a journal that a kill can't explain, or of a version that is not ours.
    pub(crate) fn open(
        name: &str,
        folder: &Path,
        mut share: impl FnMut(BlobId) -> Blob,
    ) -> Result<Option<Self>, JournalError> {
        let path = folder.join(JOURNAL);
        if !path.exists() {
            return Ok(None);
        }
        let mut index = Index::default();
        let mut superseded = false;
        let mut journal = Journal::read(&path, |change: Change<BlobId>| {
            if let Change::Bucket { version, .. } = &change
                && *version != VERSION
            {
                return Err(format!("it is of version {version}, this program reads version {VERSION}"));
            }
            superseded |= !index.apply(change.resolve(&mut share)).is_empty();
            Ok(())
        })?;
        if superseded {
            journal = Journal::write(&path, index.changes())?;
        }
        Ok(Some(Self::with(name, path, index, journal)))
    }

    fn with(name: &str, journal_path: PathBuf, index: Index, journal: Journal) -> Self {
        let (index, journal) = (RwLock::new(index), Mutex::new(Some(journal)));
        Self { name: name.to_owned(), journal_path, index, journal }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The index as it stands. Short looks only: committing waits meanwhile.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        // Poison would mean a panic within `Index::apply`, which moves values between maps and can't.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits `change` if `check` agrees with what the bucket holds at that moment. Blocks on the file system.
    ///
    /// # Errors
    /// What `check` says; [`Error::NoSuchBucket`] after the bucket was deleted; [`FileError`]. Nothing has changed then.
    pub(crate) fn commit(
        &self,
        change: Change,
        check: impl FnOnce(&Index) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = Line::encode(&change).map_err(FileError::when("encode a line for", &self.journal_path))?;

        let mut held = self.lock();
        let journal = held.as_mut().ok_or_else(|| Error::NoSuchBucket(self.name.clone()))?;
        check(&self.read())?;
        journal.append(&line)?;
        let displaced = self.index.write().unwrap_or_else(PoisonError::into_inner).apply(change);
        if journal.wants_rewriting() {
            self.rewrite(journal);
        }
        drop(held);
        drop(displaced);
        Ok(())
    }

    /// Shortens the journal. The change is committed already, so a failure is no failure of the request; the journal
    /// stays as it is, long and right, and the next commit tries again.
    fn rewrite(&self, journal: &mut Journal) {
        match Journal::write(&self.journal_path, self.read().changes()) {
            Ok(short) => *journal = short,
            Err(error) => tracing::warn!(bucket = self.name, %error, "the journal could not be shortened"),
        }
    }

    /// Deletes the bucket if it is empty, by moving its folder to `grave`. Unfinished uploads go with it.
    ///
    /// # Errors
    /// [`Error::BucketNotEmpty`], [`Error::NoSuchBucket`], [`FileError`].
    pub(crate) fn delete(&self, folder: &Path, grave: &Path) -> Result<(), Error> {
        let mut held = self.lock();
        if held.is_none() {
            return Err(Error::NoSuchBucket(self.name.clone()));
        }
        if let Some(key) = self.read().objects.keys().next() {
            return Err(Error::BucketNotEmpty { bucket: self.name.clone(), key: key.clone() });
        }
        fs::rename(folder, grave).map_err(FileError::when("move away", folder))?;
        *held = None;
        let index = std::mem::take(&mut *self.index.write().unwrap_or_else(PoisonError::into_inner));
        drop(held);
        drop(index);
        Ok(())
    }
}
