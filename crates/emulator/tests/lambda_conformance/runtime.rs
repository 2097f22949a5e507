//! The Runtime API and the environment, as a bootstrap sees them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::support::*;

#[tokio::test]
async fn a_bootstrap_sees_lambdas_variables_and_none_of_ours() {
    let mut configured = function("f");
    configured.memory_mb = 512;
    configured.environment = vec![("MINE".into(), "yes".into()), ("PATH".into(), "/usr/bin:/bin".into())];
    let lambda = lambda(vec![configured]).await;
    let got = lambda.call("f", json!({})).await;
    let mut seen: BTreeMap<String, String> = serde_json::from_value(got.json["environment"].clone()).unwrap();
    let runtime_api = seen.remove("AWS_LAMBDA_RUNTIME_API").unwrap();
    assert!(runtime_api.starts_with("127.0.0.1:"), "{runtime_api}");
    let stream = seen.remove("AWS_LAMBDA_LOG_STREAM_NAME").unwrap();
    assert!(stream.ends_with(&format!("/[$LATEST]{}", lambda.server.environments()[0].id)), "{stream}");
    let root = seen.remove("LAMBDA_TASK_ROOT").unwrap();
    assert_eq!(got.json["directory"], json!(root), "it starts where its code is");
    assert!(seen.remove("LD_LIBRARY_PATH").unwrap().contains("/opt/lib"));
    let expected = [
        ("_HANDLER", "bootstrap"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ENDPOINT_URL_LAMBDA", lambda.server.endpoint()),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_REGION", REGION),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_SESSION_TOKEN", "fanfold-emulator"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LANG", "en_US.UTF-8"),
        ("MINE", "yes"),
        ("PATH", "/usr/bin:/bin"),
        ("TZ", ":UTC"),
    ];
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(seen, expected);
    lambda.server.stop().await;
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[tokio::test]
async fn the_deadline_is_the_timeout_after_the_start_of_each_invocation() {
    let mut slow = function("f");
    slow.timeout = Duration::from_secs(100);
    let lambda = lambda(vec![slow]).await;
    for _ in ["cold", "warm"] {
        let before = now_ms();
        let got = lambda.call("f", json!({})).await;
        let deadline: u128 = got.header("lambda-runtime-deadline-ms").parse().unwrap();
        assert!((before + 100_000..=now_ms() + 100_000).contains(&deadline), "{deadline} after {before}");
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn next_without_an_answer_gives_the_same_event_again() {
    let lambda = lambda(vec![function("f")]).await;
    assert_eq!(lambda.call("f", json!({ "do": "next_again" })).await.json, json!({ "same": true }));
    lambda.server.stop().await;
}

#[tokio::test]
async fn what_a_runtime_may_not_do_is_refused_with_the_right_status() {
    let lambda = lambda(vec![function("f")]).await;
    lambda.call("f", json!({})).await;
    let got = lambda.call("f", json!({ "do": "misuse" })).await;
    assert_eq!(got.json, json!("first"), "the first answer counts");
    let noted = lambda.call("f", json!({ "do": "recall" })).await.json;
    for (deed, status, kind) in [
        ("unknown", 400, "InvalidRequestID"),
        ("stale", 400, "InvalidRequestID"),
        ("init_error", 403, "InvalidStateTransition"),
        ("other_delivery", 410, "InvalidInvocationID"),
        ("greedy_extension", 400, "Extension.InvalidEventType"),
        ("second", 403, "InvalidStateTransition"),
    ] {
        assert_eq!(noted[deed]["status"], status, "{deed}: {noted}");
        assert_eq!(noted[deed]["body"]["errorType"], kind, "{deed}: {noted}");
    }
    assert_eq!(noted["accepted"], json!({ "status": 202, "body": { "status": "OK" } }));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_no_answer() {
    let lambda = lambda(vec![function("f")]).await;
    let got = lambda.call("f", json!({ "do": "truncated" })).await;
    assert!(!got.failed());
    // A client that closes its sending side in the middle is told so, or just cut off.
    let status = got.json["status_of_the_cut_body"].as_u64().unwrap();
    assert!([0, 400].contains(&status), "{status}");
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_caller_is_answered_before_the_runtime_asks_for_more() {
    let mut lambda = lambda(vec![function("f")]).await;
    let start = std::time::Instant::now();
    let got = lambda.call("f", json!({ "do": "linger", "ms": 2_000 })).await;
    assert_eq!(got.json, json!("answered"));
    assert!(start.elapsed() < Duration::from_secs(2));
    let second = lambda.call("f", json!({})).await;
    assert_eq!(second.json["served"], 1, "an environment that lingers is not given the next event");
    lambda.line(|line| line.line.starts_with("END")).await;
    lambda.server.stop().await;
}

#[tokio::test]
async fn init_that_takes_too_long_is_repeated_within_the_invocation() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("hung");
    let slow = function_with_init("f", &format!("hang-once:{}", marker.display()));
    let settings = fanfold_emulator::lambda::Settings {
        functions: vec![slow],
        init_limit: Duration::from_millis(200),
        ..Default::default()
    };
    let mut lambda = lambda_with(settings).await;
    let got = lambda.call("f", json!({})).await;
    assert!(!got.failed());
    assert!(marker.exists());
    assert!(got.log.contains("\ninitialising\n"), "INIT is part of the invocation now: {}", got.log);
    assert!(!got.log.contains("Init Duration"), "{}", got.log);
    let report = lambda.line(|line| line.line.starts_with("INIT_REPORT")).await;
    assert!(report.line.contains("Status: timeout"), "{report:?}");
    assert_eq!(lambda.server.environments().len(), 1, "the one that hung is gone");
    lambda.server.stop().await;
}

#[tokio::test]
async fn init_that_never_ends_is_a_timeout_of_the_invocation() {
    let mut hung = function_with_init("f", "hang");
    hung.timeout = Duration::from_millis(300);
    let settings = fanfold_emulator::lambda::Settings {
        functions: vec![hung],
        init_limit: Duration::from_millis(100),
        ..Default::default()
    };
    let lambda = lambda_with(settings).await;
    assert_eq!(lambda.call("f", json!({})).await.error().0, "Sandbox.Timedout");
    assert!(lambda.server.environments().is_empty());
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_init_error_is_the_answer_to_the_first_invocation() {
    let lambda = lambda(vec![function_with_init("f", "error")]).await;
    assert_eq!(lambda.call("f", json!({})).await.error(), ("Init", "cannot"));
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_exit_during_init_is_told_with_its_status() {
    let lambda = lambda(vec![function_with_init("f", "exit:9")]).await;
    let got = lambda.call("f", json!({})).await;
    let (kind, message) = got.error();
    assert_eq!(kind, "Runtime.ExitError");
    let id = got
        .output
        .function_error()
        .and(aws_sdk_lambda::operation::RequestId::request_id(&got.output))
        .unwrap();
    assert_eq!(message, format!("RequestId: {id} Error: Runtime exited with error: exit status 9"));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_the_functions_error() {
    let mut missing = function("f");
    missing.command = vec!["/nowhere/bootstrap".into()];
    missing.directory = Some("/".into());
    let lambda = lambda(vec![missing]).await;
    let got = lambda.call("f", json!({})).await;
    let (kind, message) = got.error();
    assert_eq!(kind, "Runtime.InvalidEntrypoint");
    assert!(message.ends_with("Error: fork/exec /nowhere/bootstrap: no such file or directory"), "{message}");
    lambda.server.stop().await;
}

#[tokio::test]
async fn only_a_runtime_with_an_extension_is_asked_to_end_before_it_is_killed() {
    for (init, asked) in [("extension", true), ("", false)] {
        let mut trapping = function_with_init("f", init);
        let script = "trap 'echo asked to end; exit' TERM; \"$0\" & while :; do wait; done";
        trapping.command.splice(0..0, ["/bin/sh".into(), "-c".into(), script.into()]);
        let mut lambda = lambda(vec![trapping]).await;
        assert!(!lambda.call("f", json!({})).await.failed());
        lambda.server.stop().await;
        let mut said = Vec::new();
        while let Some(line) = lambda.lines.recv().await {
            said.push(line.line);
        }
        assert_eq!(said.iter().any(|line| line == "asked to end"), asked, "{init}: {said:?}");
    }
}
