//! The files that local inputs stand for.
//!
//! A file is itself, `-` is standard input, a folder is all files below it but hidden ones, a glob is those that match it
//! ([`glob`]), both in the byte order of their names, as S3 lists keys. Whatever else cannot be taken is refused by name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fanfold_flow::code::Code;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use serde::{Deserialize, Serialize};

use crate::glob;
use crate::places::{Destination, Input};

/// Standard input as a file.
pub(crate) const STDIN: &str = "/dev/stdin";

/// What standard input is called in the store.
const STDIN_KEY: &str = "stdin";

/// A file to copy in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Where it goes.
    pub(crate) at: ObjectUri,
    /// Its length now, in bytes; 0 for a pipe.
    pub(crate) bytes: u64,
}

/// The files of all inputs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In no order that counts: the keys have it.
    pub(crate) files: Vec<LocalFile>,
    /// What they are called.
    pub(crate) names: Names,
}

/// What local files are called, by the addresses that they have in S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    /// A text in which the files have the names that the user knows.
    pub(crate) fn in_text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (uri, name)| text.replace(uri, name))
    }
}

impl Found {
    /// How many bytes all files have.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// A text in which the files have the names that the user knows.
    pub(crate) fn with_local_names(&self, text: &str) -> String {
        self.names.in_text(text)
    }
}

/// Finds the files of all inputs. Paths are relative to `directory`.
///
/// # Errors
/// `input_missing`, with the field and the path, for what is not there, cannot be read, or has no name in UTF-8.
pub(crate) fn find(inputs: &[Input], directory: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    if let [_, second, ..] = inputs.iter().filter(|input| input.address == "-").collect::<Vec<_>>()[..] {
        let message = format!("read {}: standard input (-) can be read only once", second.field);
        return Err(Error::new(Code::InvalidJob, message));
    }
    for input in inputs {
        let files = files_of(input, directory)
            .map_err(|message| Error::new(Code::InputMissing, format!("read {}: {message}", input.field)))?;
        let base = files.base.strip_prefix(directory).unwrap_or(&files.base).display().to_string();
        let base = if base.is_empty() || base.ends_with('/') { base } else { base + "/" };
        for (name, path, bytes) in files.files {
            let at = match &input.to {
                Destination::Below(prefix) => ObjectUri::new(&prefix.bucket, format!("{}{name}", prefix.key)),
                Destination::Object(at) => at.clone(),
            };
            found.files.push(LocalFile { path, at, bytes });
        }
        let (uri, name) = match &input.to {
            Destination::Below(prefix) if input.address == "-" => {
                (format!("{prefix}{STDIN_KEY}"), "standard input".to_owned())
            }
            Destination::Below(prefix) => (prefix.to_string(), base),
            Destination::Object(at) => (at.to_string(), input.address.clone()),
        };
        found.names.0.push((uri, name));
    }
    Ok(found)
}

/// The files of one input: their names below `base`, their paths, their lengths.
struct Files {
    base: PathBuf,
    files: Vec<(String, PathBuf, u64)>,
}

fn files_of(input: &Input, directory: &Path) -> Result<Files, String> {
    let address = &input.address;
    if address == "-" {
        let bytes = fs::metadata(STDIN).map_or(0, |about| if about.is_file() { about.len() } else { 0 });
        return Ok(Files {
            base: directory.to_owned(),
            files: vec![(STDIN_KEY.to_owned(), STDIN.into(), bytes)],
        });
    }
    let path = directory.join(address);
    match fs::metadata(&path) {
        Ok(about) if about.is_dir() => match &input.to {
            Destination::Object(_) => Err(format!("{address} is a folder; it must be one file")),
            Destination::Below(_) => {
                let files = walk(&path)?;
                if files.is_empty() {
                    return Err(format!("the folder {address} holds no file, hidden ones aside"));
                }
                Ok(Files { base: path, files })
            }
        },
        Ok(about) => {
            let base = path.parent().unwrap_or(directory).to_owned();
            let name = path.file_name().unwrap_or(path.as_os_str());
            let name = name.to_str().ok_or_else(|| format!("the name of {address} is not UTF-8"))?.to_owned();
            Ok(Files { base, files: vec![(name, path, about.len())] })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && glob::is_glob(address) => {
            matching(address, directory)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no file or folder {address} in {}", directory.display()))
        }
        Err(error) => Err(format!("{address}: {error}")),
    }
}

fn matching(address: &str, directory: &Path) -> Result<Files, String> {
    let fixed = glob::base(address);
    let base = directory.join(&fixed);
    if !base.is_dir() {
        return Err(format!("there is no folder {} for the glob {address}", fixed.display()));
    }
    let files = glob::matching(address, &base)?;
    if files.is_empty() {
        return Err(format!("the glob {address} matches no file in {}", directory.display()));
    }
    Ok(Files { base, files: files.into_iter().map(|(name, (path, bytes))| (name, path, bytes)).collect() })
}

/// All files below a folder, by name, but hidden ones and those below hidden folders.
fn walk(base: &Path) -> Result<Vec<(String, PathBuf, u64)>, String> {
    let mut files = Vec::new();
    let mut folders = vec![base.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if glob::is_hidden(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let shown = path.display();
            let kind = entry.file_type().map_err(|error| format!("{shown}: {error}"))?;
            let about = fs::metadata(&path).map_err(|error| format!("{shown}: {error}"))?;
            if kind.is_dir() {
                folders.push(path);
            } else if about.is_dir() {
                return Err(format!(
                    "{shown} is a link to a folder; name that folder as an input of its own"
                ));
            } else if !about.is_file() {
                return Err(format!("{shown} is no regular file"));
            } else {
                let name = path.strip_prefix(base).unwrap_or(&path);
                let name =
                    name.to_str().ok_or_else(|| format!("the name of {shown} is not UTF-8"))?.to_owned();
                files.push((name, path, about.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    fn input(address: &str) -> Input {
        let to = Destination::Below("s3://b/in/".parse().unwrap());
        Input { field: "source.objects.uri".into(), address: address.into(), to }
    }

    fn keys(address: &str, folder: &Path) -> Result<Vec<String>, String> {
        let found = find(&[input(address)], folder).map_err(|error| error.to_string())?;
        assert!(found.files.iter().all(|file| file.bytes == fs::metadata(&file.path).unwrap().len()));
        Ok(found.files.into_iter().map(|file| file.at.key).collect())
    }

    #[test]
    fn a_folder_is_all_its_files_under_their_own_names() {
        let hidden = ["d/.DS_Store", "d/.git/config", "d/a/.x.csv"];
        let plain = ["d/b.csv", "d/a-b.csv", "d/a/1.csv", "d/한글 😀.csv", "other"];
        let folder = folder(&[&plain[..], &hidden].concat());
        // In the byte order of the whole name: '-' comes before '/'.
        let expected = ["in/a-b.csv", "in/a/1.csv", "in/b.csv", "in/한글 😀.csv"];
        assert_eq!(keys("d", folder.path()).unwrap(), expected);
        assert_eq!(keys("d/", folder.path()).unwrap(), expected);
        assert_eq!(keys(folder.path().join("d").to_str().unwrap(), Path::new("/")).unwrap(), expected);
    }

    #[test]
    fn a_glob_takes_what_matches_and_a_file_named_like_one_is_itself() {
        let folder = folder(&["d/1.csv", "d/2.csv", "d/2.txt", "d/e/3.csv", "star*.csv", "star1.csv"]);
        assert_eq!(keys("d/*.csv", folder.path()).unwrap(), ["in/1.csv", "in/2.csv"]);
        assert_eq!(keys("d/**/*.csv", folder.path()).unwrap(), ["in/1.csv", "in/2.csv", "in/e/3.csv"]);
        assert_eq!(keys("star*.csv", folder.path()).unwrap(), ["in/star*.csv"]);
        assert_eq!(keys("star?.csv", folder.path()).unwrap(), ["in/star*.csv", "in/star1.csv"]);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_by_name() {
        let folder = folder(&["d/x", "e/f/y"]);
        fs::create_dir(folder.path().join("empty")).unwrap();
        fs::create_dir(folder.path().join("odd")).unwrap();
        fs::write(folder.path().join("odd").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        std::os::unix::fs::symlink(folder.path().join("d"), folder.path().join("e/link")).unwrap();
        for (address, part) in [
            ("none.csv", "source.objects.uri: there is no file or folder none.csv in /"),
            ("empty", "the folder empty holds no file"),
            ("d/*.csv", "the glob d/*.csv matches no file"),
            ("no/*.csv", "there is no folder no"),
            ("odd", "is not UTF-8"),
            ("e", "e/link is a link to a folder"),
            ("d/x/y", "d/x/y"),
        ] {
            let error = keys(address, folder.path()).unwrap_err();
            assert!(error.contains(part), "{address}: {error}");
        }
    }

    #[test]
    fn a_hidden_file_is_taken_where_it_is_named() {
        let folder = folder(&["d/.env", "d/x"]);
        assert_eq!(keys("d/.env", folder.path()).unwrap(), ["in/.env"]);
        assert_eq!(keys("d/.*", folder.path()).unwrap(), ["in/.env"]);
        assert_eq!(keys("d/{.env,x}", folder.path()).unwrap(), ["in/.env", "in/x"]);
    }

    #[test]
    fn standard_input_is_read_once() {
        let found = find(&[input("-")], Path::new("/")).unwrap();
        assert_eq!(found.files[0].path, Path::new(STDIN));
        let refusal = find(&[input("-"), input("-")], Path::new("/")).unwrap_err();
        assert!(refusal.to_string().contains("can be read only once"), "{refusal}");
    }

    #[test]
    fn messages_speak_of_the_files_that_the_user_knows() {
        let folder = folder(&["d/x", "y"]);
        let mut second = input("y");
        second.to = Destination::Below("s3://b/in2/".parse().unwrap());
        let found = find(&[input("d"), second], folder.path()).unwrap();
        assert_eq!(found.with_local_names("read s3://b/in/x, s3://b/in2/y"), "read d/x, y");
    }
}
