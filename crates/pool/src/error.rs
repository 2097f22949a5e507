//! What can go wrong with a run, and what to do about it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use crate::fork::FrameError;
use crate::leftovers::Leftover;

/// Why a process was not started. Nothing has been read from the input when this is returned.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The argument vector is empty, or its first word is.
    #[error("no program is named: the first word of the command is the program")]
    NoProgram,
    /// A NUL byte cannot be passed to a process.
    #[error(
        "{what} contains a NUL byte, which no argument or environment can carry; pass it in a file or on standard input"
    )]
    NulByte {
        /// Which word it is.
        what: String,
    },
    /// The name of an environment variable is empty or contains an equals sign.
    #[error("{name:?} cannot name an environment variable: it is empty or contains '='")]
    VariableName {
        /// The name.
        name: OsString,
    },
    /// The working directory is not a directory.
    #[error("the working directory {directory:?} does not exist or is not a directory")]
    Directory {
        /// The directory.
        directory: PathBuf,
    },
    /// No file of that name is in the `PATH`.
    #[error(
        "the program {program:?} is in none of the folders of PATH ({path:?}); install it, extend PATH, or name it by its full path"
    )]
    NotFound {
        /// The name that was looked for.
        program: OsString,
        /// The `PATH` of the program's own environment, or the default where it has none.
        path: OsString,
    },
    /// The path given does not exist.
    #[error("the program {program:?} does not exist")]
    NoSuchFile {
        /// The path.
        program: PathBuf,
    },
    /// The file exists, but may not be executed.
    #[error(
        "the program {program:?} may not be executed; make it executable with `chmod +x`, and check that it is a file on a file system that allows it"
    )]
    NotExecutable {
        /// The path.
        program: PathBuf,
    },
    /// The file exists, but what should interpret or load it does not.
    #[error(
        "the program {program:?} exists, but the interpreter that its first line names (or the loader that it was linked for) does not"
    )]
    NoInterpreter {
        /// The path.
        program: PathBuf,
    },
    /// The kernel does not know the file's format.
    #[error(
        "the program {program:?} is neither a script with a #! line nor a binary for this kind of machine"
    )]
    UnknownFormat {
        /// The path.
        program: PathBuf,
    },
    /// What a task needs could not be loaded.
    #[error("the task {task} was not loaded: {reason}")]
    TaskNotLoaded {
        /// The task.
        task: String,
        /// Why, in the task's own words if it has any.
        reason: String,
    },
    /// The system did not fork a process for a call, most often for lack of processes, descriptors or memory.
    #[error("no process was forked for the task {task}")]
    NotForked {
        /// The task.
        task: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// What a task is to be called with is too long.
    #[error("the task cannot be called with so long a message")]
    Message {
        /// How long it is.
        #[source]
        source: FrameError,
    },
    /// A simulated pool has only commands.
    #[error("a simulated pool calls no tasks")]
    Simulated,
    /// The system refused, most often for lack of processes, descriptors or memory.
    #[error("the system did not start {program:?}")]
    System {
        /// The path.
        program: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    /// Whether something was short that processes share: processes, descriptors or memory. Once others have ended, there may be
    /// enough of it.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        let (Self::System { source, .. } | Self::NotForked { source, .. }) = self else { return false };
        let error = source.raw_os_error().map(Errno::from_raw_os_error);
        matches!(error, Some(Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM))
    }
}

/// One of a process's three standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl fmt::Display for StandardStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            StandardStream::Input => "standard input",
            StandardStream::Output => "standard output",
            StandardStream::Error => "standard error",
        })
    }
}

/// Why a run gave no result. Whichever it is, no process of the run exists any more, and what the
/// [`Output`](crate::Output) was given so far is not the whole result.
///
/// A program that exits with a failure, or is killed, is not an error here: see [`Ended::exit`](crate::Ended).
#[derive(Debug, thiserror::Error)]
pub enum RunError<I, O> {
    /// The process was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The input failed; the process was killed.
    #[error("the input of the process failed")]
    Input(#[source] I),
    /// The output was not taken; the process was killed.
    #[error("the output of the process was not taken")]
    Output(#[source] O),
    /// A pipe failed, in a way other than being closed by the program; the process was killed.
    #[error("the pipe for {stream} of process {pid} failed")]
    Pipe {
        /// Which pipe.
        stream: StandardStream,
        /// The process.
        pid: u32,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// How the process ended cannot be told; it was killed.
    #[error("waiting for process {pid} failed")]
    Wait {
        /// The process.
        pid: u32,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The process ended, but something that it started still held its standard output open when the grace
    /// was over, so the result may not be whole. What held it was killed.
    #[error("process {pid} ended, but its standard output was still open {grace:?} later, held by {}; \
             let the program wait for what it starts, or redirect the output of that", Holders(.holders))]
    OutputHeld {
        /// The process that had ended.
        pid: u32,
        /// How long was waited: [`Settings::grace`](crate::Settings).
        grace: Duration,
        /// Who held it, as far as can be seen.
        holders: Vec<Leftover>,
    },
    /// A forked process wrote what is no frame, most likely because its task writes to a descriptor that is not its own; it
    /// was killed.
    #[error("process {pid} wrote into the pipe of its results what does not belong there")]
    Frame {
        /// The process.
        pid: u32,
        /// What is wrong with it.
        #[source]
        source: FrameError,
    },
    /// Whether anything of the run is left could not be made out, or it could not be killed.
    #[error("cleaning up after process {pid} failed")]
    Leftovers {
        /// The process whose descendants were looked for.
        pid: u32,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

struct Holders<'a>(&'a [Leftover]);

impl fmt::Display for Holders<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("a process that cannot be seen from here");
        }
        for (index, holder) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{holder}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_give_back_is_a_shortage_and_a_wrong_command_is_none() {
        let refused = |error: Errno| StartError::System { program: "sh".into(), source: error.into() };
        for error in [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(refused(error).is_shortage(), "{error}");
            let not_forked = StartError::NotForked { task: "score".into(), source: error.into() };
            assert!(not_forked.is_shortage(), "{error}");
        }
        assert!(!refused(Errno::TOOBIG).is_shortage());
        assert!(!StartError::NoProgram.is_shortage());
    }
}
