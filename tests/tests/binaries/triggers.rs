//! Everything that can start a job of the stack that CDK synthesized, with the event that the template would have AWS send:
//! each runs its job once, and once only when it comes twice. The functions are the programs that would be deployed.

use std::collections::BTreeMap;
use std::path::Path;

use e2e::deployment::{Deployment, Submitted, read_template, synthesized_template};
use e2e::program::{Ended, Sandbox};
use fanfold_emulator::template::Notification;
use fanfold_flow::report::{Report, Status};
use serde_json::{Value, json};

use crate::{bare, data, sandbox};

/// What the job `squares-nightly` of the stack writes.
fn squares() -> Vec<u8> {
    let rows = (1_u64..=100_000).map(|number| format!("{number},{}\n", number * number));
    format!("number,square\n{}", rows.collect::<String>()).into_bytes()
}

/// What the job `keep-on-arrival` of the stack writes for the data set: what its program writes over the whole of it.
fn kept() -> Vec<u8> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/tasks/keep.sh");
    bare(&["sh", script, "Minor"], &data("birdstrikes.csv"))
}

async fn put_strikes(deployed: &Deployment, key: &str) {
    deployed.put(key, std::fs::read(data("birdstrikes.csv")).unwrap()).await;
}

/// The program `fanfold` in another terminal.
fn run(sandbox: &Sandbox, deployed: &Deployment, args: &[&str]) -> Ended {
    let mut command = sandbox.command(args);
    tokio::task::block_in_place(|| sandbox.start(command.envs(deployed.environment())).ended().succeeded())
}

/// The only run that there was: it took each partition once, and left this output at this key.
async fn ran_once(deployed: &Deployment, key: &str, output: &[u8]) -> Report {
    let [run] = &deployed.runs().await[..] else { panic!("{:?}", deployed.runs().await) };
    ran(deployed, run, key, output).await
}

async fn ran(deployed: &Deployment, run: &Submitted, key: &str, expected: &[u8]) -> Report {
    let (output, report) = deployed.output(run).await;
    assert!(output == expected, "{} bytes for {}", output.len(), expected.len());
    assert_eq!(report.attempts, report.partitions);
    let uri = report.output.as_ref().map(|output| output.uri.to_string());
    assert_eq!(uri, Some(format!("s3://{}/{key}", deployed.bucket())));
    report
}

/// The test events that the console would offer: name and event.
fn test_events(template: &Path, bucket: &str) -> BTreeMap<String, Value> {
    let template: Value = serde_json::from_slice(&std::fs::read(template).unwrap()).unwrap();
    let resources = template["Resources"].as_object().unwrap();
    let is_schema = |resource: &&Value| resource["Type"] == "AWS::EventSchemas::Schema";
    let schema = resources.values().find(is_schema).unwrap();
    // A text, or pieces of it between references, of which the bucket is the only one.
    let content = match &schema["Properties"]["Content"] {
        Value::String(text) => text.clone(),
        join => {
            let pieces = join["Fn::Join"][1].as_array().unwrap().iter();
            pieces.map(|piece| piece.as_str().unwrap_or(bucket)).collect()
        }
    };
    let content: Value = serde_json::from_str(&content).unwrap();
    let examples = content["components"]["examples"].as_object().unwrap().iter();
    examples.map(|(name, example)| (name.clone(), example["value"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_test_event_of_the_console_does_what_it_is_called() {
    let Some(path) = synthesized_template() else { return };
    let mut template = read_template(&path);
    // So that an object starts nothing by itself.
    template.rules.clear();
    let deployed = Deployment::of_template(template).await;
    let mut events = test_events(&path, deployed.bucket());

    let help = deployed.call(&events.remove("_help").unwrap()).await.unwrap().to_string();
    for job in ["squares-nightly", "keep-on-arrival"] {
        assert!(help.contains(job), "{help}");
    }

    let squared = Submitted::of(deployed.call(&events.remove("squares-nightly").unwrap()).await.unwrap());
    let (output, report) = deployed.output(&squared).await;
    assert!(output == squares());

    let mut status = events.remove("_status").unwrap();
    status["status"] = json!(report.job_id);
    assert_eq!(deployed.call(&status).await.unwrap()["status"], "succeeded");

    let arrival = events.remove("keep-on-arrival").unwrap();
    let key = arrival["detail"]["object"]["key"].as_str().unwrap();
    put_strikes(&deployed, key).await;
    deployed.call(&arrival).await.unwrap();
    let runs = deployed.runs().await;
    assert_eq!(runs.len(), 2, "{runs:?}");
    let kept_run = runs.iter().find(|run| **run != squared).unwrap();
    ran(&deployed, kept_run, "outputs/kept/EXAMPLE.csv", &kept()).await;
    assert_eq!(events, BTreeMap::new(), "a test event that nobody tried");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_object_runs_its_job_once_though_the_rule_tells_of_it_twice() {
    let Some(path) = synthesized_template() else { return };
    let mut template = read_template(&path);
    for rule in &mut template.rules {
        rule.targets.extend(rule.targets.clone());
    }
    let deployed = Deployment::of_template(template).await;
    put_strikes(&deployed, "inputs/strikes/a flight+1.csv").await;
    put_strikes(&deployed, "inputs/strikes/not-a-table.txt").await;
    put_strikes(&deployed, "inputs/other/a.csv").await;
    let report = ran_once(&deployed, "outputs/kept/a flight+1.csv", &kept()).await;
    assert_eq!(report.records, 10_000);
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_s3_and_the_rule_that_tell_of_one_object_are_one_run() {
    let Some(path) = synthesized_template() else { return };
    let mut template = read_template(&path);
    let [rule] = &template.rules[..] else { panic!("{:?}", template.rules) };
    let fanfold_emulator::events::Receiver::Function(dispatcher) = &rule.targets[0].receiver else {
        panic!("{rule:?}")
    };
    let twice = ["first", "second"].map(|id| Notification {
        id: id.to_owned(),
        function: dispatcher.clone(),
        events: vec!["s3:ObjectCreated:*".to_owned()],
        prefix: "inputs/".to_owned(),
        suffix: String::new(),
    });
    template.buckets[0].notifications.extend(twice);
    let deployed = Deployment::of_template(template).await;
    put_strikes(&deployed, "inputs/strikes/a flight+1.csv").await;
    ran_once(&deployed, "outputs/kept/a flight+1.csv", &kept()).await;
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_s3_alone_runs_the_job_of_the_object_once_though_it_comes_twice() {
    let Some(path) = synthesized_template() else { return };
    let mut template = read_template(&path);
    template.rules.clear();
    let deployed = Deployment::of_template(template).await;
    let key = "inputs/strikes/a flight+1.csv";
    put_strikes(&deployed, key).await;
    let notice = json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-22T03:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "new-tables",
            "bucket": { "name": deployed.bucket(), "arn": format!("arn:aws:s3:::{}", deployed.bucket()) },
            "object": { "key": "inputs/strikes/a+flight%2B1.csv", "size": 1, "sequencer": "0055AED6DCD90281E5" },
        },
    }] });
    let (first, second) = tokio::join!(deployed.call(&notice), deployed.call(&notice));
    first.and(second).unwrap();
    ran_once(&deployed, "outputs/kept/a flight+1.csv", &kept()).await;
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_of_a_schedule_is_one_run_however_often_it_is_sent() {
    let Some(path) = synthesized_template() else { return };
    let template = read_template(&path);
    let deployed = Deployment::of_template(template).await;
    let sandbox = sandbox();
    let fire = |at: &str| run(&sandbox, &deployed, &["fire", "squares-nightly", "--at", at]);
    fire("2026-11-22T02:00:00Z");
    fire("2026-11-22T02:00:00Z");
    let report = ran_once(&deployed, "outputs/squares/2026-11-22.csv", &squares()).await;
    let id = report.job_id.to_string();
    assert!(id.starts_with("squares-nightly-20261122T020000Z-"), "{id}");
    fire("2026-11-23T02:00:00Z");
    let runs = deployed.runs().await;
    let [_, next] = &runs[..] else { panic!("{runs:?}") };
    ran(&deployed, next, "outputs/squares/2026-11-23.csv", &squares()).await;
    sandbox.assert_clean(&[]);
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_that_the_schedule_sends_is_understood_and_starts_nothing_of_its_own() {
    let Some(path) = synthesized_template() else { return };
    let template = read_template(&path);
    let deployed = Deployment::of_template(template).await;
    let sandbox = sandbox();
    run(&sandbox, &deployed, &["fire", "sweep"]);
    assert_eq!(deployed.runs().await, [], "no job, and no dead letter");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_command_line_submits_twice_with_its_token_is_one_run() {
    let Some(path) = synthesized_template() else { return };
    let template = read_template(&path);
    let stack = template.stack.clone();
    let deployed = Deployment::of_template(template).await;
    let sandbox = sandbox();
    let submit = ["--stack", &stack, "submit", "squares-nightly", "--token", "mine", "--wait", "--json"];
    let at = ["--scheduled-time", "2026-11-22T02:00:00Z"];
    let told = run(&sandbox, &deployed, &[&submit[..], &at].concat()).report();
    assert_eq!(told.status, Status::Succeeded);
    assert_eq!(run(&sandbox, &deployed, &[&submit[..], &at].concat()).report(), told);
    let report = ran_once(&deployed, "outputs/squares/2026-11-22.csv", &squares()).await;
    assert_eq!(report.job_id, told.job_id);
    sandbox.assert_clean(&[]);
    deployed.stop().await;
}
