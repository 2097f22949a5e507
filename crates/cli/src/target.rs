//! Where something goes on this machine: standard output, a file, a pipe.
//!
//! Guarantees: what cannot be written is refused before any work is done, and so are two things that would go to one file,
//! however they are written. Costs: a file is created beside each place, and removed.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use tempfile::NamedTempFile;

/// Most symbolic links that are followed, as in the kernel.
const LINKS_MAX: usize = 40;

/// Standard output as a file.
const STDOUT: &str = "/dev/stdout";

/// A place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// Something that bytes are written to as they come: a pipe, a terminal, `/dev/null`.
    Stream(PathBuf),
    /// A file that appears, or is replaced, as a whole.
    File {
        /// Its path; links are followed.
        path: PathBuf,
        /// Whether a file that is there already is replaced.
        overwrite: bool,
    },
}

/// What goes to a target: as the user typed it, such as `--joblog jobs.tsv`.
pub(crate) type Claim<'a> = (String, &'a Target);

/// A file that something is read from or written to, by whatever path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// It is there: its device and its inode.
    Inode(u64, u64),
    /// It is not there yet: its folder by its only name, and its own.
    Path(PathBuf),
    /// A device, which may be written to by many: a terminal, `/dev/null`.
    Device,
}

impl Target {
    /// The target at `address`, which `option` names, or why nothing can be written there.
    ///
    /// # Errors
    /// `output_exists` for what must not be overwritten; `invalid_job` for a folder, or one that is missing or may not be
    /// written.
    pub(crate) fn at(option: &str, address: &str, directory: &Path, overwrite: bool) -> Result<Self, Error> {
        if address == "-" {
            return Ok(Self::Stdout);
        }
        let refused = |message: String| Err(Error::new(Code::InvalidJob, format!("use {option}: {message}")));
        let path = followed(directory.join(address));
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => refused(format!("{address} is a folder; name a file in it")),
            Ok(about) if !about.is_file() => match accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS) {
                Ok(()) => Ok(Self::Stream(path)),
                Err(error) => refused(format!("{address} may not be written: {}", io::Error::from(error))),
            },
            Ok(_) if !overwrite => Err(exists(&path)),
            Ok(_) => {
                let path = fs::canonicalize(&path).map_err(|error| unwritten(&path, error))?;
                Self::file(option, path, overwrite)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !address.ends_with('/') => {
                let folder = path.parent().unwrap_or(directory);
                if folder.is_dir() {
                    return Self::file(option, path, overwrite);
                }
                refused(format!("there is no folder {}; make it first", folder.display()))
            }
            Err(error) => refused(format!("{address}: {error}")),
        }
    }

    /// A file, in whose folder another can be made.
    fn file(option: &str, path: PathBuf, overwrite: bool) -> Result<Self, Error> {
        match beside(&path) {
            Ok(_removed_at_once) => Ok(Self::File { path, overwrite }),
            Err(error) => {
                let folder = path.parent().unwrap_or(Path::new("/")).display();
                let message = format!("use {option}: no file can be made in the folder {folder}");
                Err(Error::caused(Code::InvalidJob, message, error))
            }
        }
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Stdout => Identity::of(Path::new(STDOUT)),
            Self::Stream(path) | Self::File { path, .. } => Identity::of(path),
        }
    }
}

impl Identity {
    /// That of what is at `path`, or would be.
    pub(crate) fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(about) => Self::of_metadata(&about),
            Err(_) => {
                let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
                Self::Path(match (folder, path.file_name()) {
                    (Some(folder), Some(name)) => folder.join(name),
                    _ => path.to_owned(),
                })
            }
        }
    }

    fn of_metadata(about: &Metadata) -> Self {
        if about.file_type().is_char_device() { Self::Device } else { Self::Inode(about.dev(), about.ino()) }
    }

    /// Whether what is written to one would be in the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        *self != Self::Device && self == other
    }
}

/// A path behind all links, one whose target is missing included: there the file appears.
fn followed(mut path: PathBuf) -> PathBuf {
    for _ in 0..LINKS_MAX {
        match (fs::read_link(&path), path.parent()) {
            (Ok(target), Some(folder)) if fs::metadata(&path).is_err() => path = folder.join(target),
            _ => break,
        }
    }
    path
}

/// A temporary file in the folder of `path`, with the permissions that a new file gets.
pub(crate) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".fanfold-").permissions(permissions).tempfile_in(folder)
}

pub(crate) fn exists(path: &Path) -> Error {
    Error::new(Code::OutputExists, format!("write {}: there is a file already", path.display()))
}

pub(crate) fn unwritten(path: &Path, error: io::Error) -> Error {
    Error::caused(Code::Store, format!("write {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_cannot_become_an_output_is_refused_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("there"), "").unwrap();
        let at = |address: &str, overwrite| Target::at("output.uri", address, folder.path(), overwrite);
        assert_eq!(at("there", false).unwrap_err().code, Code::OutputExists);
        for address in [".", "no/out", "new/", "there/x"] {
            assert_eq!(at(address, true).unwrap_err().code, Code::InvalidJob, "{address}");
        }
        // Nobody can make a file there, not even root.
        let refusal = at("/proc/self/fdinfo/out", true).unwrap_err();
        assert!(
            refusal.to_string().contains("no file can be made in the folder /proc/self/fdinfo"),
            "{refusal}"
        );
        assert_eq!(at("/dev/null", false).unwrap(), Target::Stream("/dev/null".into()));
        assert_eq!(at("-", false).unwrap(), Target::Stdout);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the proof");
    }

    #[test]
    fn one_file_is_recognised_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("there"), "").unwrap();
        fs::hard_link(path("there"), path("hard")).unwrap();
        symlink(path("there"), path("link")).unwrap();
        symlink(path("sub"), path("folder")).unwrap();
        let same = |one: &str, other: &str| Identity::of(&path(one)).is_same(&Identity::of(&path(other)));
        for (one, other) in [
            ("there", "hard"),
            ("there", "link"),
            ("there", "./sub/../there"),
            ("sub/new", "folder/new"),
            ("new", "./new"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        assert!(!same("there", "new") && !same("new", "sub/new"));
        let null = Identity::of(Path::new("/dev/null"));
        assert!(!null.is_same(&null), "it may be written to twice");
    }

    #[test]
    fn a_link_to_a_file_that_is_missing_is_made_good() {
        let folder = tempfile::tempdir().unwrap();
        symlink("real", folder.path().join("second")).unwrap();
        symlink("second", folder.path().join("first")).unwrap();
        let target = Target::at("-o", "first", folder.path(), false).unwrap();
        assert_eq!(target, Target::File { path: folder.path().join("real"), overwrite: false });
    }
}
