//! The pool's side of a running fork server: asks it for processes, and hands on what it tells to whoever waits for it.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::StartError;
use crate::fork::message::{self, End, PIPES, Reply, Request};
use crate::fork::server::SERVER_VARIABLE;
use crate::leftovers;
use crate::mark::{MARK_VARIABLE, Mark};
use crate::program::Program;
use crate::usage::Usage;

/// How long a server may take to end once it has closed the socket.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A running fork server that has loaded its task. When this is dropped, the server and all of its processes end.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Arc<UnixStream>,
    waiting: Arc<Waiting>,
    next_number: AtomicU64,
    pid: Pid,
    mark: Mark,
    listener: AbortHandle,
}

/// A process that was forked.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: Pid,
    /// Comes when it has ended and is reaped; fails when the server is gone.
    pub(crate) end: oneshot::Receiver<End>,
}

/// Who waits for what the server tells.
#[derive(Debug)]
struct Waiting {
    /// By the numbers of their requests.
    forks: Mutex<HashMap<u64, Fork>>,
    is_over: AtomicBool,
    /// What the processes took that have ended.
    usage: Arc<Mutex<Usage>>,
}

#[derive(Debug)]
struct Fork {
    forked: Option<oneshot::Sender<io::Result<Pid>>>,
    ended: oneshot::Sender<End>,
}

impl Connection {
    /// Starts `program` as the fork server of `task`, with the mark in its environment, and waits until it has loaded it.
    ///
    /// # Cancellation
    /// The server is killed.
    pub(crate) async fn start(
        program: &Program,
        task: &str,
        mark: Mark,
        usage: Arc<Mutex<Usage>>,
    ) -> Result<Connection, StartError> {
        program.check()?;
        let path = program.locate()?;
        let system = |source| StartError::System { program: path.clone(), source };
        let (ours, its) = message::socket().map_err(system)?;
        let stdout =
            rustix::io::fcntl_dupfd_cloexec(io::stderr(), 0).map_err(|error| system(error.into()))?;
        let mut command = Command::new(&path);
        command.args(program.argv.iter().skip(1)).env_clear();
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.env(MARK_VARIABLE, mark.value()).env(SERVER_VARIABLE, task);
        if let Some(directory) = &program.directory {
            command.current_dir(directory);
        }
        // Its own words are the worker's.
        command.stdin(Stdio::from(its)).stdout(Stdio::from(stdout)).kill_on_drop(true);
        let mut server = command.spawn().map_err(system)?;
        drop(command);
        let pid = server.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| system(io::Error::other("it has no process id")))?;
        // Only waited for as a stream; what is read and written are messages.
        let socket = Arc::new(UnixStream::from_std(ours.into()).map_err(system)?);
        let gone = |how: String| StartError::TaskNotLoaded { task: task.to_owned(), reason: how };
        match receive(&socket).await.map_err(system)? {
            Some(Reply::Loaded) => {}
            Some(Reply::NotLoaded { reason }) => return Err(gone(reason)),
            Some(other) => return Err(gone(format!("its fork server began with {other:?}"))),
            None => {
                // What has closed its input, and goes on, was none.
                let status = match tokio::time::timeout(END_WITHIN, server.wait()).await {
                    Ok(status) => status.map_err(system)?.to_string(),
                    Err(_) => "it closed its standard input, and ran on".to_owned(),
                };
                return Err(gone(format!(
                    "its fork server ended before the task was loaded ({status}); does the program begin with \
                     fanfold_worker::main, or serve_forks?"
                )));
            }
        }
        let waiting = Arc::new(Waiting { forks: Mutex::default(), is_over: AtomicBool::new(false), usage });
        let listening = listen(Arc::clone(&socket), Arc::clone(&waiting), server, mark.clone());
        let listener = tokio::spawn(listening).abort_handle();
        Ok(Connection { socket, waiting, next_number: AtomicU64::new(0), pid, mark, listener })
    }

    /// Whether the server has gone.
    pub(crate) fn is_over(&self) -> bool {
        self.waiting.is_over.load(Ordering::SeqCst)
    }

    /// Has a process forked with these ends of its pipes: input, output, log.
    ///
    /// # Cancellation
    /// The process may be there even so, and ends when it reads the end of its input.
    pub(crate) async fn fork(&self, pipes: [BorrowedFd<'_>; PIPES]) -> io::Result<Forked> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (forked_sender, forked) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        self.waiting.lock().insert(number, Fork { forked: Some(forked_sender), ended });
        if self.is_over() {
            self.waiting.give_up();
        }
        let request = Request::Fork { number };
        let sent =
            self.socket.async_io(Interest::WRITABLE, || message::send(&self.socket, &request, &pipes)).await;
        if let Err(error) = sent {
            self.waiting.lock().remove(&number);
            let is_gone = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
            return Err(if is_gone { self.mark_gone() } else { error });
        }
        let pid = forked.await.map_err(|_| self.mark_gone())??;
        Ok(Forked { pid, end })
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Says that the server is gone, before the listener may have noticed: nobody else shall ask it.
    fn mark_gone(&self) -> io::Error {
        self.waiting.is_over.store(true, Ordering::SeqCst);
        let message = "the fork server has ended, and its processes with it";
        io::Error::new(io::ErrorKind::ConnectionReset, message)
    }

    /// Kills every process that descends from the server, but not the server. Blocks until they are gone.
    pub(crate) fn kill_processes(&self) -> io::Result<Vec<leftovers::Leftover>> {
        // The number of a server that is gone may be another's.
        let killed = if self.is_over() {
            leftovers::sweep(&self.mark, Vec::new())?
        } else {
            leftovers::sweep_but(&self.mark, self.pid)?
        };
        leftovers::reap_orphans(&killed);
        Ok(killed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The server is killed with it, which the listener holds. Its processes are gone by then: who calls them holds them.
        self.listener.abort();
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Fork>> {
        self.forks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, reply: Reply) {
        let mut forks = self.lock();
        match reply {
            Reply::Loaded | Reply::NotLoaded { .. } => {}
            Reply::Forked { number, pid } => {
                let sender = forks.get_mut(&number).and_then(|fork| fork.forked.take());
                if let Some((sender, pid)) = sender.zip(Pid::from_raw(pid)) {
                    let _not_waited_for = sender.send(Ok(pid));
                }
            }
            Reply::NotForked { number, errno } => {
                if let Some(sender) = forks.remove(&number).and_then(|fork| fork.forked) {
                    let _not_waited_for = sender.send(Err(io::Error::from_raw_os_error(errno)));
                }
            }
            Reply::Ended { number, end } => {
                self.account(end);
                if let Some(fork) = forks.remove(&number) {
                    let _not_waited_for = fork.ended.send(end);
                }
            }
        }
    }

    fn account(&self, end: End) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.cpu += end.cpu;
        usage.peak_memory_bytes = usage.peak_memory_bytes.max(end.peak_memory_bytes);
    }

    /// Whoever waits learns that nothing will come.
    fn give_up(&self) {
        self.lock().clear();
    }
}

/// Hands on what the server tells, until it is gone. Then its processes are killed, whose ends nobody could tell.
async fn listen(
    socket: Arc<UnixStream>,
    waiting: Arc<Waiting>,
    mut server: tokio::process::Child,
    mark: Mark,
) {
    let error = loop {
        match receive(&socket).await {
            Ok(Some(reply)) => waiting.take(reply),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    waiting.is_over.store(true, Ordering::SeqCst);
    let killed = server.start_kill();
    let status = server.wait().await;
    tracing::error!(
        ?error,
        ?killed,
        ?status,
        "a fork server has ended; it is started again when it is needed"
    );
    let swept = leftovers::sweep(&mark, Vec::new());
    if let Err(error) = swept.map(|killed| leftovers::reap_orphans(&killed)) {
        tracing::error!(error = &error as &dyn std::error::Error, "processes of a fork server may be left");
    }
    waiting.give_up();
}

async fn receive(socket: &UnixStream) -> io::Result<Option<Reply>> {
    let received = socket.async_io(Interest::READABLE, || message::receive(socket)).await;
    match received {
        Ok(message) => Ok(message.map(|(reply, _descriptors)| reply)),
        // What was told and not read when the other side went.
        Err(error) if error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}
