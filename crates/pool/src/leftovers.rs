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
use crate::procfs::{self, Environment, PipeId, Stat};

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

/// A process of the run. Its number and the time of its start together mean it and no other: a number is given
/// away again only after all others were, and no machine starts so many processes in one tick of its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pid: Pid,
    started_ticks: u64,
    name: String,
}

impl Member {
    /// `None` for what has ended, and for the kernel's own threads.
    fn of(pid: Pid) -> Option<Member> {
        procfs::stat(pid).filter(|stat| !stat.ended && !stat.of_the_kernel).map(|stat| Member::new(pid, stat))
    }

    fn new(pid: Pid, stat: Stat) -> Member {
        Member { pid, started_ticks: stat.started_ticks, name: stat.name }
    }

    /// A process that this one has just forked; none if it has ended.
    pub(crate) fn forked(pid: Pid, by: Pid) -> Option<Member> {
        let stat = procfs::stat(pid).filter(|stat| !stat.ended && stat.parent == Some(by))?;
        Some(Member::new(pid, stat))
    }

    /// Whether it has not ended. One that has ended and is not reaped does not count.
    fn lives(&self) -> bool {
        Member::of(self.pid).is_some_and(|now| now.started_ticks == self.started_ticks)
    }

    /// Sends it a signal, unless it is gone.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        // From here on the handle means one process, even if its number is given away again. Without
        // handles (an old kernel, a filter) there is only the number.
        let handle = pidfd_open(self.pid, PidfdFlags::empty()).ok();
        if !self.lives() {
            return Ok(());
        }
        let sent = handle.map_or(Err(Errno::NOSYS), |handle| pidfd_send_signal(handle, signal));
        let sent = if sent == Err(Errno::NOSYS) { kill_process(self.pid, signal) } else { sent };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Kills them all, stopping all of them first: otherwise a shell whose command is killed goes on to its next.
fn kill(members: &[Member]) -> io::Result<()> {
    for signal in [Signal::STOP, Signal::KILL] {
        members.iter().try_for_each(|member| member.signal(signal))?;
    }
    Ok(())
}

impl From<Member> for Leftover {
    fn from(member: Member) -> Leftover {
        Leftover { pid: member.pid.as_raw_pid().unsigned_abs(), name: member.name }
    }
}

/// Kills whatever carries the mark, or descends from what does, until none of it exists, nor any of `dying`.
/// Gives what was killed.
pub(crate) fn sweep(mark: &Mark, dying: Vec<Member>) -> io::Result<Vec<Leftover>> {
    kill_until_none(dying, || find(mark, None))
}

/// Kills whatever carries the mark, or descends from what does, but for `root`, until none of it exists. Gives what was
/// killed.
pub(crate) fn sweep_but(mark: &Mark, root: Pid) -> io::Result<Vec<Leftover>> {
    kill_until_none(Vec::new(), || find(mark, Some(root)))
}

/// Kills a process and what descends from it, and returns when they are gone. What descends from one that has ended is not
/// found.
pub(crate) fn put_down(root: Member) -> io::Result<()> {
    if !root.lives() {
        return Ok(());
    }
    let descendants = with_descendants(Vec::new(), Some(root.pid), &procfs::processes()?);
    let family: Vec<Member> = [root].into_iter().chain(descendants).collect();
    kill(&family)?;
    kill_until_none(family, || Ok(Vec::new())).map(drop)
}

/// Kills `root`, whatever descends from it, and whatever carries the mark. For while `root` lives, and with it
/// the chain of parents. Gives what was killed besides `root`, and may not be gone yet.
pub(crate) fn kill_family(mark: &Mark, root: Pid) -> io::Result<Vec<Member>> {
    let descendants = find(mark, Some(root))?;
    let family: Vec<Member> = Member::of(root).into_iter().chain(descendants.iter().cloned()).collect();
    kill(&family)?;
    Ok(descendants)
}

/// Kills whatever holds the pipe open, until nothing does. This process does not count.
pub(crate) fn kill_holders(pipe: &PipeId) -> io::Result<Vec<Leftover>> {
    kill_until_none(Vec::new(), || find_holders(pipe))
}

/// Reaps what has become a child of this process, because it was orphaned and this is process 1: nobody
/// else would. Not for what the pool itself started.
pub(crate) fn reap_orphans(killed: &[Leftover]) {
    for leftover in killed {
        let pid = i32::try_from(leftover.pid).ok().and_then(Pid::from_raw);
        // An error means that it is somebody else's child, as nearly always.
        if pid.is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_)))) {
            tracing::debug!(%leftover, "reaped an orphan that had become a child of this process");
        }
    }
}

fn kill_until_none(
    mut dying: Vec<Member>,
    find: impl Fn() -> io::Result<Vec<Member>>,
) -> io::Result<Vec<Leftover>> {
    let began = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        let found = find()?;
        if found.is_empty() && !dying.iter().any(Member::lives) {
            return Ok(dying.into_iter().map(Leftover::from).collect());
        }
        if began.elapsed() > DYING_MAX {
            let alive: Vec<String> = dying
                .into_iter()
                .filter(Member::lives)
                .map(|member| Leftover::from(member).to_string())
                .collect();
            let message = format!("{} outlived SIGKILL for {DYING_MAX:?}", alive.join(", "));
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        kill(&found)?;
        for member in found {
            match dying
                .iter_mut()
                .find(|other| (other.pid, other.started_ticks) == (member.pid, member.started_ticks))
            {
                // It may have become another program meanwhile.
                Some(known) => known.name = member.name,
                None => dying.push(member),
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// All living processes that carry the mark, and the descendants of those and of `root`, without `root`.
fn find(mark: &Mark, root: Option<Pid>) -> io::Result<Vec<Member>> {
    let mut environment = Vec::new();
    let mut carriers = Vec::new();
    let mut undecided = Vec::new();
    let everybody = procfs::processes()?;
    for &pid in everybody.iter().filter(|&&pid| Some(pid) != root) {
        match procfs::environment(pid, &mut environment) {
            Environment::Known(entries) if mark.is_in(entries) => carriers.extend(Member::of(pid)),
            Environment::Empty => undecided.extend(Member::of(pid)),
            Environment::Known(_) | Environment::Hidden => {}
        }
    }
    carriers.extend(decide(mark, undecided));
    if carriers.is_empty() && root.is_none() {
        return Ok(carriers);
    }
    Ok(with_descendants(carriers, root, &everybody))
}

/// Which of the processes without an environment turn out to carry the mark.
fn decide(mark: &Mark, mut undecided: Vec<Member>) -> Vec<Member> {
    let mut carriers = Vec::new();
    let mut environment = Vec::new();
    if !undecided.is_empty() {
        // What is older than this process was not started by it.
        let since = procfs::stat(getpid()).map_or(0, |stat| stat.started_ticks);
        undecided.retain(|member| member.started_ticks >= since);
    }
    for _ in 0..LOOKS_AT_THE_UNDECIDED {
        if undecided.is_empty() {
            break;
        }
        thread::sleep(PAUSE_MIN);
        undecided.retain(|member| match procfs::environment(member.pid, &mut environment) {
            Environment::Known(entries) => {
                if mark.is_in(entries) {
                    carriers.push(member.clone());
                }
                false
            }
            Environment::Empty => true,
            Environment::Hidden => false,
        });
    }
    carriers
}

/// Adds the descendants of the family and of `root`, as far as their parents live.
fn with_descendants(mut family: Vec<Member>, root: Option<Pid>, everybody: &[Pid]) -> Vec<Member> {
    let mut children: HashMap<Pid, Vec<Member>> = HashMap::new();
    for &pid in everybody {
        if let Some(stat) = procfs::stat(pid)
            && let Some(parent) = stat.parent
            && !stat.ended
        {
            children.entry(parent).or_default().push(Member::new(pid, stat));
        }
    }
    let mut known: HashSet<Pid> = family.iter().map(|member| member.pid).chain(root).collect();
    let mut ancestors: Vec<Pid> = known.iter().copied().collect();
    while let Some(ancestor) = ancestors.pop() {
        for child in children.remove(&ancestor).into_iter().flatten() {
            if known.insert(child.pid) {
                ancestors.push(child.pid);
                family.push(child);
            }
        }
    }
    family
}

/// Who holds the pipe open. A child of this process is left out: it is a process of another run that is just
/// being started, and for some microseconds has copies of all descriptors. (Process 1 has adopted children.)
fn find_holders(pipe: &PipeId) -> io::Result<Vec<Member>> {
    let me = getpid();
    let mut holders = Vec::new();
    for pid in procfs::processes()? {
        if pid != me
            && pipe.is_held_by(pid)
            && let Some(stat) = procfs::stat(pid)
            && (stat.parent != Some(me) || me.is_init())
        {
            holders.push(Member::new(pid, stat));
        }
    }
    Ok(holders)
}
