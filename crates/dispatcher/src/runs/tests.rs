//! Each trigger's recorded event runs its deployed job once, however often it is delivered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::done::Environment;
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::memory::MemoryInvoke;
use fanfold_runtime::{Budget, Deps, Error, Functions, Metrics, SystemWorld, World};
use fanfold_store::memory::MemoryStore;
use fanfold_store::{PutOptions, Store, StoreExt};
use serde_json::{Value, json};

use crate::{Deployed, Settings, handle};

/// The object of the recorded events.
const OBJECT: &str = "s3://in/orders/2026 11/한글+1*.csv";

/// A dispatcher with two deployed jobs: `orders-nightly`, and `arrivals`, which objects below s3://in/orders/ start.
struct Deployment {
    deps: Deps,
    settings: Settings,
    invoke: Arc<MemoryInvoke>,
}

impl Deployment {
    async fn new() -> Self {
        let invoke = Arc::new(MemoryInvoke::new());
        for name in ["dispatcher", "worker", "reducer"] {
            invoke.register(name, |_| async { Ok(Bytes::from_static(b"{}")) });
        }
        let store = Arc::new(MemoryStore::new(["work", "in", "out"]));
        for at in
            [OBJECT, "s3://in/orders/a.csv", "s3://in/orders/b.csv", "s3://in/orders/2026 11/한글+1x.csv"]
        {
            store.put(&at.parse().unwrap(), Bytes::from_static(b"x\n"), PutOptions::default()).await.unwrap();
        }
        let deps = Deps {
            store,
            invoke: invoke.clone(),
            world: Arc::new(SystemWorld),
            work: ObjectUri::new("work", "work/"),
            functions: Functions {
                dispatcher: "dispatcher".to_owned(),
                worker: "worker".to_owned(),
                reducer: "reducer".to_owned(),
            },
            metrics: Metrics::off(),
            environment: Environment::default(),
            request_id: String::new(),
        };
        let mut settings = Settings::new(2);
        settings.deployment = r#"{ "bucket": "out" }"#.parse().unwrap();
        settings.links = r#"{ "logs": "https://logs/{job_id}" }"#.parse().unwrap();
        settings.deployed = Deployed::of_files(jobs(), &settings.deployment, Some(&deps.work));
        Self { deps, settings, invoke }
    }

    async fn deliver(&self, event: &Value, request_id: &str) -> Result<Value, Error> {
        let budget = Budget::until(SystemWorld.now_ms() + 60_000);
        handle(event.clone(), &self.deps, &self.settings, budget, request_id).await
    }

    async fn plan(&self, job_id: &Value) -> Plan {
        let job_id = job_id.as_str().unwrap().parse().unwrap();
        self.deps.store.get_json(&self.deps.keys(&job_id).plan()).await.unwrap()
    }

    /// The ids of all runs.
    async fn runs(&self) -> BTreeSet<String> {
        let listed = self.deps.store.list_all("work", "work/jobs/").await.unwrap();
        listed.iter().map(|object| object.key.split('/').nth(2).unwrap().to_owned()).collect()
    }

    /// The partitions that workers were sent.
    async fn sent(&self) -> Vec<Partition> {
        self.invoke.idle().await;
        let deliveries = self.invoke.deliveries().into_iter().map(|delivery| delivery.invocation);
        let workers = deliveries.filter(|invocation| invocation.function == "worker");
        workers.map(|invocation| serde_json::from_slice(&invocation.payload).unwrap()).collect()
    }
}

fn jobs() -> [(String, Value); 2] {
    let nightly = json!({
        "version": 1, "name": "orders-nightly",
        "source": { "range": { "end": 4, "chunk": 1 } },
        "task": { "command": ["score", "{scheduled_date}"] },
        "output": { "uri": "s3://{deployment.bucket}/orders/{scheduled_date}.csv" },
        "schedule": { "cron": "0 3 * * ? *" }
    });
    let arrivals = json!({
        "version": 1, "name": "arrivals",
        "source": { "objects": { "uri": "{object_uri}" } },
        "task": { "name": "keep", "args": ["{object_key}"] },
        "output": { "uri": "s3://{deployment.bucket}/{object_key}" },
        "on_object_created": { "bucket": "in", "prefix": "orders/", "suffix": ".csv" }
    });
    [("orders-nightly.json".to_owned(), nightly), ("arrivals.json".to_owned(), arrivals)]
}

/// A recorded event, by the name of its file.
fn fixture(name: &str) -> Value {
    let path = format!("{}/../flow/tests/fixtures/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn each_trigger_delivered_twice_at_once_and_once_more_later_is_one_run() {
    for name in ["scheduler-run", "rule-run", "s3-eventbridge", "s3-notification"] {
        let deployment = Deployment::new().await;
        let event = fixture(name);
        let (one, other) = tokio::join!(deployment.deliver(&event, "a"), deployment.deliver(&event, "b"));
        let (one, other) = (one.unwrap(), other.unwrap());
        let later = deployment.deliver(&event, "c").await.unwrap();
        assert_eq!((&one["job_id"], &one["job_id"]), (&other["job_id"], &later["job_id"]), "{name}");
        assert_eq!(deployment.runs().await.len(), 1, "{name}");
        let plan = deployment.plan(&one["job_id"]).await;
        for partition in deployment.sent().await {
            assert_eq!(
                plan.partition(partition.number, 1),
                Some(partition),
                "{name}: of the one plan that there is"
            );
        }
    }
}

#[tokio::test]
async fn targets_of_one_rule_that_ask_for_different_things_are_different_runs_each_of_them_once() {
    let patch = |end: u64| json!({ "source": { "range": { "end": end, "chunk": 1 } } });
    for name in ["scheduler-run", "rule-run"] {
        let deployment = Deployment::new().await;
        let plain = fixture(name);
        let (mut one, mut other) = (plain.clone(), plain.clone());
        (one["with"], other["with"]) = (patch(1), patch(2));
        let mut whole = [jobs()[0].1.clone(), jobs()[0].1.clone()];
        whole[1]["retries"] = json!(0);
        for job in &mut whole {
            job["trigger"] = plain["trigger"].clone();
        }
        let events = [&plain, &one, &other, &whole[0], &whole[1]];
        for (number, event) in events.into_iter().enumerate() {
            let first = deployment.deliver(event, "a").await.unwrap();
            let again = deployment.deliver(event, "b").await.unwrap();
            assert_eq!(first["job_id"], again["job_id"], "{event}");
            assert_eq!(deployment.runs().await.len(), number + 1, "{event}");
        }
    }
}

#[tokio::test]
async fn an_object_told_of_by_both_of_s3s_ways_is_one_run_of_that_object_alone() {
    let deployment = Deployment::new().await;
    let by_rule = deployment.deliver(&fixture("s3-eventbridge"), "a").await.unwrap();
    let by_notification = deployment.deliver(&fixture("s3-notification"), "b").await.unwrap();
    assert_eq!(by_rule["job_id"], by_notification["job_id"]);
    assert_eq!(deployment.runs().await.len(), 1);
    let plan = deployment.plan(&by_rule["job_id"]).await;
    assert_eq!(plan.chunks, 1, "the star in the key is no glob's");
    assert_eq!(plan.output, ObjectUri::new("out", "orders/2026 11/한글+1*.csv"));
    assert_eq!(plan.occasion.object, Some(OBJECT.parse().unwrap()));
}

#[tokio::test]
async fn the_time_that_a_schedule_meant_reaches_placeholders_and_workers() {
    let deployment = Deployment::new().await;
    let answer = deployment.deliver(&fixture("scheduler-run"), "a").await.unwrap();
    assert_eq!(answer["output"], "s3://out/orders/2026-11-22.csv");
    assert!(answer["job_id"].as_str().unwrap().starts_with("orders-nightly-20261122T030000Z-"), "{answer}");
    let sent = deployment.sent().await;
    assert!(
        sent.iter().all(|partition| partition.occasion.scheduled_ms == Some(1_795_316_400_000)),
        "{sent:?}"
    );
    assert!(sent.iter().all(|partition| partition.occasion.deployed_task), "its command was deployed");
}

#[tokio::test]
async fn a_command_that_an_event_brings_is_none_that_was_deployed() {
    let deployment = Deployment::new().await;
    let mut whole = jobs()[0].1.clone();
    whole["token"] = json!("whole");
    let with = |with: Value, token: &str| json!({ "run": "orders-nightly", "with": with, "token": token });
    for (event, deployed) in [
        (whole, false),
        (with(json!({ "task": { "command": ["other"] } }), "command"), false),
        (with(json!({ "task": { "environment": { "PATH": "/elsewhere" } } }), "environment"), false),
        (with(json!({ "retries": 0 }), "retries"), true),
    ] {
        let answer = deployment.deliver(&event, "a").await.unwrap();
        let plan = deployment.plan(&answer["job_id"]).await;
        assert_eq!(plan.occasion.deployed_task, deployed, "{event}");
    }
}

#[tokio::test]
async fn several_objects_of_one_event_are_several_runs_and_one_that_is_wrong_keeps_none_back() {
    let deployment = Deployment::new().await;
    let mut event = fixture("s3-notification-two");
    let answers = deployment.deliver(&event, "a").await.unwrap();
    let outputs: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["output"].clone()).collect();
    assert_eq!(outputs, ["s3://out/orders/a.csv", "s3://out/orders/b.csv"]);
    event["Records"][0]["s3"]["object"] = json!({ "key": "orders/gone.csv", "sequencer": "1" });
    event["Records"][1]["s3"]["object"]["sequencer"] = json!("2");
    let refusal = deployment.deliver(&event, "b").await.unwrap_err();
    assert!(refusal.chain().contains("run arrivals for s3://in/orders/gone.csv"), "{}", refusal.chain());
    assert_eq!(deployment.runs().await.len(), 3, "b.csv was written again, and runs again");
}

#[tokio::test]
async fn an_object_that_no_job_is_meant_for_is_an_error_but_a_folder_is_none() {
    let deployment = Deployment::new().await;
    let mut event = fixture("s3-eventbridge");
    event["detail"]["object"]["key"] = json!("orders/readme.txt");
    let refusal = deployment.deliver(&event, "a").await.unwrap_err().to_string();
    let expected = "start a job for s3://in/orders/readme.txt: none is meant for it (arrivals is started by s3://in/orders/*.csv)";
    assert_eq!(refusal, expected);
    event["detail"]["object"]["key"] = json!("orders/new/");
    let answer = deployment.deliver(&event, "b").await.unwrap();
    assert!(answer["message"].as_str().unwrap().contains("is a folder"), "{answer}");
    let answer = deployment.deliver(&fixture("s3-test"), "c").await.unwrap();
    assert!(answer["message"].as_str().unwrap().contains("of the bucket in arrive here"), "{answer}");
    assert!(deployment.runs().await.is_empty());
}

#[tokio::test]
async fn an_object_for_a_job_that_is_not_right_fails_with_its_problems_and_the_others_run() {
    let mut deployment = Deployment::new().await;
    let [nightly, arrivals] = jobs();
    let mut bad = arrivals.1.clone();
    (bad["name"], bad["retires"]) = (json!("bad"), json!(1));
    let files = [nightly, arrivals, ("bad.json".to_owned(), bad)];
    let work = Some(&deployment.deps.work);
    deployment.settings.deployed = Deployed::of_files(files, &deployment.settings.deployment, work);
    let refusal = deployment.deliver(&fixture("s3-eventbridge"), "a").await.unwrap_err().to_string();
    assert!(
        refusal.contains(&format!("run bad for {OBJECT}")) && refusal.contains("retires: is unknown"),
        "{refusal}"
    );
    let refusal = deployment.deliver(&json!({ "run": "bad" }), "b").await.unwrap_err();
    assert_eq!(refusal.code, fanfold_flow::code::Code::InvalidJob);
    assert!(refusal.message.contains("retires: is unknown"), "{refusal}");
    assert_eq!(deployment.runs().await.len(), 1, "the one that is right");
    deployment.deliver(&fixture("scheduler-run"), "c").await.unwrap();
}

#[tokio::test]
async fn a_marker_starts_no_job_whatever_its_token_ends_in() {
    let mut deployment = Deployment::new().await;
    let mut wide = jobs()[1].1.clone();
    wide["on_object_created"] = json!({ "bucket": "work", "suffix": ".csv" });
    let files = [("arrivals.json".to_owned(), wide)];
    let work = Some(&deployment.deps.work);
    deployment.settings.deployed = Deployed::of_files(files, &deployment.settings.deployment, work);
    let mut event = fixture("s3-eventbridge");
    event["detail"]["bucket"]["name"] = json!("work");
    event["detail"]["object"]["key"] = json!("work/active/orders.csv");
    let answer = deployment.deliver(&event, "a").await.unwrap();
    assert!(answer["message"].as_str().unwrap().contains("says that orders.csv runs"), "{answer}");
    assert!(deployment.runs().await.is_empty());
}

#[tokio::test]
async fn a_trigger_that_comes_again_after_its_job_was_deployed_anew_goes_on_with_the_first() {
    let mut deployment = Deployment::new().await;
    let first = deployment.deliver(&fixture("scheduler-run"), "a").await.unwrap();
    let [(file, mut nightly), arrivals] = jobs();
    nightly["output"]["uri"] = json!("s3://out/elsewhere");
    nightly["source"]["range"]["end"] = json!(9);
    let files = [(file, nightly), arrivals];
    deployment.settings.deployed = Deployed::of_files(files, &deployment.settings.deployment, None);
    let again = deployment.deliver(&fixture("scheduler-run"), "b").await.unwrap();
    assert_eq!((&again["output"], &again["chunks"]), (&first["output"], &first["chunks"]));
    // It may also have died between the two documents.
    let keys = deployment.deps.keys(&first["job_id"].as_str().unwrap().parse().unwrap());
    deployment.deps.store.delete("work", std::slice::from_ref(&keys.plan().key)).await.unwrap();
    let again = deployment.deliver(&fixture("scheduler-run"), "c").await.unwrap();
    assert_eq!((&again["output"], &again["chunks"]), (&first["output"], &first["chunks"]));
    let job: Job = deployment.deps.store.get_json(&keys.job()).await.unwrap();
    assert_eq!(job.output.uri.to_string(), "s3://out/orders/{scheduled_date}.csv");
}

#[tokio::test]
async fn a_token_is_refused_for_anything_but_the_run_that_it_was_used_for() {
    let deployment = Deployment::new().await;
    let event = |object: &str, time: &str, with: Value| json!({ "run": "arrivals", "token": "t", "trigger": { "object": object }, "scheduled_time": time, "with": with });
    let (a, night) = ("s3://in/orders/a.csv", "2026-11-22T03:00:00Z");
    deployment.deliver(&event(a, night, json!({})), "a").await.unwrap();
    deployment.deliver(&event(a, night, json!({})), "b").await.unwrap();
    for (other, part) in [
        (event("s3://in/orders/b.csv", night, json!({})), "another object"),
        (event(a, "2026-11-23T03:00:00Z", json!({})), "another time"),
        (event(a, night, json!({ "retries": 9 })), "another job"),
    ] {
        let refusal = deployment.deliver(&other, "c").await.unwrap_err().to_string();
        assert!(refusal.contains(part), "{refusal}");
    }
    assert_eq!(deployment.runs().await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_what_to_send() {
    let deployment = Deployment::new().await;
    let again = json!({ "output": { "uri": "s3://in/orders/x.csv" } });
    let by_placeholder = json!({ "output": { "uri": "s3://in/{name}/{object_name}" }, "name": "orders" });
    let object = json!({ "object": "s3://in/orders/a.csv" });
    for (event, part) in [
        (json!({ "run": "arivals" }), "did you mean 'arrivals'?"),
        (json!({ "run": "arrivals" }), "\"trigger\": {\"object\": \"s3://bucket/key\"}"),
        (json!({ "run": "arrivals", "trigger": object, "with": again }), "without end"),
        (json!({ "run": "arrivals", "trigger": object, "with": by_placeholder }), "without end"),
        (json!({ "run": "arrivals", "with": { "sourse": 1 } }), "sourse: is unknown"),
        (
            json!({ "run": "arrivals", "with": { "output": { "uri": "s3://{deployment.buckt}/x" } } }),
            "did you mean 'bucket'?",
        ),
    ] {
        let refusal = deployment.deliver(&event, "a").await.unwrap_err().to_string();
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
    assert!(deployment.runs().await.is_empty(), "what is refused leaves nothing");
}

#[tokio::test]
async fn an_answer_names_the_run_its_cost_and_where_to_look() {
    let deployment = Deployment::new().await;
    let answer = deployment.deliver(&json!({ "run": "orders-nightly" }), "request-1").await.unwrap();
    assert_eq!(
        (&answer["job_id"], &answer["name"]),
        (&json!("orders-nightly-request-1"), &json!("orders-nightly"))
    );
    assert_eq!(answer["links"], json!({ "logs": "https://logs/orders-nightly-request-1" }));
    assert!(
        answer["cost"]["at_one_minute_a_chunk_usd"].as_f64() > answer["cost"]["requests_usd"].as_f64(),
        "{answer}"
    );
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("is under way: 4 chunks in 2 partitions; the output will be at s3://out/orders/"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_job_or_with_its_time() {
    let deployment = Deployment::new().await;
    let event = json!({ "run": "orders-nightly", "token": "t", "wait": "60s" });
    let began = tokio::time::Instant::now();
    let answer = deployment.deliver(&event, "a").await.unwrap();
    assert!(answer["message"].as_str().unwrap().contains("takes longer than the wait"), "{answer}");
    // The invocation has 60 s as well, and needs some of them for its answer.
    assert!(
        (Duration::from_secs(57)..Duration::from_secs(59)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(answer.get("report"), None);

    let keys = deployment.deps.keys(&"t".parse().unwrap());
    let report = json!({
        "version": 1, "job_id": "t", "name": "orders-nightly", "status": "failed", "partitions": 2, "attempts": 2,
        "chunks": { "total": 4, "done": 3, "failed": 1, "cancelled": 0 }, "records": 0, "bytes_in": 0, "failures": [],
        "code": "program_failed", "message": "one chunk failed", "started_ms": 0, "ended_ms": 1
    });
    let ends = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        deployment.deps.store.put_json(&keys.result(), &report, PutOptions::default()).await.unwrap();
    };
    let began = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(deployment.deliver(&event, "b"), ends);
    let answer = answer.unwrap();
    assert!(
        (Duration::from_secs(20)..=Duration::from_secs(22)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(answer["report"]["status"], "failed");
    assert!(answer["message"].as_str().unwrap().ends_with("failed: one chunk failed"), "{answer}");
    let later = deployment.deliver(&event, "c").await.unwrap();
    assert_eq!(later["report"], answer["report"], "what has ended needs no wait");
    let unwaited = deployment.deliver(&json!({ "run": "orders-nightly", "token": "t" }), "d").await.unwrap();
    assert!(unwaited["message"].as_str().unwrap().contains("was run before and has ended"), "{unwaited}");
}
