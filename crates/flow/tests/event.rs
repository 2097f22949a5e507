//! An event is known by its shape, and what is none is told what to send.

use fanfold_flow::event::{Asked, Event, FanOut, ObjectCreated, Reduce, Trigger};
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::occasion::Occasion;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::{Listing, make};
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::version::Version;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

fn job() -> Value {
    json!({
        "version": 1,
        "name": "rows",
        "source": { "range": { "end": 100, "chunk": 10 } },
        "task": { "name": "rows" },
        "output": { "uri": "s3://out/rows" },
    })
}

fn partition() -> Partition {
    let job = Job::from_json(&job()).unwrap_or_else(|problems| panic!("{problems}"));
    let plan = make(&job, &JobId::from_token("run-1"), Listing::Nothing, 2, Occasion::at(0));
    plan.partition(0, 1).unwrap_or_else(|| panic!("no partition"))
}

/// An on-failure record as Lambda sends it to a function: a timeout, unless another answer is given.
fn on_failure(payload: &impl serde::Serialize) -> Value {
    json!({
        "version": "1.0",
        "timestamp": "2026-11-22T17:30:00.000Z",
        "requestContext": {
            "requestId": "6e5c6a4e-0000-4000-8000-000000000000",
            "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:worker:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 1,
        },
        "requestPayload": payload,
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "responsePayload": {
            "errorType": "Sandbox.Timedout",
            "errorMessage": "RequestId: 6e5c6a4e Error: Task timed out after 900.00 seconds",
        },
    })
}

fn refusal(event: &Value) -> String {
    match Event::recognise(event) {
        Ok(event) => panic!("recognised: {event:?}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn the_consoles_empty_event_asks_for_help() {
    assert_eq!(Event::recognise(&json!({})), Ok(Event::Help));
}

#[test]
fn a_job_is_submitted_with_or_without_a_token() {
    for (token, expected) in [(None, None), (Some(Value::Null), None), (Some(json!("run 1")), Some("run 1"))]
    {
        let mut event = job();
        if let Some(token) = token {
            event["token"] = token;
        }
        let Ok(Event::Submit(submit)) = Event::recognise(&event) else { panic!("{event}") };
        assert_eq!(submit.asked.token.as_deref(), expected);
        assert_eq!(submit.job, Job::from_json(&job()).unwrap());
    }
}

#[test]
fn a_bad_token_and_a_bad_job_are_told_together() {
    for (token, told) in [
        (json!(""), "token: must have one character or more"),
        (json!(7), "token: must be a text, not 7"),
        (json!({}), "token: must be a text, not an object"),
    ] {
        let mut event = job();
        event["token"] = token;
        assert_eq!(refusal(&event), told);
        event["name"] = json!("a b");
        event["retires"] = json!(1);
        assert_eq!(refusal(&event).lines().count(), 3, "{}", refusal(&event));
    }
}

#[test]
fn the_dispatchers_own_message_comes_back_as_it_was_sent() {
    let fan_out = FanOut { version: Version, fan_out: JobId::from_token("run-1"), from: 10, to: 20 };
    let event = serde_json::to_value(&fan_out).unwrap();
    assert_eq!(event, json!({ "version": 1, "fan_out": "run-1", "from": 10, "to": 20 }));
    assert_eq!(Event::recognise(&event), Ok(Event::FanOut(fan_out)));
}

#[test]
fn a_message_of_a_later_version_is_refused() {
    let event = json!({ "version": 2, "fan_out": "run-1", "from": 10, "to": 20 });
    assert_eq!(refusal(&event), "the document: version 2 is unknown here; this program reads version 1");
}

#[test]
fn a_worker_that_died_is_known_by_its_payload() {
    let Ok(Event::WorkerFailed(failed)) = Event::recognise(&on_failure(&partition())) else { panic!() };
    assert_eq!(failed.payload, partition());
    assert_eq!(
        failed.reason,
        "Sandbox.Timedout: RequestId: 6e5c6a4e Error: Task timed out after 900.00 seconds"
    );
}

#[test]
fn a_reducer_that_died_is_known_by_its_payload() {
    let reduce =
        Reduce { version: Version, reduce: JobId::from_token("run-1"), node: None, hop: 0, attempt: 2 };
    let Ok(Event::ReducerFailed(failed)) = Event::recognise(&on_failure(&reduce)) else { panic!() };
    assert_eq!(failed.payload, reduce);
}

/// An event that grew too old was never run, so there is no answer to quote; an older form of a timeout has no type.
#[test]
fn the_reason_is_what_lambda_says_and_at_least_the_condition() {
    let reason = |response: Option<Value>, condition: &str| {
        let mut record = on_failure(&partition());
        record["requestContext"]["condition"] = condition.into();
        match response {
            Some(response) => record["responsePayload"] = response,
            None => drop(record.as_object_mut().unwrap().remove("responsePayload")),
        }
        match Event::recognise(&record) {
            Ok(Event::WorkerFailed(failed)) => failed.reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason(None, "EventAgeExceeded"), "EventAgeExceeded");
    assert_eq!(reason(Some(Value::Null), "EventAgeExceeded"), "EventAgeExceeded");
    let timeout = json!({ "errorMessage": "Task timed out after 3.00 seconds" });
    assert_eq!(reason(Some(timeout), "RetriesExhausted"), "Task timed out after 3.00 seconds");
    assert_eq!(
        reason(Some(json!({ "errorType": "Runtime.ExitError" })), "RetriesExhausted"),
        "Runtime.ExitError"
    );
}

#[test]
fn a_failure_of_something_else_names_the_payload_as_what_is_wrong() {
    for payload in
        [json!({}), json!("text"), json!({ "reduce": "a/b", "version": 1, "attempt": 1 }), Value::Null]
    {
        let told = refusal(&on_failure(&payload));
        assert!(told.starts_with("requestPayload: "), "{told}");
    }
}

#[test]
fn what_is_nothing_known_is_told_what_to_send() {
    let send = "send a deployed job's name: {\"run\": \"<name>\"}; a job: {\"version\": 1, \"name\": …";
    for event in [Value::Null, json!([]), json!("go"), json!(1), json!({ "key1": "value1", "key2": 2 })] {
        assert!(refusal(&event).contains(send), "{}", refusal(&event));
    }
    let told = refusal(&json!({ "a": 1, "sourse": {} }));
    assert!(told.ends_with("did you mean 'source'?"), "{told}");
}

/// A recorded event, by the name of its file.
fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn recognised(name: &str) -> Event {
    Event::recognise(&fixture(name)).unwrap_or_else(|problems| panic!("{name}: {problems}"))
}

const ASKED: Asked = Asked { token: None, wait: None, scheduled_ms: None, trigger: None };

/// 2026-11-22T03:00:00Z, and 17:30:00Z of that day.
const AT_NIGHT_MS: i64 = 1_795_316_400_000;
const AT_DAY_MS: i64 = 1_795_368_600_000;

#[test]
fn every_recorded_event_is_recognised_or_told_what_to_do() {
    let folder = format!("{}/tests/fixtures/events", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".json").unwrap();
        let recognised = Event::recognise(&fixture(name));
        assert_eq!(
            recognised.is_ok(),
            !["scheduler-default", "rule-raw"].contains(&name),
            "{name}: {recognised:?}"
        );
    }
}

#[test]
fn the_consoles_events_are_help_and_a_deployed_job() {
    assert_eq!(recognised("empty"), Event::Help);
    let Event::Run(run) = recognised("console-run") else { panic!() };
    assert_eq!(
        (run.name.as_str(), run.asked),
        ("orders-nightly", Asked { wait: Some(Duration::from_secs(60)), ..ASKED })
    );
    assert_eq!(run.with.unwrap()["max_concurrency"], Value::Null, "a patch may take fields away");
}

#[test]
fn a_schedules_and_a_rules_input_run_the_job_of_their_time_once() {
    let (Event::Run(night), Event::Run(day)) = (recognised("scheduler-run"), recognised("rule-run")) else {
        panic!()
    };
    assert_eq!((night.asked.scheduled(), day.asked.scheduled()), (Some(AT_NIGHT_MS), Some(AT_DAY_MS)));
    let id =
        |asked: &Asked, name| asked.trigger.as_ref().and_then(|trigger| trigger.job_id(name, None)).unwrap();
    let of_night = id(&night.asked, "orders-nightly");
    assert!(of_night.as_str().starts_with("orders-nightly-20261122T030000Z-"), "{of_night}");
    assert!(id(&day.asked, "orders-nightly").as_str().starts_with("orders-nightly-20261122T173000Z-"));
    assert_eq!(of_night, id(&night.asked, "orders-nightly"));
    let mut later = fixture("scheduler-run");
    later["trigger"]["time"] = json!("2026-11-23T03:00:00Z");
    let Ok(Event::Run(later)) = Event::recognise(&later) else { panic!() };
    assert_ne!(of_night, id(&later.asked, "orders-nightly"), "the next night is another run");
}

#[test]
fn an_object_is_the_same_by_both_of_s3s_ways() {
    let expected = ObjectCreated {
        object: ObjectUri::new("in", "orders/2026 11/한글+1*.csv"),
        sequencer: "00692200A1B2C3D4E5".to_owned(),
        time_ms: AT_DAY_MS,
    };
    let (Event::ObjectsCreated(by_rule), Event::ObjectsCreated(by_notification)) =
        (recognised("s3-eventbridge"), recognised("s3-notification"))
    else {
        panic!()
    };
    assert_eq!(by_rule, std::slice::from_ref(&expected));
    assert_eq!(by_notification[0].object, expected.object);
    assert_eq!(by_rule[0].job_id("orders"), by_notification[0].job_id("orders"));
    let again = ObjectCreated { sequencer: "00692200A1B2C3D4E6".to_owned(), ..expected };
    assert_ne!(
        by_rule[0].job_id("orders"),
        again.job_id("orders"),
        "the object written again is another run"
    );
    assert_ne!(by_rule[0].job_id("orders"), by_rule[0].job_id("other"));
}

#[test]
fn a_notification_of_several_objects_is_several() {
    let Event::ObjectsCreated(created) = recognised("s3-notification-two") else { panic!() };
    let keys: Vec<_> = created.iter().map(|created| created.object.key.as_str()).collect();
    assert_eq!(keys, ["orders/a.csv", "orders/b.csv"]);
    assert_eq!(recognised("s3-test"), Event::NoticeTest("in".to_owned()));
}

#[test]
fn what_is_wrong_with_a_notification_is_told_for_each_record() {
    let mut event = fixture("s3-notification-two");
    event["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    event["Records"][0]["s3"]["object"] = json!({ "key": "%FF" });
    event["Records"][1]["eventTime"] = json!("yesterday");
    let told = refusal(&event);
    for part in [
        "Records[0].eventName: is ObjectRemoved:Delete; only ObjectCreated starts jobs",
        "Records[0].s3.object.key: '%FF' is not UTF-8",
        "Records[0].s3.object.sequencer: is missing",
        "Records[1].eventTime: 'yesterday' is not a time",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    event["Records"][1]["eventSource"] = json!("aws:sqs");
    assert!(refusal(&event).contains("Records[1].eventSource: must be \"aws:s3\", not \"aws:sqs\""));
    assert!(refusal(&json!({ "Records": [] })).starts_with("Records: must be a list of one record or more"));
}

#[test]
fn an_event_that_names_no_job_is_told_which_input_would() {
    let told = refusal(&fixture("rule-raw"));
    for part in ["'EC2 Instance State-change Notification' of aws.ec2", "{\"run\": ", "<id> from $.id"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let told = refusal(&fixture("scheduler-default"));
    assert!(
        told.contains("<aws.scheduler.schedule-arn>") && told.contains("<aws.scheduler.scheduled-time>"),
        "{told}"
    );
    let mut deleted = fixture("s3-eventbridge");
    deleted["detail-type"] = json!("Object Deleted");
    assert!(refusal(&deleted).contains("'Object Deleted' of aws.s3"));
    deleted["detail-type"] = json!("Object Created");
    deleted["detail"] = json!({ "bucket": {}, "object": { "key": "k" } });
    assert_eq!(refusal(&deleted).lines().count(), 2, "{}", refusal(&deleted));
}

#[test]
fn a_job_by_the_command_line_has_its_token_its_time_and_a_wait() {
    let Event::Submit(submit) = recognised("cli-job") else { panic!() };
    assert_eq!(submit.job.name, "orders-nightly");
    let Asked { token, wait, scheduled_ms, trigger } = submit.asked;
    assert_eq!(token.as_deref(), Some("orders-nightly-20261122-173000-1f2e3d4c"));
    assert_eq!(
        (wait, scheduled_ms, trigger),
        (Some(Duration::from_secs(300)), Some(1_795_197_600_000), None)
    );
}

#[test]
fn everything_wrong_with_a_run_is_told_at_once() {
    let told = refusal(&json!({
        "run": 7, "with": [], "wait": "soon", "scheduled_time": "2026-11-22", "tokn": "x",
        "trigger": { "schedule": "arn", "event": "id", "tim": "2026-11-22T03:00:00Z" },
    }));
    for part in [
        "run: must be a text, not 7",
        "with: must be an object, not a list",
        "wait: 'soon' is not a span of time",
        "scheduled_time: '2026-11-22' is not a time",
        "tokn: is unknown; the fields here are run, scheduled_time, token, trigger, wait, with; did you mean 'token'?",
        "trigger.tim: is unknown",
        "trigger: must have one of 'schedule', 'event' and 'object'",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let told = refusal(&json!({ "run": "", "trigger": { "schedule": "arn" } }));
    assert_eq!(told, "trigger.time: is missing\nrun: must be a deployed job's name, but is empty");
}

#[test]
fn a_person_may_name_the_object_that_a_run_is_for() {
    let event = json!({ "run": "orders", "trigger": { "object": "s3://in/orders/a b.csv" } });
    let Ok(Event::Run(run)) = Event::recognise(&event) else { panic!() };
    assert_eq!(run.asked.object(), Some(&ObjectUri::new("in", "orders/a b.csv")));
    assert_eq!(run.asked.trigger, Some(Trigger::Object(ObjectUri::new("in", "orders/a b.csv"))));
    let told = refusal(
        &json!({ "run": "orders", "trigger": { "object": "s3://in/orders/", "time": "2026-11-22T03:00:00Z" } }),
    );
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn a_sweep_and_what_is_asked_of_a_run_stand_alone() {
    assert_eq!(Event::recognise(&json!({ "sweep": {} })), Ok(Event::Sweep));
    let run = JobId::from_token("run-1");
    for (asked, event) in [
        ("status", Event::Status(run.clone())),
        ("cancel", Event::Cancel(run.clone())),
        ("redrive", Event::Redrive(run.clone())),
        ("verify", Event::Verify(run.clone())),
    ] {
        assert_eq!(Event::recognise(&json!({ asked: "run-1" })), Ok(event));
    }
    for (event, told) in [
        (json!({ "sweep": {}, "wait": "1s" }), "wait: is unknown; 'sweep' stands alone"),
        (json!({ "sweep": { "all": true } }), "sweep: must be an empty object: {\"sweep\": {}}"),
        (json!({ "status": 7 }), "status: must be a job id: {\"status\": \"<job id>\"}"),
    ] {
        assert_eq!(refusal(&event), told);
    }
    assert!(refusal(&json!({ "status": "a/b" })).starts_with("status: 'a/b' is not a job id"));
}

proptest! {
    #[test]
    fn no_event_makes_the_dispatcher_panic(names in prop::collection::vec(prop::sample::select(vec![
        "version", "name", "source", "token", "fan_out", "from", "to", "requestContext", "requestPayload", "responsePayload", "reduce", "detail-type", "", "run", "trigger",
        "Records", "Event", "status", "verify", "sweep", "source", "wait",
    ]), 0..6), values in prop::collection::vec(prop_oneof![
        Just(Value::Null), any::<u64>().prop_map(Value::from), "\\PC{0,5}".prop_map(Value::from), Just(json!([])), Just(json!({ "reduce": 1 })),
    ], 6)) {
        let fields = names.into_iter().map(str::to_owned).zip(values.clone());
        let _ = Event::recognise(&Value::Object(fields.collect()));
        for value in values {
            let _ = Event::recognise(&value);
        }
    }
}
