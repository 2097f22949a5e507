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

/// The running processes whose environment has `variable` with this value. Zombies have none.
pub fn marked(variable: &str, value: &str) -> Vec<Process> {
    let entry = format!("{variable}={value}");
    let folders = fs::read_dir("/proc").unwrap_or_else(|error| panic!("/proc: {error}"));
    let pids = folders.flatten().filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|byte| *byte == 0).find(|text| *text == entry.as_bytes())?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
        Some(Process { pid, command })
    })
    .collect()
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
