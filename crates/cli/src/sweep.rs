//! The temporary folders of runs, and what is left of those that were killed.
//!
//! Guarantees: a folder is swept only if it is this user's, has our lock file in it, and nobody holds that lock: the kernel gives
//! it back when its process ends, however it ends. Costs: a look at the names in the folder for temporary files.
//! Does not: touch a folder without a lock file, which may be a run's that has just begun, or a stranger's.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

/// What the folders' names begin with.
const PREFIX: &str = "fanfold-";

/// The file whose lock says that a folder is in use.
const LOCK: &str = "in-use.lock";

/// A temporary folder that nobody sweeps as long as the lock is held.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn temporary_folder() -> io::Result<(TempDir, File)> {
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
    // Locked before it has its name, so that nobody finds it unlocked.
    let (unnamed, named) = (folder.path().join("in-use.new"), folder.path().join(LOCK));
    let lock = File::create_new(&unnamed)?;
    match lock.try_lock() {
        Ok(()) => fs::rename(&unnamed, &named)?,
        // A file system without locks: such a folder is never swept.
        Err(TryLockError::Error(_) | TryLockError::WouldBlock) => fs::remove_file(&unnamed)?,
    }
    Ok((folder, lock))
}

/// Removes the temporary folders beside `own` whose programs have ended without removing them.
pub(crate) fn abandoned(own: &TempDir) {
    let (Some(around), Ok(about)) = (own.path().parent(), fs::metadata(own.path())) else { return };
    let Ok(entries) = fs::read_dir(around) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_ours && is_abandoned(&entry.path(), about.uid()) {
            remove(&entry.path());
        }
    }
}

/// Whether a folder is this user's, and its lock is there and free.
fn is_abandoned(folder: &Path, user: u32) -> bool {
    let is_plain = |path: &Path, is_kind: fn(&fs::Metadata) -> bool| {
        fs::symlink_metadata(path).is_ok_and(|about| about.uid() == user && is_kind(&about))
    };
    let lock = folder.join(LOCK);
    is_plain(folder, fs::Metadata::is_dir)
        && is_plain(&lock, fs::Metadata::is_file)
        && File::open(&lock).is_ok_and(|file| file.try_lock().is_ok())
}

/// Removes a folder, its lock file last: should this program be killed meanwhile, the next one goes on.
fn remove(folder: &Path) {
    let removed = fs::read_dir(folder).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false if entry.file_name() != LOCK => fs::remove_file(entry.path())?,
                false => {}
            }
        }
        fs::remove_dir_all(folder)
    });
    if let Err(error) = removed {
        tracing::debug!(%error, folder = %folder.display(), "failed to remove what a killed run has left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_whose_lock_is_free_is_abandoned() {
        let (folder, lock) = temporary_folder().unwrap();
        let user = fs::metadata(folder.path()).unwrap().uid();
        assert!(!is_abandoned(folder.path(), user), "it is in use");
        drop(lock);
        assert!(!is_abandoned(folder.path(), user + 1), "it is somebody else's");
        assert!(is_abandoned(folder.path(), user));
        let link = folder.path().with_extension("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(!is_abandoned(&link, user), "a link is no folder");
        fs::remove_file(&link).unwrap();
        fs::remove_file(folder.path().join(LOCK)).unwrap();
        assert!(!is_abandoned(folder.path(), user), "it may be a stranger's");
    }

    #[test]
    fn what_was_abandoned_is_removed_and_what_is_in_use_stays() {
        let around = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let folder = around.path().join(name);
            fs::create_dir_all(folder.join("s3/data")).unwrap();
            fs::write(folder.join("s3/data/blob"), "x").unwrap();
            File::create_new(folder.join(LOCK)).unwrap()
        };
        let used = made("fanfold-used");
        used.try_lock().unwrap();
        drop(made("fanfold-left"));
        drop(made("other-left"));
        let own = tempfile::Builder::new().prefix(PREFIX).tempdir_in(around.path()).unwrap();
        abandoned(&own);
        let is_there = |name: &str| around.path().join(name).exists();
        assert!(is_there("fanfold-used/s3/data/blob") && is_there("other-left"));
        assert!(!is_there("fanfold-left") && own.path().exists());
    }
}
