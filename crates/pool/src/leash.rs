//! The hold on a running process: whoever has it can wait for the process, and nobody can lose it.
//!
//! Owes the run that when the leash is gone, on whatever path, the process is killed and reaped, and its
//! descendants are too.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::process::Child;

use crate::leftovers::{self, Leftover, Member};
use crate::mark::Mark;
use crate::procfs::PipeId;

/// A process on the leash.
#[derive(Debug)]
pub(crate) struct Leash {
    child: Child,
    pid: Pid,
    mark: Mark,
    /// Whether nothing of the run can be left.
    swept: bool,
}

impl Leash {
    pub(crate) fn new(child: Child, pid: Pid, mark: Mark) -> Leash {
        Leash { child, pid, mark, swept: false }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    pub(crate) fn process(&self) -> Pid {
        self.pid
    }

    /// Waits for the process to end, and reaps it. Can be dropped and called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills the process and what descends from it. It is still to be waited for.
    pub(crate) fn kill(&self) -> io::Result<()> {
        leftovers::kill_family(&self.mark, self.pid).map(drop)
    }

    /// Kills what still holds the pipe open after the process has ended.
    pub(crate) fn kill_holders(&self, pipe: &PipeId) -> io::Result<Vec<Leftover>> {
        leftovers::kill_holders(pipe)
    }

    /// Kills what the process, which has ended, has left behind.
    pub(crate) fn sweep(&mut self) -> io::Result<Vec<Leftover>> {
        self.sweep_with(Vec::new())
    }

    /// The same, and waits for those that are dying already.
    fn sweep_with(&mut self, dying: Vec<Member>) -> io::Result<Vec<Leftover>> {
        let killed = leftovers::sweep(&self.mark, dying)?;
        leftovers::reap_orphans(&killed);
        self.swept = true;
        Ok(killed)
    }

    /// Kills the process and all that it started, and blocks until they are gone: most often less than a
    /// millisecond, more while the kernel frees gigabytes.
    pub(crate) fn put_down(&mut self) {
        if self.swept {
            return;
        }
        if let Err(error) = self.try_to_put_down() {
            tracing::error!(
                pid = self.pid(),
                error = &error as &dyn std::error::Error,
                "a process may be left"
            );
        }
    }

    /// A step that fails is no reason to leave out the others.
    fn try_to_put_down(&mut self) -> io::Result<()> {
        let mut descendants = Ok(Vec::new());
        let mut reaped = Ok(());
        // The id is there until the process is reaped; so long nobody else can have its number.
        if self.child.id().is_some() {
            // While the process lives, its descendants can be told by their parents.
            descendants = leftovers::kill_family(&self.mark, self.pid);
            reaped = self.kill_and_reap();
        }
        let (dying, found) = match descendants {
            Ok(dying) => (dying, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        self.sweep_with(dying)?;
        found.and(reaped)
    }

    fn kill_and_reap(&mut self) -> io::Result<()> {
        // Once more, in case that /proc could not be read.
        self.child.start_kill()?;
        // Waits, but leaves the reaping to `child`, which keeps the account.
        waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        self.child.try_wait().map(drop)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.put_down();
    }
}
