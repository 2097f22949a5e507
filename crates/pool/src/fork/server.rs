//! The fork server: a process with one thread that has loaded a task, and forks a process of itself whenever it is asked to.
//!
//! Owes the pool an answer to every request, and the end of every process, once it is reaped; and that when the pool is gone,
//! its processes and itself are too. It never touches what the processes read or write.
//!
//! It is this program, started again. So it begins with a single thread whatever the pool's process has become by then, it
//! can be started again after it has died, and everything that descends from it carries the mark of the pool's in
//! `/proc/<pid>/environ`, as what is spawned does.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::ForkResult;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, kill_process};

use crate::fork::child::{self, Ends, said};
use crate::fork::message::{End, Reply, Request, TEXT_BYTES_MAX, receive, send};
use crate::fork::task::Task;

/// The environment variable by which a program knows that it is to be a fork server, and of which task. Its standard input
/// is the socket then.
pub(crate) const SERVER_VARIABLE: &str = "FANFOLD_FORK_SERVER";

/// How long a thread of `load` may take to be gone.
const THREADS_END_WITHIN: Duration = Duration::from_millis(200);

/// If this process was started to be a fork server: is one, until the pool is gone, and gives its exit code. Must be called
/// before this process starts a thread, so first in `main`; so much so that everything before it is done twice.
///
/// `load` is called once, with the task's name. What it gives is in memory once, however many processes use it: they are
/// forked after it, and copy what they write to. It must leave no thread behind, which the processes would not have.
pub fn serve_forks(load: impl FnOnce(&str) -> Result<Box<dyn Task>, String>) -> Option<ExitCode> {
    let name = std::env::var(SERVER_VARIABLE).ok()?;
    forget_the_variable();
    match try_serve(&name, load) {
        Ok(code) => Some(code),
        Err(error) => {
            eprintln!("error: the fork server of the task {name} cannot go on: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// What this process starts must not take itself for a fork server.
#[allow(unsafe_code, reason = "the environment can be changed only where no other thread looks at it")]
fn forget_the_variable() {
    // SAFETY: this is the beginning of `main`, and there is one thread, which the documentation of `serve_forks` asks for.
    unsafe { std::env::remove_var(SERVER_VARIABLE) };
}

fn try_serve(name: &str, load: impl FnOnce(&str) -> Result<Box<dyn Task>, String>) -> io::Result<ExitCode> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let loaded = panic::catch_unwind(AssertUnwindSafe(|| load(name)));
    let loaded = loaded.unwrap_or_else(|payload| Err(format!("it panicked: {}", said(payload.as_ref()))));
    let task = match loaded.and_then(has_one_thread) {
        Ok(task) => task,
        Err(mut reason) => {
            reason.truncate(reason.floor_char_boundary(TEXT_BYTES_MAX));
            send(&socket, &Reply::NotLoaded { reason }, &[])?;
            return Ok(ExitCode::FAILURE);
        }
    };
    // Or each process would print it once more.
    io::stdout().flush()?;
    send(&socket, &Reply::Loaded, &[])?;
    let mut server = Server { socket, deaths: Deaths::watch()?, running: HashMap::new() };
    match server.serve_requests()? {
        Role::Server => Ok(ExitCode::SUCCESS),
        Role::Process(ends) => {
            drop(server);
            end(child::serve(task.as_ref(), ends))
        }
    }
}

/// Refuses a task that has left threads running: a process that is forked has only the one that forks.
fn has_one_thread(task: Box<dyn Task>) -> Result<Box<dyn Task>, String> {
    match lasting_threads() {
        Ok(1) => Ok(task),
        Ok(threads) => Err(format!(
            "it left {} threads running, which the processes forked after it would not have, and might wait for; let it end them \
             before it returns, and start what needs threads in run",
            threads - 1
        )),
        Err(error) => Err(format!("its threads cannot be counted: {error}")),
    }
}

/// How many threads there are, and stay: one that was waited for may still be listed for a moment.
fn lasting_threads() -> io::Result<usize> {
    let began = Instant::now();
    loop {
        let threads = fs::read_dir("/proc/self/task")?.count();
        if threads == 1 || began.elapsed() > THREADS_END_WITHIN {
            return Ok(threads);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends this process as a forked one should: without running what was meant to be run at the server's end.
#[allow(unsafe_code, reason = "the standard library has no exit without handlers")]
fn end(code: i32) -> ! {
    // SAFETY: has no conditions; it does not return.
    unsafe { libc::_exit(code) }
}

/// Which process this has become.
enum Role {
    /// The server still, and the pool is gone.
    Server,
    /// A forked process.
    Process(Ends),
}

struct Server {
    socket: OwnedFd,
    deaths: Deaths,
    /// The numbers of the processes that were not reaped yet.
    running: HashMap<i32, u64>,
}

impl Server {
    /// Forks until the pool is gone, or this is the process that was forked.
    fn serve_requests(&mut self) -> io::Result<Role> {
        loop {
            self.deaths.wait_with(&self.socket)?;
            // First the dead: where processes or memory run out, that makes room.
            self.reap()?;
            match receive(&self.socket) {
                Ok(Some((Request::Fork { number }, pipes))) => {
                    if let Some(ends) = self.fork(number, pipes)? {
                        return Ok(Role::Process(ends));
                    }
                }
                Ok(None) => {
                    self.kill_all();
                    return Ok(Role::Server);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => {
                    self.kill_all();
                    return Err(error);
                }
            }
        }
    }

    /// Forks a process. In it, gives its pipes.
    fn fork(&mut self, number: u64, pipes: Vec<OwnedFd>) -> io::Result<Option<Ends>> {
        let Ok([input, output, log]) = <[OwnedFd; 3]>::try_from(pipes) else {
            // Most likely there were no descriptors left to receive them with.
            self.tell(&Reply::NotForked { number, errno: Errno::MFILE.raw_os_error() })?;
            return Ok(None);
        };
        match fork() {
            Ok(ForkResult::Child) => {
                self.deaths.forget()?;
                Ok(Some(Ends { input, output, log }))
            }
            Ok(ForkResult::Parent { child }) => {
                self.running.insert(child.as_raw(), number);
                self.tell(&Reply::Forked { number, pid: child.as_raw() })?;
                Ok(None)
            }
            Err(error) => {
                self.tell(&Reply::NotForked { number, errno: error as i32 })?;
                Ok(None)
            }
        }
    }

    /// Reaps all that have ended, and tells of each.
    fn reap(&mut self) -> io::Result<()> {
        while let Some((pid, end)) = wait()? {
            // What a process has left behind and this one has adopted, as process 1 does, nobody asks for.
            if let Some(number) = self.running.remove(&pid) {
                self.tell(&Reply::Ended { number, end })?;
            }
        }
        Ok(())
    }

    /// Tells the pool, and waits where it does not listen at the moment.
    fn tell(&self, reply: &Reply) -> io::Result<()> {
        loop {
            match send(&self.socket, reply, &[]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_for(&mut [PollFd::new(&self.socket, PollFlags::OUT)])?;
                }
                // The end of the socket will be read next.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
                {
                    return Ok(());
                }
                sent => return sent,
            }
        }
    }

    /// Kills every process that was not reaped yet, whose number therefore is nobody else's.
    fn kill_all(&self) {
        for pid in self.running.keys().filter_map(|&pid| Pid::from_raw(pid)) {
            let _gone_already = kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Tells when processes have died.
struct Deaths {
    signals: SignalFd,
    mask: SigSet,
}

impl Deaths {
    fn watch() -> io::Result<Deaths> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Deaths { signals, mask })
    }

    /// Waits until a process has died, or the socket has something.
    fn wait_with(&self, socket: &OwnedFd) -> io::Result<()> {
        let mut either = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        wait_for(&mut either)?;
        // One signal may stand for many deaths; all of them are asked for.
        while self.signals.read_signal()?.is_some() {}
        Ok(())
    }

    /// Undoes it, in a process that is none of its kind.
    fn forget(&self) -> io::Result<()> {
        Ok(self.mask.thread_unblock()?)
    }
}

fn wait_for(what: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match poll(what, None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[allow(unsafe_code, reason = "that there is one thread cannot be told to the compiler")]
fn fork() -> nix::Result<ForkResult> {
    // SAFETY: there is one thread (`has_one_thread` has counted them after the task was loaded, and nothing here starts any), so
    // no lock can be held by a thread that the new process does not have.
    unsafe { nix::unistd::fork() }
}

/// Reaps a process that has ended, if there is one, and gives what it took, which the libraries at hand do not.
#[allow(unsafe_code, reason = "wait4 is not in the libraries at hand")]
fn wait() -> io::Result<Option<(i32, End)>> {
    let mut status = 0;
    // SAFETY: all of its fields are numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to what lives until the call returns, and of the types it wants.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    if pid == 0 {
        return Ok(None);
    }
    if pid < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    let time = |time: libc::timeval| {
        let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    // The kernel counts in KiB.
    let peak_memory_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) << 10;
    Ok(Some((pid, End { status, cpu, peak_memory_bytes })))
}
