//! The Runtime API of one environment, and as much of the Extensions API as an internal extension that takes no events
//! needs (the Rust runtime registers one to be told of its end by SIGTERM).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use super::exchange::{Event, Exchange, Misuse, Reply};
use crate::http_server::{Answer, Body, bytes, header_text, json, read_body};

/// The longest result that Lambda carries back to a synchronous caller, in bytes: 6 MiB and a hundred.
pub(super) const RESPONSE_LIMIT: usize = 6_291_556;

/// What the Runtime API of one environment works on.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    pub(super) function_name: String,
    pub(super) exchange: Exchange,
    /// Whether an extension was registered: then the environment gets SIGTERM and some time before SIGKILL.
    pub(super) has_extension: AtomicBool,
}

enum Route<'path> {
    Next,
    Response(&'path str),
    Error(&'path str),
    InitError,
    RegisterExtension,
    NextForExtension,
    Unknown,
}

fn route<'path>(method: &Method, path: &'path str) -> Route<'path> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method.as_str(), &parts[..]) {
        ("GET", ["2018-06-01", "runtime", "invocation", "next"]) => Route::Next,
        ("POST", ["2018-06-01", "runtime", "invocation", id, "response"]) => Route::Response(id),
        ("POST", ["2018-06-01", "runtime", "invocation", id, "error"]) => Route::Error(id),
        ("POST", ["2018-06-01", "runtime", "init", "error"]) => Route::InitError,
        ("POST", ["2020-01-01", "extension", "register"]) => Route::RegisterExtension,
        ("GET", ["2020-01-01", "extension", "event", "next"]) => Route::NextForExtension,
        _ => Route::Unknown,
    }
}

impl RuntimeApi {
    /// Handles one request of the bootstrap.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        match route(&head.method, head.uri.path()) {
            Route::Next => event_answer(self.exchange.next().await.as_ref()),
            Route::Response(id) => self.response(id, &head.headers, body).await,
            Route::Error(id) => self.error(id, &head.headers, body).await,
            Route::InitError => match read_body(body, RESPONSE_LIMIT).await {
                Ok(Body::Whole(document, _)) => status(self.exchange.init_error(document)),
                Ok(Body::TooLarge { .. }) => too_large(),
                Err(error) => cut(&error),
            },
            Route::RegisterExtension => self.register_extension(&head.headers, body).await,
            // An extension without events waits until the environment ends, and its connection with it.
            Route::NextForExtension => std::future::pending().await,
            Route::Unknown => failure(
                StatusCode::NOT_FOUND,
                "UnknownOperation",
                &format!("the emulator's Runtime API has no {} {}", head.method, head.uri.path()),
            ),
        }
    }

    async fn response(&self, id: &str, headers: &HeaderMap, body: Incoming) -> Answer {
        let invocation_id = header_text(headers, "lambda-runtime-invocation-id");
        match read_body(body, RESPONSE_LIMIT).await {
            Ok(Body::Whole(result, trailers)) => {
                let reply = stream_error(&trailers).map_or(Reply::Response(result), Reply::Error);
                status(self.exchange.answer(id, invocation_id, reply))
            }
            Ok(Body::TooLarge { size }) => {
                match self.exchange.answer(id, invocation_id, Reply::TooLarge { size }) {
                    Ok(()) => too_large(),
                    Err(misuse) => status(Err(misuse)),
                }
            }
            Err(error) => cut(&error),
        }
    }

    async fn error(&self, id: &str, headers: &HeaderMap, body: Incoming) -> Answer {
        let invocation_id = header_text(headers, "lambda-runtime-invocation-id");
        match read_body(body, RESPONSE_LIMIT).await {
            Ok(Body::Whole(document, _)) => {
                status(self.exchange.answer(id, invocation_id, Reply::Error(document)))
            }
            Ok(Body::TooLarge { size }) => {
                match self.exchange.answer(id, invocation_id, Reply::TooLarge { size }) {
                    Ok(()) => too_large(),
                    Err(misuse) => status(Err(misuse)),
                }
            }
            Err(error) => cut(&error),
        }
    }

    async fn register_extension(&self, headers: &HeaderMap, body: Incoming) -> Answer {
        if header_text(headers, "lambda-extension-name").is_none() {
            return failure(
                StatusCode::BAD_REQUEST,
                "Extension.MissingName",
                "the header Lambda-Extension-Name is missing",
            );
        }
        let document = match read_body(body, RESPONSE_LIMIT).await {
            Ok(Body::Whole(document, _)) => document,
            Ok(Body::TooLarge { .. }) => return too_large(),
            Err(error) => return cut(&error),
        };
        let wants = serde_json::from_slice::<serde_json::Value>(&document).ok();
        let events =
            wants.as_ref().and_then(|wants| wants.get("events")).and_then(|events| events.as_array());
        if !events.is_some_and(Vec::is_empty) {
            return failure(
                StatusCode::BAD_REQUEST,
                "Extension.InvalidEventType",
                "the emulator only registers extensions with \"events\": []; it delivers them none",
            );
        }
        self.has_extension.store(true, Ordering::Relaxed);
        let mut answer = json(
            StatusCode::OK,
            &json!({ "functionName": self.function_name, "functionVersion": "$LATEST", "handler": "bootstrap" }),
        );
        let identifier = uuid::Uuid::new_v4().to_string();
        if let Ok(identifier) = HeaderValue::from_str(&identifier) {
            answer.headers_mut().insert("lambda-extension-identifier", identifier);
        }
        answer
    }
}

/// The error that a streaming runtime puts into its trailers when it fails after it has begun to answer.
fn stream_error(trailers: &HeaderMap) -> Option<Bytes> {
    let encoded = trailers.get("lambda-runtime-function-error-body")?;
    STANDARD.decode(encoded).ok().map(Bytes::from)
}

fn event_answer(event: &Event) -> Answer {
    let mut answer = Answer::new(Full::new(event.payload.clone()));
    let deadline = event.deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let text = |value: &str| HeaderValue::from_str(value).ok();
    let headers = [
        ("content-type", Some(HeaderValue::from_static("application/json"))),
        ("lambda-runtime-aws-request-id", text(&event.request_id)),
        ("lambda-runtime-invocation-id", text(&event.invocation_id)),
        ("lambda-runtime-deadline-ms", text(&deadline.to_string())),
        ("lambda-runtime-invoked-function-arn", text(&event.function_arn)),
        ("lambda-runtime-trace-id", Some(event.trace_id.clone())),
        ("lambda-runtime-client-context", event.client_context.clone()),
    ];
    let filled = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    for (name, value) in filled {
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn status(result: Result<(), Misuse>) -> Answer {
    match result {
        Ok(()) => json(StatusCode::ACCEPTED, &json!({ "status": "OK" })),
        Err(Misuse::InvalidRequestId) => {
            failure(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
        }
        Err(Misuse::InvalidStateTransition) => {
            failure(StatusCode::FORBIDDEN, "InvalidStateTransition", "State transition is not allowed")
        }
        Err(Misuse::Gone) => {
            failure(StatusCode::GONE, "InvalidInvocationID", "The answer belongs to an earlier delivery")
        }
    }
}

fn too_large() -> Answer {
    failure(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        &format!("Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."),
    )
}

fn cut(error: &hyper::Error) -> Answer {
    failure(StatusCode::BAD_REQUEST, "Runtime.TruncatedResponse", &format!("the body was cut off: {error}"))
}

fn failure(status: StatusCode, kind: &str, message: &str) -> Answer {
    bytes(status, json!({ "errorType": kind, "errorMessage": message }).to_string().into())
}
