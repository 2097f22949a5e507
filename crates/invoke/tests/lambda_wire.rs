//! The adapter to Lambda against answers as the service gives them, byte for byte, one for each request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use fanfold_invoke::aws::{LambdaInvoke, LambdaSettings};
use fanfold_invoke::{Invoke, InvokeError, ThrottleReason};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const EVENT: Bytes = Bytes::from_static(b"{}");

/// A service that gives this answer to one request and then is gone; the handle gives that request's head.
async fn service(answer: String) -> (LambdaInvoke, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        head
    });
    let settings = LambdaSettings {
        endpoint: Some(endpoint),
        region: Some("us-east-1".into()),
        credentials: Some(("key".into(), "secret".into())),
        profile: None,
    };
    (LambdaInvoke::new(settings).await, served)
}

/// The request's head in lower case; its body is read, and left.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).await.unwrap() > 0, "the request ends in its head: {head}");
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.trim().parse().unwrap()];
    reader.read_exact(&mut body).await.unwrap();
    head
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nx-amzn-RequestId: id-1\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn refusal(status: &str, kind: &str, headers: &str, body: &str) -> String {
    answer(status, &format!("x-amzn-ErrorType: {kind}\r\n{headers}"), body)
}

#[tokio::test]
async fn an_answer_comes_with_its_id_and_its_log() {
    let (invoke, served) = service(answer("200 OK", "X-Amz-Log-Result: U1RBUlQgeA==\r\n", "[1]")).await;
    let answer = invoke.call("fanfold-worker", EVENT).await.unwrap();
    assert_eq!((answer.request_id.as_str(), &answer.payload[..]), ("id-1", &b"[1]"[..]));
    assert_eq!(answer.log_tail.as_deref(), Some("START x"));
    let head = served.await.unwrap();
    assert!(head.starts_with("post /2015-03-31/functions/fanfold-worker/invocations "), "{head}");
    assert!(head.contains("x-amz-invocation-type: requestresponse"), "{head}");
}

#[tokio::test]
async fn an_event_is_sent_as_one() {
    let (invoke, served) = service(answer("202 Accepted", "", "")).await;
    assert_eq!(invoke.send("f", EVENT).await.unwrap().as_str(), "id-1");
    assert!(served.await.unwrap().contains("x-amz-invocation-type: event"));
}

#[tokio::test]
async fn success_with_the_error_header_is_an_error_whatever_the_header_says() {
    for header in ["Handled", "Unhandled"] {
        let headers = format!("X-Amz-Function-Error: {header}\r\n");
        let body =
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: id-1 Error: signal: killed"}"#;
        let (invoke, _served) = service(answer("200 OK", &headers, body)).await;
        let error = invoke.call("f", EVENT).await.unwrap_err();
        let inside = error.function_error().unwrap();
        assert_eq!(inside.error_type, "Runtime.ExitError");
        assert_eq!(inside.payload, body.as_bytes());
        assert_eq!(inside.request_id.as_str(), "id-1");
    }
}

#[tokio::test]
async fn a_throttled_request_tells_why_and_for_how_long() {
    let body = r#"{"Type":"User","message":"Rate Exceeded.","Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}"#;
    let text = refusal("429 Too Many Requests", "TooManyRequestsException", "Retry-After: 3\r\n", body);
    let (invoke, _served) = service(text).await;
    match invoke.send("f", EVENT).await {
        Err(InvokeError::Throttled { function, reason, retry_after }) => {
            assert_eq!((function.as_str(), reason), ("f", ThrottleReason::ReservedConcurrency));
            assert_eq!(retry_after, Some(Duration::from_secs(3)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let message = r#"{"Type":"User","Message":"said so","message":"said so"}"#;
    let refused = async |status: &str, kind: &str| {
        let (invoke, _served) = service(refusal(status, kind, "", message)).await;
        invoke.call("f", EVENT).await.unwrap_err()
    };
    let missing = refused("404 Not Found", "ResourceNotFoundException").await;
    assert!(matches!(&missing, InvokeError::NotFound { message, .. } if message == "said so"), "{missing}");
    let large = refused("413 Request Entity Too Large", "RequestEntityTooLargeException").await;
    assert!(matches!(large, InvokeError::TooLarge { bytes: 2, .. }), "{large}");
    let busy = refused("409 Conflict", "ResourceConflictException").await;
    assert!(matches!(busy, InvokeError::Conflict { .. }) && busy.is_transient(), "{busy}");
    let denied = refused("403 Forbidden", "AccessDeniedException").await;
    assert!(matches!(denied, InvokeError::Denied { .. }) && !denied.is_transient(), "{denied}");
    let invalid = refused("400 Bad Request", "InvalidRequestContentException").await;
    assert!(matches!(invalid, InvokeError::Invalid { .. }), "{invalid}");
}

#[tokio::test]
async fn a_failing_service_is_asked_once_and_no_more() {
    // The server takes one connection only: a second try would fail in another way, and not name the code.
    let (invoke, _served) = service(refusal("500 Internal", "ServiceException", "", "{}")).await;
    let error = invoke.send("f", EVENT).await.unwrap_err();
    assert!(
        matches!(&error, InvokeError::Unavailable { message, .. } if message.contains("ServiceException")),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_that_is_gone_is_unavailable_with_its_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let credentials = Some(("key".into(), "secret".into()));
    let settings = LambdaSettings { endpoint: Some(endpoint), credentials, ..LambdaSettings::default() };
    match LambdaInvoke::new(settings).await.send("f", EVENT).await {
        Err(InvokeError::Unavailable { source, .. }) => assert!(source.is_some()),
        other => panic!("{other:?}"),
    }
}
