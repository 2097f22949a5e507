//! The stage: what a process finds around it on AWS Lambda, as far as this machine lets it be made. What Lambda denies is denied
//! by the kernel, and answered as there (platform-facts.md, "Lambda: behaviour").
//!
//! - **System calls** by a filter, which anybody may put up and nobody can take down: `stage/denied.json`.
//! - **`/dev`** in a mount namespace, which takes root: the few devices that every program expects; `/dev/shm` is empty and
//!   read-only, so that there is no shared memory and are no named semaphores; of `/dev/fd` there are 0, 1 and 2, and no
//!   others. (A filter sees numbers, not paths.)
//! - **1,024 open files** of a process, by `RLIMIT_NOFILE`. Lambda counts those of all processes of an environment.
//! - **1,024 processes and threads** by a cgroup, which takes root. `RLIMIT_NPROC` is not for this: it counts what a user has
//!   running on the whole machine, be it a browser, and of root it counts nothing.
//! - **No capabilities**, so that root on the stage can do little that other users cannot. (It is not made another user, since
//!   that one might not be allowed to read the programs under test.)
//! - **Memory**, where a test asks for it, by a cgroup too: one limit over all processes of an environment.
//!
//! What takes root is left out elsewhere, and the test says that it was skipped. A test has a [`Stage`]; what gets on it is the
//! program `e2e-stage` ([`main`]), which is told by a variable.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use fanfold_emulator::lambda::Function;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use seccompiler::{BpfMap, TargetArch};
use serde::{Deserialize, Serialize};

use crate::cgroup::{self, Cgroup};

/// What Lambda gives the processes of an environment, together: open files, and processes with threads.
const OPEN_FILES: u64 = 1_024;
const TASKS: u64 = 1_024;

/// Tells `e2e-stage` what to find on the stage, as JSON. The embedded Lambda of `fanfold map` hands it on to its functions.
const VARIABLE: &str = "E2E_STAGE";

/// What `e2e-stage` is called with before the command that it is to become.
const ON: &str = "on";

/// The system calls that are denied, by how they are answered.
const DENIED: &str = include_str!("stage/denied.json");

/// The devices there are; and what stands for a descriptor, by its name.
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];
const DESCRIPTORS: [(&str, u8); 6] =
    [("stdin", 0), ("stdout", 1), ("stderr", 2), ("fd/0", 0), ("fd/1", 1), ("fd/2", 2)];

/// What there may be so much of. By default, as much as on Lambda, and any memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files that a process has open.
    pub open_files: u64,
    /// Processes and threads.
    pub tasks: u64,
    /// Bytes of memory of all processes.
    pub memory_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_files: OPEN_FILES, tasks: TASKS, memory_bytes: None }
    }
}

/// What a process is to find.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scenery {
    open_files: u64,
    /// Whether it has a `/dev` of its own.
    has_devices: bool,
    /// The cgroups that it enters.
    groups: Vec<PathBuf>,
}

/// A stage for the processes of one environment, or of several that share its limits.
#[derive(Debug)]
pub struct Stage {
    program: String,
    scenery: Scenery,
    /// Whether processes and threads are counted, and whether memory is.
    counts: (bool, bool),
    /// Holds the limits.
    _group: Cgroup,
}

impl Stage {
    /// As this machine allows it, with `env!("CARGO_BIN_EXE_e2e-stage")`. What it does not allow is told as skipped.
    #[must_use]
    pub fn new(program: &str, limits: Limits) -> Self {
        let mut group = Cgroup::new();
        let counts_tasks = group.limit(cgroup::Resource::Tasks, limits.tasks);
        let asked = limits.memory_bytes;
        let counts_memory = asked.is_some_and(|most| group.limit(cgroup::Resource::Memory, most));
        if !counts_tasks || asked.is_some() && !counts_memory {
            skipped("no cgroup with such limits can be made here (it takes root)");
        }
        let scenery =
            Scenery { open_files: limits.open_files, has_devices: true, groups: group.folders().to_vec() };
        let mut stage = Self {
            program: program.to_owned(),
            scenery,
            counts: (counts_tasks, counts_memory),
            _group: group,
        };
        stage.try_devices();
        stage
    }

    /// Does without a `/dev` where that may not be made.
    fn try_devices(&mut self) {
        let mut nothing = self.command("true");
        let tried = nothing.output().unwrap_or_else(|error| panic!("{nothing:?}: {error}"));
        if !tried.status.success() {
            let why = String::from_utf8_lossy(&tried.stderr);
            assert!(why.contains("/dev") && why.contains("not permitted"), "{why}");
            skipped("mount namespaces are refused here (they take root)");
            self.scenery.has_devices = false;
        }
    }

    /// Whether there is no shared memory, and no descriptor has a path.
    #[must_use]
    pub fn has_devices(&self) -> bool {
        self.scenery.has_devices
    }

    /// Whether processes and threads are limited.
    #[must_use]
    pub fn limits_tasks(&self) -> bool {
        self.counts.0
    }

    /// Whether memory is limited.
    #[must_use]
    pub fn limits_memory(&self) -> bool {
        self.counts.1
    }

    /// The variable by which `e2e-stage` knows what to set up.
    #[must_use]
    pub fn variable(&self) -> (String, String) {
        let scenery =
            serde_json::to_string(&self.scenery).unwrap_or_else(|error| panic!("the stage: {error}"));
        (VARIABLE.to_owned(), scenery)
    }

    /// Any program, on the stage.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([ON, program]).envs([self.variable()]);
        command
    }

    /// Puts a function that is to be deployed on the stage: each of its environments.
    pub fn take(&self, function: &mut Function) {
        function.command.splice(0..0, [self.program.clone().into(), ON.into()]);
        function.environment.push(self.variable());
    }
}

/// Not by `println!`, which the test runner keeps to itself where a test passes.
fn skipped(why: &str) {
    let _told = writeln!(io::stderr(), "skipped: {why}");
}

/// The whole of `e2e-stage`. With `on COMMAND…` it gets on the stage and becomes that command. Without, it is `program`, which is
/// the one that ships; as one of its functions, on the stage.
pub fn main(program: impl FnOnce() -> ExitCode) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let is = |word: &str| arguments.first().is_some_and(|first| first == word);
    if is(ON) || is("bootstrap") {
        scenery().set_up();
    }
    match &arguments[..] {
        [_, command, arguments @ ..] if is(ON) => {
            let error = Command::new(command).args(arguments).exec();
            panic!("{}: {error}", command.display());
        }
        _ => program(),
    }
}

fn scenery() -> Scenery {
    let variable = std::env::var(VARIABLE).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    serde_json::from_str(&variable).unwrap_or_else(|error| panic!("{VARIABLE}: {error}: {variable}"))
}

impl Scenery {
    /// Sets the stage for this process, which must have one thread only, and whatever it starts.
    fn set_up(&self) {
        for group in &self.groups {
            // 0 is whoever writes it.
            fs::write(group.join("cgroup.procs"), "0")
                .unwrap_or_else(|error| panic!("{}: {error}", group.display()));
        }
        if self.has_devices {
            set_up_devices().unwrap_or_else(|error| panic!("/dev: {error}"));
        }
        let most = Some(self.open_files);
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
            .unwrap_or_else(|error| panic!("{} open files: {error}", self.open_files));
        give_up_capabilities().unwrap_or_else(|error| panic!("capabilities: {error}"));
        for (answer, denied) in denied() {
            seccompiler::apply_filter(&denied).unwrap_or_else(|error| panic!("{answer}: {error}"));
        }
    }
}

/// Lays a `/dev` over that of the machine, in a mount namespace of its own.
fn set_up_devices() -> io::Result<()> {
    #[allow(deprecated, reason = "the other is unsafe because of a flag that is not given here")]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    // Nobody else is to see what is mounted from here on.
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let dev = Path::new("/dev");
    let open = |name: &&str| rustix::fs::open(dev.join(name), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let devices = DEVICES.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", dev, "tmpfs", flags, c"size=64k,mode=755")?;
    for (name, device) in DEVICES.iter().zip(&devices) {
        fs::File::create(dev.join(name))?;
        // The device itself is out of sight by now, but not its descriptor.
        rustix::mount::mount_bind(format!("/proc/self/fd/{}", device.as_raw_fd()), dev.join(name))?;
    }
    fs::create_dir(dev.join("fd"))?;
    fs::create_dir(dev.join("shm"))?;
    for (name, descriptor) in DESCRIPTORS {
        symlink(format!("/proc/self/fd/{descriptor}"), dev.join(name))?;
    }
    Ok(rustix::mount::mount_remount(dev, flags | MountFlags::RDONLY, c"")?)
}

/// Root has no more of them from here on than anybody else. (With the first filter, the kernel promises that no program that is
/// started gets any.)
fn give_up_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

fn denied() -> BpfMap {
    let architecture: TargetArch =
        std::env::consts::ARCH.try_into().unwrap_or_else(|error| panic!("the filter: {error}"));
    seccompiler::compile_from_json(DENIED.as_bytes(), architecture)
        .unwrap_or_else(|error| panic!("the filter: {error}"))
}
