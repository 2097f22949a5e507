//! How much memory processes take, and how much there is.
//!
//! Owes `admission` numbers that count a page once, however many processes share it ([`Kind`]). That is mostly what the kernel calls
//! the proportional set size: a page of several counts in parts. It walks all pages of a process for that (measured: 0.06 ms, and
//! 5.5 ms more for each GiB in pages of 4 KiB); the resident set size, which counts shared pages in full, is there for the
//! reading (5 µs a process of the machine, which the search for descendants needs anyway). So that is looked at first, and the
//! other only where it matters.

use rustix::process::Pid;

use crate::cgroup;
use crate::procfs::{self, Tree};

/// A process whose memory is counted, and that of what descends from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) pid: Pid,
    /// When it was started, once that is known: by then nobody else can have its number.
    pub(crate) started_ticks: Option<u64>,
    pub(crate) kind: Kind,
}

/// What is counted of a process, so that over all of them each page counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A command, which shares little with others: its part of what it shares, and that of what descends from it.
    Command,
    /// A fork server: all that it has, and nothing of its processes.
    Server,
    /// A process of a fork server: what it shares with nobody, and what descends from it likewise. What it has of its server, the
    /// server has.
    Forked,
}

/// What a look at a process and its descendants has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) started_ticks: u64,
    pub(crate) bytes: u64,
}

/// Where the numbers come from.
#[derive(Debug)]
pub(crate) struct Gauge {
    limits: cgroup::Limits,
    page_bytes: u64,
}

impl Gauge {
    pub(crate) fn new() -> Gauge {
        Gauge { limits: cgroup::Limits::find(), page_bytes: rustix::param::page_size() as u64 }
    }

    /// What each of these takes now, descendants included; `None` for one that has ended. Below `coarse_bytes` this may be too
    /// much, since pages that others share count in full.
    pub(crate) fn taken(&self, roots: &[Root], coarse_bytes: u64) -> Vec<Option<Taken>> {
        // Without /proc there is nothing to be known, and then nothing is held back.
        let everybody = procfs::processes().unwrap_or_default();
        let tree = Tree::of(&everybody);
        roots.iter().map(|root| self.family(&tree, root, coarse_bytes)).collect()
    }

    fn family(&self, tree: &Tree, root: &Root, coarse_bytes: u64) -> Option<Taken> {
        let stat = tree.get(root.pid)?;
        let started_ticks = stat.started_ticks;
        if root.started_ticks.is_some_and(|known| known != started_ticks) {
            return None;
        }
        let resident = |stat: &procfs::Stat| stat.resident_pages.saturating_mul(self.page_bytes);
        let mut family = if root.kind == Kind::Server { Vec::new() } else { with_memory(tree, root.pid) };
        family.push((root.pid, stat));
        let coarse: u64 = family.iter().map(|(_, stat)| resident(stat)).sum();
        let exact = |pid| match root.kind {
            Kind::Command => procfs::proportional_bytes(pid),
            Kind::Forked => procfs::private_bytes(pid),
            Kind::Server => None,
        };
        let bytes = if coarse <= coarse_bytes {
            coarse
        } else {
            family.iter().map(|&(pid, stat)| exact(pid).unwrap_or_else(|| resident(stat))).sum()
        };
        Some(Taken { started_ticks, bytes })
    }

    /// How much more memory there is, for the machine and for the cgroups that this process is in: the smaller counts. `None`
    /// where neither tells.
    pub(crate) fn available_bytes(&self) -> Option<u64> {
        [procfs::available_bytes(), self.limits.available_bytes()].into_iter().flatten().min()
    }
}

/// What descends from a process and has memory of its own. One that is about to become another program does not yet: many
/// runtimes start programs so (vfork(2)) that until then it has its parent's, page for page, which would count twice.
fn with_memory(tree: &Tree, root: Pid) -> Vec<(Pid, &procfs::Stat)> {
    let has_its_parents = |stat: &procfs::Stat| {
        let parent = stat.parent.and_then(|parent| tree.get(parent));
        parent.is_some_and(|parent| {
            (parent.virtual_bytes, parent.resident_pages) == (stat.virtual_bytes, stat.resident_pages)
        })
    };
    tree.below(root).into_iter().filter(|(_, stat)| !has_its_parents(stat)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that has said that it is ready, ended in the end.
    struct Ready(Child);

    impl Ready {
        fn shell(script: &str) -> Ready {
            let mut command = Command::new("sh");
            let mut child = command.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
            Ready(child)
        }

        fn root(&self) -> Root {
            let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).unwrap();
            Root { pid, started_ticks: None, kind: Kind::Command }
        }
    }

    impl Drop for Ready {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_family_is_counted_together_and_what_has_ended_is_not_another() {
        let gauge = Gauge::new();
        // 20 MiB in a variable of the child, of which the parent has none; it ends when its parent's pipe does.
        let script = "mkfifo $0/wait; (x=$(head -c 20971520 /dev/zero | tr '\\0' x); echo ready; read y < $0/wait) & read z < $0/wait";
        let folder = tempfile::tempdir().unwrap();
        let script = script.replace("$0", folder.path().to_str().unwrap());
        let parent = Ready::shell(&script);
        let [Some(fine), Some(coarse)] = [0, u64::MAX].map(|coarse| gauge.taken(&[parent.root()], coarse)[0])
        else {
            panic!("it runs")
        };
        assert!(fine.bytes > 20 << 20 && fine.bytes <= coarse.bytes + (1 << 20), "{fine:?} {coarse:?}");
        let tree = Tree::of(&procfs::processes().unwrap());
        let another = Root { started_ticks: Some(fine.started_ticks + 1), ..parent.root() };
        let same = Root { started_ticks: Some(fine.started_ticks), ..parent.root() };
        let seen = [another, same].map(|root| gauge.family(&tree, &root, 0).is_some());
        assert_eq!(seen, [false, true]);
        let root = parent.root();
        for (child, _) in tree.below(root.pid) {
            rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
        }
        drop(parent);
        assert_eq!(gauge.taken(&[root], 0), [None]);
    }

    #[test]
    fn what_is_about_to_become_another_program_does_not_count_with_its_parents_memory() {
        let pid = |number| Pid::from_raw(number).unwrap();
        let stat = |parent, virtual_bytes, resident_pages| procfs::Stat {
            name: String::new(),
            parent: Pid::from_raw(parent),
            ended: false,
            of_the_kernel: false,
            started_ticks: 1,
            virtual_bytes,
            resident_pages,
        };
        let tree = Tree::of_stats([
            (pid(1), stat(0, 9_000, 7)),
            (pid(2), stat(1, 9_000, 7)),
            (pid(3), stat(1, 9_000, 6)),
            (pid(4), stat(3, 500, 3)),
            (pid(5), stat(4, 500, 3)),
        ]);
        let mut counted: Vec<i32> =
            with_memory(&tree, pid(1)).iter().map(|(pid, _)| pid.as_raw_pid()).collect();
        counted.sort_unstable();
        assert_eq!(counted, [3, 4]);
    }

    #[test]
    fn this_machine_has_memory_left() {
        assert!(Gauge::new().available_bytes().is_some_and(|bytes| bytes > 0));
    }
}
