//! A group of processes with limits of its own, which the kernel keeps: by either version of cgroups, where this machine lets
//! one be made. That takes root.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::processes;

/// Where cgroups are: version 2 itself, or a folder for each controller of version 1.
const ROOT: &str = "/sys/fs/cgroup";

/// How long processes that were killed may keep a group from being removed.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);

/// What there may be so much of in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory of all its processes, in bytes. It is not swapped out.
    Memory,
    /// Processes and threads.
    Tasks,
}

impl Resource {
    /// The controller's folder in version 1, and the file for the limit there.
    fn of_version_1(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => ("memory", "memory.limit_in_bytes"),
            Self::Tasks => ("pids", "pids.max"),
        }
    }

    /// The file for the limit in version 2.
    fn of_version_2(self) -> &'static str {
        match self {
            Self::Memory => "memory.max",
            Self::Tasks => "pids.max",
        }
    }

    /// Where swapping is told not to be, in either version; on a machine without swap, there may be no such file.
    fn unswapped(self) -> &'static [&'static str] {
        match self {
            Self::Memory => &["memory.swap.max", "memory.swappiness"],
            Self::Tasks => &[],
        }
    }
}

/// A group, removed in the end.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// One without limits, and so far nowhere.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("fanfold-e2e-{}-{number}", std::process::id()), folders: Vec::new() }
    }

    /// Sets a limit; whether this machine lets it be set.
    pub fn limit(&mut self, resource: Resource, most: u64) -> bool {
        let ((controller, file_1), file_2) = (resource.of_version_1(), resource.of_version_2());
        let root = Path::new(ROOT);
        let places = [(root.join(&self.name), file_2), (root.join(controller).join(&self.name), file_1)];
        for (folder, file) in places {
            let is_new = fs::create_dir(&folder).is_ok();
            // In a folder that is no cgroup, or one that does not govern this, there is no such file.
            if folder.join(file).is_file() && fs::write(folder.join(file), most.to_string()).is_ok() {
                for file in resource.unswapped() {
                    fs::write(folder.join(file), "0").ok();
                }
                if !self.folders.contains(&folder) {
                    self.folders.push(folder);
                }
                return true;
            }
            if is_new {
                fs::remove_dir(&folder).ok();
            }
        }
        false
    }

    /// The folders whose `cgroup.procs` a process writes itself into to be in the group.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // One that cannot be removed is left to the machine.
            processes::within(EMPTY_WITHIN, || fs::remove_dir(folder).is_ok());
        }
    }
}
