//! Processes that take their memory and hold it until they are told to go.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Ended, Pool, Program};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Telling, processes_with, scripted, tag};

/// What a process touches, in MiB, and the most that it takes with all else that it has.
pub(crate) const TOUCHED_MIB: u64 = 64;
pub(crate) const PROCESS_BYTES: u64 = (TOUCHED_MIB + 12) << 20;

/// Memory for two of them.
pub(crate) const MEMORY_BYTES: u64 = 2 * PROCESS_BYTES + PROCESS_BYTES / 2;

/// Longer than who waits for memory lets pass between two looks, by far.
pub(crate) const MANY_LOOKS: Duration = Duration::from_millis(500);

/// A program that takes its memory, says so, and ends when its input does.
pub(crate) fn holding() -> Program {
    scripted([&format!("touch-mb={TOUCHED_MIB}"), "write=1", "read-all"])
}

/// How a process is told to end: by the end of its input, when this is dropped.
pub(crate) type Hold = UnboundedSender<Result<Bytes, Infallible>>;

/// Runs a program whose input goes on until told; `said` is sent what it prints.
pub(crate) async fn held(
    pool: &Pool,
    program: &Program,
    told: UnboundedReceiver<Result<Bytes, Infallible>>,
    said: UnboundedSender<Bytes>,
) -> Ended {
    let mut input =
        Box::pin(futures::stream::unfold(told, async |mut told| Some((told.recv().await?, told))));
    pool.run(program, &mut input, &mut Telling(said), &mut |_: &[u8]| ()).await.unwrap()
}

/// The memory of these processes together, in bytes, as the kernel's simplest count has it.
fn resident_bytes(pids: &[u32]) -> u64 {
    let status = |pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    pids.iter().filter_map(|&pid| kib(&status(pid))).sum::<u64>() << 10
}

/// Runs six programs that hold their memory until told to go, of which two fit, and lets them go one by one.
pub(crate) async fn never_more_than_two(pool: &Pool, name: &str) {
    let mut program = holding();
    let tag = tag(&mut program, name);
    let (told, mut said) = unbounded_channel();
    let mut holds: Vec<Hold> = Vec::new();
    let mut runs = FuturesUnordered::new();
    for _ in 0..6 {
        let (hold, goes_on) = unbounded_channel();
        holds.push(hold);
        runs.push(held(pool, &program, goes_on, told.clone()));
    }
    drop(told);
    let (mut ready, mut ended) = (0, 0);
    holds.reverse();
    while ended < 6 {
        let expected = (ended + 2).min(6);
        while ready < expected {
            tokio::select! {
                piece = said.recv() => ready += piece.unwrap().len(),
                ended = runs.next() => panic!("nobody was told to end: {ended:?}"),
            }
        }
        // A third that should wait would take its memory by now, and say so.
        let other = tokio::time::timeout(MANY_LOOKS, async {
            tokio::select! {
                _ = said.recv(), if ready < 6 => (),
                _ = runs.next() => (),
            }
        });
        assert!(other.await.is_err(), "{ready} have started, and {ended} have ended");
        let running = processes_with(&tag);
        assert_eq!(running.len(), ready - ended);
        assert!(resident_bytes(&running) <= MEMORY_BYTES);
        // In the order in which they came.
        drop(holds.pop());
        assert!(runs.next().await.unwrap().exit.success());
        ended += 1;
    }
    assert!(runs.is_empty());
}
