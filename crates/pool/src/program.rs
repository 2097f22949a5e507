//! What to run, and where it is found.
//!
//! Owes `spawn` a path that exists and arguments that the kernel takes, or an error that says which word is
//! wrong and what to do.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::StartError;

/// Where a program is looked for if its environment has no `PATH`: what the C library would use.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program with its arguments and its surroundings.
#[derive(Clone)]
pub struct Program {
    /// The program and its arguments; no shell has a say in them. A program without a slash is looked for in
    /// the `PATH` of `environment`.
    pub argv: Vec<OsString>,
    /// The whole environment: the process's own starts empty. Of a name that is given twice, the last wins.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory; without one, that of the calling process.
    pub directory: Option<PathBuf>,
}

/// Shows the names of the variables only: values may be secrets.
impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsStr> = self.environment.iter().map(|(name, _)| name.as_os_str()).collect();
        formatter
            .debug_struct("Program")
            .field("argv", &self.argv)
            .field("environment_names", &names)
            .field("directory", &self.directory)
            .finish()
    }
}

impl Program {
    /// The program's name as it was given.
    pub(crate) fn name(&self) -> Result<&OsStr, StartError> {
        match self.argv.first() {
            Some(name) if !name.is_empty() => Ok(name),
            Some(_) | None => Err(StartError::NoProgram),
        }
    }

    /// Refuses what no process can be given.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.name()?;
        for (index, argument) in self.argv.iter().enumerate() {
            refuse_nul(argument, || format!("argument {index} ({argument:?})"))?;
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(StartError::VariableName { name: name.clone() });
            }
            refuse_nul(name, || format!("the environment variable's name {name:?}"))?;
            refuse_nul(value, || format!("the value of the environment variable {name:?}"))?;
        }
        if let Some(directory) = &self.directory {
            refuse_nul(directory.as_os_str(), || format!("the directory {directory:?}"))?;
            if !directory.is_dir() {
                return Err(StartError::Directory { directory: directory.clone() });
            }
        }
        Ok(())
    }

    /// The path to start: the name itself if it has a slash, else the first executable file of that name in
    /// the program's own `PATH`.
    pub(crate) fn locate(&self) -> Result<PathBuf, StartError> {
        let name = self.name()?;
        if name.as_bytes().contains(&b'/') {
            return Ok(PathBuf::from(name));
        }
        let path = self.variable("PATH").unwrap_or(OsStr::new(DEFAULT_PATH));
        let mut forbidden = None;
        for folder in std::env::split_paths(path) {
            // An empty entry means the working directory.
            let candidate =
                if folder.as_os_str().is_empty() { Path::new(".").join(name) } else { folder.join(name) };
            let seen_from_here = self.seen_from_here(&candidate);
            if !seen_from_here.is_file() {
                continue;
            }
            if access(&seen_from_here, Access::EXEC_OK).is_ok() {
                return Ok(candidate);
            }
            forbidden.get_or_insert(candidate);
        }
        Err(match forbidden {
            Some(program) => StartError::NotExecutable { program },
            None => StartError::NotFound { program: name.to_owned(), path: path.to_owned() },
        })
    }

    /// A path that is relative to the program's directory, as this process must spell it.
    pub(crate) fn seen_from_here(&self, path: &Path) -> PathBuf {
        self.directory.as_deref().map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    /// A variable of the program's environment.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        let found = self.environment.iter().rfind(|(other, _)| other == name);
        found.map(|(_, value)| value.as_os_str())
    }
}

fn refuse_nul(text: &OsStr, what: impl FnOnce() -> String) -> Result<(), StartError> {
    if text.as_bytes().contains(&0) { Err(StartError::NulByte { what: what() }) } else { Ok(()) }
}
