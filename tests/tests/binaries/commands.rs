//! The commands beside `map` and `run`: what `plan` shows, how a wrong job is refused, and `local` for other terminals.

use std::fs::{self, File};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{bare, data, python, sandbox};
use e2e::program::Sandbox;

/// The README's job over this file.
fn job(input: &str, output: &str) -> Value {
    json!({
        "version": 1,
        "name": "minor-strikes",
        "source": { "objects": { "uri": input, "split": "csv", "header": true, "chunk_bytes": "64KiB" } },
        "task": { "command": ["awk", "-F,", "NR==1 || $0 ~ /Minor/"] },
        "output": { "uri": output, "format": "csv" }
    })
}

#[test]
fn a_plan_shows_what_would_run_and_runs_nothing() {
    let sandbox = sandbox();
    fs::copy(data("birdstrikes.csv"), sandbox.path("birdstrikes.csv")).unwrap();
    sandbox.write("job.json", job("birdstrikes.csv", "minor.csv").to_string());
    // As many chunks to a partition as the job says, whatever machine this is.
    let args = ["plan", "job.json", "--set", "processes=2"];
    let ended = sandbox.run(args).succeeded();
    insta::assert_snapshot!(String::from_utf8(ended.stdout).unwrap());
    let ended = sandbox.run([&args[..], &["--json"]].concat()).succeeded();
    let plan: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let bytes = fs::metadata(data("birdstrikes.csv")).unwrap().len();
    assert_eq!(plan["plan"]["chunks"], bytes.div_ceil(64 << 10));
    sandbox.assert_clean(&["birdstrikes.csv", "job.json"]);
}

#[test]
fn a_wrong_job_is_refused_with_all_that_is_wrong_before_anything_starts() {
    let sandbox = sandbox();
    let mut wrong = job("birdstrikes.csv", "{nam}.csv");
    wrong["nmae"] = wrong["name"].take();
    wrong["source"]["objects"]["split"] = json!("line");
    wrong["task"]["command"] = json!("awk");
    wrong["retries"] = json!(-1);
    sandbox.write("job.json", wrong.to_string());
    for command in ["run", "plan"] {
        let ended = sandbox.run([command, "job.json", "--set", "output.format=cvs"]).failed_with(2);
        ended.says(&[
            "error (invalid_job)",
            "nmae: is unknown",
            "did you mean 'name'?",
            "source.objects.split: must be",
            "did you mean 'lines'?",
            "task.command: must be a list",
            "retries: must be a whole number",
            "output.format: must be",
            "output.uri: placeholder '{nam}'",
        ]);
        assert_eq!(ended.stdout, b"");
    }
    sandbox.assert_clean(&["job.json"]);
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let sandbox = sandbox();
    let ended = sandbox.map(&["-i", "no-such-file", "-o", "out"], &["cat"]).failed_with(3);
    ended.says(&["input_missing", "no-such-file"]);
    sandbox.assert_clean(&[]);
}

#[test]
fn an_output_that_must_not_be_overwritten_is_left_alone() {
    let sandbox = sandbox();
    sandbox.write("out", "from before");
    let input = data("flights.jsonl");
    let ended = sandbox.map(&["-i", &input, "-o", "out", "--no-overwrite"], &["cat"]).failed_with(5);
    ended.says(&["output_exists", "out"]);
    assert_eq!(sandbox.read("out"), b"from before");
    sandbox.assert_clean(&["out"]);
}

/// The variables of `export NAME=value` lines, once the last of them is there.
fn exports(sandbox: &Sandbox) -> Option<Vec<(String, String)>> {
    let text = fs::read_to_string(sandbox.path("env.sh")).ok()?;
    let lines = text.lines().map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let variables: Vec<_> = lines.collect::<Option<_>>()?;
    let whole = text.ends_with('\n') && variables.iter().any(|(name, _)| name == "FANFOLD_REDUCER");
    whole.then_some(variables)
}

#[test]
fn strangers_clients_run_a_job_on_the_machine_that_local_keeps_up() {
    let sandbox = sandbox();
    let input = data("birdstrikes.csv");
    sandbox.write("job.json", job("s3://fanfold/in/strikes.csv", "s3://fanfold/out/minor.csv").to_string());
    let mut local = sandbox.command(["local"]);
    local.stdout(File::create(sandbox.path("env.sh")).unwrap());
    let mut local = sandbox.start_with_its_stdout(&mut local);
    local.until("the exports", |sandbox| exports(sandbox).is_some());
    let variables = exports(&sandbox).unwrap();

    let clients = e2e::python::clients();
    let client = |program: &str, args: &[&str]| {
        let mut command = sandbox.any(clients.with_file_name(program));
        command.args(args).envs(variables.iter().map(|(name, value)| (name, value)));
        // Nothing of the user's own settings.
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN").env_remove("AWS_ENDPOINT_URL");
        sandbox.start(&mut command).ended().succeeded().stdout
    };
    client("aws", &["s3", "cp", "--only-show-errors", &input, "s3://fanfold/in/strikes.csv"]);
    let invoke = [
        "lambda",
        "invoke",
        "--function-name",
        "fanfold-dispatcher",
        "--payload",
        "file://job.json",
        "answer.json",
    ];
    client("aws", &invoke);
    let output = client("python", &[&python("follow.py"), "answer.json"]);
    assert!(output == bare(&["awk", "-F,", "NR==1 || $0 ~ /Minor/"], &input));
    let listed = client("aws", &["s3", "ls", "--recursive", "s3://fanfold/out/"]);
    assert!(String::from_utf8(listed).unwrap().contains(&format!("{} out/minor.csv", output.len())));

    local.signal(Signal::TERM);
    local
        .ended_within(Duration::from_secs(5))
        .succeeded()
        .says(&["Lambda and S3 are up", "stopping after SIGTERM"]);
    sandbox.assert_clean(&["answer.json", "env.sh", "job.json"]);
}
