//! What the pool costs: bytes a second through one process, and processes a second.
//!
//! `cargo bench -p fanfold-pool`. The floor for `cat` is what the kernel gives two processes on two pipes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on fails")]

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use fanfold_pool::{Output, Pool, Program, Settings};
use futures::future::join_all;
use futures::stream;
use tokio::runtime::Runtime;

/// Bytes through a process in each sample: 256 MiB, long against the start.
const PASSED_BYTES: usize = 256 << 20;

/// Bytes in each piece of the input.
const PIECE_BYTES: usize = 1 << 20;

fn main() {
    divan::main();
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
    Pool::new(Settings { processes, bytes_in_flight: 6 << 20, grace: Duration::from_secs(1) })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be had")
}

async fn run(pool: &Pool, argv: &[&str], input_bytes: usize) {
    let argv = argv.iter().map(Into::into).collect();
    let program = Program { argv, environment: Vec::new(), directory: None };
    let piece = Bytes::from(vec![b'x'; PIECE_BYTES]);
    let pieces = (0..input_bytes / PIECE_BYTES).map(|_| Ok::<_, Infallible>(piece.clone()));
    let ended = pool.run(&program, &mut stream::iter(pieces), &mut Discarding, &mut |_: &[u8]| ()).await;
    assert!(ended.expect("the run ends").exit.success());
}

/// In through standard input, and out again.
#[divan::bench(sample_count = 10)]
fn through_cat(bencher: Bencher) {
    let (pool, runtime) = (pool(), runtime());
    bencher
        .counter(BytesCount::new(PASSED_BYTES))
        .bench(|| runtime.block_on(run(&pool, &["cat"], PASSED_BYTES)));
}

/// Out only.
#[divan::bench(sample_count = 10)]
fn out_of_head(bencher: Bencher) {
    let (pool, runtime) = (pool(), runtime());
    let bytes = PASSED_BYTES.to_string();
    bencher
        .counter(BytesCount::new(PASSED_BYTES))
        .bench(|| runtime.block_on(run(&pool, &["head", "-c", &bytes, "/dev/zero"], 0)));
}

/// Processes that do nothing, so many at once.
#[divan::bench(args = [1, 6], sample_count = 10)]
fn starts_of_true(bencher: Bencher, at_once: usize) {
    const STARTS: usize = 120;
    let (pool, runtime) = (pool(), runtime());
    bencher.counter(ItemsCount::new(STARTS)).bench(|| {
        runtime.block_on(async {
            for _ in 0..STARTS / at_once {
                join_all((0..at_once).map(|_| run(&pool, &["true"], 0))).await;
            }
        });
    });
}
