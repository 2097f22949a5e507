//! What the pool costs: bytes a second through one process, and processes a second.
//!
//! `cargo bench -p fanfold-pool`. The floor for `cat` is what the kernel gives two processes on two pipes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on fails")]

use std::convert::Infallible;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use fanfold_pool::{ForkServer, ForkedTask, Input, Output, Pool, Program, Settings};
use futures::StreamExt;
use futures::future::join_all;
use tokio::runtime::Runtime;

/// Bytes through a process in each sample: 256 MiB, long against the start.
const PASSED_BYTES: usize = 256 << 20;

/// Bytes in each record of the input.
const RECORD_BYTES: usize = 128;

/// Most bytes in each piece: as many as fit into a pipe.
const BLOCK_BYTES: usize = 1 << 20;

fn main() {
    divan::main();
}

/// Records as many as fit, from a block of them.
struct Records {
    block: Bytes,
    left_bytes: usize,
    may_end_early: bool,
}

impl Input for Records {
    type Error = Infallible;

    async fn next(&mut self, room_bytes: usize) -> Option<Result<Bytes, Infallible>> {
        let most_bytes = self.left_bytes.min(self.block.len());
        let records = (room_bytes / RECORD_BYTES).clamp(1, (most_bytes / RECORD_BYTES).max(1));
        let piece = self.block.slice(..most_bytes.min(records * RECORD_BYTES));
        self.left_bytes -= piece.len();
        (!piece.is_empty()).then_some(Ok(piece))
    }

    fn may_end_early(&self) -> bool {
        self.may_end_early
    }
}

struct Discarding;

impl Output for Discarding {
    type Error = Infallible;

    async fn write(&mut self, _: Bytes) -> Result<(), Infallible> {
        Ok(())
    }
}

fn pool() -> Pool {
    let processes = NonZeroUsize::new(6).expect("six is not zero");
    Pool::new(Settings {
        processes,
        bytes_in_flight: 6 << 20,
        grace: Duration::from_secs(1),
        memory_bytes: Some(1 << 40),
        process_memory_bytes: None,
    })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be had")
}

async fn run(pool: &Pool, argv: &[&str], input_bytes: usize, may_end_early: bool) {
    let argv = argv.iter().map(Into::into).collect();
    let program = Program { argv, environment: Vec::new(), directory: None };
    let block =
        Bytes::from([vec![b'x'; RECORD_BYTES - 1], vec![b'\n']].concat().repeat(BLOCK_BYTES / RECORD_BYTES));
    let mut records = Records { block, left_bytes: input_bytes, may_end_early };
    let ended = pool.run(&program, &mut records, &mut Discarding, &mut |_: &[u8]| ()).await;
    assert!(ended.expect("the run ends").exit.success());
}

/// In through standard input, and out again; with an input that may end early, and so is paced, or not.
#[divan::bench(args = [false, true], sample_count = 10)]
fn through_cat(bencher: Bencher, may_end_early: bool) {
    let (pool, runtime) = (pool(), runtime());
    bencher
        .counter(BytesCount::new(PASSED_BYTES))
        .bench(|| runtime.block_on(run(&pool, &["cat"], PASSED_BYTES, may_end_early)));
}

/// A chunk that is over in a moment, through programs that start slower and slower.
#[divan::bench(args = [("cat", false), ("cat", true), ("sed", false), ("sed", true), ("python3", false), ("python3", true)], sample_count = 30)]
fn a_moment(bencher: Bencher, (program, may_end_early): (&str, bool)) {
    const LINE_BY_LINE: &str = "import sys\nfor line in sys.stdin: sys.stdout.write(line)";
    let (pool, runtime) = (pool(), runtime());
    let argv = match program {
        "sed" => vec!["sed", "s/x/y/"],
        "python3" => vec!["python3", "-c", LINE_BY_LINE],
        _ => vec![program],
    };
    bencher.bench(|| runtime.block_on(run(&pool, &argv, 100_000, may_end_early)));
}

/// Out only.
#[divan::bench(sample_count = 10)]
fn out_of_head(bencher: Bencher) {
    let (pool, runtime) = (pool(), runtime());
    let bytes = PASSED_BYTES.to_string();
    bencher
        .counter(BytesCount::new(PASSED_BYTES))
        .bench(|| runtime.block_on(run(&pool, &["head", "-c", &bytes, "/dev/zero"], 0, false)));
}

/// Processes that do nothing, so many at once.
#[divan::bench(args = [1, 6], sample_count = 10)]
fn starts_of_true(bencher: Bencher, at_once: usize) {
    const STARTS: usize = 120;
    let (pool, runtime) = (pool(), runtime());
    bencher.counter(ItemsCount::new(STARTS)).bench(|| {
        runtime.block_on(async {
            for _ in 0..STARTS / at_once {
                join_all((0..at_once).map(|_| run(&pool, &["true"], 0, false))).await;
            }
        });
    });
}

/// A task of the tests' program for tasks.
fn task(name: &str, calls_per_process: u32) -> ForkedTask {
    let program = |argv: &str| Program { argv: vec![argv.into()], environment: Vec::new(), directory: None };
    let server = Arc::new(ForkServer::new(program(env!("CARGO_BIN_EXE_fanfold-pool-forking")), name));
    let calls_per_process = NonZeroU32::new(calls_per_process).expect("a process takes calls");
    ForkedTask::new(server, &program(name), calls_per_process).expect("the surroundings are plain")
}

async fn call(pool: &Pool, task: &ForkedTask, message: &str) -> Vec<u8> {
    let mut output = Vec::new();
    let input = &mut futures::stream::empty::<Result<Bytes, Infallible>>();
    let ended = pool.call(task, message.as_bytes(), input, &mut output, &mut |_: &[u8]| ()).await;
    assert!(ended.expect("the call ends").exit.success());
    output
}

/// Calls that do next to nothing, results in order: by a process each, or by processes that take many.
#[divan::bench(args = [(1, 2_000), (1_000, 20_000)], sample_count = 10)]
fn tiny_calls(bencher: Bencher, (calls_per_process, calls): (u32, usize)) {
    let (pool, runtime) = (Arc::new(pool()), runtime());
    let task = Arc::new(task("steps", calls_per_process));
    bencher.counter(ItemsCount::new(calls)).bench(|| {
        runtime.block_on(async {
            let one = |_| {
                let (pool, task) = (Arc::clone(&pool), Arc::clone(&task));
                tokio::spawn(async move { call(&pool, &task, "write=8").await })
            };
            let mut results = futures::stream::iter((0..calls).map(one)).buffered(24);
            while let Some(result) = results.next().await {
                assert_eq!(result.expect("the call ends").len(), 8);
            }
        });
    });
}

/// From the request to the result's first byte, with so many MiB loaded, by a process of its own or by one that rests.
#[divan::bench(args = [(0, 1), (256, 1), (256, 1_000)], sample_count = 20)]
fn first_byte_with_a_table_of_mib(bencher: Bencher, (mib, calls_per_process): (u32, u32)) {
    let (pool, runtime) = (pool(), runtime());
    let task = task(&format!("table={mib}"), calls_per_process);
    runtime.block_on(call(&pool, &task, "write=1"));
    bencher.bench(|| runtime.block_on(call(&pool, &task, "write=1")));
}
