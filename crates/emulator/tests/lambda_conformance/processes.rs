//! What becomes of processes: timeouts, crashes, reuse, and the end.

use std::time::{Duration, Instant};

use fanfold_emulator::lambda::{Phase, Settings};
use serde_json::json;

use super::support::*;

fn child_in(log: &str) -> u64 {
    let child = log.lines().find_map(|line| line.strip_prefix("child "));
    child.unwrap_or_else(|| panic!("no child in {log}")).parse().unwrap()
}

#[tokio::test]
async fn a_timeout_kills_the_whole_group_before_the_caller_is_told() {
    let mut short = function("f");
    short.timeout = Duration::from_millis(500);
    let lambda = lambda(vec![short]).await;
    let start = Instant::now();
    let got = lambda.call("f", json!({ "do": "spawn_child", "then": "hang" })).await;
    assert!(start.elapsed() >= Duration::from_millis(500));
    let (kind, message) = got.error();
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with(" Error: Task timed out after 0.50 seconds"), "{message}");
    assert!(got.log.trim_end().ends_with("Status: timeout"), "{}", got.log);
    assert!(lambda.server.environments().is_empty());
    let child = child_in(&got.log);
    until("the child is gone", || !runs(child)).await;
    assert!(!lambda.call("f", json!({})).await.failed(), "the next call is served by a new environment");
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_crash_is_told_in_lambdas_words_and_the_next_call_is_cold() {
    let lambda = lambda(vec![function("f")]).await;
    for (event, words) in [
        (json!({ "do": "exit", "code": 3 }), "Runtime exited with error: exit status 3"),
        (json!({ "do": "exit", "code": 0 }), "Runtime exited without providing a reason"),
        (json!({ "do": "abort" }), "Runtime exited with error: signal: aborted"),
        (
            json!({ "do": "signal", "signal": "SEGV" }),
            "Runtime exited with error: signal: segmentation fault",
        ),
        (json!({ "do": "signal", "signal": "KILL" }), "Runtime exited with error: signal: killed"),
    ] {
        let got = lambda.call("f", event).await;
        let (kind, message) = got.error();
        assert_eq!(kind, "Runtime.ExitError", "{words}: {}", got.log);
        let message = message.split_once(" Error: ").unwrap().1;
        assert_eq!(message.trim_end_matches(" (core dumped)"), words);
        assert!(got.log.contains("Status: error\tError Type: Runtime.ExitError"), "{}", got.log);
        let next = lambda.call("f", json!({})).await;
        assert_eq!(next.json["served"], 1);
        assert!(next.log.contains("Init Duration"), "{}", next.log);
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn what_a_crashed_bootstrap_printed_last_is_in_the_log_tail() {
    let lambda = lambda(vec![function("f")]).await;
    lambda.call("f", json!({})).await;
    let got = lambda.call("f", json!({ "do": "nonsense" })).await;
    assert!(got.log.contains("unknown instruction `nonsense`"), "{}", got.log);
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_environment_killed_while_idle_is_never_given_an_event() {
    let lambda = lambda(vec![function("f")]).await;
    for _ in 0..20 {
        let got = lambda.call("f", json!({})).await;
        assert!(!got.failed(), "{}", got.json);
        assert_eq!(got.json["served"], 1);
        let pid = got.json["pid"].as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // Ended, but perhaps not noticed.
        until("it has ended", || !runs(u64::from(pid.as_raw_nonzero().get().unsigned_abs()))).await;
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_environment_killed_while_running_fails_only_its_own_invocation() {
    let lambda = lambda(vec![function("f")]).await;
    let client = lambda.client.clone();
    let event = json!({ "do": "meet", "folder": lambda.folder.path() }).to_string();
    let call = tokio::spawn(async move {
        let payload = aws_sdk_lambda::primitives::Blob::new(event);
        client.invoke().function_name("f").payload(payload).send().await.unwrap()
    });
    until("it runs", || count(lambda.folder.path(), "arrived") == 1).await;
    let environment = lambda.server.environments().remove(0);
    assert_eq!((environment.function.as_str(), environment.phase), ("f", Phase::Running));
    let pid = rustix::process::Pid::from_raw(environment.pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let got = got(call.await.unwrap());
    assert!(got.error().1.ends_with("signal: killed"), "{}", got.json);
    assert!(!lambda.call("f", json!({})).await.failed());
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_environment_used_last_is_used_next() {
    let lambda = lambda(vec![function("f")]).await;
    let folder = lambda.folder.path();
    let event = json!({ "do": "meet", "folder": folder });
    let together = async {
        tokio::join!(lambda.call("f", event.clone()), lambda.call("f", event.clone()), async {
            until("both run", || count(folder, "arrived") == 2).await;
            assert_eq!(lambda.server.environments().len(), 2, "one invocation at a time in each");
            std::fs::write(folder.join("go"), "").unwrap();
        })
    };
    together.await;
    let last = lambda.call("f", json!({})).await.json["pid"].clone();
    for _ in 0..5 {
        assert_eq!(lambda.call("f", json!({})).await.json["pid"], last);
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_idle_environment_is_reclaimed_after_its_lifetime() {
    let settings = Settings {
        functions: vec![function("f")],
        idle_lifetime: Duration::from_millis(50),
        ..Settings::default()
    };
    let lambda = lambda_with(settings).await;
    let pid = lambda.call("f", json!({})).await.json["pid"].as_u64().unwrap();
    until("it is reclaimed", || lambda.server.environments().is_empty()).await;
    assert!(!runs(pid));
    assert!(lambda.call("f", json!({})).await.log.contains("Init Duration"));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_cold_start_takes_the_delay_and_a_warm_one_does_not() {
    let mut delayed = function("f");
    delayed.cold_start_delay = Duration::from_millis(400);
    let lambda = lambda(vec![delayed]).await;
    let start = Instant::now();
    lambda.call("f", json!({})).await;
    assert!(start.elapsed() >= Duration::from_millis(400));
    let warm = lambda.call("f", json!({})).await;
    assert_eq!(warm.json["served"], 2);
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_its_function() {
    let mut lambda = lambda(vec![function("f")]).await;
    let event = json!({ "do": "meet", "folder": lambda.folder.path() });
    let client = lambda.client.clone();
    let call = tokio::spawn(async move {
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        client.invoke().function_name("f").payload(payload).send().await
    });
    until("it runs", || count(lambda.folder.path(), "arrived") == 1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    std::fs::write(lambda.folder.path().join("go"), "").unwrap();
    let report = lambda.line(|line| line.line.starts_with("REPORT")).await;
    assert!(!report.line.contains("Status"), "{report:?}");
    lambda.server.stop().await;
}

#[tokio::test]
async fn stop_leaves_no_process_and_answers_who_waits() {
    let lambda = lambda(vec![function("f"), function("g")]).await;
    let idle = lambda.call("g", json!({ "do": "spawn_child" })).await;
    let (client, event) = (lambda.client.clone(), json!({ "do": "meet", "folder": lambda.folder.path() }));
    let call = tokio::spawn(async move {
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        client.invoke().function_name("f").payload(payload).send().await
    });
    until("it runs", || count(lambda.folder.path(), "arrived") == 1).await;
    let pids: Vec<u64> = lambda.server.environments().iter().map(|one| u64::from(one.pid)).collect();
    assert_eq!(pids.len(), 2);
    lambda.server.stop().await;
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} was reaped");
    }
    until("the child is gone", || !runs(idle.json.as_u64().unwrap())).await;
    let error = call.await.unwrap().unwrap_err().into_service_error();
    assert!(error.is_service_exception(), "{error:?}");
}

#[tokio::test]
async fn dropping_the_server_kills_its_processes() {
    let lambda = lambda(vec![function("f")]).await;
    let got = lambda.call("f", json!({ "do": "spawn_child" })).await;
    let pid = u64::from(lambda.server.environments()[0].pid);
    drop(lambda.server);
    until("they are gone", || !runs(pid) && !runs(got.json.as_u64().unwrap())).await;
}

#[test]
fn a_runtime_that_is_shut_down_takes_the_processes_with_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (lambda, pid) = runtime.block_on(async {
        let lambda = lambda(vec![function("f")]).await;
        let pid = lambda.call("f", json!({})).await.json["pid"].as_u64().unwrap();
        (lambda, pid)
    });
    drop(runtime);
    drop(lambda);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "killed and reaped");
}

#[tokio::test]
async fn every_line_is_in_the_environments_log_file() {
    let mut lambda = lambda(vec![function("f")]).await;
    lambda.call("f", json!({ "do": "print", "out": "one\ntwo\n", "err": "three\n" })).await;
    let id = lambda.server.environments()[0].id.clone();
    lambda.server.stop().await;
    let file = lambda.folder.path().join("logs/f").join(format!("{id}.log"));
    let mut sent = String::new();
    while let Some(line) = lambda.lines.recv().await {
        assert_eq!((line.function.as_str(), &line.environment), ("f", &id));
        assert_eq!(line.request_id.is_none(), line.line == "initialising", "{line:?}");
        sent.push_str(&line.line);
        sent.push('\n');
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), sent);
    assert!(sent.contains("one\n") && sent.contains("three\n"));
}
