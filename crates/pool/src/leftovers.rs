//! Finding and killing what a run has left behind.
//!
//! Owes the pool that afterwards no process of the run exists, and the rest of the machine that nothing else
//! is ever killed: a process is killed only for what it is at that moment, never for a number remembered.
//!
//! Three nets, each for what slips through the others: the mark in the environment (a process keeps it
//! however often it forks and whoever adopts it), the parents (for what was started with an environment of
//! its own), and, where standard output is held open, the pipe itself.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, pidfd_send_signal, waitpid,
};

use crate::mark::Mark;
use crate::procfs::{self, PipeId};

/// Looks at a process that shows no environment before it is taken for a stranger. While a process
/// exchanges its program for another, /proc shows none, for some 100 µs.
const LOOKS_AT_THE_UNDECIDED: u32 = 5;

/// The pause between two looks at first, and at most.
const PAUSE_MIN: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// How long a killed process may take to be gone before that is an error. It frees its memory first, which
/// is a matter of milliseconds per GiB; only one that waits for a broken device takes longer.
const DYING_MAX: Duration = Duration::from_secs(10);

/// A process that was found after, or apart from, the one that the pool started, and was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id.
    pub pid: u32,
    /// The name of its program, cut to 15 bytes by the kernel.
    pub name: String,
}

impl fmt::Display for Leftover {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} ({})", self.pid, self.name)
    }
}

/// By what a process is known to belong to the run. Asked again when the process is about to be killed.
#[derive(Clone, Debug)]
enum Claim {
    Mark,
    Parent(Pid),
    Pipe(PipeId),
}

/// Kills whatever carries the mark, or descends from what does, until none of it exists.
pub(crate) fn sweep(mark: &Mark) -> io::Result<Vec<Leftover>> {
    kill_until_none(mark, || find(mark, None))
}

/// Kills, once, whatever carries the mark or descends from `root`, but not `root` itself. For while `root`
/// lives, and with it the chain of parents.
pub(crate) fn kill_descendants(mark: &Mark, root: Pid) -> io::Result<Vec<Leftover>> {
    let mut killed = Vec::new();
    for (pid, claim) in find(mark, Some(root))? {
        killed.extend(kill(mark, pid, &claim)?);
    }
    Ok(killed)
}

/// Kills whatever holds the pipe open, until nothing does. This process does not count.
pub(crate) fn kill_holders(mark: &Mark, pipe: &PipeId) -> io::Result<Vec<Leftover>> {
    kill_until_none(mark, || Ok(find_holders(pipe)?.map(|pid| (pid, Claim::Pipe(pipe.clone()))).collect()))
}

fn kill_until_none(
    mark: &Mark,
    find: impl Fn() -> io::Result<Vec<(Pid, Claim)>>,
) -> io::Result<Vec<Leftover>> {
    let began = Instant::now();
    let mut pause = PAUSE_MIN;
    let mut killed: Vec<Leftover> = Vec::new();
    loop {
        let found = find()?;
        // Orphans are handed to process 1. Should that be this one, nobody else reaps them.
        for leftover in &killed {
            reap_if_own(leftover);
        }
        if found.is_empty() {
            return Ok(killed);
        }
        if began.elapsed() > DYING_MAX {
            let pids: Vec<String> = found.iter().map(|(pid, _)| pid.to_string()).collect();
            let message = format!("processes {} outlive SIGKILL by {DYING_MAX:?}", pids.join(", "));
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        for (pid, claim) in found {
            if let Some(leftover) = kill(mark, pid, &claim)?
                && !killed.contains(&leftover)
            {
                killed.push(leftover);
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// All living processes that carry the mark, and the descendants of those and of `root`.
fn find(mark: &Mark, root: Option<Pid>) -> io::Result<Vec<(Pid, Claim)>> {
    let mut environment = Vec::new();
    let mut carriers = Vec::new();
    let mut undecided = Vec::new();
    let everybody = procfs::processes()?;
    for &pid in &everybody {
        procfs::environment(pid, &mut environment);
        if environment.is_empty() {
            undecided.push(pid);
        } else if Some(pid) != root && mark.is_in(&environment) {
            carriers.push((pid, Claim::Mark));
        }
    }
    carriers.extend(decide(mark, undecided, root).into_iter().map(|pid| (pid, Claim::Mark)));
    if carriers.is_empty() && root.is_none() {
        return Ok(carriers);
    }
    Ok(with_descendants(carriers, root, &everybody))
}

/// Which of the processes without an environment turn out to carry the mark.
fn decide(mark: &Mark, mut undecided: Vec<Pid>, root: Option<Pid>) -> Vec<Pid> {
    let mut carriers = Vec::new();
    let mut environment = Vec::new();
    undecided.retain(|&pid| {
        Some(pid) != root && procfs::stat(pid).is_some_and(|stat| !stat.ended && !stat.of_the_kernel)
    });
    for _ in 0..LOOKS_AT_THE_UNDECIDED {
        undecided.retain(|&pid| {
            procfs::environment(pid, &mut environment);
            if mark.is_in(&environment) {
                carriers.push(pid);
            }
            environment.is_empty()
        });
        if undecided.is_empty() {
            break;
        }
        thread::sleep(PAUSE_MIN);
    }
    carriers
}

fn with_descendants(
    mut family: Vec<(Pid, Claim)>,
    root: Option<Pid>,
    everybody: &[Pid],
) -> Vec<(Pid, Claim)> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for &pid in everybody {
        if let Some(stat) = procfs::stat(pid)
            && let Some(parent) = stat.parent
            && !stat.ended
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut known: HashSet<Pid> = family.iter().map(|(pid, _)| *pid).chain(root).collect();
    let mut ancestors: Vec<Pid> = known.iter().copied().collect();
    while let Some(ancestor) = ancestors.pop() {
        for &child in children.get(&ancestor).into_iter().flatten() {
            if known.insert(child) {
                family.push((child, Claim::Parent(ancestor)));
                ancestors.push(child);
            }
        }
    }
    family
}

/// Who holds the pipe open. A child of this process is left out: it is a process of another run that is just
/// being started, and for some microseconds has copies of all descriptors.
fn find_holders(pipe: &PipeId) -> io::Result<impl Iterator<Item = Pid>> {
    let me = getpid();
    let everybody = procfs::processes()?;
    Ok(everybody.into_iter().filter(move |&pid| {
        pid != me
            && pipe.is_held_by(pid)
            && procfs::stat(pid).is_some_and(|stat| stat.parent != Some(me) || me.is_init())
    }))
}

/// Kills a process if it still is what it was found as. `None` if it is not, or is gone.
fn kill(mark: &Mark, pid: Pid, claim: &Claim) -> io::Result<Option<Leftover>> {
    // From here on the handle means this process and no other, even if its number is given away again.
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Some(handle),
        Err(Errno::SRCH) => return Ok(None),
        // No such call, or not allowed: then between the look and the kill the number must not change hands.
        Err(_) => None,
    };
    let Some(stat) = procfs::stat(pid) else { return Ok(None) };
    let still_ours = !stat.ended
        && match claim {
            Claim::Mark => {
                let mut environment = Vec::new();
                procfs::environment(pid, &mut environment);
                mark.is_in(&environment)
            }
            Claim::Parent(parent) => stat.parent == Some(*parent),
            Claim::Pipe(pipe) => pipe.is_held_by(pid),
        };
    if !still_ours {
        return Ok(None);
    }
    let sent = match &handle {
        Some(handle) => match pidfd_send_signal(handle, Signal::KILL) {
            Err(Errno::NOSYS) => kill_process(pid, Signal::KILL),
            sent => sent,
        },
        None => kill_process(pid, Signal::KILL),
    };
    match sent {
        Ok(()) => Ok(Some(Leftover { pid: pid.as_raw_pid().unsigned_abs(), name: stat.name })),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Not a child of ours, or not gone yet: both are fine, and tell so by an error or by nothing.
fn reap_if_own(leftover: &Leftover) {
    let pid = i32::try_from(leftover.pid).ok().and_then(Pid::from_raw);
    if pid.is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_)))) {
        tracing::debug!(pid = leftover.pid, "reaped an orphan that had become a child of this process");
    }
}
