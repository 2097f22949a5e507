//! One bootstrap and its process group.
//!
//! What it owes its neighbours: the group is killed as a whole and its leader reaped, on every path, also when this is
//! merely dropped; and no other group can be hit by mistake, because the group is only ever killed while its leader is
//! not reaped yet, so that its number cannot have been given away.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::signal::unix::{SignalKind, signal};

/// A running, or ended and reaped, bootstrap with whatever it started.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Unreaped(Child),
    Reaped(ExitStatus),
}

impl Process {
    /// Starts `command` as the leader of a process group of its own.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        Ok(Self { pid: Pid::from_child(&child), state: Mutex::new(State::Unreaped(child)) })
    }

    /// The leader's process id, which is the group's number too.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends `signal` to the whole group, if its leader has not been reaped.
    pub(super) fn signal(&self, signal: Signal) {
        if let State::Unreaped(_) = &*self.state() {
            self.signal_unreaped(signal);
        }
    }

    /// Waits for the leader to end, then kills what is left of its group, reaps it, and tells how it ended.
    ///
    /// # Errors
    /// The system cannot tell of ended children; none is known to happen.
    ///
    /// # Cancellation
    /// Nothing is lost: it can be called again.
    pub(super) async fn ended(&self) -> io::Result<ExitStatus> {
        // Listened to before the first look, so that no end falls between the two.
        let mut children = signal(SignalKind::child())?;
        while !self.has_ended()? {
            children.recv().await;
        }
        self.kill_and_reap()
    }

    /// The most memory that the leader has had at once, in MB; nothing where the system does not tell, or after its end.
    pub(super) fn peak_memory_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.div_ceil(1024))
    }

    /// Whether the leader has ended, asked of the system and not of what has been noticed so far.
    ///
    /// # Errors
    /// The system cannot tell of ended children; none is known to happen.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        match &*self.state() {
            State::Reaped(_) => Ok(true),
            State::Unreaped(_) => {
                let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                Ok(rustix::process::waitid(WaitId::Pid(self.pid), look)?.is_some())
            }
        }
    }

    fn kill_and_reap(&self) -> io::Result<ExitStatus> {
        let mut state = self.state();
        match &mut *state {
            State::Reaped(status) => Ok(*status),
            State::Unreaped(child) => {
                self.signal_unreaped(Signal::KILL);
                let status = child.wait()?;
                *state = State::Reaped(status);
                Ok(status)
            }
        }
    }

    fn signal_unreaped(&self, signal: Signal) {
        if let Err(error) = rustix::process::kill_process_group(self.pid, signal) {
            // A group of which only the ended leader is left cannot be signalled on every system.
            tracing::debug!(%error, pid = self.pid(), "failed to signal a process group");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill_and_reap() {
            tracing::error!(%error, pid = self.pid(), "failed to reap a bootstrap");
        }
    }
}

/// How Lambda words the end of a bootstrap that should have gone on.
pub(super) fn describe_exit(status: ExitStatus) -> String {
    if let Some(signal) = status.signal() {
        return format!("Runtime exited with error: signal: {}{}", signal_name(signal), core(status));
    }
    match status.code() {
        Some(0) | None => "Runtime exited without providing a reason".to_owned(),
        Some(code) => format!("Runtime exited with error: exit status {code}"),
    }
}

fn core(status: ExitStatus) -> &'static str {
    if status.core_dumped() { " (core dumped)" } else { "" }
}

/// The names that Lambda's agent uses, which are those of Go.
fn signal_name(signal: i32) -> String {
    match signal {
        1 => "hangup".into(),
        2 => "interrupt".into(),
        3 => "quit".into(),
        4 => "illegal instruction".into(),
        5 => "trace/breakpoint trap".into(),
        6 => "aborted".into(),
        7 => "bus error".into(),
        8 => "floating point exception".into(),
        9 => "killed".into(),
        10 => "user defined signal 1".into(),
        11 => "segmentation fault".into(),
        12 => "user defined signal 2".into(),
        13 => "broken pipe".into(),
        14 => "alarm clock".into(),
        15 => "terminated".into(),
        other => format!("signal {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process::spawn(&mut command).unwrap()
    }

    fn exists(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn an_end_is_told_in_lambdas_words() {
        for (script, words) in [
            ("exit 3", "Runtime exited with error: exit status 3"),
            ("exit 0", "Runtime exited without providing a reason"),
            ("kill -KILL $$", "Runtime exited with error: signal: killed"),
            ("kill -TERM $$", "Runtime exited with error: signal: terminated"),
        ] {
            let process = shell(script);
            assert_eq!(describe_exit(process.ended().await.unwrap()), words, "{script}");
        }
    }

    #[tokio::test]
    async fn children_left_behind_end_with_their_leader() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pid");
        let process = shell(&format!("sleep 1000 & echo $! > {}; exit 0", note.display()));
        process.ended().await.unwrap();
        let child: u32 = std::fs::read_to_string(note).unwrap().trim().parse().unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // It is init's to reap; until then it is a zombie.
        while exists(child) && !state().contains(") Z ") {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_dropped_process_is_killed_and_reaped() {
        let process = shell("sleep 1000");
        let pid = process.pid();
        assert!(exists(pid));
        drop(process);
        assert!(!exists(pid));
    }

    #[tokio::test]
    async fn a_signal_after_the_end_hits_nobody() {
        let process = shell("exit 0");
        process.ended().await.unwrap();
        process.signal(Signal::KILL);
        assert!(process.ended().await.unwrap().success(), "asking again tells the same");
    }
}
