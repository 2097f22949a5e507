//! The asynchronous queue: retries, age, throttles, destinations.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::types::InvocationType;
use fanfold_emulator::lambda::{Function, LogLine, Settings};
use serde_json::{Value, json};

use super::support::*;

/// A destination that prints what it is told.
fn destination() -> Function {
    let mut told = function("told");
    // It prints the event, which is how the test gets to see it.
    told.environment.push(("TEST_SHOW_EVENT".into(), "1".into()));
    told
}

async fn record(lambda: &mut Lambda) -> Value {
    let line = lambda.line(|line| line.line.starts_with("event ")).await;
    serde_json::from_str(line.line.trim_start_matches("event ")).unwrap()
}

fn flaky(lambda: &Lambda, failures: u64) -> Value {
    json!({ "do": "flaky", "file": lambda.folder.path().join("tries"), "failures": failures })
}

fn tries(lambda: &Lambda) -> Vec<String> {
    let text = std::fs::read_to_string(lambda.folder.path().join("tries")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_failed_event_is_tried_again_under_the_same_request_id() {
    let lambda = lambda(vec![function("f")]).await;
    let id = lambda.send_event("f", flaky(&lambda, 2)).await.request_id().unwrap().to_owned();
    lambda.server.drain().await;
    assert_eq!(tries(&lambda), vec![id; 3]);
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_event_that_keeps_failing_is_told_to_the_destination() {
    let mut failing = function("f");
    failing.on_failure = Some("arn:aws:lambda:eu-west-1:000000000000:function:told".into());
    let mut lambda = lambda(vec![failing, destination()]).await;
    let event = flaky(&lambda, 100);
    let id = lambda.send_event("f", event.clone()).await.request_id().unwrap().to_owned();
    let mut record = record(&mut lambda).await;
    lambda.server.drain().await;
    assert_eq!(tries(&lambda).len(), 3, "one try and two retries");
    let timestamp = record["timestamp"].take();
    let timestamp = timestamp.as_str().unwrap();
    assert!(timestamp.len() == 24 && timestamp.ends_with('Z'), "{timestamp}");
    assert_eq!(
        record,
        json!({
            "version": "1.0",
            "timestamp": null,
            "requestContext": {
                "requestId": id,
                "functionArn": "arn:aws:lambda:eu-west-1:000000000000:function:f:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": event,
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "responsePayload": { "errorType": "Flaky", "errorMessage": "try 3" },
        })
    );
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_function_may_forbid_retries() {
    let mut once = function("f");
    once.maximum_retry_attempts = 0;
    let lambda = lambda(vec![once]).await;
    lambda.send_event("f", flaky(&lambda, 100)).await;
    lambda.server.drain().await;
    assert_eq!(tries(&lambda).len(), 1);
    lambda.server.stop().await;
}

#[tokio::test]
async fn timeouts_and_crashes_are_retried_too() {
    let mut lambda = lambda(vec![function("f")]).await;
    lambda.send_event("f", json!({ "do": "exit", "code": 1 })).await;
    for _ in 0..3 {
        lambda.line(|line| line.line.contains("Error Type: Runtime.ExitError")).await;
    }
    lambda.server.drain().await;
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_pauses_are_one_and_two_minutes_by_the_retry_clock() {
    let settings = Settings { functions: vec![function("f")], retry_clock: 0.005, ..Settings::default() };
    let lambda = lambda_with(settings).await;
    let start = Instant::now();
    lambda.send_event("f", flaky(&lambda, 100)).await;
    lambda.server.drain().await;
    // 0.3 s and 0.6 s.
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert_eq!(tries(&lambda).len(), 3);
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_event_that_finds_no_capacity_in_its_lifetime_is_told_as_too_old() {
    let mut off = function("f");
    off.reserved_concurrency = Some(0);
    off.maximum_event_age = Duration::from_millis(100);
    off.on_failure = Some("told".into());
    let mut lambda = lambda(vec![off, destination()]).await;
    lambda.send_event("f", json!({ "a": 1 })).await;
    let record = record(&mut lambda).await;
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
    assert_eq!(record["requestPayload"], json!({ "a": 1 }));
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_event_too_old_for_its_next_retry_is_told_with_its_last_error() {
    let mut short = function("f");
    short.maximum_event_age = Duration::from_millis(500);
    short.on_failure = Some("told".into());
    let functions = vec![short, destination()];
    let mut lambda = lambda_with(Settings { functions, ..Settings::default() }).await;
    lambda.send_event("f", flaky(&lambda, 100)).await;
    let record = record(&mut lambda).await;
    assert_eq!(record["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["responsePayload"]["errorType"], "Flaky");
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_record_past_the_event_limit_is_not_delivered() {
    let mut failing = function("f");
    failing.maximum_retry_attempts = 0;
    failing.on_failure = Some("told".into());
    let mut lambda = lambda(vec![failing, destination()]).await;
    let large = json!({ "do": "error", "document": "x".repeat(600_000), "more": "y".repeat(300_000) });
    lambda.send_event("f", large).await;
    lambda.server.drain().await;
    let named = |line: &LogLine| line.function == "told";
    lambda.send_event("f", json!({ "do": "error", "document": "small" })).await;
    let shown = lambda.line(|line| named(line) && line.line.starts_with("event ")).await;
    assert!(shown.line.contains("\"small\""), "the large record was never delivered");
    lambda.server.stop().await;
}

/// From the order of START and END lines: how many invocations ran at once at most.
fn most_at_once(lines: &[LogLine]) -> usize {
    let mut running = BTreeSet::new();
    let mut most = 0;
    for line in lines {
        let id = line.request_id.clone();
        if line.line.starts_with("START ") {
            running.insert(id);
        } else if line.line.starts_with("END ") {
            running.remove(&id);
        }
        most = most.max(running.len());
    }
    most
}

#[tokio::test]
async fn events_past_the_concurrency_wait_and_none_is_lost() {
    let mut narrow = function("f");
    narrow.reserved_concurrency = Some(3);
    let mut lambda = lambda(vec![narrow]).await;
    let mut sent = BTreeSet::new();
    for _ in 0..40 {
        sent.insert(
            lambda.send_event("f", json!({ "do": "sleep", "ms": 5 })).await.request_id().unwrap().to_owned(),
        );
    }
    lambda.server.drain().await;
    lambda.server.stop().await;
    let mut lines = Vec::new();
    while let Some(line) = lambda.lines.recv().await {
        lines.push(line);
    }
    assert_eq!(most_at_once(&lines), 3);
    let done = lines.iter().filter(|line| line.line.starts_with("END "));
    assert_eq!(done.filter_map(|line| line.request_id.clone()).collect::<BTreeSet<_>>(), sent);
}

#[tokio::test]
async fn a_client_context_is_dropped_for_an_event() {
    let mut lambda = lambda(vec![destination()]).await;
    let call = lambda.client.invoke().function_name("told").invocation_type(InvocationType::Event);
    call.client_context("e30=").send().await.unwrap();
    let headers = lambda.line(|line| line.line.starts_with("headers ")).await.line;
    assert!(!headers.contains("client-context"), "{headers}");
    lambda.server.stop().await;
}

#[tokio::test]
async fn stopping_drops_waiting_events_at_once() {
    let mut off = function("f");
    off.reserved_concurrency = Some(0);
    let lambda = lambda(vec![off]).await;
    lambda.send_event("f", json!({})).await;
    tokio::time::timeout(Duration::from_secs(10), lambda.server.stop()).await.unwrap();
}
