//! Starting a command. (One of the ways to start a process; what comes of it is the same for all.)
//!
//! Owes the run a process on a leash and the parent's ends of its three pipes, or an error and no process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Pid;
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::error::StartError;
use crate::leash::Leash;
use crate::leftovers;
use crate::mark::{MARK_VARIABLE, Mark};
use crate::procfs::PipeId;
use crate::program::Program;

/// The size asked for the pipes of standard input and output: 1 MiB, the most that an unprivileged process
/// gets by default (/proc/sys/fs/pipe-max-size), against 64 KiB unasked. Measured on two
/// shared cores through `cat`: 2.4 to 2.9 GB/s in each of four rounds, against 0.6, 0.6 and 2.4 in three.
pub(crate) const PIPE_BYTES: usize = 1 << 20;

/// A process that runs, and the ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) leash: Leash,
    pub(crate) stdin: pipe::Sender,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
    pub(crate) stdout_id: PipeId,
}

/// Starts a program with the mark in its environment.
pub(crate) fn start(program: &Program, mark: Mark) -> Result<Started, StartError> {
    program.check()?;
    let path = program.locate()?;
    let system = |source| StartError::System { program: path.clone(), source };
    // All that can fail comes before the process exists.
    let stdin = Pipe::new(PIPE_BYTES).map_err(system)?;
    let stdout = Pipe::new(PIPE_BYTES).map_err(system)?;
    let stderr = Pipe::new(0).map_err(system)?;
    let stdout_id = PipeId::of(&stdout.reader).map_err(system)?;
    let sender = pipe::Sender::from_owned_fd(stdin.writer).map_err(system)?;
    let receiver = pipe::Receiver::from_owned_fd(stdout.reader).map_err(system)?;
    let error_receiver = pipe::Receiver::from_owned_fd(stderr.reader).map_err(system)?;

    let mut command = Command::new(&path);
    command.args(program.argv.iter().skip(1)).env_clear().env(MARK_VARIABLE, mark.value());
    command.arg0(program.name()?);
    command.envs(program.environment.iter().filter(|(name, _)| name != MARK_VARIABLE).map(|(k, v)| (k, v)));
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::from(stdin.reader));
    command.stdout(Stdio::from(stdout.writer));
    command.stderr(Stdio::from(stderr.writer));

    let child = command.spawn();
    // It holds the child's ends of the pipes; as long as it does, they have no end.
    drop(command);
    let child = child.map_err(|error| {
        // The process can have been started even so, and only its registration have failed.
        match leftovers::sweep(&mark, Vec::new()) {
            Ok(started) => {
                leftovers::reap_orphans(&started);
                explain(error, program, &path)
            }
            Err(sweep_error) => StartError::System { program: path.clone(), source: sweep_error },
        }
    })?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| system(io::Error::other("it has no process id")))?;
    let leash = Leash::new(child, pid, mark);
    Ok(Started { leash, stdin: sender, stdout: receiver, stderr: error_receiver, stdout_id })
}

/// A pipe that no process inherits but by being given an end.
pub(crate) struct Pipe {
    pub(crate) reader: OwnedFd,
    pub(crate) writer: OwnedFd,
}

impl Pipe {
    /// A pipe that holds `bytes`, if the system allows so much; 0 for its default.
    pub(crate) fn new(bytes: usize) -> io::Result<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        if bytes > 0
            && let Err(error) = fcntl_setpipe_size(&writer, bytes)
        {
            tracing::debug!(bytes, %error, "the pipe keeps its default size");
        }
        Ok(Pipe { reader, writer })
    }
}

/// Says in the program's terms what the system's error number means here.
fn explain(error: io::Error, program: &Program, path: &Path) -> StartError {
    let there = program.seen_from_here(path).exists();
    let program = path.to_owned();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if there => StartError::NoInterpreter { program },
        Some(Errno::NOENT | Errno::NOTDIR) => StartError::NoSuchFile { program },
        Some(Errno::ACCESS) => StartError::NotExecutable { program },
        Some(Errno::NOEXEC) => StartError::UnknownFormat { program },
        _ => StartError::System { program, source: error },
    }
}
