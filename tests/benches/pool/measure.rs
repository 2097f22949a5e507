//! What a process and all that it starts take: time, processors, and memory.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::processes::Process;
use fanfold_pool::usage;
use rustix::process::{WaitOptions, getpid, set_child_subreaper, wait};
use serde::Deserialize;

/// How long memory is not looked at between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// As it tells itself.
    pub(crate) time: Duration,
    /// Of the processors, in all processes.
    pub(crate) cpu: Duration,
    /// The highest sum of memory over all processes, what they share counted once; none if it was not looked at.
    pub(crate) tree_bytes: u64,
    /// The most that the parent has held.
    pub(crate) parent_bytes: u64,
}

/// What a parent tells.
#[derive(Deserialize)]
struct Told {
    seconds: f64,
    right: bool,
}

/// Has what the processes leave behind be this process's, so that it is waited for and counted.
pub(crate) fn adopt_orphans() {
    set_child_subreaper(Some(getpid())).expect("orphans can be adopted");
}

/// Runs a command to its end, and looks at its memory meanwhile if that is wanted.
///
/// # Errors
/// That it failed, or what it collected is not right.
pub(crate) fn run(command: &mut Command, looks: bool) -> Result<Took, String> {
    let before = usage().expect("the kernel counts");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let (mut tree_bytes, mut parent_bytes) = (0, 0);
    while looks && child.try_wait().expect("a child can be waited for").is_none() {
        let parent = Process { pid: child.id(), command: String::new() };
        parent_bytes = parent.peak_memory_kib().map_or(parent_bytes, |kib| kib << 10);
        tree_bytes = tree_bytes.max(tree(child.id()).into_iter().filter_map(share_bytes).sum());
        std::thread::sleep(LOOK_EVERY);
    }
    let told = told(&mut child);
    // What it left behind, such as a fork server, counts too, and is this process's by now.
    while wait(WaitOptions::empty()).is_ok() {}
    let told = told?;
    if !told.right {
        return Err("**wrong**".to_owned());
    }
    let cpu = usage().expect("the kernel counts").cpu - before.cpu;
    // The parent's own peak is kept by the kernel, and so is seen however short it was.
    let tree_bytes = tree_bytes.max(parent_bytes);
    Ok(Took { time: Duration::from_secs_f64(told.seconds), cpu, tree_bytes, parent_bytes })
}

fn told(child: &mut Child) -> Result<Told, String> {
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_to_string(&mut text).map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(status.to_string());
    }
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

/// A process and all that descend from it.
fn tree(root: u32) -> Vec<u32> {
    let (mut all, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        all.push(pid);
        // Children are those of the thread that started them.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            next.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

/// A process's share of memory: its own pages, and of those that it has in common with others its part.
fn share_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let share = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = share.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
