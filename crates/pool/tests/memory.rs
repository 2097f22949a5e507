//! Memory does not grow with the result. Alone in its test binary, because the peak is that of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::fs;

use bytes::Bytes;
use fanfold_pool::Output;
use futures::future::join_all;
use harness::{no_input, pattern, pool, scripted};

/// The period of the test program's pattern, in bytes.
const PERIOD: usize = 251;

/// The peak of this process's resident memory, in bytes.
fn peak_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// Compares what comes with the pattern, and keeps nothing.
struct Comparing {
    pattern: Vec<u8>,
    position: usize,
}

impl Output for Comparing {
    type Error = Infallible;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        let start = self.position % PERIOD;
        assert!(bytes == self.pattern[start..start + bytes.len()], "differs after byte {}", self.position);
        self.position += bytes.len();
        Ok(())
    }
}

#[tokio::test]
async fn results_of_any_size_pass_through_the_same_memory() {
    let pool = pool();
    let pass = async |megabytes: usize| {
        let mut output = Comparing { pattern: pattern((1 << 20) + PERIOD), position: 0 };
        let program = scripted([format!("write={}", megabytes << 20)]);
        let ended = pool.run(&program, &mut no_input(), &mut output, &mut |_: &[u8]| ()).await.unwrap();
        assert!(ended.exit.success());
        assert_eq!(output.position, megabytes << 20);
        assert_eq!(ended.bytes_out, (megabytes as u64) << 20);
    };
    pass(1).await;
    let before = peak_bytes();
    pass(512).await;
    join_all((0..6).map(|_| pass(64))).await;
    let growth = peak_bytes() - before;
    assert!(growth < 50 << 20, "the peak grew by {growth} bytes");
}
