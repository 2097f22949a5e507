//! The contract with a task: loaded once, called in forked processes; whatever it does there, the call ends, and says how.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_pool::{Ended, Exit, ForkServer, ForkedTask, Input, InputEnd, Pool, RunError, StartError};
use futures::{StreamExt, stream};
use harness::{
    EndingEarly, Telling, input, is_running, line, no_input, pattern, pool, pool_of, program, tag,
};

/// More than all pipes and buffers of a call together hold.
const MORE_THAN_FITS: usize = 5_000_011;

/// Longer than any test waits.
const GRACE: Duration = Duration::from_secs(20);

fn server(task: &str) -> Arc<ForkServer> {
    Arc::new(ForkServer::new(program([env!("CARGO_BIN_EXE_fanfold-pool-forking")]), task))
}

fn task(name: &str, calls_per_process: u32) -> ForkedTask {
    let calls = NonZeroU32::new(calls_per_process).unwrap();
    ForkedTask::new(server(name), &program([name]), calls).unwrap()
}

/// What a call gave: how it ended, the result, and the log's lines.
type Gave = (Result<Ended, RunError<Infallible, Infallible>>, Vec<u8>, Vec<String>);

async fn call(pool: &Pool, task: &ForkedTask, steps: &[&str]) -> Gave {
    call_with(pool, task, steps, no_input()).await
}

async fn call_with(
    pool: &Pool,
    task: &ForkedTask,
    steps: &[&str],
    mut input: impl Input<Error = Infallible>,
) -> Gave {
    let (mut output, mut lines) = (Vec::new(), Vec::new());
    let mut log = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
    let message = steps.join("\n");
    let ended = pool.call(task, message.as_bytes(), &mut input, &mut output, &mut log).await;
    (ended, output, lines)
}

/// The process that has loaded the task.
async fn server_of(pool: &Pool, task: &ForkedTask) -> u32 {
    let (ended, output, _) = call(pool, task, &["parent"]).await;
    assert_eq!(ended.unwrap().exit, Exit::Code(0));
    String::from_utf8(output).unwrap().trim().parse().unwrap()
}

/// How often the process had been called, and its number.
async fn count(pool: &Pool, task: &ForkedTask) -> (u32, u32) {
    let (ended, output, _) = call(pool, task, &["count"]).await;
    assert_eq!(ended.unwrap().exit, Exit::Code(0));
    let text = String::from_utf8(output).unwrap();
    let (calls, pid) = text.trim().split_once(' ').unwrap();
    (calls.parse().unwrap(), pid.parse().unwrap())
}

#[tokio::test]
async fn what_goes_in_comes_out_whatever_its_size_and_however_many_calls_a_process_takes() {
    for calls in [1, 3] {
        let (pool, task) = (pool(), task("steps", calls));
        for bytes in [0, 1, 4_095, 4_096, 65_536, MORE_THAN_FITS, 7] {
            let bytes = pattern(bytes);
            let (ended, output, lines) =
                call_with(&pool, &task, &["echo-all"], input(bytes.clone(), 70_001)).await;
            let ended = ended.unwrap();
            assert_eq!((ended.exit, ended.input), (Exit::Code(0), InputEnd::AllFed));
            let all = bytes.len() as u64;
            assert_eq!((ended.bytes_in, ended.bytes_out, ended.bytes_err), (all, all, 0));
            assert!(output == bytes && lines.is_empty() && ended.words.is_none());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fills_its_output_before_it_reads_does_not_deadlock() {
    let bytes = pattern(MORE_THAN_FITS);
    let (write, error) = (format!("write={MORE_THAN_FITS}"), format!("error={MORE_THAN_FITS}"));
    let steps = [write.as_str(), error.as_str(), "echo-all"];
    let (ended, output, _) =
        call_with(&pool(), &task("steps", 1), &steps, input(bytes.clone(), 1 << 20)).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.bytes_err), (Exit::Code(0), MORE_THAN_FITS as u64));
    assert!(output == [bytes.clone(), bytes].concat());
}

#[tokio::test]
async fn a_process_takes_as_many_calls_as_it_was_told_to_and_then_another_is_forked() {
    let (pool, task) = (pool(), task("steps", 3));
    let mut counts = Vec::new();
    for _ in 0..7 {
        counts.push(count(&pool, &task).await);
    }
    let calls: Vec<u32> = counts.iter().map(|(calls, _)| *calls).collect();
    assert_eq!(calls, [1, 2, 3, 1, 2, 3, 1]);
    let pids: BTreeSet<u32> = counts.iter().map(|(_, pid)| *pid).collect();
    assert_eq!(pids.len(), 3);
}

#[tokio::test]
async fn a_call_that_fails_says_why_and_its_process_is_renewed() {
    let (pool, task) = (pool(), task("steps", 100));
    let failures: [(&[&str], Exit, Option<&str>); 7] = [
        (
            &["write=9", "fail=no such order"],
            Exit::Code(1),
            Some("failed: fail=no such order: no such order"),
        ),
        (&["panic=the end"], Exit::Code(101), Some("panicked: the end")),
        (&["exit=0"], Exit::Code(1), Some("ended its process, with exit code 0, before the call was over")),
        (&["exit=3"], Exit::Code(3), Some("ended its process, with exit code 3, before the call was over")),
        (&["signal=6"], Exit::Signal(6), None),
        (&["signal=9"], Exit::Signal(9), None),
        (&["write=100000", "signal=4"], Exit::Signal(4), None),
    ];
    for (steps, exit, words) in failures {
        let (_, before) = count(&pool, &task).await;
        let (ended, _, lines) = call(&pool, &task, steps).await;
        let ended = ended.unwrap();
        assert_eq!((ended.exit, ended.words.as_deref()), (exit, words), "{steps:?}");
        assert_eq!(ended.pid, before, "the process that rested took the call");
        assert!(!is_running(ended.pid), "{steps:?}");
        assert_eq!(
            lines.iter().any(|line| line.contains("panicked at")),
            exit == Exit::Code(101),
            "{lines:?}"
        );
        let (calls, after) = count(&pool, &task).await;
        assert!(calls == 1 && after != before, "{steps:?}");
    }
}

#[tokio::test]
async fn what_a_task_prints_is_its_calls_log_and_never_the_result() {
    let (pool, task) = (pool(), task("steps", 100));
    for number in 0..20 {
        let (said, printed) = (format!("error-line=said {number}"), format!("print=printed {number}"));
        let (ended, output, lines) = call(&pool, &task, &[&said, "write=3", &printed]).await;
        assert_eq!(ended.unwrap().exit, Exit::Code(0));
        assert_eq!(output, pattern(3));
        let mut expected = [format!("said {number}"), format!("printed {number}")];
        let mut lines = lines;
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
    }
}

#[tokio::test]
async fn input_that_a_call_leaves_unread_is_neither_the_next_ones_nor_asked_for_to_its_end() {
    let (pool, task) = (pool(), task("steps", 100));
    for steps in [["read=10", "write=5"], ["read=0", "write=5"], ["read=2000000", "write=5"]] {
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[7; 64 << 10])));
        let (ended, output, _) = call_with(&pool, &task, &steps, endless).await;
        let ended = ended.unwrap();
        assert_eq!((ended.exit, output), (Exit::Code(0), pattern(5)));
        assert_eq!(ended.input, InputEnd::StoppedReading { fed_bytes: ended.bytes_in });
        let bytes = pattern(1_000);
        let (ended, output, _) = call_with(&pool, &task, &["echo-all"], input(bytes.clone(), 100)).await;
        assert_eq!(ended.unwrap().input, InputEnd::AllFed);
        assert!(output == bytes);
    }
    assert_eq!(count(&pool, &task).await.0, 7, "it was one process all the time");
}

#[tokio::test]
async fn an_input_that_never_goes_on_does_not_delay_a_call_that_does_not_want_it() {
    for calls in [1, 2] {
        let stalled = stream::pending::<Result<Bytes, Infallible>>();
        let (ended, output, _) = call_with(&pool(), &task("steps", calls), &["write=5"], stalled).await;
        assert_eq!(ended.unwrap().exit, Exit::Code(0));
        assert_eq!(output, pattern(5));
    }
}

#[tokio::test]
async fn an_input_that_may_end_early_leaves_exactly_the_output_over_what_was_given() {
    let (pool, task) = (pool(), task("steps", 100));
    let text: String = (0..5_000).map(|number| format!("{number} some words\n")).collect();
    for pieces in [0_u32, 1, 3, 10, u32::MAX] {
        let mut left = pieces;
        let mut input = EndingEarly::new(text.clone(), || {
            left = left.saturating_sub(1);
            left == 0
        });
        let (mut output, mut log) = (Vec::new(), |_: &[u8]| ());
        let ended = pool.call(&task, b"echo-all", &mut input, &mut output, &mut log).await.unwrap();
        assert_eq!((ended.exit, ended.input), (Exit::Code(0), InputEnd::AllFed));
        assert!(output == input.given);
    }
}

#[tokio::test]
async fn an_input_that_fails_ends_the_call_before_the_task_takes_it_for_the_whole() {
    let (pool, task) = (pool(), task("steps", 100));
    let mut failing = stream::iter([Ok(Bytes::from_static(b"one\n")), Err("torn")]);
    let (mut output, mut log) = (Vec::new(), |_: &[u8]| ());
    let refused = pool.call(&task, b"echo-all", &mut failing, &mut output, &mut log).await;
    assert!(matches!(refused, Err(RunError::Input("torn"))), "{refused:?}");
    assert_eq!(count(&pool, &task).await.0, 1, "the process that had half of an input is gone");
}

#[tokio::test]
async fn what_is_no_frame_is_an_error_and_never_a_result() {
    let (pool, task) = (pool(), task("steps", 100));
    let (refused, _, _) = call(&pool, &task, &["garbage", "sleep-ms=100000"]).await;
    assert!(matches!(refused, Err(RunError::Frame { .. })), "{refused:?}");
    assert_eq!(count(&pool, &task).await.0, 1);
}

#[tokio::test]
async fn what_cannot_be_loaded_fails_each_call_and_says_why() {
    let cases = [
        ("failing", "the table is missing"),
        ("panicking", "it panicked: the table is torn"),
        ("aborting", "signal: 6"),
        ("leaving-a-thread", "it left 1 threads running"),
        ("unheard-of", "there is no task unheard-of"),
    ];
    for (name, why) in cases {
        let (pool, task) = (pool(), task(name, 1));
        for _ in 0..2 {
            let (refused, _, _) = call(&pool, &task, &["write=1"]).await;
            let Err(RunError::Start(refused @ StartError::TaskNotLoaded { .. })) = refused else {
                panic!("{refused:?}");
            };
            let refused = refused.to_string();
            assert!(refused.contains(why) && refused.contains(name), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_task_may_be_loaded_by_threads_that_have_ended() {
    for _ in 0..20 {
        let (ended, output, _) = call(&pool(), &task("parallel", 1), &["table"]).await;
        assert_eq!((ended.unwrap().exit, output), (Exit::Code(0), b"7\n".to_vec()));
    }
}

#[tokio::test]
async fn a_flood_that_a_call_leaves_behind_delays_neither_its_end_nor_the_next() {
    let (pool, task) = (pool(), task("steps", 3));
    for _ in 0..3 {
        let (ended, output, _) = call(&pool, &task, &["flood", "write=5"]).await;
        assert_eq!((ended.unwrap().exit, output), (Exit::Code(0), pattern(5)));
    }
    task.end_processes(GRACE).await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_no_fork_server_is_told_from_a_task_that_does_not_load() {
    let server = Arc::new(ForkServer::new(program(["true"]), "steps"));
    let task = ForkedTask::new(server, &program(["steps"]), NonZeroU32::MIN).unwrap();
    let (refused, _, _) = call(&pool(), &task, &["write=1"]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("ended before the task was loaded"), "{refused}");
}

#[tokio::test]
async fn a_task_finds_its_environment_and_what_it_starts_carries_the_mark() {
    let mut surroundings = program(["steps"]);
    surroundings.environment.push(("ORDER".into(), "nightly=1\n2".into()));
    let task = ForkedTask::new(server("steps"), &surroundings, NonZeroU32::MIN).unwrap();
    let (ended, output, _) =
        call(&pool(), &task, &["variable=ORDER", "variable=HOME", "variable=FANFOLD_FORK_SERVER"]).await;
    assert_eq!(ended.unwrap().exit, Exit::Code(0));
    assert_eq!(String::from_utf8(output).unwrap(), "nightly=1\n2\n\n\n");
}

#[tokio::test]
async fn what_tasks_leave_behind_is_gone_when_their_processes_are_ended_and_the_server_stays() {
    let mut surroundings = program(["steps"]);
    let entry = tag(&mut surroundings, "left-by-a-task");
    let task = ForkedTask::new(server("table=8"), &surroundings, NonZeroU32::new(2).unwrap()).unwrap();
    let pool = pool();
    let server = server_of(&pool, &task).await;
    for _ in 0..3 {
        let (ended, _, _) = call(&pool, &task, &["leave=1000", "count"]).await;
        assert_eq!(ended.unwrap().exit, Exit::Code(0));
    }
    assert_eq!(harness::processes_with(&entry).len(), 3);
    let killed = task.end_processes(GRACE).await.unwrap();
    assert_eq!(killed.iter().filter(|leftover| leftover.name == "sleep").count(), 3, "{killed:?}");
    assert!(harness::processes_with(&entry).is_empty());
    assert_eq!(server_of(&pool, &task).await, server, "what was loaded stays");
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_neither_its_process_nor_what_descends_from_it() {
    let mut surroundings = program(["steps"]);
    let entry = tag(&mut surroundings, "dropped-call");
    let task = ForkedTask::new(server("steps"), &surroundings, NonZeroU32::new(9).unwrap()).unwrap();
    let pool = pool();
    let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
    let pid: u32 = {
        let (mut input, mut output, mut log) = (no_input(), Telling(sender), |_: &[u8]| ());
        let message = b"leave=1000\ncount\nsleep-ms=1000000";
        let calling = pool.call(&task, message, &mut input, &mut output, &mut log);
        tokio::select! {
            ended = calling => panic!("{ended:?}"),
            line = line(&mut said) => line.split_once(' ').unwrap().1.parse().unwrap(),
        }
    };
    assert!(!is_running(pid));
    assert!(harness::processes_with(&entry).is_empty());
    assert_eq!(count(&pool, &task).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_fails_the_calls_under_way_and_the_next_one_has_another() {
    let (pool, task) = (pool(), Arc::new(task("steps", 100)));
    let server = i32::try_from(server_of(&pool, &task).await).unwrap();
    let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
    let (mut input, mut output, mut log) = (no_input(), Telling(sender), |_: &[u8]| ());
    let calling = pool.call(&task, b"count\nsleep-ms=1000000", &mut input, &mut output, &mut log);
    let killing = async {
        let told = line(&mut said).await;
        let server = rustix::process::Pid::from_raw(server).unwrap();
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        told.split_once(' ').unwrap().1.parse::<u32>().unwrap()
    };
    let (ended, pid) = futures::join!(calling, killing);
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.pid), (Exit::Signal(9), pid));
    assert!(ended.words.is_some_and(|words| words.contains("its fork server had ended")));
    assert!(!is_running(pid));
    assert_eq!(count(&pool, &task).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn six_are_called_at_once_and_never_seven() {
    let (pool, task) = (pool(), task("steps", 100));
    let calls = (0..30).map(|_| call(&pool, &task, &["sleep-ms=5", "count"]));
    let results: Vec<Gave> = stream::iter(calls).buffered(30).collect().await;
    let pids: BTreeSet<u32> = results.iter().map(|(ended, _, _)| ended.as_ref().unwrap().pid).collect();
    assert!(pids.len() <= 6, "{pids:?}");
}

#[tokio::test]
async fn what_was_loaded_is_there_in_every_process_and_in_memory_once() {
    const TABLE_MIB: u64 = 64;
    let (pool, task) = (pool(), task(&format!("table={TABLE_MIB}"), 100));
    let server = server_of(&pool, &task).await;
    let (sender, mut loaded) = tokio::sync::mpsc::unbounded_channel();
    let six = (0..6).map(|_| {
        let sender = sender.clone();
        let (pool, task) = (&pool, &task);
        async move {
            let (teller, mut said) = tokio::sync::mpsc::unbounded_channel();
            let (mut input, mut output, mut log) = (no_input(), Telling(teller), |_: &[u8]| ());
            let message = b"table\nsleep-ms=1000000";
            let telling = async {
                assert_eq!(line(&mut said).await, ((TABLE_MIB << 20) / 8 - 1).to_string());
                sender.send(()).unwrap();
            };
            let calling = pool.call(task, message, &mut input, &mut output, &mut log);
            futures::join!(calling, telling).0.map(drop)
        }
    });
    let looking = async {
        let mut pss_bytes = 0;
        for _ in 0..6 {
            loaded.recv().await.unwrap();
        }
        let processes = harness::children_of(server);
        assert_eq!(processes.len(), 6);
        for pid in processes.into_iter().chain([server]) {
            pss_bytes += harness::pss_bytes(pid);
        }
        pss_bytes
    };
    let pss_bytes = tokio::select! {
        _ = futures::future::join_all(six) => panic!("they sleep for long"),
        pss_bytes = looking => pss_bytes,
    };
    let table = TABLE_MIB << 20;
    assert!((table..table + table / 5).contains(&pss_bytes), "{pss_bytes} bytes");
}

#[tokio::test]
async fn what_processes_took_is_told_when_they_have_ended() {
    let server = server("steps");
    let task =
        ForkedTask::new(Arc::clone(&server), &program(["steps"]), NonZeroU32::new(9).unwrap()).unwrap();
    let pool = pool_of(1, GRACE);
    let (ended, _, _) = call(&pool, &task, &["fill=64"]).await;
    assert_eq!(ended.unwrap().exit, Exit::Code(0));
    task.end_processes(GRACE).await.unwrap();
    let usage = server.usage();
    assert!(usage.peak_memory_bytes > 64 << 20, "{usage:?}");
    assert!(usage.cpu > Duration::ZERO, "{usage:?}");
}
