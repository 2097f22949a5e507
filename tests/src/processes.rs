//! Looking at the processes of one test: by a mark in their environment, which whatever they start inherits.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How often `/proc` is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command line, with spaces between the arguments.
    pub command: String,
}

impl Process {
    /// The most memory that it has had at once, in KiB; none if it has ended.
    pub fn peak_memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        peak.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    /// Ends it at once, if it is still there.
    pub fn kill(&self) {
        signal(self.pid, Signal::KILL);
    }
}

/// Sends a signal to a process, if it is still there.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone_already = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal to every process of a group, if there is one.
pub fn signal_group(group: u32, signal: Signal) {
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        let _gone_already = rustix::process::kill_process_group(group, signal);
    }
}

/// Whether all processes of a group have stopped, or ended; with all of their threads. One in the midst of the kernel counts,
/// such as one that starts a process which has stopped before it was another program: it will have stopped when it is back.
pub fn has_stopped(group: u32) -> bool {
    let pids = all().into_iter().filter(|pid| group_and_state(*pid).is_some_and(|(its, _)| its == group));
    let threads =
        pids.flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten());
    let mut threads = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    threads.all(|thread| group_and_state(thread).is_none_or(|(_, state)| "TtDZX".contains(state)))
}

/// The process group of a process or thread, and the letter for its state (proc_pid_stat(5)); none if it has ended.
fn group_and_state(pid: u32) -> Option<(u32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses, and may contain some itself.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some((group, state))
}

/// The numbers of all processes.
fn all() -> Vec<u32> {
    let folders = fs::read_dir("/proc").unwrap_or_else(|error| panic!("/proc: {error}"));
    folders.flatten().filter_map(|folder| folder.file_name().to_str()?.parse().ok()).collect()
}

/// The running processes whose environment has `variable` with this value. Zombies have none.
pub fn marked(variable: &str, value: &str) -> Vec<Process> {
    let entry = format!("{variable}={value}");
    let marked = all().into_iter().filter_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|byte| *byte == 0).find(|text| *text == entry.as_bytes())?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
        Some(Process { pid, command })
    });
    marked.collect()
}

/// Waits until no such process is left.
///
/// # Panics
/// When some are still there after this time.
pub fn assert_gone(variable: &str, value: &str, time: Duration) {
    let mut left = Vec::new();
    let gone = within(time, || {
        left = marked(variable, value);
        left.is_empty()
    });
    assert!(gone, "processes are left: {left:#?}");
}

/// Whether `condition` comes to hold within this time.
pub fn within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if began.elapsed() > time {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
