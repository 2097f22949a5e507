//! The program `fanfold` as a user runs it: a real process in a folder of its own.
//!
//! What a [`Sandbox`] owes every test: a run that hangs is killed and fails with what it printed, and after
//! [`Sandbox::assert_clean`] no process of it is left, no temporary file, and no file that the test did not expect.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use fanfold_flow::report::Report;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Process};

/// The variable that marks every process of a sandbox. Users' variables reach programs, so theirs have it too.
const MARK: &str = "E2E_SANDBOX";

/// The longest that a run may take unless it says so. None takes a quarter of it on two busy cores.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// How long killed processes may take to be gone: they are, as soon as the machine gets round to it.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A folder to run in, and a folder for temporary files.
#[derive(Debug)]
pub struct Sandbox {
    program: PathBuf,
    root: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// How the process ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    /// What it printed, of a run that ended with status 0.
    ///
    /// # Panics
    /// When it did not.
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}\n{}", self.status, self.stderr);
        self
    }

    /// What it printed, of a run that ended with this status; by a signal, 128 and its number, as shells have it.
    ///
    /// # Panics
    /// When it ended otherwise.
    pub fn failed_with(self, status: i32) -> Self {
        let by_signal = self.status.signal().map(|signal| 128 + signal);
        assert_eq!(self.status.code().or(by_signal), Some(status), "{}\n{}", self.status, self.stderr);
        self
    }

    /// The report that `--json` printed. Its counts always add up.
    ///
    /// # Panics
    /// When there is none.
    pub fn report(&self) -> Report {
        let mut value: Value = serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("no report: {error}\n{}", self.stderr));
        // Paths of this machine, where the report's own type has objects' addresses.
        for (path, at) in [("/output/uri", "s3://local/output"), ("/joblog", "s3://local/joblog")] {
            if let Some(uri) = value.pointer_mut(path) {
                *uri = Value::String(at.to_owned());
            }
        }
        let report: Report =
            serde_json::from_value(value).unwrap_or_else(|error| panic!("not a report: {error}"));
        assert!(report.chunks.add_up(), "{}", report.chunks);
        report
    }

    /// Asserts that standard error has all of these parts.
    ///
    /// # Panics
    /// When it has not.
    pub fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in:\n{}", self.stderr);
        }
    }
}

impl Sandbox {
    /// An empty one for this program, which is `env!("CARGO_BIN_EXE_e2e-fanfold")`.
    pub fn new(program: &str) -> Self {
        let root = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder: {error}"));
        for folder in ["work", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        }
        Self { program: program.into(), root }
    }

    /// A path in the folder that runs start in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// Writes a file, and the folders on the way to it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The program with these arguments, ready to be started.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.any(&self.program);
        command.args(args);
        command
    }

    /// Any program, in the same folder and under the same mark.
    pub fn any(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root.path().join("work"));
        command.env("TMPDIR", self.root.path().join("tmp")).env(MARK, self.mark());
        command.env_remove("FANFOLD_LOG").env_remove("AWS_LAMBDA_LOG_LEVEL");
        command
    }

    /// Runs the program to its end.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.start(&mut self.command(args)).ended()
    }

    /// `fanfold map` of the program `argv`.
    pub fn map(&self, options: &[&str], argv: &[&str]) -> Ended {
        self.run([&["map"], options, &["--"], argv].concat())
    }

    /// Starts a command, whose standard output and error are read.
    pub fn start(&self, command: &mut Command) -> Running<'_> {
        self.start_with_its_stdout(command.stdout(Stdio::piped()))
    }

    /// Starts a command whose standard output is where its maker has put it.
    pub fn start_with_its_stdout(&self, command: &mut Command) -> Running<'_> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(read_to_end);
        let stderr = child.stderr.take().map(read_to_end);
        Running { sandbox: self, child, stdout, stderr }
    }

    /// The processes that run under this sandbox's mark and whose command line has this part.
    pub fn processes(&self, part: &str) -> Vec<Process> {
        let mut marked = processes::marked(MARK, &self.mark());
        marked.retain(|process| process.command.contains(part));
        marked
    }

    /// Asserts that nothing is left of what ran here but these files: no process, no temporary file, no other file.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_clean(&self, files: &[&str]) {
        processes::assert_gone(MARK, &self.mark(), GONE_WITHIN);
        assert_eq!(names_in(&self.root.path().join("tmp")), BTreeSet::new(), "temporary files are left");
        let expected: BTreeSet<String> = files.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(names_in(&self.root.path().join("work")), expected);
    }

    /// Waits until no process is left.
    ///
    /// # Panics
    /// When some are there after this time.
    pub fn assert_no_process_after(&self, time: Duration) {
        processes::assert_gone(MARK, &self.mark(), time);
    }

    fn mark(&self) -> String {
        self.root.path().display().to_string()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for process in self.processes("") {
            process.kill();
        }
    }
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A process that was started and has not been waited for.
#[derive(Debug)]
pub struct Running<'s> {
    sandbox: &'s Sandbox,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running<'_> {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        processes::signal(self.child.id(), signal);
    }

    /// Waits until `condition` holds while it runs.
    ///
    /// # Panics
    /// When the process ends first, or the time for a run is over.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&Sandbox) -> bool) {
        let mut status = None;
        let held = processes::within(RUN_LIMIT, || {
            status = self.child.try_wait().unwrap_or_else(|error| panic!("wait: {error}"));
            status.is_some() || condition(self.sandbox)
        });
        if status.is_some() || !held {
            panic!("{what} did not come ({status:?}):\n{}", self.killed());
        }
    }

    /// Waits for its end, as long as a run may take.
    pub fn ended(self) -> Ended {
        self.ended_within(RUN_LIMIT)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended by then; with what it printed.
    pub fn ended_within(mut self, limit: Duration) -> Ended {
        let mut status = None;
        processes::within(limit, || {
            status = self.child.try_wait().unwrap_or_else(|error| panic!("wait: {error}"));
            status.is_some()
        });
        let Some(status) = status else {
            panic!("it did not end within {limit:?}; it printed\n{}", self.killed());
        };
        let stdout = collected(self.stdout.take());
        let stderr = String::from_utf8_lossy(&collected(self.stderr.take())).into_owned();
        Ended { status, stdout, stderr }
    }

    /// Kills it with all that it started, and gives what it printed.
    fn killed(&mut self) -> String {
        for process in self.sandbox.processes("") {
            process.kill();
        }
        let _reaped = self.child.wait();
        String::from_utf8_lossy(&collected(self.stderr.take())).into_owned()
    }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error tells more than the error.
        let _read = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn collected(reader: Option<JoinHandle<Vec<u8>>>) -> Vec<u8> {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script in a sandbox.
    fn shell<'s>(sandbox: &'s Sandbox, script: &str) -> Running<'s> {
        sandbox.start(sandbox.any("sh").args(["-c", script]))
    }

    #[test]
    fn what_a_run_leaves_is_noticed_be_it_a_file_or_a_temporary_one() {
        for left in ["touch unexpected", "touch $TMPDIR/left"] {
            let sandbox = Sandbox::new("sh");
            shell(&sandbox, left).ended().succeeded();
            let noticed =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sandbox.assert_clean(&[])));
            assert!(noticed.is_err(), "{left}");
        }
    }

    #[test]
    fn a_process_is_seen_while_it_runs_wherever_it_has_gone() {
        let sandbox = Sandbox::new("sh");
        shell(&sandbox, "setsid sleep 1000 > /dev/null 2>&1 &").ended().succeeded();
        let [process] = &sandbox.processes("sleep 1000")[..] else { panic!("{:?}", sandbox.processes("")) };
        assert!(process.peak_memory_kib().is_some_and(|kib| kib > 0));
        process.kill();
        sandbox.assert_clean(&[]);
        assert_eq!(process.peak_memory_kib(), None);
    }

    #[test]
    fn a_run_that_hangs_is_killed_and_fails_with_what_it_printed() {
        let sandbox = Sandbox::new("sh");
        let mut running = shell(&sandbox, "echo stuck here >&2; sleep 1000");
        running.until("sleep", |sandbox| sandbox.processes("").iter().any(|it| it.command == "sleep 1000"));
        let waited = std::panic::AssertUnwindSafe(|| running.ended_within(Duration::from_millis(1)));
        let panic = std::panic::catch_unwind(waited).map(|ended| ended.status).unwrap_err();
        assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("stuck here")));
        sandbox.assert_clean(&[]);
    }
}
