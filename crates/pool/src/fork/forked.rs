//! A forked process as the pool holds it: its pipes, and the hold on it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use bytes::BytesMut;
use rustix::pipe::fcntl_getpipe_size;
use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;

use crate::admission::Watched;
use crate::error::StartError;
use crate::fork::connection::{Connection, Forked};
use crate::fork::frame::{Decoder, Header, Kind};
use crate::fork::message::End;
use crate::leftovers::{self, Member};
use crate::processes::{Before, Processes};
use crate::spawn::{PIPE_BYTES, Pipe};

/// A forked process, which takes calls.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) hold: Hold,
    /// Declared after the hold, since fields are dropped in order: the process is gone by then.
    pub(crate) watched: Watched,
    pub(crate) stdin: pipe::Sender,
    /// The size of the pipe of its input.
    pub(crate) stdin_bytes: usize,
    pub(crate) stdout: pipe::Receiver,
    pub(crate) stderr: pipe::Receiver,
    /// What was read of its output and not taken apart yet.
    pub(crate) unread: BytesMut,
    pub(crate) decoder: Decoder,
    /// How many more calls it takes.
    pub(crate) calls_left: u32,
    /// What was so before its last call.
    pub(crate) before: Before,
    /// What it is told before its next call, in frames.
    pub(crate) setup: Vec<u8>,
}

impl Process {
    /// Has a process forked that will take so many calls in these surroundings.
    pub(crate) async fn fork(
        processes: &Processes,
        connection: &Connection,
        surroundings: &[u8],
        calls: u32,
    ) -> io::Result<Process> {
        let before = processes.before();
        // All that can fail comes before the process exists.
        let (stdin, stdout, stderr) = (Pipe::new(PIPE_BYTES)?, Pipe::new(PIPE_BYTES)?, Pipe::new(0)?);
        let header = Header::new(Kind::Setup, surroundings.len());
        let header = header.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let setup = [&header.bytes(), surroundings].concat();
        let ours = (
            pipe::Sender::from_owned_fd(stdin.writer)?,
            pipe::Receiver::from_owned_fd(stdout.reader)?,
            pipe::Receiver::from_owned_fd(stderr.reader)?,
        );
        let its = [stdin.reader.as_fd(), stdout.writer.as_fd(), stderr.writer.as_fd()];
        let Forked { pid, end } = connection.fork(its).await?;
        let (stdin, stdout, stderr) = ours;
        let stdin_bytes = fcntl_getpipe_size(&stdin)?;
        Ok(Process {
            hold: Hold::new(pid, connection.pid(), end),
            watched: processes.admission.watch_forked(pid),
            stdin,
            stdin_bytes,
            stdout,
            stderr,
            unread: BytesMut::new(),
            decoder: Decoder::default(),
            calls_left: calls,
            before,
            setup,
        })
    }

    /// What it is told for its next call, in frames: its surroundings if it is the first, and the call's message.
    pub(crate) fn begin(&mut self, message: &[u8]) -> Result<Vec<u8>, StartError> {
        self.calls_left -= 1;
        let kind = if self.calls_left == 0 { Kind::LastCall } else { Kind::Call };
        let header = Header::new(kind, message.len()).map_err(|source| StartError::Message { source })?;
        let mut frames = std::mem::take(&mut self.setup);
        frames.extend_from_slice(&header.bytes());
        frames.extend_from_slice(message);
        Ok(frames)
    }

    /// Ends it between calls, and waits for it.
    pub(crate) async fn end(self) {
        let Process { mut hold, stdin, stdout: _stdout, stderr: _stderr, .. } = self;
        drop(stdin);
        hold.wait().await;
    }

    /// Makes it ready to rest. It has nothing to say until it is called again, which saves the runtime from asking.
    pub(crate) fn quiet(&mut self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _would_block = self.stdout.try_io(nothing);
    }

    /// Whether it may be given another call: what has ended or has said more than it was asked may not.
    pub(crate) fn can_be_called(&mut self) -> bool {
        self.calls_left > 0 && self.unread.is_empty() && self.hold.lives()
    }
}

/// The hold on a forked process. When it is dropped, the process and its descendants are killed, and gone.
#[derive(Debug)]
pub(crate) struct Hold {
    pid: Pid,
    /// None if it had ended before it could be looked at.
    member: Option<Member>,
    end: tokio::sync::oneshot::Receiver<End>,
    is_over: bool,
    has_lost_its_server: bool,
}

impl Hold {
    fn new(pid: Pid, server: Pid, end: tokio::sync::oneshot::Receiver<End>) -> Hold {
        Hold { pid, member: Member::forked(pid, server), end, is_over: false, has_lost_its_server: false }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Whether nothing was told of its end.
    fn lives(&mut self) -> bool {
        matches!(self.end.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty))
    }

    /// Waits for the end that the server tells; or for that of the server, with which the process is killed. Can be dropped
    /// and called again until it has given one.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        match (&mut self.end).await {
            Ok(end) => {
                self.is_over = true;
                ExitStatus::from_raw(end.status)
            }
            Err(_) => {
                self.put_down();
                self.has_lost_its_server = true;
                ExitStatus::from_raw(Signal::KILL.as_raw())
            }
        }
    }

    /// Whether it was killed since its server was gone.
    pub(crate) fn has_lost_its_server(&self) -> bool {
        self.has_lost_its_server
    }

    /// Kills it and all that descends from it, and blocks until they are gone.
    pub(crate) fn put_down(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let Some(member) = self.member.take() else { return };
        if let Err(error) = leftovers::put_down(member) {
            tracing::error!(
                pid = self.pid(),
                error = &error as &dyn std::error::Error,
                "a process may be left"
            );
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.put_down();
    }
}
