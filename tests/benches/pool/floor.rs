//! What nothing can be quicker than: the same programs, six pipes, and a loop that reads what there is. And GNU parallel,
//! whose output one only has to read.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

use crate::chunk::letter;
use crate::work::{CHUNKS, Work};

/// What is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// This program as that of a chunk, but for its index.
fn chunk(work: Work) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("chunk").args(work.words()).stdin(Stdio::null());
    command
}

/// A chunk under way.
struct Running {
    index: usize,
    child: Child,
    stdout: ChildStdout,
    bytes: Vec<u8>,
}

impl Running {
    fn start(work: Work, index: usize) -> Self {
        let mut child = chunk(work).arg(index.to_string()).stdout(Stdio::piped()).spawn().expect("a process");
        let stdout = child.stdout.take().expect("a pipe");
        Self { index, child, stdout, bytes: Vec::new() }
    }
}

/// Does the work, and tells what it took.
pub(crate) fn run(work: Work) {
    let began = Instant::now();
    let mut left = (0..work.chunks()).map(|index| Running::start(work, index));
    let mut running: Vec<Running> = left.by_ref().take(CHUNKS).collect();
    let (mut done, mut block, mut lacking) = (Vec::new(), vec![0; BLOCK_BYTES], CHUNKS);
    let mut all_began = None;
    while !running.is_empty() {
        for place in readable(&running).into_iter().rev() {
            let it = &mut running[place];
            let read = it.stdout.read(&mut block).expect("a pipe can be read");
            lacking -= usize::from(it.bytes.is_empty() && read > 0 && lacking > 0);
            if lacking == 0 {
                all_began.get_or_insert_with(|| began.elapsed());
            }
            it.bytes.extend_from_slice(&block[..read]);
            if read == 0 {
                let mut ended = running.swap_remove(place);
                assert!(ended.child.wait().expect("a process ends").success());
                done.push((ended.index, ended.bytes));
                running.extend(left.next());
            }
        }
    }
    done.sort_unstable_by_key(|(index, _)| *index);
    let whole = done.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>().concat();
    let first = all_began.filter(|_| matches!(work, Work::Table(_)));
    tell(work, first.unwrap_or_else(|| began.elapsed()), &whole);
}

/// The places of those of which there is something to read, or an end.
fn readable(running: &[Running]) -> Vec<usize> {
    let mut polled: Vec<PollFd<'_>> =
        running.iter().map(|it| PollFd::from_borrowed_fd(it.stdout.as_fd(), PollFlags::IN)).collect();
    poll(&mut polled, None).expect("pipes can be waited for");
    (0..polled.len()).filter(|place| !polled[*place].revents().is_empty()).collect()
}

/// Has GNU parallel do the work.
pub(crate) fn run_parallel(work: Work) {
    let began = Instant::now();
    let mut command = Command::new("parallel");
    command.args(["--will-cite", "--keep-order", "--jobs", &CHUNKS.to_string()]);
    command.arg(std::env::current_exe().expect("this program has a path")).arg("chunk").args(work.words());
    command.args(["{}", ":::"]).args((0..work.chunks()).map(|index| index.to_string()));
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().expect("parallel starts");
    assert!(output.status.success(), "{}", output.status);
    tell(work, began.elapsed(), &output.stdout);
}

/// Tells what the work took, and whether its result is right where that is asked: by `--check`.
pub(crate) fn tell(work: Work, time: Duration, whole: &[u8]) {
    tell_that(time, || is_right(work, whole));
}

/// Tells what the work took, and whether its result is right where that is asked: by `--check`.
pub(crate) fn tell_that(time: Duration, is_right: impl FnOnce() -> bool) {
    let is_checked = std::env::args().any(|argument| argument == "--check");
    println!("{}", json!({ "seconds": time.as_secs_f64(), "right": !is_checked || is_right() }));
}

fn is_right(work: Work, whole: &[u8]) -> bool {
    let lines = || whole.split_inclusive(|byte| *byte == b'\n');
    match work {
        Work::Bytes(bytes) => {
            let is_of = |(index, part): (usize, &[u8])| part.iter().all(|byte| *byte == letter(index));
            whole.len() == bytes * CHUNKS && whole.chunks(bytes).enumerate().all(is_of)
        }
        Work::Rows(count) => {
            let has_id = |(id, line): (usize, &[u8])| line.starts_with(format!("{{\"id\": {id},").as_bytes());
            lines().count() == count * CHUNKS && lines().enumerate().all(has_id)
        }
        Work::Tiny(count) => {
            let is_index = |(index, line): (usize, &[u8])| line == format!("{index}\n").as_bytes();
            lines().count() == count && lines().enumerate().all(is_index)
        }
        Work::Table(_) => whole == [1; CHUNKS],
    }
}
