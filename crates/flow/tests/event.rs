//! An event is known by its shape, and what is none is told what to send.

use fanfold_flow::event::{Event, FanOut, Reduce};
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::occasion::Occasion;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::{Listing, make};
use fanfold_flow::version::Version;
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
        assert_eq!(submit.token.as_deref(), expected);
        assert_eq!(submit.job, Job::from_json(&job()).unwrap());
    }
}

#[test]
fn a_bad_token_and_a_bad_job_are_told_together() {
    for token in [json!(""), json!(7), json!({})] {
        let mut event = job();
        event["token"] = token;
        assert_eq!(refusal(&event), "token: must be a text of one character or more");
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
    let reduce = Reduce { version: Version, reduce: JobId::from_token("run-1"), attempt: 2 };
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
    let send = "send a job: {\"version\": 1, \"name\": …, \"source\": …, \"task\": …, \"output\": …}";
    for event in [
        Value::Null,
        json!([]),
        json!("go"),
        json!(1),
        json!({ "Records": [] }),
        json!({ "key1": "value1", "key2": 2 }),
    ] {
        assert!(refusal(&event).contains(send), "{}", refusal(&event));
    }
    let told = refusal(&json!({ "a": 1, "sourse": {} }));
    assert!(told.ends_with("did you mean 'source'?"), "{told}");
}

#[test]
fn an_eventbridge_event_is_not_taken_for_a_job() {
    let told = refusal(&json!({
        "version": "0", "id": "6a7e8feb", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "123456789012", "time": "2026-11-22T17:30:00Z", "region": "eu-west-1", "resources": [], "detail": "{}",
    }));
    assert_eq!(
        told,
        "the document: is an EventBridge event, which names no job; give the rule's target a job as its input"
    );
}

proptest! {
    #[test]
    fn no_event_makes_the_dispatcher_panic(names in prop::collection::vec(prop::sample::select(vec![
        "version", "name", "source", "token", "fan_out", "from", "to", "requestContext", "requestPayload", "responsePayload", "reduce", "detail-type", "",
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
