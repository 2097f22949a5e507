//! Memory as on Lambda: one limit over all processes of an environment. Alone in its test binary, because the kernel counts those
//! who die for lack of memory over the whole machine, and a worker takes it that a killed process of its own was the one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::deployment::{BUCKET, Bootstraps, Deployment};
use e2e::stage::{Limits, Stage};
use fanfold_emulator::lambda::Function;
use fanfold_flow::code::Code;
use fanfold_flow::joblog::{Line, Outcome, header};
use fanfold_flow::report::{Counts, Status};
use serde_json::{Value, json};

/// The worker's memory. Without processes, one that is built for tests has 40 MB of it.
const MEMORY_MB: u32 = 256;

/// What a modest program holds: two of them fit beside the worker, and three do not.
const MODEST_MB: u32 = 90;

/// How often it fills that, so that it takes a second or two.
const FILLS: u32 = 40;

/// How many chunks run at once, unless somebody sees that their memory will not do.
const PROCESSES: u64 = 4;

/// Holds much memory until it is killed: of a line without end, `tail` keeps all.
const GREEDY: &str = "exec tail < /dev/zero";

/// A stage on which memory is limited; none where this machine does not let it be.
fn cramped() -> Option<Stage> {
    let limits = Limits { memory_bytes: Some(u64::from(MEMORY_MB) << 20), ..Limits::default() };
    let stage = Stage::new(env!("CARGO_BIN_EXE_e2e-stage"), limits);
    stage.limits_memory().then_some(stage)
}

/// The functions, of which the worker has one environment, on the stage.
async fn deployed(stage: &Stage, worker: &'static str) -> Deployment {
    let bootstraps = Bootstraps {
        dispatcher: env!("CARGO_BIN_EXE_e2e-dispatcher"),
        worker,
        reducer: env!("CARGO_BIN_EXE_e2e-reducer"),
        worker_timeout: Duration::from_secs(100),
    };
    let one_cramped_worker = |function: &mut Function| {
        if function.name == "worker" {
            (function.memory_mb, function.reserved_concurrency) = (MEMORY_MB, Some(1));
            stage.take(function);
        }
    };
    Deployment::start_with(bootstraps, one_cramped_worker).await
}

/// A job of so many chunks without input, with this shell script as its program.
fn job(chunks: u64, script: &str) -> Value {
    json!({
        "version": 1,
        "name": "memory",
        "source": { "range": { "end": chunks, "chunk": 1 } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
        "processes": PROCESSES,
        "retries": 2
    })
}

/// A shell command that holds a modest amount for some time, then prints the chunk's index.
fn modest() -> String {
    format!("dd if=/dev/zero of=/dev/null bs={MODEST_MB}M count={FILLS} status=none && echo $FANFOLD_INDEX")
}

/// The chunks of which a try failed for lack of memory. For nothing else does one.
fn out_of_memory(joblog: &str) -> BTreeSet<u64> {
    let lines = joblog.strip_prefix(&header()).unwrap().lines().map(|line| Line::parse(line).unwrap());
    let failed = lines.filter(|line| line.outcome != Outcome::Done);
    let index = |line: Line<'_>| {
        assert_eq!(line.outcome, Outcome::Failed(Code::OutOfMemory), "{joblog}");
        line.index
    };
    failed.map(index).collect()
}

/// All of them start at once, and together need more than there is, one of them more than there ever could be. Or, where a
/// process waits for memory, they do not; then it is the greedy one alone that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_for_lack_of_memory_is_tried_again_alone_and_the_output_is_exact() {
    let Some(stage) = cramped() else { return };
    let deployed = deployed(&stage, env!("CARGO_BIN_EXE_e2e-worker")).await;
    let (chunks, modest) = (2 * PROCESSES, modest());
    let script = format!(
        "echo begins $FANFOLD_INDEX $FANFOLD_ATTEMPT >> told
        test $FANFOLD_INDEX$FANFOLD_ATTEMPT = 11 && {GREEDY}
        {modest} && echo ends $FANFOLD_INDEX $FANFOLD_ATTEMPT >> told"
    );
    let submitted = deployed.submit(&job(chunks, &script)).await;
    let (output, report) = deployed.output(&submitted).await;
    let expected: String = (0..chunks).map(|index| format!("{index}\n")).collect();
    assert_eq!(String::from_utf8(output).unwrap(), expected);
    assert_eq!(report.chunks, Counts { total: chunks, done: chunks, failed: 0, cancelled: 0 });

    let joblog = deployed.joblog(&submitted).await;
    assert!(out_of_memory(&joblog).contains(&1), "the greedy one was not killed: {joblog}");

    let told = std::fs::read_to_string(deployed.folder().join("told")).unwrap();
    let told: Vec<&str> = told.lines().collect();
    for (place, line) in told.iter().enumerate().filter(|(_, line)| line.starts_with("begins")) {
        let own_end = line.replace("begins", "ends");
        let is_alone = told.get(place + 1) == Some(&own_end.as_str());
        assert!(is_alone || line.ends_with(" 1"), "a second try ran beside another: {told:#?}");
    }
    deployed.stop().await;
}

/// Each third of the calls leaves 64 MiB in its process at first, which is called again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_forked_process_that_leaks_from_call_to_call_is_made_up_for_by_another() {
    let Some(stage) = cramped() else { return };
    let deployed = deployed(&stage, env!("CARGO_BIN_EXE_e2e-tasks")).await;
    // Small objects make one partition, so that a process has many calls.
    let (objects, lines) = (24, "some line\n".repeat(12));
    for object in 0..objects {
        deployed.put(&format!("in/{object:02}"), lines.clone()).await;
    }
    let mut job = job(0, "");
    let source = json!({ "uri": format!("s3://{BUCKET}/in/"), "split": "lines" });
    (job["source"], job["processes"]) = (json!({ "objects": source }), json!(1));
    job["task"] = json!({ "name": "long-lived", "args": ["leak"] });
    let submitted = deployed.submit(&job).await;
    let (output, report) = deployed.output(&submitted).await;
    assert_eq!(String::from_utf8(output).unwrap(), lines.to_uppercase().repeat(objects));
    assert_eq!((report.partitions, report.chunks.done), (1, objects as u64));
    let joblog = deployed.joblog(&submitted).await;
    assert!(!out_of_memory(&joblog).is_empty(), "there was room for all that leaked: {joblog}");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_alone_outgrows_the_memory_fails_and_says_what_to_do() {
    let Some(stage) = cramped() else { return };
    let deployed = deployed(&stage, env!("CARGO_BIN_EXE_e2e-worker")).await;
    let script = format!("test $FANFOLD_INDEX = 1 && {GREEDY}; echo $FANFOLD_INDEX");
    let submitted = deployed.submit(&job(3, &script)).await;
    let report = deployed.report(&submitted).await;
    assert_eq!((report.status, report.code), (Status::Failed, Some(Code::OutOfMemory)), "{report:#?}");
    assert_eq!(report.chunks, Counts { total: 3, done: 2, failed: 1, cancelled: 0 });
    let [failure] = &report.failures[..] else { panic!("{:#?}", report.failures) };
    assert_eq!((failure.index, failure.code, failure.attempts), (1, Code::OutOfMemory, 3));
    let words = ["the kernel ended the program", "memory ran out", "give the worker more than 256 MB"];
    assert!(words.iter().all(|part| failure.message.contains(part)), "{}", failure.message);
    deployed.stop().await;
}
