//! The Invoke API, as a caller sees it.

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId;
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType, ThrottleReason};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fanfold_emulator::lambda::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::*;

fn status(error: &SdkError<InvokeError>) -> u16 {
    error.raw_response().unwrap().status().as_u16()
}

fn header<'error>(error: &'error SdkError<InvokeError>, name: &str) -> &'error str {
    error.raw_response().unwrap().headers().get(name).unwrap()
}

async fn refused(
    lambda: &Lambda,
    function: &str,
    payload: Vec<u8>,
    mode: InvocationType,
) -> SdkError<InvokeError> {
    let call =
        lambda.client.invoke().function_name(function).invocation_type(mode).payload(Blob::new(payload));
    call.send().await.unwrap_err()
}

#[tokio::test]
async fn a_synchronous_call_returns_the_result_and_says_which_version_ran() {
    let lambda = lambda(vec![function("f")]).await;
    let got = lambda.call("f", json!({ "a": [1, "é"] })).await;
    assert!(!got.failed());
    assert_eq!(got.json["event"], json!({ "a": [1, "é"] }));
    assert_eq!(got.output.executed_version(), Some("$LATEST"));
    assert_eq!(got.output.status_code(), 200);
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_callers_request_id_is_the_runtimes() {
    let lambda = lambda(vec![function("f")]).await;
    let got = lambda.call("f", json!({})).await;
    assert_eq!(got.output.request_id(), Some(got.header("lambda-runtime-aws-request-id")));
    lambda.server.stop().await;
}

#[tokio::test]
async fn every_name_of_a_function_reaches_it_and_it_sees_the_arn_as_called() {
    let lambda = lambda(vec![function("f")]).await;
    let arn = "arn:aws:lambda:eu-west-1:000000000000:function:f";
    for (name, seen) in [
        ("f", arn.to_owned()),
        ("f:$LATEST", format!("{arn}:$LATEST")),
        ("000000000000:function:f", arn.to_owned()),
        (arn, arn.to_owned()),
    ] {
        assert_eq!(
            lambda.call(name, json!({})).await.header("lambda-runtime-invoked-function-arn"),
            seen,
            "{name}"
        );
    }
    let qualified = lambda.client.invoke().function_name("f").qualifier("$LATEST").send().await.unwrap();
    assert_eq!(got(qualified).header("lambda-runtime-invoked-function-arn"), format!("{arn}:$LATEST"));
    lambda.server.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let lambda = lambda(vec![function("f")]).await;
    for name in ["g", "f:7", "arn:aws:lambda:us-east-1:000000000000:function:f"] {
        let error = refused(&lambda, name, b"{}".to_vec(), InvocationType::RequestResponse).await;
        assert_eq!(status(&error), 404, "{name}");
        let error = error.into_service_error();
        assert!(error.is_resource_not_found_exception(), "{name}: {error:?}");
        assert!(error.message().unwrap().contains("Function not found"), "{error:?}");
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_event_is_accepted_at_once_with_an_empty_body_and_runs() {
    let mut lambda = lambda(vec![function("f")]).await;
    let output = lambda.send_event("f", json!({ "do": "print", "out": "ran\n" })).await;
    assert_eq!(output.status_code(), 202);
    assert!(output.payload().is_none_or(|payload| payload.as_ref().is_empty()));
    let id = output.request_id().unwrap().to_owned();
    assert_eq!(lambda.line(|line| line.line == "ran").await.request_id, Some(id));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_dry_run_runs_nothing_and_still_finds_mistakes() {
    let lambda = lambda(vec![function("f")]).await;
    let dry = lambda.client.invoke().function_name("f").invocation_type(InvocationType::DryRun);
    assert_eq!(dry.send().await.unwrap().status_code(), 204);
    assert!(lambda.server.environments().is_empty());
    let error = refused(&lambda, "g", Vec::new(), InvocationType::DryRun).await;
    assert_eq!(status(&error), 404);
    lambda.server.stop().await;
}

#[tokio::test]
async fn no_payload_is_an_empty_object() {
    let lambda = lambda(vec![function("f")]).await;
    let output = lambda.client.invoke().function_name("f").send().await.unwrap();
    assert_eq!(got(output).json["event"], json!({}));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_refused() {
    let lambda = lambda(vec![function("f")]).await;
    for mode in [InvocationType::RequestResponse, InvocationType::Event] {
        let error = refused(&lambda, "f", b"{\"a\":".to_vec(), mode).await;
        assert_eq!(status(&error), 400);
        assert!(error.into_service_error().is_invalid_request_content_exception());
    }
    lambda.server.stop().await;
}

fn text_of(bytes: usize) -> Vec<u8> {
    format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes()
}

#[tokio::test]
async fn payload_limits_are_exact_to_the_byte() {
    let lambda = lambda(vec![function("f")]).await;
    for (limit, mode, accepted) in
        [(6_291_456, InvocationType::RequestResponse, 200), (1_048_576, InvocationType::Event, 202)]
    {
        let call = lambda.client.invoke().function_name("f").invocation_type(mode.clone());
        let output = call.payload(Blob::new(text_of(limit))).send().await.unwrap();
        assert_eq!(output.status_code(), accepted);
        let error = refused(&lambda, "f", text_of(limit + 1), mode).await;
        assert_eq!(status(&error), 413);
        assert_eq!(error.into_service_error().code(), Some("RequestEntityTooLargeException"));
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_result_past_the_limit_is_a_function_error_with_its_size() {
    let lambda = lambda(vec![function("f")]).await;
    let limit = 6_291_556;
    let fits = lambda.call("f", json!({ "do": "big_response", "bytes": limit })).await;
    assert!(!fits.failed());
    assert_eq!(fits.output.payload().unwrap().as_ref().len(), limit);
    let too_large = lambda.call("f", json!({ "do": "big_response", "bytes": 7_000_011 })).await;
    assert_eq!(
        too_large.error(),
        (
            "Function.ResponseSizeTooLarge",
            "Response payload size (7000011 bytes) exceeded maximum allowed payload size (6291556 bytes)."
        )
    );
    // The runtime got a 413 and went on.
    assert_eq!(lambda.call("f", json!({ "do": "recall" })).await.json, json!({ "status": 413 }));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_functions_own_error_comes_back_verbatim_and_marked() {
    let lambda = lambda(vec![function("f")]).await;
    let document = json!({ "errorType": "Mine", "errorMessage": "no", "more": [1] });
    let got = lambda.call("f", json!({ "do": "error", "document": document })).await;
    assert_eq!(got.output.function_error(), Some("Unhandled"));
    assert_eq!(got.output.status_code(), 200);
    assert_eq!(got.json, document);
    let after = lambda.call("f", json!({})).await;
    assert_eq!(after.json["served"], 2, "the environment serves on");
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_log_tail_is_only_sent_when_asked_for() {
    let lambda = lambda(vec![function("f")]).await;
    let output = lambda.client.invoke().function_name("f").log_type(LogType::None).send().await.unwrap();
    assert_eq!(output.log_result(), None);
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_log_tail_has_start_what_was_printed_end_and_report() {
    let lambda = lambda(vec![function("f")]).await;
    let event = json!({ "do": "print", "out": "to out\n", "err": "to err, without an end" });
    let cold = lambda.call("f", event.clone()).await;
    let id = cold.output.request_id().unwrap();
    let lines: Vec<&str> = cold.log.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    let mut printed = lines[1..3].to_vec();
    printed.sort_unstable();
    assert_eq!(printed, ["to err, without an end", "to out"]);
    assert_eq!(lines[3], format!("END RequestId: {id}"));
    let report: Vec<&str> = lines[4].split('\t').collect();
    assert_eq!(report[0], format!("REPORT RequestId: {id}"));
    for (field, name) in
        report[1..].iter().zip(["Duration", "Billed", "Memory Size: 128 MB", "Max Memory", "Init"])
    {
        assert!(field.starts_with(name), "{field} in {report:?}");
    }
    let warm = lambda.call("f", event).await;
    assert!(!warm.log.contains("Init Duration"), "{}", warm.log);
    assert!(!warm.log.contains("initialising"), "{}", warm.log);
    lambda.server.stop().await;
}

#[tokio::test]
async fn the_log_tail_is_the_last_4_kib() {
    let lambda = lambda(vec![function("f")]).await;
    let got = lambda.call("f", json!({ "do": "print", "out": "0123456789\n".repeat(2_000) })).await;
    assert_eq!(got.log.len(), 4_096);
    assert!(got.log.contains("\n0123456789\nEND RequestId: "));
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_client_context_arrives_as_plain_json_and_only_synchronously() {
    let lambda = lambda(vec![function("f")]).await;
    let context = STANDARD.encode(r#"{"custom":{"a":"1"}}"#);
    let output = lambda.client.invoke().function_name("f").client_context(&context).send().await.unwrap();
    assert_eq!(got(output).header("lambda-runtime-client-context"), r#"{"custom":{"a":"1"}}"#);
    for wrong in ["not base64!".to_owned(), STANDARD.encode("not json"), "A".repeat(3_584)] {
        let error = lambda.client.invoke().function_name("f").client_context(wrong).send().await.unwrap_err();
        assert_eq!(status(&error), 400);
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_callers_trace_goes_on_and_a_missing_one_is_begun() {
    let lambda = lambda(vec![function("f")]).await;
    let trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1";
    let call = lambda.client.invoke().function_name("f").customize();
    let traced = call.mutate_request(move |request| {
        request.headers_mut().insert("x-amzn-trace-id", trace);
    });
    assert_eq!(got(traced.send().await.unwrap()).header("lambda-runtime-trace-id"), trace);
    let untraced = lambda.call("f", json!({})).await;
    let parts: Vec<&str> = untraced.header("lambda-runtime-trace-id").split([';', '-']).collect();
    assert_eq!(parts[0], "Root=1");
    assert_eq!((parts[1].len(), parts[2].len(), parts[3].len()), (8, 24, "Parent=".len() + 16));
    assert_eq!(parts[4], "Sampled=0");
    lambda.server.stop().await;
}

#[tokio::test]
async fn an_unknown_mode_or_log_type_is_refused() {
    let lambda = lambda(vec![function("f")]).await;
    let mode = lambda.client.invoke().function_name("f").invocation_type(InvocationType::from("Later"));
    let log = lambda.client.invoke().function_name("f").log_type(LogType::from("Head"));
    for error in [mode.send().await.unwrap_err(), log.send().await.unwrap_err()] {
        assert_eq!(status(&error), 400);
        assert!(error.into_service_error().is_invalid_parameter_value_exception());
    }
    lambda.server.stop().await;
}

/// Holds `count` calls of `function` in a meeting, and returns when all have arrived.
async fn occupy(lambda: &Lambda, function: &str, count_before: usize) -> tokio::task::JoinHandle<()> {
    let client = lambda.client.clone();
    let event = json!({ "do": "meet", "folder": lambda.folder.path() }).to_string();
    let name = function.to_owned();
    let call = tokio::spawn(async move {
        client.invoke().function_name(name).payload(Blob::new(event)).send().await.unwrap();
    });
    until("the call has arrived", || count(lambda.folder.path(), "arrived") == count_before + 1).await;
    call
}

async fn throttled(lambda: &Lambda, function: &str) -> ThrottleReason {
    let error = refused(lambda, function, b"{}".to_vec(), InvocationType::RequestResponse).await;
    assert_eq!(status(&error), 429);
    assert!(header(&error, "retry-after").parse::<u64>().is_ok());
    match error.into_service_error() {
        InvokeError::TooManyRequestsException(error) => error.reason().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn concurrency_is_bounded_by_reservation_and_account_each_with_its_reason() {
    let mut reserved = function("reserved");
    reserved.reserved_concurrency = Some(1);
    let functions = vec![reserved, function("f"), function("g")];
    let lambda = lambda_with(Settings { functions, account_concurrency: 2, ..Settings::default() }).await;
    let first = occupy(&lambda, "reserved", 0).await;
    assert_eq!(
        throttled(&lambda, "reserved").await,
        ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded
    );
    let second = occupy(&lambda, "f", 1).await;
    for name in ["f", "g"] {
        assert_eq!(throttled(&lambda, name).await, ThrottleReason::ConcurrentInvocationLimitExceeded);
    }
    std::fs::write(lambda.folder.path().join("go"), "").unwrap();
    first.await.unwrap();
    second.await.unwrap();
    for name in ["reserved", "g"] {
        assert!(!lambda.call(name, json!({})).await.failed(), "capacity was given back");
    }
    assert!(lambda.server.environments().len() <= 2, "the longest idle environment made room");
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_reservation_of_nothing_throttles_always() {
    let mut off = function("off");
    off.reserved_concurrency = Some(0);
    let lambda = lambda(vec![off]).await;
    assert_eq!(
        throttled(&lambda, "off").await,
        ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded
    );
    lambda.server.stop().await;
}

#[tokio::test]
async fn one_call_after_another_never_needs_a_second_environment() {
    let mut one = function("f");
    one.reserved_concurrency = Some(1);
    let lambda = lambda(vec![one]).await;
    for served in 1..=50 {
        assert_eq!(lambda.call("f", json!({})).await.json["served"], served);
    }
    lambda.server.stop().await;
}

#[tokio::test]
async fn who_does_not_sign_with_the_key_is_refused() {
    let lambda = lambda(vec![function("f")]).await;
    for (key, secret, code) in [
        ("SOMEBODY", SECRET_ACCESS_KEY, "UnrecognizedClientException"),
        (ACCESS_KEY_ID, "guessed", "InvalidSignatureException"),
    ] {
        let stranger = client(lambda.server.endpoint(), key, secret);
        let error = stranger.invoke().function_name("f").send().await.unwrap_err();
        assert_eq!(status(&error), 403);
        assert_eq!(error.into_service_error().code(), Some(code));
    }
    let (head, body) = unsigned(&lambda, "POST /2015-03-31/functions/f/invocations").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(head.contains("x-amzn-errortype: MissingAuthenticationTokenException"), "{head}");
    assert_eq!(body["Type"], "User");
    assert!(lambda.server.environments().is_empty());
    lambda.server.stop().await;
}

#[tokio::test]
async fn a_request_changed_on_its_way_is_refused() {
    let lambda = lambda(vec![function("f"), function("g")]).await;
    let call = lambda.client.invoke().function_name("f").payload(Blob::new("{}")).customize();
    let forged = call.interceptor(AfterSigning(|request| {
        let uri = request.uri().replace("/f/", "/g/");
        request.set_uri(uri).unwrap();
    }));
    let error = forged.send().await.unwrap_err();
    assert_eq!(error.into_service_error().code(), Some("InvalidSignatureException"));
    lambda.server.stop().await;
}

#[derive(Debug)]
struct AfterSigning(fn(&mut aws_sdk_lambda::config::http::HttpRequest));

impl aws_sdk_lambda::config::Intercept for AfterSigning {
    fn name(&self) -> &'static str {
        "after signing"
    }

    fn modify_before_transmit(
        &self,
        context: &mut aws_sdk_lambda::config::interceptors::BeforeTransmitInterceptorContextMut<'_>,
        _components: &aws_sdk_lambda::config::RuntimeComponents,
        _config: &mut aws_smithy_types::config_bag::ConfigBag,
    ) -> Result<(), aws_sdk_lambda::error::BoxError> {
        (self.0)(context.request_mut());
        Ok(())
    }
}

async fn unsigned(lambda: &Lambda, request: &str) -> (String, Value) {
    let address = lambda.server.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request =
        format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn functions_can_be_listed_and_described() {
    let mut reserved = function("b");
    reserved.reserved_concurrency = Some(7);
    reserved.memory_mb = 1_769;
    let lambda = lambda(vec![reserved, function("a")]).await;
    let listed = lambda.client.list_functions().send().await.unwrap();
    let names: Vec<_> = listed.functions().iter().filter_map(|function| function.function_name()).collect();
    assert_eq!(names, ["a", "b"]);
    let configuration = lambda.client.get_function_configuration().function_name("b").send().await.unwrap();
    assert_eq!((configuration.memory_size(), configuration.timeout()), (Some(1_769), Some(3)));
    let described = lambda.client.get_function().function_name("b").send().await.unwrap();
    assert_eq!(described.concurrency().unwrap().reserved_concurrent_executions(), Some(7));
    let missing = lambda.client.get_function().function_name("c").send().await.unwrap_err();
    assert!(missing.into_service_error().is_resource_not_found_exception());
    lambda.server.stop().await;
}
