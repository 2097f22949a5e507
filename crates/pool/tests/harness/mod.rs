//! What the tests of the pool share: programs, inputs, and a look at what is left.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod holding;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Ended, Input, Output, Pool, Program, RunError, Settings};
use futures::Stream;
use futures::stream;

/// A pool of six with room for 1 MiB, and patience for a slow machine.
pub(crate) fn pool() -> Pool {
    pool_of(6, Duration::from_secs(20))
}

pub(crate) fn pool_of(processes: usize, grace: Duration) -> Pool {
    Pool::new(Settings { grace, ..settings(processes) })
}

/// For so many processes at once, without bounds on memory.
pub(crate) fn settings(processes: usize) -> Settings {
    Settings {
        processes: NonZeroUsize::new(processes).expect("a pool has processes"),
        bytes_in_flight: 1 << 20,
        grace: Duration::from_secs(20),
        memory_bytes: None,
        process_memory_bytes: None,
    }
}

pub(crate) fn program<A: Into<OsString>>(argv: impl IntoIterator<Item = A>) -> Program {
    let path = std::env::var_os("PATH").expect("the tests run with a PATH");
    Program {
        argv: argv.into_iter().map(Into::into).collect(),
        environment: vec![("PATH".into(), path)],
        directory: None,
    }
}

pub(crate) fn shell(script: &str) -> Program {
    program(["sh", "-c", script])
}

/// The program in `tests/fixture`, which does what its arguments say.
pub(crate) fn scripted<A: Into<OsString>>(steps: impl IntoIterator<Item = A>) -> Program {
    let mut program = program([env!("CARGO_BIN_EXE_fanfold-pool-scripted")]);
    program.argv.extend(steps.into_iter().map(Into::into));
    program
}

pub(crate) fn no_input() -> stream::Empty<Result<Bytes, Infallible>> {
    stream::empty()
}

/// `bytes` in pieces of `piece_bytes`.
pub(crate) fn input(
    bytes: Vec<u8>,
    piece_bytes: usize,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let bytes = Bytes::from(bytes);
    let starts = (0..bytes.len()).step_by(piece_bytes);
    stream::iter(starts.map(move |start| Ok(bytes.slice(start..bytes.len().min(start + piece_bytes)))))
}

/// Lines, as many as fit, until it is over: then it ends, whatever is left.
pub(crate) struct EndingEarly<F> {
    pub(crate) left: Bytes,
    /// What was given; whole lines.
    pub(crate) given: Vec<u8>,
    /// Whether it is over, asked before each piece.
    pub(crate) over: F,
}

impl<F: FnMut() -> bool> EndingEarly<F> {
    pub(crate) fn new(text: impl Into<Bytes>, over: F) -> EndingEarly<F> {
        EndingEarly { left: text.into(), given: Vec::new(), over }
    }
}

impl<F: FnMut() -> bool + Send> Input for EndingEarly<F> {
    type Error = Infallible;

    async fn next(&mut self, room_bytes: usize) -> Option<Result<Bytes, Infallible>> {
        // An input that is sometimes not ready, and loses nothing if it is not waited for.
        tokio::task::yield_now().await;
        if self.left.is_empty() || (self.over)() {
            return None;
        }
        let line_end = |position: usize| position + 1;
        let fits = self.left[..self.left.len().min(room_bytes)].iter().rposition(|&byte| byte == b'\n');
        let first = || self.left.iter().position(|&byte| byte == b'\n');
        let end = fits.or_else(first).map_or(self.left.len(), line_end);
        let piece = self.left.split_to(end);
        self.given.extend_from_slice(&piece);
        Some(Ok(piece))
    }

    fn may_end_early(&self) -> bool {
        true
    }
}

/// Bytes whose period is a prime, so that a piece lost, doubled or moved shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|position| (position % 251) as u8).collect()
}

/// What a run of a program without input gave.
pub(crate) async fn run(
    pool: &Pool,
    program: &Program,
) -> (Result<Ended, RunError<Infallible, Infallible>>, Vec<u8>, Vec<Vec<u8>>) {
    run_with(pool, program, no_input()).await
}

pub(crate) async fn run_with(
    pool: &Pool,
    program: &Program,
    mut input: impl Input<Error = Infallible>,
) -> (Result<Ended, RunError<Infallible, Infallible>>, Vec<u8>, Vec<Vec<u8>>) {
    let (mut output, mut lines) = (Vec::new(), Vec::new());
    let ended =
        pool.run(program, &mut input, &mut output, &mut |line: &[u8]| lines.push(line.to_vec())).await;
    (ended, output, lines)
}

/// The children of this process, zombies included, as /proc tells: independent of the pool's own books.
pub(crate) fn children_of_this_process() -> Vec<String> {
    stats_of_children(std::process::id())
}

/// The numbers of a process's children.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let number = |stat: String| stat.split_once(' ')?.0.parse().ok();
    stats_of_children(pid).into_iter().filter_map(number).collect()
}

fn stats_of_children(pid: u32) -> Vec<String> {
    let me = pid.to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc can be read").flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        if fields.split_ascii_whitespace().nth(1) == Some(&me) {
            children.push(stat.trim_end().to_owned());
        }
    }
    children
}

/// The memory of a process in which every page counts for as much as its share among those that have it.
pub(crate) fn pss_bytes(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process lives");
    let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("there is a sum");
    pss.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

/// Whether a process runs: it exists and is no zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, fields)| !matches!(fields.trim_start().chars().next(), Some('Z' | 'X')))
}

/// Gives the program an environment variable by which the test finds its processes, and returns that.
pub(crate) fn tag(program: &mut Program, test: &str) -> String {
    let value = format!("{test}-{}", std::process::id());
    program.environment.push(("TEST_TAG".into(), value.clone().into()));
    format!("TEST_TAG={value}")
}

/// Processes that have `entry` in their environment.
pub(crate) fn processes_with(entry: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc can be read").flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|&byte| byte == 0).any(|other| other == entry.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// Hands on what it gets, so that a test can wait for what a program says.
pub(crate) struct Telling(pub(crate) tokio::sync::mpsc::UnboundedSender<Bytes>);

impl Output for Telling {
    type Error = Infallible;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        // Nobody listens any more once the test has heard enough.
        self.0.send(bytes).ok();
        Ok(())
    }
}

/// Receives until a whole line has come, and returns it without its end.
pub(crate) async fn line(said: &mut tokio::sync::mpsc::UnboundedReceiver<Bytes>) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.extend(said.recv().await.expect("the program ended before its line did"));
    }
    String::from_utf8(line).expect("the line is text").trim_end().to_owned()
}
