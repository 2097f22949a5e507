//! Chunks that need more time than a worker has: they are cut at records, or fail with advice.

use std::collections::BTreeSet;
use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::joblog::Line;
use fanfold_flow::report::Status;
use serde_json::{Value, json};

use crate::functions::{deployed, job};

/// What a worker has here in place of Lambda's 15 minutes.
const WORKER_TIME: Duration = Duration::from_secs(20);

/// A program over a line at a time that takes some 20 ms for each.
const SLOW_FILTER: &str = "while read -r line; do sleep 0.02; echo \"$line\"; done";

/// Lines enough that `SLOW_FILTER` takes about two minutes for all of them: a minute for each of two chunks.
fn lines() -> String {
    (0..5_000).map(|line| format!("line {line:04} of many\n")).collect()
}

fn slow(script: &str, chunk_bytes: usize) -> Value {
    let mut job = job(script, chunk_bytes as u64, 2);
    job["max_concurrency"] = json!(1);
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_a_minute_come_through_workers_that_have_twenty_seconds() {
    let deployed = deployed(WORKER_TIME).await;
    let input = lines();
    deployed.put("in", input.clone()).await;
    // Two chunks, and a worker with two processes.
    let submitted = deployed.submit(&slow(SLOW_FILTER, input.len() / 2 + 1)).await;
    let (output, report) = deployed.output(&submitted).await;
    assert!(output == input.as_bytes(), "{}", String::from_utf8_lossy(&output));
    assert_eq!((report.records, report.chunks.done), (5_000, 2));
    let joblog = deployed.joblog(&submitted).await;
    let lines: Vec<Line<'_>> = joblog.lines().skip(1).map(|line| Line::parse(line).unwrap()).collect();
    let cuts: BTreeSet<(u64, u32)> = lines.iter().map(|line| (line.index, line.cut)).collect();
    assert!(cuts.contains(&(0, 2)) && cuts.contains(&(1, 2)), "{joblog}");
    // Nothing was done in vain: each cut was done at its first try.
    assert_eq!(cuts.len(), lines.len(), "{joblog}");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_may_not_be_cut_fail_with_advice_once_they_had_all_the_time_there_is() {
    let deployed = deployed(WORKER_TIME).await;
    let input = lines();
    deployed.put("in", input.clone()).await;
    let mut job = slow(&format!("echo working on it >&2; {SLOW_FILTER}"), input.len());
    job["cut"] = json!(false);
    let submitted = deployed.submit(&job).await;
    let report = deployed.report(&submitted).await;
    assert_eq!((report.status, report.code), (Status::Failed, Some(Code::OutOfTime)));
    assert_eq!((report.failures.len(), report.attempts), (1, 1));
    let place = "first index 0 in partition 0";
    for part in
        [place, "had run for 18 s", "said last: working on it", "\"cut\": false", "make chunks smaller"]
    {
        assert!(report.message.contains(part), "{part}: {}", report.message);
    }
    assert_eq!(deployed.processes("sleep"), [], "a program outlived its worker");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_reads_all_before_it_works_is_given_less_at_once_until_it_has_time() {
    let deployed = deployed(Duration::from_secs(6)).await;
    let input: String = (0..200).map(|line| format!("{line}\n")).collect();
    deployed.put("in", input.clone()).await;
    // Some 8 s for all of it, of which nothing shows before the end.
    let gathers = "text=$(cat); sleep $(echo \"$text\" | awk 'END { print NR * 0.04 }'); echo \"$text\"";
    let submitted = deployed.submit(&slow(gathers, input.len())).await;
    let (output, report) = deployed.output(&submitted).await;
    assert!(output == input.as_bytes(), "{}", String::from_utf8_lossy(&output));
    assert_eq!(report.records, 200);
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_never_ends_fails_its_chunk_by_name_and_no_other() {
    let deployed = deployed(Duration::from_secs(3)).await;
    deployed.put("in", "0\n1\n2\n3\n4\n5\n").await;
    let script = "if [ $FANFOLD_INDEX = 3 ]; then exec sleep 1000; fi; cat";
    let submitted = deployed.submit(&job(script, 2, 1)).await;
    let report = deployed.report(&submitted).await;
    assert_eq!((report.status, &report.output), (Status::Failed, &None));
    assert_eq!((report.chunks.done, report.chunks.failed), (5, 1));
    let failure = &report.failures[0];
    assert_eq!((failure.index, failure.partition, failure.code), (3, 1, Code::OutOfTime), "{failure:?}");
    assert!(report.message.contains("smaller"), "{}", report.message);
    assert_eq!(deployed.processes("sleep"), [], "a program outlived its worker");
    deployed.stop().await;
}
