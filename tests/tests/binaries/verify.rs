//! `fanfold verify`: an output is held against the records of its run at any later time, here and of a deployed stack.

use std::fs;

use bytes::Bytes;
use e2e::files;
use e2e::program::{Ended, Sandbox};
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::verification::{Look, Verdict, Verification};
use fanfold_store::s3::{S3Settings, S3Store};
use fanfold_store::{PutOptions, Store};
use serde_json::{Value, json};

use crate::sandbox;
use crate::stack::Local;

/// How many lines the job's output has.
const LINES: usize = 5_000;

/// A job of several chunks and partitions, whose output is made in order of numbers.
fn job(output: &str) -> Value {
    let script = "if [ -e broken ]; then exit 3; fi; while [ -e wait ]; do sleep 0.01; done; \
                  seq $FANFOLD_OFFSET $((FANFOLD_OFFSET + FANFOLD_LIMIT - 1))";
    json!({
        "version": 1, "name": "numbers", "source": { "range": { "end": LINES, "chunk": 700 } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": output, "format": "lines", "overwrite": true }, "retries": 0
    })
}

fn output() -> String {
    (0..LINES).map(|line| format!("{line}\n")).collect()
}

/// What `--json` printed.
fn verification(ended: &Ended) -> Verification {
    let mut value: Value =
        serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}\n{}", ended.stderr));
    // Of a file its path, where the type has an object's address.
    value["output"]["uri"] = json!("s3://local/output");
    serde_json::from_value(value).unwrap()
}

fn said(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).unwrap()
}

/// A run on this machine, whose objects are kept in `kept`, and its name.
fn run_here(sandbox: &Sandbox, output: &str) -> String {
    sandbox.write("job.json", job(output).to_string());
    let ended = sandbox.run(["run", "job.json", "--data", "kept", "--json"]).succeeded();
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    report["job_id"].as_str().unwrap().to_owned()
}

/// `fanfold verify` of a run on this machine.
fn verify(sandbox: &Sandbox, run: &str, options: &[&str]) -> Ended {
    sandbox.run([&["verify", run, "--data", "kept"], options].concat())
}

#[test]
fn a_file_that_a_run_on_this_machine_left_is_verified_until_it_is_changed() {
    let sandbox = sandbox();
    let run = run_here(&sandbox, "out-{job_id}.txt");
    let out = format!("out-{run}.txt");
    assert_eq!(sandbox.read(&out), output().into_bytes());
    let right = verify(&sandbox, &run, &[]).succeeded();
    for part in ["verified: ", &out, "records of 8 results", "every byte was read"] {
        assert!(said(&right).contains(part), "{part}: {}", said(&right));
    }
    let told = verification(&verify(&sandbox, &run, &["--json"]).succeeded());
    assert_eq!(told.verdict, Verdict::Verified);
    assert_eq!(told.recorded.unwrap().content.bytes, output().len() as u64);

    fs::copy(sandbox.path(&out), sandbox.path("copy")).unwrap();
    sandbox.write(&out, output().replace("1234\n", "1243\n"));
    let changed = verify(&sandbox, &run, &["--json"]).failed_with(5);
    assert_eq!(verification(&changed).verdict, Verdict::Replaced);
    changed.says(&["output_replaced", &out, "or was changed", "find out who wrote it"]);
    verify(&sandbox, &run, &["--file", "copy"]).succeeded();
    fs::remove_file(sandbox.path(&out)).unwrap();
    verify(&sandbox, &run, &[]).failed_with(5).says(&["output_missing", "nothing at out-"]);
    verify(&sandbox, "no-such-run", &[]).failed_with(2).says(&["no such run", "--data kept"]);
    sandbox.assert_clean(&["copy", "job.json", "kept"]);
}

#[test]
fn a_byte_that_rots_on_the_stores_disk_is_found_by_reading() {
    let sandbox = sandbox();
    let run = run_here(&sandbox, "s3://fanfold/out");
    let by_head = verify(&sandbox, &run, &[]).succeeded();
    assert!(said(&by_head).contains("no byte was read"), "{}", said(&by_head));
    let read = verification(&verify(&sandbox, &run, &["--read", "--json"]).succeeded());
    assert_eq!((read.verdict, read.found.unwrap().by), (Verdict::Verified, Look::Read));

    files::flip(&sandbox.path("kept/s3"), b"\n1233\n1234\n1235\n");
    let rotten = verify(&sandbox, &run, &["--read", "--json"]).failed_with(5);
    assert_eq!(verification(&rotten).verdict, Verdict::Corrupt);
    rotten.says(&["output_corrupt", "s3://fanfold/out is damaged", "by its ETag it is the output"]);
    sandbox.assert_clean(&["job.json", "kept"]);
}

#[test]
fn an_output_that_nobody_kept_is_verified_by_a_copy() {
    let sandbox = sandbox();
    sandbox.write("job.json", job("-").to_string());
    let ended = sandbox.run(["run", "job.json", "--data", "kept"]).succeeded();
    assert_eq!(ended.stdout, output().into_bytes());
    sandbox.write("copy", &ended.stdout);
    let (_, run) = ended.stderr.split_once("run numbers-").unwrap();
    let run = format!("numbers-{}", run.split(':').next().unwrap());
    verify(&sandbox, &run, &[]).failed_with(2).says(&["went to standard output", "--file FILE"]);
    verify(&sandbox, &run, &["--file", "copy"]).succeeded();
    sandbox.run(["verify", &run]).failed_with(7).says(&["--stack", "--data DIR"]);
}

/// The store of `fanfold local`.
async fn store_of(local: &Local<'_>) -> S3Store {
    let variable = |name: &str| {
        let found = local.environment().iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap()
    };
    let settings = S3Settings {
        endpoint: Some(variable("AWS_ENDPOINT_URL_S3")),
        region: Some(variable("AWS_REGION")),
        credentials: Some((variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))),
        profile: None,
    };
    S3Store::new(settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_a_deployed_run_is_verified_until_it_is_replaced_or_taken_away() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    let store = store_of(&local).await;
    let out = ObjectUri::new("fanfold", "out");
    sandbox.write("job.json", job(&out.to_string()).to_string());
    local.run(&["submit", "job.json", "--token", "run-1", "--wait"]).succeeded();
    let by_head = local.run(&["verify", "run-1"]).succeeded();
    for part in ["s3://fanfold/out is the output of run-1", "records of 8 results", "no byte was read"] {
        assert!(said(&by_head).contains(part), "{part}: {}", said(&by_head));
    }
    let read = verification(&local.run(&["verify", "run-1", "--read", "--json"]).succeeded());
    assert_eq!((read.verdict, read.found.unwrap().by), (Verdict::Verified, Look::Read));

    // The same bytes again are right, and bytes of the same number are not.
    let put = async |bytes: String| store.put(&out, Bytes::from(bytes), PutOptions::default()).await.unwrap();
    put(output()).await;
    local.run(&["verify", "run-1"]).succeeded();
    put(output().replace("1234\n", "1243\n")).await;
    let replaced = local.run(&["verify", "run-1", "--json"]).failed_with(5);
    assert_eq!(verification(&replaced).verdict, Verdict::Replaced);
    replaced.says(&["output_replaced", "another object stands at s3://fanfold/out", "the ETag "]);
    store.delete("fanfold", &["out".to_owned()]).await.unwrap();
    let missing = local.run(&["verify", "run-1", "--read", "--json"]).failed_with(5);
    assert_eq!(verification(&missing).verdict, Verdict::Missing);
    missing.says(&["output_missing", "nothing at s3://fanfold/out", "run the job again"]);
    drop(store);
    local.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_an_output_has_none_to_verify_and_says_why() {
    let sandbox = sandbox();
    let local = Local::start(&sandbox);
    sandbox.write("job.json", job("s3://fanfold/out").to_string());
    sandbox.write("wait", "");
    local.run(&["submit", "job.json", "--token", "running"]).succeeded();
    let running = local.run(&["verify", "running"]).failed_with(2);
    running.says(&["invalid_job", "has not ended", "fanfold status running"]);
    fs::remove_file(sandbox.path("wait")).unwrap();
    local.run(&["watch", "running"]).succeeded();

    sandbox.write("broken", "");
    local.run(&["submit", "job.json", "--token", "failed", "--wait"]).failed_with(4);
    let failed = local.run(&["verify", "failed"]).failed_with(4);
    failed.says(&["program_failed", "it ended without one", "fanfold redrive failed"]);
    local.run(&["verify", "no-such-run"]).failed_with(2).says(&["there is no such job"]);
    local.stop();
}
