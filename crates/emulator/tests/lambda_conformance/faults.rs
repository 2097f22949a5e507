//! Each fault on demand does what it is called, is counted, spares whom it should, and is over when it is switched off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, ThrottleReason};
use fanfold_emulator::WrongFaults;
use fanfold_emulator::lambda::{FaultCounts, Faults, Function, Kills, LogLine};
use serde_json::{Value, json};

use super::support::*;

type Refused = SdkError<InvokeError, aws_sdk_lambda::config::http::HttpResponse>;

/// Calls, or sends an event; what comes of it may be an error.
async fn tried(lambda: &Lambda, mode: InvocationType, event: &Value) -> Result<(), Refused> {
    let invoke = lambda.client.invoke().function_name("f").invocation_type(mode);
    invoke.payload(Blob::new(event.to_string())).send().await.map(|_| ())
}

fn modes() -> [InvocationType; 2] {
    [InvocationType::RequestResponse, InvocationType::Event]
}

/// All that was logged: the server is stopped, so that there is an end to it.
async fn all_lines(lambda: Lambda) -> Vec<LogLine> {
    let Lambda { server, mut lines, .. } = lambda;
    server.stop().await;
    let mut all = Vec::new();
    while let Some(line) = lines.recv().await {
        all.push(line);
    }
    all
}

/// The request ids of all invocations of a function that began, in their order.
fn begun(lines: &[LogLine], function: &str) -> Vec<String> {
    let starts = lines.iter().filter(|line| line.function == function && line.line.starts_with("START "));
    starts.map(|line| line.request_id.as_deref().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_throttled_invoke_has_done_nothing_and_each_reason_has_its_turn() {
    let lambda = lambda(vec![function("f")]).await;
    lambda.server.faults().set(Faults { throttled: 1.0, ..Faults::default() }).unwrap();
    let mut reasons = BTreeSet::new();
    for mode in modes().into_iter().cycle().take(6) {
        let error = tried(&lambda, mode, &json!({})).await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 429);
        let InvokeError::TooManyRequestsException(error) = error.into_service_error() else { panic!() };
        let reason = error.reason().unwrap();
        assert!(ThrottleReason::values().contains(&reason.as_str()), "{reason}");
        reasons.insert(reason.as_str().to_owned());
    }
    assert_eq!(reasons.len(), 6, "{reasons:?}");
    assert_eq!(lambda.server.faults().counts(), FaultCounts { throttled: 6, ..FaultCounts::default() });
    lambda.server.faults().clear();
    tried(&lambda, InvocationType::RequestResponse, &json!({})).await.unwrap();
    lambda.server.drain().await;
    assert_eq!(begun(&all_lines(lambda).await, "f").len(), 1);
}

#[tokio::test]
async fn an_invoke_that_fails_in_the_service_has_done_nothing() {
    let lambda = lambda(vec![function("f")]).await;
    lambda.server.faults().set(Faults { service_error: 1.0, ..Faults::default() }).unwrap();
    for mode in modes() {
        let error = tried(&lambda, mode, &json!({})).await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
        assert!(error.into_service_error().is_service_exception());
    }
    assert_eq!(lambda.server.faults().counts().service_error, 2);
    lambda.server.drain().await;
    assert_eq!(begun(&all_lines(lambda).await, "f"), Vec::<String>::new());
}

#[tokio::test]
async fn an_invoke_whose_answer_is_lost_was_carried_out() {
    let lambda = lambda(vec![function("f")]).await;
    lambda.server.faults().set(Faults { answer_lost: 1.0, ..Faults::default() }).unwrap();
    for mode in modes() {
        let error = tried(&lambda, mode, &json!({})).await.unwrap_err();
        assert!(matches!(&error, SdkError::DispatchFailure(_)), "{error:?}");
    }
    assert_eq!(lambda.server.faults().counts().answer_lost, 2);
    lambda.server.drain().await;
    assert_eq!(begun(&all_lines(lambda).await, "f").len(), 2);
}

#[tokio::test]
async fn a_lost_event_never_runs_and_nobody_is_told() {
    let mut losing = function("f");
    losing.on_failure = Some("told".into());
    let lambda = lambda(vec![losing, function("told")]).await;
    lambda.server.faults().set(Faults { event_lost: 1.0, ..Faults::default() }).unwrap();
    lambda.send_event("f", json!({})).await;
    assert_eq!(lambda.server.faults().counts().event_lost, 1);
    lambda.server.faults().clear();
    let kept = lambda.send_event("f", json!({})).await.request_id().unwrap().to_owned();
    lambda.server.drain().await;
    let lines = all_lines(lambda).await;
    assert_eq!(begun(&lines, "f"), [kept]);
    assert_eq!(begun(&lines, "told"), Vec::<String>::new());
}

/// The longest delay, and how many are drawn: one of them, at least, is more than a quarter of it.
const DELAY: Duration = Duration::from_millis(400);
const DRAWN: usize = 8;

async fn send_many(lambda: &Lambda, event: &Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for _ in 0..DRAWN {
        ids.insert(lambda.send_event("f", event.clone()).await.request_id().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn an_event_may_come_twice_under_one_request_id_and_the_second_time_later() {
    let mut lambda = lambda(vec![function("f")]).await;
    lambda.server.faults().set(Faults { event_twice: 1.0, delay_max: DELAY, ..Faults::default() }).unwrap();
    let ids = send_many(&lambda, &json!({})).await;
    let (mut first, mut longest) = (BTreeMap::new(), Duration::ZERO);
    for _ in 0..2 * DRAWN {
        let start = lambda.line(|line| line.line.starts_with("START ")).await.request_id.unwrap();
        match first.remove(&*start) {
            None => assert!(first.insert(start.to_string(), Instant::now()).is_none()),
            Some(at) => longest = longest.max(Instant::now() - at),
        }
    }
    assert!(first.is_empty() && longest > DELAY / 4, "{first:?} {longest:?}");
    lambda.server.drain().await;
    assert_eq!(lambda.server.faults().counts().event_twice, DRAWN as u64);
    assert_eq!(begun(&all_lines(lambda).await, "f").len(), 0, "twice, and no more than {ids:?}");
}

#[tokio::test]
async fn a_late_event_runs_once_after_its_delay_and_is_waited_for() {
    let lambda = lambda(vec![function("f")]).await;
    lambda.server.faults().set(Faults { event_late: 1.0, delay_max: DELAY, ..Faults::default() }).unwrap();
    let began = Instant::now();
    let ids = send_many(&lambda, &json!({})).await;
    lambda.server.drain().await;
    assert!(began.elapsed() > DELAY / 4, "{:?}", began.elapsed());
    assert_eq!(lambda.server.faults().counts().event_late, DRAWN as u64);
    let begun = begun(&all_lines(lambda).await, "f");
    assert_eq!(begun.len(), DRAWN);
    assert_eq!(begun.into_iter().collect::<BTreeSet<_>>(), ids);
}

#[tokio::test]
async fn an_event_that_comes_after_its_greatest_age_is_told_as_too_old() {
    let mut short = function("f");
    (short.maximum_event_age, short.on_failure) = (Duration::from_millis(1), Some("told".into()));
    // Else one that comes late could just find room.
    short.reserved_concurrency = Some(0);
    let lambda = lambda(vec![short, function("told")]).await;
    lambda.server.faults().set(Faults { event_late: 1.0, delay_max: DELAY, ..Faults::default() }).unwrap();
    lambda.send_event("f", json!({})).await;
    lambda.server.drain().await;
    let lines = all_lines(lambda).await;
    assert_eq!((begun(&lines, "f").len(), begun(&lines, "told").len()), (0, 1));
}

/// A function that fails at once, and one that is told of it.
fn failing_and_told() -> Vec<Function> {
    let mut failing = function("f");
    (failing.maximum_retry_attempts, failing.on_failure) = (0, Some("told".into()));
    vec![failing, function("told")]
}

#[tokio::test]
async fn an_on_failure_record_may_be_sent_twice_as_two_events() {
    let lambda = lambda(failing_and_told()).await;
    let twice = Faults { record_twice: 1.0, event_lost: 1.0, delay_max: DELAY, ..Faults::default() };
    let client = spared(&lambda);
    lambda.server.faults().set(twice).unwrap();
    let event = Blob::new(json!({ "do": "error" }).to_string());
    let sent = client.invoke().function_name("f").invocation_type(InvocationType::Event).payload(event);
    sent.send().await.unwrap();
    lambda.server.drain().await;
    let counts = FaultCounts { record_twice: 1, ..FaultCounts::default() };
    assert_eq!(lambda.server.faults().counts(), counts, "what befalls events does not befall records");
    let told = begun(&all_lines(lambda).await, "told");
    assert!(told.len() == 2 && told[0] != told[1], "{told:?}");
}

#[tokio::test]
async fn an_on_failure_record_may_be_sent_late() {
    let lambda = lambda(failing_and_told()).await;
    lambda.server.faults().set(Faults { record_late: 1.0, delay_max: DELAY, ..Faults::default() }).unwrap();
    let began = Instant::now();
    send_many(&lambda, &json!({ "do": "error" })).await;
    lambda.server.drain().await;
    assert!(began.elapsed() > DELAY / 4, "{:?}", began.elapsed());
    assert_eq!(lambda.server.faults().counts().record_late, DRAWN as u64);
    assert_eq!(begun(&all_lines(lambda).await, "told").len(), DRAWN);
}

fn kills(functions: &[&str]) -> Faults {
    let functions = functions.iter().map(|&name| (name.to_owned(), u64::MAX)).collect();
    Faults { kills: Some(Kills { functions, every: Duration::from_millis(20) }), ..Faults::default() }
}

#[tokio::test]
async fn environments_of_the_named_functions_are_killed_with_all_their_processes() {
    let mut patient = function("f");
    patient.timeout = Duration::from_secs(60);
    let mut other = function("other");
    other.timeout = Duration::from_secs(60);
    let lambda = lambda(vec![patient, other]).await;
    let meeting = json!({ "do": "meet", "folder": lambda.folder.path() });
    let (_, ()) = tokio::join!(lambda.call("other", meeting), async {
        until("the other runs", || count(lambda.folder.path(), "arrived") == 1).await;
        lambda.server.faults().set(kills(&["f"])).unwrap();
        let mut killed = 0;
        while killed < 3 {
            let got = lambda.call("f", json!({ "do": "spawn_child", "then": "hang" })).await;
            let (kind, message) = got.error();
            assert_eq!(kind, "Runtime.ExitError");
            assert!(message.ends_with("Runtime exited with error: signal: killed"), "{message}");
            assert!(got.log.trim_end().ends_with("Error Type: Runtime.ExitError"), "{}", got.log);
            // It may have been hit before it had started its child.
            if let Some(child) = got.log.lines().find_map(|line| line.strip_prefix("child ")) {
                let child = child.parse().unwrap();
                until("the child is gone", || !runs(child)).await;
                killed += 1;
            }
        }
        lambda.server.faults().clear();
        assert!(lambda.server.faults().counts().killed["f"] >= 3);
        std::fs::write(lambda.folder.path().join("go"), "").unwrap();
    });
    assert!(
        !lambda.call("f", json!({ "do": "sleep", "ms": 100 })).await.failed(),
        "nobody is killed any more"
    );
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_event_whose_environment_is_killed_is_tried_again_and_its_end_is_told() {
    let mut hanging = function("f");
    (hanging.timeout, hanging.on_failure) = (Duration::from_secs(60), Some("told".into()));
    let mut told = function("told");
    told.environment.push(("TEST_SHOW_EVENT".into(), "1".into()));
    let mut lambda = lambda(vec![hanging, told]).await;
    lambda.server.faults().set(kills(&["f"])).unwrap();
    lambda.send_event("f", json!({ "do": "sleep", "ms": 50_000 })).await;
    let shown = lambda.line(|line| line.function == "told" && line.line.starts_with("event ")).await;
    let record: Value = serde_json::from_str(shown.line.trim_start_matches("event ")).unwrap();
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["responsePayload"]["errorType"], "Runtime.ExitError");
    assert_eq!(lambda.server.faults().counts().killed, [("f".to_owned(), 3)].into());
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_function_is_hit_no_more_often_than_it_may_be() {
    let lambda = lambda(vec![function("f")]).await;
    let mut twice = kills(&["f"]);
    twice.kills = twice.kills.map(|kills| Kills { functions: [("f".to_owned(), 2)].into(), ..kills });
    lambda.server.faults().set(twice).unwrap();
    for is_hit in [true, true, false] {
        assert_eq!(lambda.call("f", json!({ "do": "sleep", "ms": 1_000 })).await.failed(), is_hit);
    }
    lambda.server.stop().await;
}

/// A client with a key of its own, which is spared.
fn spared(lambda: &Lambda) -> aws_sdk_lambda::Client {
    lambda.server.faults().spare("AKIDSPARED", "a secret of its own");
    client(lambda.server.endpoint(), "AKIDSPARED", "a secret of its own")
}

#[tokio::test]
async fn a_key_that_is_spared_is_let_in_by_its_own_secret_and_sees_no_fault() {
    let lambda = lambda(vec![function("f")]).await;
    let before = client(lambda.server.endpoint(), "AKIDSPARED", "a secret of its own");
    assert!(before.invoke().function_name("f").send().await.is_err(), "the key is not known yet");
    let spared = spared(&lambda);
    for faults in [
        Faults { throttled: 0.5, service_error: 0.5, event_lost: 1.0, ..Faults::default() },
        Faults { answer_lost: 1.0, event_late: 1.0, delay_max: Duration::MAX, ..Faults::default() },
    ] {
        lambda.server.faults().set(faults).unwrap();
        for mode in modes() {
            spared.invoke().function_name("f").invocation_type(mode).send().await.unwrap();
        }
        assert!(tried(&lambda, InvocationType::RequestResponse, &json!({})).await.is_err());
    }
    let wrong = client(lambda.server.endpoint(), "AKIDSPARED", SECRET_ACCESS_KEY);
    assert!(wrong.invoke().function_name("f").send().await.is_err(), "its secret is its own");
    lambda.server.drain().await;
    let counts = lambda.server.faults().counts();
    assert_eq!((counts.event_lost, counts.event_late), (0, 0));
    assert_eq!(counts.throttled + counts.service_error + counts.answer_lost, 2);
    // Both modes, twice; and the call whose answer was lost.
    assert_eq!(begun(&all_lines(lambda).await, "f").len(), 5);
}

#[tokio::test]
async fn a_seed_makes_the_same_faults_each_time_it_is_set() {
    let lambda = lambda(vec![function("f")]).await;
    let some = Faults { seed: 5, throttled: 0.3, service_error: 0.3, ..Faults::default() };
    let mut rounds = Vec::new();
    for _ in 0..2 {
        lambda.server.faults().set(some.clone()).unwrap();
        let mut statuses = Vec::new();
        for _ in 0..30 {
            let tried = tried(&lambda, InvocationType::RequestResponse, &json!({})).await;
            statuses.push(tried.err().map(|error| error.raw_response().unwrap().status().as_u16()));
        }
        rounds.push(statuses);
    }
    assert_eq!(rounds[0], rounds[1]);
    for seen in [None, Some(429), Some(500)] {
        assert!(rounds[0].contains(&seen), "{seen:?} in {rounds:?}");
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn faults_that_cannot_be_made_are_refused_by_name() {
    let lambda = lambda(vec![function("f")]).await;
    let WrongFaults(problems) =
        lambda.server.faults().set(Faults { throttled: 1.5, ..kills(&[]) }).unwrap_err();
    assert!(problems[0].contains("`throttled` is 1.5"), "{problems:?}");
    assert!(problems[1].contains("no function is named"), "{problems:?}");
    tried(&lambda, InvocationType::RequestResponse, &json!({})).await.unwrap();
    lambda.server.stop().await;
}
