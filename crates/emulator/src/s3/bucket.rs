//! One bucket: its index, its journal, and the one step in which a condition is checked and a change committed.
//!
//! Owed to the neighbours: of any number of writers with a condition that only one can meet, exactly one wins; a reader
//! sees a change when it is committed and not before. Bodies are written, hashed and encoded before the lock is
//! taken and given back after it is released: under it there is one look and one short write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::blob::{Blob, BlobId};
use super::error::{Error, FileError};
use super::index::{Index, VERSION};
use super::journal::{Journal, JournalError, Line};
use super::notice::{CreatedBy, Notices};
use super::record::{Change, Milliseconds, Object};
use super::store::FolderLock;

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
    _lock: Arc<FolderLock>,
}

impl Bucket {
    /// A new and empty bucket in `folder`, which appears whole or not at all.
    ///
    /// # Errors
    /// [`FileError`] when the file system refuses.
    pub(crate) fn create(
        name: &str,
        folder: &Path,
        created: Milliseconds,
        lock: Arc<FolderLock>,
    ) -> Result<Self, FileError> {
        fs::create_dir_all(folder).map_err(FileError::when("create the folder", folder))?;
        let mut index = Index::default();
        index.apply(Change::Bucket { version: VERSION, created });
        let path = folder.join(JOURNAL);
        let journal = Journal::write(&path, index.changes())?;
        Ok(Self::with(name, path, index, journal, lock))
    }

    /// The bucket as its journal says; none if a kill came before its creation was committed.
    ///
    /// # Errors
    /// [`JournalError`] for a journal that a kill can't explain, or of a version that is not ours.
    pub(crate) fn open(
        name: &str,
        folder: &Path,
        mut share: impl FnMut(BlobId) -> Blob,
        lock: Arc<FolderLock>,
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
        Ok(Some(Self::with(name, path, index, journal, lock)))
    }

    fn with(
        name: &str,
        journal_path: PathBuf,
        index: Index,
        journal: Journal,
        lock: Arc<FolderLock>,
    ) -> Self {
        let (index, journal) = (RwLock::new(index), Mutex::new(Some(journal)));
        Self { name: name.to_owned(), journal_path, index, journal, _lock: lock }
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

    /// Puts a finished object in its place if `check` agrees, and tells of it. Blocks on the file system.
    ///
    /// # Errors
    /// As those of [`Bucket::commit`].
    pub(crate) fn put(
        &self,
        key: String,
        object: Arc<Object>,
        by: CreatedBy,
        notices: &Notices,
        check: impl FnOnce(&str, &Index) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut sequencer = 0;
        let change = Change::Put { key: key.clone(), object: Arc::clone(&object) };
        self.commit(change, |index| {
            check(&key, index)?;
            sequencer = notices.sequencer();
            Ok(())
        })?;
        notices.created(&self.name, &key, &object, by, sequencer);
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::super::checksum::{Algorithm, Meter};
    use super::super::condition::WriteCondition;
    use super::super::etag::ETags;
    use super::super::record::{Attributes, Object, Part, UploadKey};
    use super::super::store::Store;
    use super::*;
    use s3s::dto::{ETag, ETagCondition};

    const THREADS: usize = 16;
    const ROUNDS: usize = 40;

    /// An object that is told apart by its text, and has no body.
    fn object(text: &str) -> Arc<Object> {
        let mut meter = Meter::new(Algorithm::Crc64Nvme, ETags::Md5);
        meter.update(text.as_bytes());
        let measured = meter.finish();
        let part = Part {
            number: 1,
            size: 0,
            etag: measured.etag,
            crc64nvme: measured.crc64nvme,
            checksum: measured.checksum,
            modified: 0,
            segments: Vec::new(),
        };
        Arc::new(Object::of_part(part, Attributes::default()))
    }

    fn store() -> (tempfile::TempDir, Store, Arc<Bucket>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.create_bucket("races").unwrap();
        let bucket = store.bucket("races").unwrap();
        (folder, store, bucket)
    }

    /// Lets threads go at once; answers with those who won.
    fn race(contend: impl Fn(usize) -> Result<(), Error> + Sync) -> Vec<usize> {
        let barrier = Barrier::new(THREADS);
        thread::scope(|scope| {
            let runners: Vec<_> = (0..THREADS)
                .map(|runner| {
                    let (barrier, contend) = (&barrier, &contend);
                    scope.spawn(move || {
                        barrier.wait();
                        contend(runner)
                    })
                })
                .collect();
            let results = runners.into_iter().map(|runner| runner.join().unwrap()).enumerate();
            results
                .filter_map(|(runner, result)| match result {
                    Ok(()) => Some(runner),
                    Err(Error::Precondition { .. }) => None,
                    Err(error) => panic!("a loser is told {error}"),
                })
                .collect()
        })
    }

    fn put(bucket: &Bucket, key: &str, text: &str, condition: &WriteCondition) -> Result<(), Error> {
        let change = Change::Put { key: key.to_owned(), object: object(text) };
        bucket.commit(change, |index| condition.check(key, index))
    }

    fn if_absent() -> WriteCondition {
        WriteCondition::new(None, Some(ETagCondition::Any)).unwrap()
    }

    #[test]
    fn of_many_puts_if_absent_exactly_one_wins_and_stays() {
        let (_folder, _store, bucket) = store();
        for round in 0..ROUNDS {
            let key = format!("{round}");
            let winners = race(|runner| put(&bucket, &key, &runner.to_string(), &if_absent()));
            assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
            let winner = object(&winners[0].to_string());
            assert_eq!(bucket.read().object(&key).unwrap().etag, winner.etag);
        }
    }

    #[test]
    fn of_many_puts_if_unchanged_exactly_one_wins_and_stays() {
        let (_folder, _store, bucket) = store();
        put(&bucket, "key", "first", &WriteCondition::default()).unwrap();
        for round in 0..ROUNDS {
            let etag = bucket.read().object("key").unwrap().etag.clone();
            let unchanged = ETagCondition::ETag(ETag::Strong(etag));
            let condition = WriteCondition::new(Some(unchanged), None).unwrap();
            let winners = race(|runner| put(&bucket, "key", &format!("{round} {runner}"), &condition));
            assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
            let winner = object(&format!("{round} {}", winners[0]));
            assert_eq!(bucket.read().object("key").unwrap().etag, winner.etag);
        }
    }

    #[test]
    fn completions_and_puts_race_for_one_key_and_one_wins() {
        let (_folder, _store, bucket) = store();
        for round in 0..ROUNDS {
            let key = format!("{round}");
            let condition = if_absent();
            let winners = race(|runner| {
                if runner % 2 == 0 {
                    return put(&bucket, &key, &runner.to_string(), &condition);
                }
                let upload = UploadKey { key: key.clone(), id: runner.to_string() };
                let change = Change::Complete { upload, object: object(&runner.to_string()) };
                bucket.commit(change, |index| condition.check(&key, index))
            });
            assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        }
    }

    #[test]
    fn what_was_committed_by_many_threads_is_what_the_next_start_reads() {
        let (folder, store, bucket) = store();
        thread::scope(|scope| {
            for runner in 0..THREADS {
                let bucket = &bucket;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let key = (runner * round % 7).to_string();
                        put(bucket, &key, &format!("{runner} {round}"), &WriteCondition::default()).unwrap();
                        if round % 5 == 0 {
                            bucket.commit(Change::Delete { keys: vec![key] }, |_| Ok(())).unwrap();
                        }
                    }
                });
            }
        });
        let etags = |bucket: &Bucket| -> Vec<(String, String)> {
            bucket.read().objects.iter().map(|(key, object)| (key.clone(), object.etag.clone())).collect()
        };
        let before = etags(&bucket);
        drop((bucket, store));
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(etags(&store.bucket("races").unwrap()), before);
    }

    #[test]
    fn a_journal_that_is_mostly_about_what_is_no_more_is_shortened_and_says_the_same() {
        const TEXT_BYTES: usize = 8 << 20;
        const OVERWRITES: u64 = 12;
        let (folder, store, bucket) = store();
        put(&bucket, "other", "other", &WriteCondition::default()).unwrap();
        for version in 0..OVERWRITES {
            let mut large = Object::clone(&object(&version.to_string()));
            large.attributes.content_type = Some("x".repeat(TEXT_BYTES));
            let change = Change::Put { key: "large".into(), object: Arc::new(large) };
            bucket.commit(change, |_| Ok(())).unwrap();
        }
        let journal = folder.path().join("buckets/races/journal");
        let length = fs::metadata(journal).unwrap().len();
        assert!(length < OVERWRITES * TEXT_BYTES as u64 / 2, "the journal has {length} bytes");
        drop((bucket, store));
        let store = Store::open(folder.path()).unwrap();
        let bucket = store.bucket("races").unwrap();
        let last = object(&(OVERWRITES - 1).to_string());
        assert_eq!(bucket.read().object("large").unwrap().etag, last.etag);
        assert_eq!(bucket.read().object("other").unwrap().etag, object("other").etag);
    }
}
