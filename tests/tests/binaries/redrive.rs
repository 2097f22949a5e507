//! Cancel and redrive: what was done is kept, what was not is done by a run of its own, and the output is exact.

use std::time::{Duration, Instant};

use e2e::deployment::{BUCKET, Deployment, Submitted};
use fanfold_flow::code::Code;
use fanfold_flow::report::{Counts, Report, Status};
use serde_json::{Value, json};

use crate::functions::{deployed, job};
use crate::sandbox;
use crate::stack::Local;

/// Each chunk says that it runs, fails if it is broken, and prints its index.
const BROKEN: &str = "echo $FANFOLD_INDEX >> runs; if grep -qx $FANFOLD_INDEX broken 2> /dev/null; then \
                      echo index $FANFOLD_INDEX is broken >&2; exit 3; fi; echo $FANFOLD_INDEX";

/// A job over so many numbers, each a partition of its own, in lanes.
fn numbers(count: u64, lanes: u32) -> Value {
    json!({
        "version": 1,
        "name": "numbers",
        "source": { "range": { "end": count, "chunk": 1 } },
        "task": { "command": ["sh", "-c", BROKEN] },
        "output": { "uri": format!("s3://{BUCKET}/out"), "format": "lines" },
        "processes": 1,
        "max_concurrency": lanes,
        "retries": 0,
        "token": "all"
    })
}

/// The output when every chunk was done.
fn all(count: u64) -> String {
    (0..count).map(|index| format!("{index}\n")).collect()
}

/// The indexes of all processes that ran so far.
fn runs(deployed: &Deployment) -> Vec<u64> {
    let text = std::fs::read_to_string(deployed.folder().join("runs")).unwrap();
    let mut runs: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    runs.sort_unstable();
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn three_failures_among_a_thousand_partitions_are_redriven_as_three_partitions_once() {
    let deployed = deployed(Duration::from_secs(60)).await;
    std::fs::write(deployed.folder().join("broken"), "7\n500\n999\n").unwrap();
    let submitted = deployed.submit(&numbers(1_000, 4)).await;
    let report = deployed.report(&submitted).await;
    assert_eq!((report.status, report.code), (Status::Failed, Some(Code::ProgramFailed)));
    assert_eq!(report.chunks, Counts { total: 1_000, done: 997, failed: 3, cancelled: 0 });
    for part in ["first index 7", "fanfold redrive all"] {
        assert!(report.message.contains(part), "{part}: {}", report.message);
    }
    std::fs::remove_file(deployed.folder().join("broken")).unwrap();

    let event = json!({ "redrive": "all" });
    let (first, second) = tokio::join!(deployed.call(&event), deployed.call(&event));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((&first["job_id"], &second["job_id"]), (&json!("all-r1"), &json!("all-r1")));
    assert_eq!((&first["partitions"], &first["chunks"]), (&json!(3), &json!(3)));
    let (output, report) = deployed.output(&Submitted::of(first)).await;
    assert!(output == all(1_000).as_bytes(), "{} bytes", output.len());
    assert_eq!((report.partitions, report.attempts), (3, 3));
    assert_eq!(report.chunks, Counts { total: 1_000, done: 1_000, failed: 0, cancelled: 0 });
    let mut expected: Vec<u64> = (0..1_000).chain([7, 500, 999]).collect();
    expected.sort_unstable();
    assert_eq!(runs(&deployed), expected, "what was done before does not run again, and nothing runs twice");

    let again = deployed.call(&event).await.unwrap();
    assert!(again["message"].as_str().unwrap().contains("job all-r1 succeeded"), "{again}");
    let status = deployed.call(&json!({ "status": "all" })).await.unwrap();
    assert_eq!(status["redriven"], json!({ "job_id": "all-r1", "status": "succeeded" }));
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_with_gaps_is_replaced_by_the_whole_one_though_nothing_else_may_be_overwritten() {
    let deployed = deployed(Duration::from_secs(60)).await;
    std::fs::write(deployed.folder().join("broken"), "3\n").unwrap();
    let mut job = numbers(8, 4);
    job["tolerated_failures"] = json!(1);
    job["output"]["overwrite"] = json!(false);
    let submitted = deployed.submit(&job).await;
    let report = deployed.report(&submitted).await;
    assert_eq!(report.status, Status::Succeeded);
    assert_eq!(deployed.get(&report.output.unwrap().uri).await, all(8).replace("3\n", "").into_bytes());
    std::fs::remove_file(deployed.folder().join("broken")).unwrap();
    let answer = deployed.call(&json!({ "redrive": "all" })).await.unwrap();
    let (output, _) = deployed.output(&Submitted::of(answer)).await;
    assert_eq!(output, all(8).into_bytes());
    let nothing = deployed.call(&json!({ "redrive": "all-r1" })).await.unwrap();
    assert!(nothing["message"].as_str().unwrap().contains("nothing to redrive"), "{nothing}");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_stops_running_programs_within_five_seconds_and_a_redrive_does_the_rest() {
    let deployed = deployed(Duration::from_secs(60)).await;
    let input: String = (0..40).map(|line| format!("line {line}\n")).collect();
    deployed.put("in", input.clone()).await;
    std::fs::write(deployed.folder().join("slow"), "").unwrap();
    // The first chunks are done at once; the others would take for ever.
    let script = "if [ -e slow ] && [ $FANFOLD_INDEX -ge 3 ]; then touch sleeps; exec sleep 1000; fi; cat; touch $FANFOLD_INDEX.done";
    let mut job = job(script, 30, 2);
    (job["token"], job["processes"]) = (json!("stopped"), json!(1));
    let submitted = deployed.submit(&job).await;
    let first_are_done = || (0..3).all(|index| deployed.folder().join(format!("{index}.done")).exists());
    deployed
        .until("the sleepers", async || deployed.folder().join("sleeps").exists() && first_are_done())
        .await;
    assert!(!deployed.processes("sleep").is_empty());

    let began = Instant::now();
    let programs_end = async {
        deployed.until("the programs' end", async || deployed.processes("sleep 1000").is_empty()).await;
        began.elapsed()
    };
    let event = json!({ "cancel": "stopped" });
    let (answer, took) = tokio::join!(deployed.call(&event), programs_end);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let answer = answer.unwrap();
    assert_eq!(answer["status"], "cancelled", "{answer}");
    let report = deployed.report(&submitted).await;
    assert!(report.chunks.cancelled > 0 && report.chunks.failed == 0, "{}", report.chunks);
    assert!(report.chunks.done >= 3, "what the stopped workers had done is kept: {}", report.chunks);
    assert_eq!((report.status, report.output), (Status::Cancelled, None));
    // Whatever comes now finds it stopped.
    assert_eq!(deployed.call(&json!({ "cancel": "stopped" })).await.unwrap(), answer);
    deployed.submit(&job).await;
    assert_eq!(deployed.processes("sleep"), []);

    std::fs::remove_file(deployed.folder().join("slow")).unwrap();
    let answer = deployed.call(&json!({ "redrive": "stopped" })).await.unwrap();
    let (output, whole) = deployed.output(&Submitted::of(answer)).await;
    assert!(output == input.as_bytes());
    assert_eq!(whole.chunks.done, report.chunks.total);
    assert_eq!(whole.records, 40);
    deployed.stop().await;
}

/// A job file for this machine, over lines of a file beside it.
fn local_job() -> Value {
    json!({
        "version": 1,
        "name": "lines",
        "source": { "objects": { "uri": "in.txt", "split": "lines", "chunk_bytes": 40 } },
        "task": { "command": ["sh", "-c", "if [ -e broken ] && [ $FANFOLD_INDEX = 2 ]; then exit 3; fi; tr a-z A-Z"] },
        "output": { "uri": "out.txt", "overwrite": false },
        "retries": 0
    })
}

/// The command that stands behind these words of what was said.
fn command_behind(words: &str, said: &str) -> Vec<String> {
    let (_, command) = said
        .rsplit_once(&format!("{words} fanfold "))
        .unwrap_or_else(|| panic!("no command behind '{words}' in:\n{said}"));
    command.lines().next().unwrap().split(' ').map(str::to_owned).collect()
}

#[test]
fn a_run_on_this_machine_whose_objects_are_kept_is_redriven_by_the_command_that_it_tells() {
    let sandbox = sandbox();
    let input: String = (0..50).map(|line| format!("line {line}\n")).collect();
    sandbox.write("in.txt", &input);
    sandbox.write("broken", "");
    sandbox.write("job.json", local_job().to_string());
    let ended = sandbox.run(["run", "job.json", "--data", "kept", "--json"]).failed_with(4);
    ended.says(&["program_failed", "to do only what is left: fanfold redrive lines-"]);
    let failed = ended.report();
    assert!(failed.message.ends_with("--data kept"), "{}", failed.message);
    let command = command_behind("left:", &ended.stderr);
    assert_eq!(
        (command[0].as_str(), &command[2..]),
        ("redrive", &["--data".to_owned(), "kept".to_owned()][..])
    );

    // The input may be gone by then, and the program be called from anywhere else.
    std::fs::remove_file(sandbox.path("in.txt")).unwrap();
    sandbox.run(&command).failed_with(4).says(&["index 2", "fanfold redrive lines-", "-r1 --data kept"]);
    std::fs::remove_file(sandbox.path("broken")).unwrap();
    let told_before = sandbox.run(&command).failed_with(4);
    let command = command_behind("redrive that:", &told_before.stderr);
    let again: Vec<&str> = command.iter().map(String::as_str).chain(["--json"]).collect();
    let ended = sandbox.run(&again).succeeded();
    let report: Report = ended.report();
    assert_eq!((report.partitions, report.chunks.done), (1, failed.chunks.total));
    assert_eq!(sandbox.read("out.txt"), input.to_uppercase().into_bytes());
    let told_again = sandbox.run(&command).succeeded();
    told_again.says(&["succeeded", "the output is at out.txt"]);
    let copies = sandbox.path("kept/s3");
    let copies = walk(&copies);
    assert!(!copies.iter().any(|path| path.contains("/local/")), "copies of files stay: {copies:?}");
    sandbox.assert_clean(&["job.json", "kept", "out.txt"]);
}

/// The paths of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(walk(&entry));
        } else {
            found.push(entry.display().to_string());
        }
    }
    found
}

#[test]
fn a_run_on_this_machine_of_which_nothing_was_kept_says_how_it_would_have_been() {
    let sandbox = sandbox();
    sandbox.write("in.txt", "a\n".repeat(100));
    sandbox.write("broken", "");
    sandbox.write("job.json", local_job().to_string());
    let ended = sandbox.run(["run", "job.json"]).failed_with(4);
    ended.says(&["with --data DIR, a run is kept"]);
    assert!(!ended.stderr.contains("fanfold redrive"), "{}", ended.stderr);
    sandbox.run(["redrive", "lines-1", "--data", "kept"]).failed_with(2).says(&["there is no folder kept"]);
    sandbox
        .run(["redrive", "lines-1"])
        .failed_with(7)
        .says(&["--stack", "say where it was kept: --data DIR"]);
    sandbox.assert_clean(&["broken", "in.txt", "job.json"]);
    std::fs::create_dir(sandbox.path("kept")).unwrap();
    let unknown = sandbox.run(["redrive", "lines-1", "--data", "kept"]).failed_with(2);
    unknown.says(&["no such run", "--data kept"]);
}

#[test]
fn an_output_with_gaps_in_a_file_is_replaced_but_no_other_file() {
    let sandbox = sandbox();
    let input: String = (0..50).map(|line| format!("line {line}\n")).collect();
    sandbox.write("in.txt", &input);
    sandbox.write("broken", "");
    let mut job = local_job();
    job["tolerated_failures"] = json!(1);
    sandbox.write("job.json", job.to_string());
    let ended = sandbox.run(["run", "job.json", "--data", "kept"]).succeeded();
    let with_gaps = sandbox.read("out.txt");
    assert!(with_gaps.len() < input.len());
    let command = command_behind("left:", &ended.stderr);
    std::fs::remove_file(sandbox.path("broken")).unwrap();
    sandbox.write("out.txt", "somebody else's");
    sandbox.run(&command).failed_with(5).says(&["output_exists", "out.txt"]);
    sandbox.write("out.txt", with_gaps);
    sandbox.run(&command).succeeded();
    assert_eq!(sandbox.read("out.txt"), input.to_uppercase().into_bytes());
}

#[test]
fn a_deployed_run_is_cancelled_and_redriven_from_a_terminal() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    sandbox.write("slow", "");
    let script = "if [ -e slow ]; then touch sleeps; exec sleep 1000; fi; seq $FANFOLD_OFFSET $((FANFOLD_OFFSET + FANFOLD_LIMIT - 1))";
    let job = json!({
        "version": 1, "name": "squares", "source": { "range": { "end": 40, "chunk": 7 } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": "s3://fanfold/out", "format": "lines" }, "retries": 0
    });
    sandbox.write("job.json", job.to_string());
    local.run(&["submit", "job.json", "--token", "run-1"]).succeeded();
    let running = local.run(&["redrive", "run-1"]).failed_with(2);
    running.says(&["has not ended", "fanfold cancel run-1"]);
    let said = String::from_utf8(local.run(&["cancel", "run-1"]).succeeded().stdout).unwrap();
    for part in ["run-1 was cancelled: 0 of 6 chunks done, 0 failed, 6 cancelled", "fanfold redrive run-1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    std::fs::remove_file(sandbox.path("slow")).unwrap();
    let ended = local.run(&["redrive", "run-1", "--wait", "--json"]).succeeded();
    ended.says(&["6 of 6 chunks, what is left of run-1", "done: "]);
    let report: Report = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((report.job_id.as_str(), report.chunks.done), ("run-1-r1", 6));
    let status = local.run(&["status", "run-1"]).succeeded();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("as run-1-r1: succeeded"), "{status}");
    local.run(&["cancel", "no-such-run"]).failed_with(2).says(&["cancel job 'no-such-run'"]);
    local.stop();
}
