//! No process outlives its run, however the run ends and however the process tries.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Exit, Output, Program, RunError};
use futures::FutureExt;
use futures::future::join_all;
use harness::{Telling, is_running, line, no_input, pool, pool_of, processes_with, run, shell, tag};
use tokio::sync::{Barrier, mpsc};

/// Runs a program until it has said a line, then drops the run. Returns the line.
async fn drop_after_a_line(program: &Program) -> String {
    let (told, mut said) = mpsc::unbounded_channel();
    let pool = pool();
    let (mut input, mut output, mut log) = (no_input(), Telling(told), |_: &[u8]| ());
    let run = pool.run(program, &mut input, &mut output, &mut log);
    tokio::select! {
        ended = run => panic!("the program ended by itself: {ended:?}"),
        line = line(&mut said) => line,
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_neither_the_process_nor_its_descendants() {
    let script = "sleep 1000 & (sleep 1001 & sleep 1002 >/dev/null 2>&1 &) ; echo ready; exec sleep 1003";
    let mut program = shell(script);
    let tag = tag(&mut program, "dropped");
    assert_eq!(drop_after_a_line(&program).await, "ready");
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_no_descendant_that_has_shed_the_mark() {
    let pid = drop_after_a_line(&shell("env -i sleep 1000 & echo $!; wait")).await.parse().unwrap();
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_stopped_process_is_killed_like_any_other() {
    let mut program = shell("sleep 1000 & kill -STOP $!; echo ready; kill -STOP $$");
    let tag = tag(&mut program, "stopped");
    drop_after_a_line(&program).await;
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
}

struct Panicking;

impl Output for Panicking {
    type Error = Infallible;

    async fn write(&mut self, _: Bytes) -> Result<(), Infallible> {
        panic!("a bug in the consumer");
    }
}

#[tokio::test]
async fn a_consumer_that_panics_takes_the_process_with_it() {
    let mut program = shell("sleep 1000 & yes");
    let tag = tag(&mut program, "panicked");
    let (pool, mut input, mut output, mut log) = (pool(), no_input(), Panicking, |_: &[u8]| ());
    let run = pool.run(&program, &mut input, &mut output, &mut log).boxed();
    let panicked = std::panic::AssertUnwindSafe(run).catch_unwind().await;
    assert!(panicked.is_err());
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
}

#[tokio::test]
async fn what_a_program_leaves_in_the_background_is_killed_and_reported() {
    let mut program = shell("(sleep 1000 </dev/null >/dev/null 2>&1 &); echo done");
    let tag = tag(&mut program, "daemon");
    let (ended, output, _) = run(&pool(), &program).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, output.as_slice()), (Exit::Code(0), b"done\n".as_slice()));
    // It may have been met before it became `sleep`, and then once more after.
    assert!(ended.leftovers.iter().any(|leftover| ["sleep", "sh"].contains(&leftover.name.as_str())));
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
}

#[tokio::test]
async fn a_descendant_that_forks_for_ever_is_caught() {
    let mut program = shell("(while :; do (:); done) </dev/null >/dev/null 2>&1 & echo done");
    let tag = tag(&mut program, "forking");
    let (ended, ..) = run(&pool(), &program).await;
    assert!(!ended.unwrap().leftovers.is_empty());
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
}

#[tokio::test]
async fn a_held_standard_error_delays_nothing() {
    let mut program = shell("echo last >&2; sleep 1000 >/dev/null & :");
    let tag = tag(&mut program, "stderr");
    // The grace is longer than any test run; it is for standard output only.
    let (ended, _, lines) = run(&pool_of(1, Duration::from_secs(100_000)), &program).await;
    assert!(ended.unwrap().exit.success());
    assert_eq!(lines, [b"last"]);
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
}

#[tokio::test]
async fn a_held_standard_output_is_never_taken_for_the_whole() {
    for script in ["sleep 1000 & echo hi", "env -i sleep 1000 & echo hi", "(yes &); echo hi"] {
        let mut program = shell(script);
        let tag = tag(&mut program, "held");
        let (ended, output, _) = run(&pool_of(1, Duration::from_millis(300)), &program).await;
        let Err(RunError::OutputHeld { pid, holders, .. }) = &ended else { panic!("{script}: {ended:?}") };
        assert!(!holders.is_empty() && holders.iter().all(|holder| holder.pid != *pid), "{holders:?}");
        assert!(holders.iter().all(|holder| !is_running(holder.pid)));
        assert!(script.contains("yes") || output == b"hi\n");
        let message = ended.unwrap_err().to_string();
        assert!(message.contains("(sleep)") || message.contains("(yes)"), "{message}");
        assert_eq!(processes_with(&tag), Vec::<u32>::new());
    }
}

#[tokio::test]
async fn an_output_that_a_descendant_finishes_within_the_grace_is_whole() {
    let (ended, output, _) = run(&pool(), &shell("(sleep 0.1; echo late) & echo early")).await;
    assert!(ended.unwrap().exit.success());
    assert_eq!(output, b"early\nlate\n");
}

#[tokio::test]
async fn killing_the_leftovers_of_a_pool_spares_those_of_another() {
    let (pool, other) = (pool(), pool());
    let (told, mut said) = mpsc::unbounded_channel();
    let program = shell("sleep 1000 & echo $$; wait");
    let (mut first, mut second, mut spared) = (Telling(told.clone()), Telling(told.clone()), Telling(told));
    let (mut none, mut none_too, mut other_none) = (no_input(), no_input(), no_input());
    let (mut log, mut log_too, mut other_log) = (|_: &[u8]| (), |_: &[u8]| (), |_: &[u8]| ());
    let both = join_all([
        pool.run(&program, &mut none, &mut first, &mut log).boxed(),
        pool.run(&program, &mut none_too, &mut second, &mut log_too).boxed(),
    ]);
    let spared = other.run(&program, &mut other_none, &mut spared, &mut other_log);
    let killed = async {
        for _ in 0..3 {
            line(&mut said).await;
        }
        pool.kill_leftovers().unwrap()
    };
    tokio::select! {
        (ended, killed) = async { tokio::join!(both, killed) } => {
            assert_eq!(killed.len(), 4, "{killed:?}");
            assert!(ended.into_iter().all(|ended| ended.unwrap().exit == Exit::Signal(9)));
        }
        ended = spared => panic!("the other pool's process ended: {ended:?}"),
    }
    assert_eq!(pool.kill_leftovers().unwrap(), []);
}

/// Counts how many runs are under way, and waits until `barrier` is full.
struct Counting {
    barrier: Arc<Barrier>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Output for Counting {
    type Error = Infallible;

    async fn write(&mut self, _: Bytes) -> Result<(), Infallible> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.barrier.wait().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_run_at_once_and_never_seven() {
    let pool = pool_of(6, Duration::from_secs(20));
    let (barrier, running, most) = (Arc::new(Barrier::new(6)), Arc::default(), Arc::default());
    let program = shell("echo started");
    // Each batch passes only if six are there together; a seventh would be counted.
    let runs = (0..24).map(|_| async {
        let (barrier, running, most) = (Arc::clone(&barrier), Arc::clone(&running), Arc::clone(&most));
        let mut output = Counting { barrier, running, most };
        pool.run(&program, &mut no_input(), &mut output, &mut |_: &[u8]| ()).await.unwrap().exit
    });
    assert!(join_all(runs).await.into_iter().all(Exit::success));
    assert_eq!(most.load(Ordering::SeqCst), 6);
}
