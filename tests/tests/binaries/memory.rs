//! Memory: as many processes run at once as fit, and one that takes more than it may is killed, with the numbers.

use e2e::program::{Ended, Sandbox};
use e2e::stage::{Limits, Stage};
use fanfold_flow::code::Code;
use fanfold_flow::report::Counts;
use serde_json::json;

use crate::sandbox;

/// What a program takes here, and what it may, in MB. Its interpreter and its chunk are the difference, and less than that.
const TAKEN_MB: u64 = 200;
const MEMORY_MB: &str = "240";

/// So many chunks, a line each.
const CHUNKS: u64 = 4;

/// Takes memory, and keeps it while it copies its chunk.
fn taking(before: &str, after: &str) -> String {
    format!(
        "import os, sys, time\n{before}\nkept = bytearray(b'x') * ({TAKEN_MB} << 20)\n\
         sys.stdout.write(sys.stdin.read())\nsys.stdout.flush()\n{after}"
    )
}

fn input() -> String {
    (0..CHUNKS).map(|line| format!("{line}\n")).collect()
}

/// A job over the chunks, all of which one worker could run at once, and none of which is tried again.
fn map(sandbox: &Sandbox, stage: Option<&Stage>, options: &[&str], program: &str) -> Ended {
    sandbox.write("in", input());
    let usual = [
        "map",
        "-i",
        "in",
        "-o",
        "out",
        "--chunk-bytes",
        "2",
        "--workers",
        "1",
        "--processes",
        "4",
        "--json",
    ];
    let run = [&usual[..], &["--retries", "0"], options, &["--", "python3", "-c", program]].concat();
    sandbox.start(sandbox.command(run).envs(stage.map(Stage::variable))).ended()
}

#[test]
fn chunks_that_do_not_fit_into_a_worker_together_run_one_after_another() {
    let sandbox = sandbox();
    // Whoever finds another there fails, and is not tried again.
    let alone = taking("os.mkdir('taken')", "os.rmdir('taken')");
    let options = ["--memory-mb", MEMORY_MB, "--worker-memory", "512"];
    let report = map(&sandbox, None, &options, &alone).succeeded().report();
    assert_eq!(report.chunks, Counts { total: CHUNKS, done: CHUNKS, failed: 0, cancelled: 0 });
    assert_eq!(sandbox.read("out"), input().as_bytes());
    sandbox.assert_clean(&["in", "out"]);
}

/// The functions may have less than their size says, as here all of them together: then that counts.
#[test]
fn no_process_is_lost_where_the_kernel_allows_less_memory_than_all_would_take() {
    let stage = Stage::new(
        env!("CARGO_BIN_EXE_e2e-stage"),
        Limits { memory_bytes: Some(900 << 20), ..Limits::default() },
    );
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_e2e-stage"));
    let options = ["--memory-mb", MEMORY_MB, "--worker-memory", "4096"];
    let report = map(&sandbox, Some(&stage), &options, &taking("", "time.sleep(0.3)")).succeeded().report();
    assert_eq!((report.chunks.done, report.attempts), (CHUNKS, report.partitions), "{report:?}");
    assert_eq!(sandbox.read("out"), input().as_bytes());
    sandbox.assert_clean(&["in", "out"]);
}

#[test]
fn a_program_that_takes_more_memory_than_it_may_is_killed_and_its_chunk_fails_with_the_numbers() {
    let sandbox = sandbox();
    let greedy =
        taking("if os.environ['FANFOLD_INDEX'] != '1': print('small'); sys.exit()", "time.sleep(1000)");
    let options = ["--memory-mb", "100", "--tolerated-failures", "1"];
    let ended = map(&sandbox, None, &options, &greedy).succeeded();
    ended.says(&["out_of_memory", "index 1", "\"memory_mb\" lets a process take 100", "set it higher"]);
    let report = ended.report();
    assert_eq!(report.chunks, Counts { total: CHUNKS, done: CHUNKS - 1, failed: 1, cancelled: 0 });
    assert_eq!(report.failures[0].code, Code::OutOfMemory);
    assert_eq!(sandbox.read("out"), b"small\nsmall\nsmall\n");
    sandbox.assert_clean(&["in", "out"]);
}

#[test]
fn a_job_that_lets_a_process_take_more_than_a_worker_has_is_refused_at_once() {
    let sandbox = sandbox();
    let options = ["--memory-mb", "513", "--worker-memory", "512"];
    let ended = map(&sandbox, None, &options, "").failed_with(i32::from(Code::InvalidJob.exit_status()));
    ended.says(&["--memory-mb: must be at most 512", "not 513"]);
    let job = json!({
        "version": 1, "name": "large", "source": { "range": { "end": 1, "chunk": 1 } }, "task": { "command": ["true"] },
        "output": { "uri": "out" }, "memory_mb": 513
    });
    sandbox.write("job.json", job.to_string());
    for (memory, is_right) in [("512", false), ("513", true)] {
        let planned = sandbox.run(["plan", "job.json", "--worker-memory", memory]);
        assert_eq!(planned.status.success(), is_right, "{}", planned.stderr);
    }
    sandbox.assert_clean(&["in", "job.json"]);
}
