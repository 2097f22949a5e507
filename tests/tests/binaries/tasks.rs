//! Tasks in Rust: a worker of one's own, whose tasks are called in forked processes.

use std::collections::BTreeMap;

use e2e::program::{Ended, Sandbox};
use fanfold_flow::code::Code;
use fanfold_flow::report::{Counts, Report};
use serde_json::json;

use crate::{data, sandbox};

/// Runs a job over `in` with a task of this worker, and gives what was said.
fn run(sandbox: &Sandbox, worker: &str, task: serde_json::Value, options: &[&str]) -> Ended {
    let job = json!({
        "version": 1,
        "name": "tasks",
        "source": { "objects": { "uri": "in", "split": "lines", "chunk_bytes": "100kB" } },
        "task": task,
        "output": { "uri": "out", "format": "lines", "overwrite": true },
        "processes": 3,
        "retries": 1
    });
    sandbox.write("job.json", job.to_string());
    let usual = ["run", "job.json", "--worker-program", worker, "--json"];
    sandbox.run([&usual[..], options].concat())
}

const TASKS: &str = env!("CARGO_BIN_EXE_e2e-tasks");
const EXAMPLE: &str = env!("CARGO_BIN_EXE_e2e-example-worker");

/// A sandbox with some lines, and what they are in capitals.
fn prepared() -> (Sandbox, Vec<u8>) {
    let sandbox = sandbox();
    let text = std::fs::read_to_string(data("birdstrikes.csv")).unwrap().replace('\r', "") + "\n";
    sandbox.write("in", &text);
    (sandbox, text.to_ascii_uppercase().into_bytes())
}

#[test]
fn a_task_that_misbehaves_costs_its_chunk_an_attempt_and_nothing_else() {
    let ways = [
        ("well", None),
        ("leak", None),
        ("thread", None),
        ("fail", Some(Code::ProgramFailed)),
        ("panic", Some(Code::ProgramFailed)),
        ("exit", Some(Code::ProgramFailed)),
        ("abort", Some(Code::ProgramKilled)),
        ("overflow", Some(Code::ProgramKilled)),
    ];
    for name in ["capitals", "long-lived"] {
        for (way, code) in ways {
            let (sandbox, expected) = prepared();
            let task = json!({ "name": name, "args": [way] });
            let ended = run(&sandbox, TASKS, task, &["--joblog", "joblog"]).succeeded();
            let report = ended.report();
            assert!(sandbox.read("out") == expected, "{name} {way}");
            let bad = (0..report.chunks.total).filter(|index| index % 3 == 1).count() as u64;
            let failed = if code.is_some() { bad } else { 0 };
            assert_eq!(
                failed_tries(&sandbox),
                BTreeMap::from_iter(code.map(|code| (code.to_string(), failed))),
                "{name} {way}"
            );
            sandbox.assert_clean(&["in", "out", "job.json", "joblog"]);
        }
    }
}

/// How many tries failed, by code.
fn failed_tries(sandbox: &Sandbox) -> BTreeMap<String, u64> {
    let joblog = String::from_utf8(sandbox.read("joblog")).unwrap();
    let mut lines = joblog.lines();
    let column = lines.next().unwrap().split('\t').position(|name| name == "Outcome").unwrap();
    let mut codes = BTreeMap::new();
    for code in
        lines.map(|line| line.split('\t').nth(column).unwrap()).filter(|code| !matches!(*code, "" | "done"))
    {
        *codes.entry(code.to_owned()).or_default() += 1;
    }
    codes
}

#[test]
fn a_task_that_never_behaves_fails_its_chunks_and_says_why_in_its_own_words() {
    let ways = [
        ("fail", Code::ProgramFailed, "the task capitals failed: there is no such order"),
        ("panic", Code::ProgramFailed, "the task capitals panicked: this cannot be"),
        (
            "exit",
            Code::ProgramFailed,
            "the task capitals ended its process, with exit code 0, before the call was over",
        ),
        ("abort", Code::ProgramKilled, "the task capitals was ended by signal 6 (SIGABRT)"),
        ("overflow", Code::ProgramKilled, "the task capitals was ended by signal 6 (SIGABRT)"),
    ];
    for (way, code, words) in ways {
        let (sandbox, _) = prepared();
        let ended = run(&sandbox, TASKS, json!({ "name": "capitals", "args": [way, "always"] }), &[]);
        let ended = ended.failed_with(i32::from(code.exit_status()));
        let Report { chunks, failures, .. } = ended.report();
        let Counts { total, done, failed, cancelled } = chunks;
        let bad = (0..total).filter(|index| index % 3 == 1).count() as u64;
        assert_eq!((done, failed, cancelled), (total - bad, bad, 0));
        assert!(
            failures.iter().all(|failure| failure.code == code && failure.message == words),
            "{failures:?}"
        );
        sandbox.assert_clean(&["in", "job.json"]);
    }
}

#[test]
fn the_example_redacts_and_scores_as_one_process_would() {
    let sandbox = sandbox();
    let numbers: String =
        (0..30_000_u64).map(|number| format!("{} is {}\n", number, number * 98_765)).collect();
    sandbox.write("in", &numbers);
    run(&sandbox, EXAMPLE, json!({ "name": "redact", "args": ["6"] }), &[]).succeeded();
    let stars = |number: u64| {
        let text = number.to_string();
        if text.len() >= 6 { "*".repeat(text.len()) } else { text }
    };
    let expected: String =
        (0..30_000).map(|number| format!("{} is {}\n", stars(number), stars(number * 98_765))).collect();
    assert!(sandbox.read("out") == expected.into_bytes());

    let records: String =
        (0..10_000).map(|id| format!("{{\"id\":{id},\"terms\":[0,{}]}}\n", id % 7)).collect();
    sandbox.write("in", records);
    let report = run(&sandbox, EXAMPLE, json!({ "name": "score" }), &["--workers", "1"]).succeeded().report();
    assert_eq!(report.records, 10_000);
    let scored = String::from_utf8(sandbox.read("out")).unwrap();
    let ids =
        scored.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64());
    assert!(ids.eq((0..10_000).map(Some)), "in order, each once");
}

#[test]
fn a_task_that_is_not_there_is_told_from_a_slip_of_its_name() {
    let (sandbox, _) = prepared();
    let ended = run(&sandbox, TASKS, json!({ "name": "captials" }), &[]);
    let ended = ended.failed_with(i32::from(Code::InvalidJob.exit_status()));
    ended.says(&["run task 'captials': it is not registered (there are capitals, long-lived); did you mean 'capitals'?"]);
}
