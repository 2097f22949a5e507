//! What /proc tells about processes.
//!
//! Owes `leftovers` and `memory` plain facts of one moment. A process may end between any two reads: then the answer is
//! that of a process that is gone, not an error.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use rustix::process::Pid;

/// The kernel's flag of its own threads in `/proc/<pid>/stat` (`PF_KTHREAD`, include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// All processes that can be seen.
pub(crate) fn processes() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw));
    }
    Ok(pids)
}

/// The environment that a process was started with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Environment<'a> {
    /// Entries that end with a NUL byte.
    Known(&'a [u8]),
    /// There is none: of what has ended, of the kernel's threads, of what was started without any, and, for a
    /// moment, of what is just exchanging its program for another.
    Empty,
    /// It is gone, or another user's.
    Hidden,
}

/// Reads the environment of a process into `buffer`.
pub(crate) fn environment(pid: Pid, buffer: &mut Vec<u8>) -> Environment<'_> {
    use io::Read;

    buffer.clear();
    let read = fs::File::open(format!("/proc/{pid}/environ")).and_then(|mut file| file.read_to_end(buffer));
    match read {
        Ok(0) => Environment::Empty,
        Ok(_) => Environment::Known(buffer),
        Err(_) => Environment::Hidden,
    }
}

/// What `/proc/<pid>/stat` says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The name of the program, cut to 15 bytes by the kernel.
    pub(crate) name: String,
    /// The process that it descends from; another one once that has ended.
    pub(crate) parent: Option<Pid>,
    /// Whether it has ended, and only waits to be reaped.
    pub(crate) ended: bool,
    /// Whether it is a thread of the kernel.
    pub(crate) of_the_kernel: bool,
    /// When it was started, in the kernel's clock ticks since boot.
    pub(crate) started_ticks: u64,
    /// How many bytes of addresses it has.
    pub(crate) virtual_bytes: u64,
    /// How many of its pages are in memory, those among them that it shares. The kernel counts them in batches, so this may
    /// be wrong by some hundred.
    pub(crate) resident_pages: u64,
}

/// `None` for a process that is gone.
pub(crate) fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&text))
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses, and may contain some itself.
    let (before, after) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok().and_then(Pid::from_raw);
    // Then come pgrp, session, tty_nr, tpgid, flags (proc_pid_stat(5)).
    let flags: u64 = fields.nth(4)?.parse().ok()?;
    // Counts and times, and at last starttime, the 22nd field of all.
    let started_ticks = fields.nth(12)?.parse().ok()?;
    // Behind it vsize, and then rss.
    let virtual_bytes = fields.next()?.parse().ok()?;
    let resident_pages = fields.next()?.parse().ok()?;
    Some(Stat {
        name: name.to_owned(),
        parent,
        ended: matches!(state, "Z" | "X" | "x"),
        of_the_kernel: flags & KERNEL_THREAD != 0,
        started_ticks,
        virtual_bytes,
        resident_pages,
    })
}

/// Who descends from whom, of all processes that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    members: HashMap<Pid, Stat>,
    children: HashMap<Pid, Vec<Pid>>,
}

impl Tree {
    /// Of these processes: measured, 4 µs for each.
    pub(crate) fn of(everybody: &[Pid]) -> Tree {
        let mut tree = Tree::default();
        for &pid in everybody {
            let Some(stat) = stat(pid).filter(|stat| !stat.ended) else { continue };
            tree.add(pid, stat);
        }
        tree
    }

    #[cfg(test)]
    pub(crate) fn of_stats(stats: impl IntoIterator<Item = (Pid, Stat)>) -> Tree {
        let mut tree = Tree::default();
        stats.into_iter().for_each(|(pid, stat)| tree.add(pid, stat));
        tree
    }

    fn add(&mut self, pid: Pid, stat: Stat) {
        if let Some(parent) = stat.parent {
            self.children.entry(parent).or_default().push(pid);
        }
        self.members.insert(pid, stat);
    }

    /// What is known of a process; `None` once it has ended.
    pub(crate) fn get(&self, pid: Pid) -> Option<&Stat> {
        self.members.get(&pid)
    }

    /// What descends from a process, as far as the parents in between live.
    pub(crate) fn below(&self, root: Pid) -> Vec<(Pid, &Stat)> {
        let mut found = Vec::new();
        let mut ancestors = vec![root];
        while let Some(ancestor) = ancestors.pop() {
            for &child in self.children.get(&ancestor).into_iter().flatten() {
                if let Some(stat) = self.members.get(&child) {
                    ancestors.push(child);
                    found.push((child, stat));
                }
            }
        }
        found
    }
}

/// What a process takes of the memory, in bytes, where a page that several share counts in parts (`Pss` in
/// `/proc/<pid>/smaps_rollup`). `None` for one that is gone, and where the kernel does not tell.
pub(crate) fn proportional_bytes(pid: Pid) -> Option<u64> {
    kib_of("Pss:", &rollup(pid)?)
}

/// The same, without any page that others have too.
pub(crate) fn private_bytes(pid: Pid) -> Option<u64> {
    let rollup = rollup(pid)?;
    Some(kib_of("Private_Clean:", &rollup)? + kib_of("Private_Dirty:", &rollup)?)
}

fn rollup(pid: Pid) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()
}

/// The most memory that this process has held, in bytes (`VmHWM`). (What getrusage(2) tells of it may be of who started it.)
pub(crate) fn own_peak_bytes() -> Option<u64> {
    kib_of("VmHWM:", &fs::read_to_string("/proc/self/status").ok()?)
}

/// How much memory the machine could give without swapping, in bytes (`MemAvailable` in `/proc/meminfo`).
pub(crate) fn available_bytes() -> Option<u64> {
    kib_of("MemAvailable:", &fs::read_to_string("/proc/meminfo").ok()?)
}

/// The value of a line in kB, which here means KiB, in bytes.
fn kib_of(name: &str, text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib << 10)
}

/// A pipe's identity, the same at both of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PipeId {
    /// What the links in `/proc/<pid>/fd` read.
    link: String,
}

impl PipeId {
    pub(crate) fn of(end: impl AsFd) -> io::Result<PipeId> {
        let inode = rustix::fs::fstat(end)?.st_ino;
        Ok(PipeId { link: format!("pipe:[{inode}]") })
    }

    /// Whether a process has the pipe open.
    pub(crate) fn is_held_by(&self, pid: Pid) -> bool {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == self.link.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) R 7 (b c) Z 41 42 1 0 -1 4194560 10 11 12 13 14 15 16 17 18 19 1 0 4711 23 24";
        let stat = parse_stat(stat).unwrap();
        assert_eq!(stat.name, "a) R 7 (b c");
        assert_eq!(stat.parent, Pid::from_raw(41));
        assert_eq!((stat.started_ticks, stat.virtual_bytes, stat.resident_pages), (4711, 23, 24));
        assert!(stat.ended && !stat.of_the_kernel);
        let thread = "2 (kthreadd) S 0 0 0 0 -1 2129984 10 11 12 13 14 15 16 17 18 19 1 0 3 23 24";
        assert!(parse_stat(thread).unwrap().of_the_kernel);
        assert_eq!(parse_stat("42 (a"), None);
    }

    #[test]
    fn a_pipe_is_seen_in_the_process_that_holds_it_and_no_more_after_it_is_closed() {
        let (reader, writer) = io::pipe().unwrap();
        let me = rustix::process::getpid();
        let pipe = PipeId::of(&reader).unwrap();
        drop(reader);
        assert!(pipe.is_held_by(me));
        drop(writer);
        assert!(!pipe.is_held_by(me));
    }
}
