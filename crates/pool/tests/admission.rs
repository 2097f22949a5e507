//! Memory decides how many run at once, and ends what takes more than it may.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Ended, Exit, ForkServer, ForkedTask, Pool, Program, Settings};
use futures::FutureExt;
use futures::future::join_all;
use harness::holding::{MANY_LOOKS, MEMORY_BYTES, PROCESS_BYTES, held, holding, never_more_than_two};
use harness::{line, no_input, processes_with, program, run, scripted, settings, shell, tag};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

fn pool(memory_bytes: u64, process_memory_bytes: Option<u64>) -> Pool {
    Pool::new(Settings { memory_bytes: Some(memory_bytes), process_memory_bytes, ..settings(6) })
}

/// A shell that starts the program, which is `"$0" "$@"` to it, as `script` says.
fn by_shell(script: &str, mut program: Program) -> Program {
    program.argv.splice(0..0, ["sh".into(), "-c".into(), script.into()]);
    program
}

#[tokio::test]
async fn with_memory_for_two_a_third_starts_when_one_has_ended() {
    never_more_than_two(&pool(MEMORY_BYTES, Some(PROCESS_BYTES)), "limited").await;
}

#[tokio::test]
async fn what_does_not_fit_runs_alone() {
    let pool = pool(1, Some(PROCESS_BYTES));
    let runs = (0..4).map(|_| async {
        let (told, mut said) = unbounded_channel();
        let program = holding();
        let (_, goes_on) = unbounded_channel();
        let (ended, _) = tokio::join!(held(&pool, &program, goes_on, told), said.recv());
        ended.exit.success()
    });
    assert_eq!(join_all(runs).await, [true; 4]);
}

#[tokio::test]
async fn whoever_gives_up_waiting_holds_up_nobody() {
    let pool = pool(1, Some(PROCESS_BYTES));
    let first = pool.turn().await;
    let mut second = Box::pin(pool.turn());
    assert!((&mut second).now_or_never().is_none());
    let mut third = Box::pin(pool.turn());
    assert!((&mut third).now_or_never().is_none());
    drop(second);
    drop(first);
    let (mut output, mut input) = (Vec::new(), no_input());
    let ended =
        third.await.run(&program(["echo", "done"]), &mut input, &mut output, &mut |_: &[u8]| ()).await;
    assert!(ended.unwrap().exit.success() && output == b"done\n");
}

/// A task in forked processes, whose server has loaded so many MiB.
fn forked(loaded_mib: u64) -> ForkedTask {
    let name = format!("table={loaded_mib}");
    let server = ForkServer::new(program([env!("CARGO_BIN_EXE_fanfold-pool-forking")]), &*name);
    ForkedTask::new(Arc::new(server), &program(["task"]), NonZeroU32::MAX).unwrap()
}

/// Calls it with input that goes on until told; `said` is sent what it logs.
async fn called(
    pool: &Pool,
    task: &ForkedTask,
    steps: &str,
    told: UnboundedReceiver<Result<Bytes, Infallible>>,
    said: UnboundedSender<()>,
) -> Ended {
    let mut input =
        Box::pin(futures::stream::unfold(told, async |mut told| Some((told.recv().await?, told))));
    // Nobody listens any more once the test has heard enough.
    let mut log = |_: &[u8]| {
        said.send(()).ok();
    };
    pool.call(task, steps.as_bytes(), &mut input, &mut Vec::new(), &mut log).await.unwrap()
}

#[tokio::test]
async fn what_calls_share_with_their_server_counts_once() {
    const LOADED_MIB: u64 = 200;
    // Room for what was loaded, and for what each of two has besides; not for half of what was loaded in each.
    let pool = pool((LOADED_MIB + 90) << 20, None);
    let task = forked(LOADED_MIB);
    let (told, mut said) = unbounded_channel::<()>();
    let (first_hold, first_goes_on) = unbounded_channel();
    let (second_hold, second_goes_on) = unbounded_channel();
    let steps = "table\nfill=10\nerror-line=ready\nread-all";
    let both_are_there = async {
        for _ in 0..2 {
            said.recv().await.unwrap();
        }
        drop((first_hold, second_hold));
    };
    let runs = async {
        tokio::join!(
            called(&pool, &task, steps, first_goes_on, told.clone()),
            async {
                tokio::time::sleep(MANY_LOOKS).await;
                called(&pool, &task, steps, second_goes_on, told.clone()).await
            },
            both_are_there
        )
    };
    let (first, second, ()) =
        tokio::time::timeout(Duration::from_secs(300), runs).await.expect("both run at once");
    assert!(first.exit.success() && second.exit.success() && first.pid != second.pid);
}

#[tokio::test]
async fn a_call_may_share_what_it_likes_and_take_what_it_may() {
    const LIMIT_BYTES: u64 = 48 << 20;
    let pool = Pool::new(Settings { process_memory_bytes: Some(LIMIT_BYTES), ..settings(1) });
    let task = forked(200);
    let call = async |steps: &str| {
        let (told, _said) = unbounded_channel();
        let (_, goes_on) = unbounded_channel();
        called(&pool, &task, steps, goes_on, told).await
    };
    let shares = call("table\nfill=10\nsleep-ms=500").await;
    assert_eq!((shares.exit, shares.memory_exceeded), (Exit::Code(0), None));
    let takes = call("fill=64\nsleep-ms=1000000000").await;
    assert!(takes.memory_exceeded.is_some_and(|bytes| bytes > LIMIT_BYTES && bytes < 200 << 20), "{takes:?}");
    let next = call("write=1").await;
    assert!(next.exit.success() && next.pid != takes.pid);
}

/// Runs what takes more than 48 MiB and then goes on for ever, and gives how it ended.
async fn exceeding(mut program: Program, name: &str) -> Ended {
    const LIMIT_BYTES: u64 = 48 << 20;
    let tag = tag(&mut program, name);
    let pool = Pool::new(Settings { process_memory_bytes: Some(LIMIT_BYTES), ..settings(2) });
    let within = scripted(["touch-mb=16", "write=1", "read-all"]);
    let (told, mut said) = unbounded_channel();
    let (hold, goes_on) = unbounded_channel();
    let beside = held(&pool, &within, goes_on, told);
    let exceeding = async {
        said.recv().await;
        let ended = run(&pool, &program).await.0.unwrap();
        drop(hold);
        ended
    };
    let (beside, ended) = tokio::join!(beside, exceeding);
    assert!(beside.exit.success() && beside.memory_exceeded.is_none(), "it took less: {beside:?}");
    assert!(ended.memory_exceeded.is_some_and(|bytes| bytes > LIMIT_BYTES), "{ended:?}");
    assert_eq!(processes_with(&tag), Vec::<u32>::new());
    ended
}

#[tokio::test]
async fn a_process_that_takes_more_than_it_may_is_killed_and_says_so() {
    let ended = exceeding(scripted(["touch-mb=64", "sleep-ms=1000000000"]), "greedy").await;
    assert_eq!((ended.exit, ended.out_of_memory), (Exit::Signal(9), false));
}

#[tokio::test]
async fn what_a_descendant_takes_counts_and_the_whole_family_goes() {
    let program = scripted(["touch-mb=64", "sleep-ms=1000000000"]);
    let script = "\"$0\" \"$@\" & \"$0\" sleep-ms=1000000000 & wait; exec sleep 1000000";
    let ended = exceeding(by_shell(script, program), "greedy-child").await;
    assert_eq!(ended.exit, Exit::Signal(9));
}

/// Runs a program that says a line and ends with its input, has it looked at many times, and gives how it ended.
async fn looked_at(process_memory_bytes: u64, program: &Program) -> Ended {
    let pool = Pool::new(Settings { process_memory_bytes: Some(process_memory_bytes), ..settings(1) });
    let (told, mut said) = unbounded_channel();
    let (hold, goes_on) = unbounded_channel();
    let run = held(&pool, program, goes_on, told);
    let watch = async {
        line(&mut said).await;
        tokio::time::sleep(MANY_LOOKS).await;
        drop(hold);
    };
    tokio::join!(run, watch).0
}

#[tokio::test]
async fn what_is_reserved_but_never_touched_is_not_taken() {
    let program = by_shell("echo ready; exec \"$0\" \"$@\"", scripted(["reserve-mb=4096", "read-all"]));
    let ended = looked_at(48 << 20, &program).await;
    assert_eq!((ended.exit, ended.memory_exceeded), (Exit::Code(0), None));
}

#[tokio::test]
async fn memory_that_a_family_shares_counts_once() {
    // Each of the five has a copy of the variable, which none of them writes to.
    let script = "x=$(head -c 20971520 /dev/zero | tr '\\0' x)
        exec 3<&0; for i in 1 2 3 4; do (read y <&3) & done
        echo ready; read y; wait";
    let program = shell(script);
    let ended = looked_at(64 << 20, &program).await;
    assert_eq!((ended.exit.success(), ended.memory_exceeded), (true, None), "{ended:?}");
}
