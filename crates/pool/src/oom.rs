//! The kernel's counts of out-of-memory kills.
//!
//! Owes the run an answer to whether one of them went up meanwhile. Whose process it was the kernel tells only in its
//! log, which programs may not read: two readings tell that somebody was killed, not who.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cgroup;

/// The line that counts processes killed for lack of memory, in /proc/vmstat as in a cgroup's memory.events
/// (Documentation/admin-guide/cgroup-v2.rst: "killed by any kind of OOM killer").
const COUNTER: &str = "oom_kill";

/// Where the counts are read.
#[derive(Debug)]
pub(crate) struct OomCounters {
    /// `memory.events` of the cgroup that this process was in, where version 2 of cgroups governs memory.
    group: Option<PathBuf>,
    /// What was read last, and when.
    last: Mutex<Option<(Instant, OomCounts)>>,
}

/// How old counts may be to be called recent. Somebody killed within it before a process starts may be taken for that process,
/// if that is killed as well.
const RECENT: Duration = Duration::from_millis(10);

/// The counts of one moment; `None` where one cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OomCounts {
    /// Of the machine, which for a container is the one that it shares.
    machine: Option<u64>,
    /// Of this process's cgroup and those below it. Where the machine's count is hidden, there is still this.
    group: Option<u64>,
}

impl OomCounters {
    /// Finds out where the counts are.
    pub(crate) fn find() -> OomCounters {
        let group = cgroup::folder().map(|folder| folder.join("memory.events"));
        OomCounters { group, last: Mutex::default() }
    }

    /// The counts of a moment ago at most: for what is read before a process starts, where thousands may in a second.
    pub(crate) fn recent(&self) -> OomCounts {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((read_at, counts)) if read_at.elapsed() < RECENT => counts,
            _ => {
                let counts = self.read();
                *last = Some((Instant::now(), counts));
                counts
            }
        }
    }

    /// Reads the counts: measured, 30 µs.
    pub(crate) fn read(&self) -> OomCounts {
        let read = |path: &Path| fs::read_to_string(path).ok().and_then(|text| parse_count(&text));
        OomCounts { machine: read(Path::new("/proc/vmstat")), group: self.group.as_deref().and_then(read) }
    }
}

impl OomCounts {
    /// Whether a process was killed for lack of memory since `before`. The kernel counts before it kills
    /// (mm/oom_kill.c: "Raise event before sending signal"), so whoever sees a process dead of it sees the count.
    pub(crate) fn rose_since(self, before: OomCounts) -> bool {
        let rose =
            |before: Option<u64>, now: Option<u64>| before.zip(now).is_some_and(|(before, now)| now > before);
        rose(before.machine, self.machine) || rose(before.group, self.group)
    }
}

/// The count in a file of lines of a name and a number.
fn parse_count(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(COUNTER)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_that_of_its_own_line_and_of_none_that_begins_alike() {
        let events = "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 7\n";
        assert_eq!(parse_count(events), Some(1));
        assert_eq!(parse_count("pgfault 5\noom_kill_disable 4\noom_kill 12\nnuma_hit 9"), Some(12));
        for text in ["", "oom_kill", "oom_kill many", "xoom_kill 3", "oom_kill_disable 1"] {
            assert_eq!(parse_count(text), None, "{text}");
        }
    }

    #[test]
    fn a_count_that_cannot_be_read_before_and_after_proves_nothing() {
        let counts = |machine, group| OomCounts { machine, group };
        assert!(counts(Some(2), None).rose_since(counts(Some(1), None)));
        assert!(counts(None, Some(2)).rose_since(counts(None, Some(1))));
        assert!(!counts(Some(2), Some(2)).rose_since(counts(None, Some(2))));
        assert!(!counts(None, None).rose_since(counts(Some(1), Some(1))));
    }

    #[test]
    fn this_machine_has_a_count() {
        assert!(OomCounters::find().read().machine.is_some());
    }
}
