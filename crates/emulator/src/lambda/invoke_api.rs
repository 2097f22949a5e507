//! The API that callers use: Invoke, and as much of the control plane as lists and describes functions.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;
use time::OffsetDateTime;

use super::Neighbour;
use super::address::{Address, LATEST, NotAnAddress};
use super::api_error::ApiError;
use super::event_queue::EventQueue;
use super::faults::{FaultsHandle, RequestFault};
use super::invocation::{Invocation, Outcome};
use super::scheduler::{Managed, NotRun, Scheduler};
use super::settings::Function;
use crate::account::function_arn;
use crate::http_server::{Answer, Body, Lost, bytes, empty, header_text, json, read_body};
use crate::signature::{Credentials, Refused, claimed_key};

/// The longest synchronous payload, in bytes: 6 MiB.
const PAYLOAD_LIMIT: usize = 6_291_456;
/// The longest asynchronous payload, in bytes: 1 MiB.
pub(super) const EVENT_LIMIT: usize = 1_048_576;
/// The longest client context, in bytes of its base64.
const CLIENT_CONTEXT_LIMIT: usize = 3_583;

/// What the API works on.
#[derive(Debug)]
pub(super) struct InvokeApi {
    pub(super) credentials: Credentials,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) events: EventQueue,
    pub(super) faults: FaultsHandle,
    /// Who else answers at this address; set once, before anybody knows the address.
    pub(super) neighbour: OnceLock<Arc<dyn Neighbour>>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// By the key that functions have too.
    Ordinary,
    /// By a key that no fault befalls.
    Spared,
}

enum Route {
    Invoke(String),
    List,
    Describe(String),
    Configuration(String),
}

/// Function names are decoded: an SDK sends the colons of an ARN as `%3A`.
fn route(method: &Method, path: &str) -> Option<Route> {
    let rest = path.strip_prefix("/2015-03-31/functions")?;
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let decoded = |name: &str| percent_decode_str(name).decode_utf8_lossy().into_owned();
    match (method.as_str(), &parts[..]) {
        ("POST", [name, "invocations"]) => Some(Route::Invoke(decoded(name))),
        ("GET", []) => Some(Route::List),
        ("GET", [name]) => Some(Route::Describe(decoded(name))),
        ("GET", [name, "configuration"]) => Some(Route::Configuration(decoded(name))),
        _ => None,
    }
}

impl InvokeApi {
    /// Handles one request.
    pub(super) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let request_id = new_request_id();
        let mut answer = match self.respond(request, &request_id).await {
            Ok(answer) => answer,
            Err(error) => error.answer(),
        };
        if let Ok(request_id) = HeaderValue::from_str(&request_id) {
            answer.headers_mut().insert("x-amzn-requestid", request_id);
        }
        answer
    }

    async fn respond(&self, request: Request<Incoming>, request_id: &Arc<str>) -> Result<Answer, ApiError> {
        let (head, body) = request.into_parts();
        let body = match read_body(body, PAYLOAD_LIMIT).await {
            Ok(Body::Whole(body, _)) => body,
            Ok(Body::TooLarge { .. }) => return Err(ApiError::too_large(PAYLOAD_LIMIT)),
            Err(error) => return Err(ApiError::invalid_content(format!("the body was cut off: {error}"))),
        };
        if let Some(neighbour) = self.neighbour.get()
            && let Some(answer) = neighbour.answer(&head, &body)
        {
            return Ok(answer);
        }
        let caller = self.admit(&head, &body)?;
        let path = head.uri.path();
        match route(&head.method, path).ok_or_else(|| ApiError::unknown_operation(&head.method, path))? {
            Route::Invoke(name) => self.invoke(&name, &head, body, request_id, caller).await,
            Route::List => Ok(self.list()),
            Route::Describe(name) => {
                let (_, managed) = self.find(&name, head.uri.query())?;
                Ok(json(StatusCode::OK, &self.description(&managed.function)))
            }
            Route::Configuration(name) => {
                let (_, managed) = self.find(&name, head.uri.query())?;
                Ok(json(StatusCode::OK, &self.configuration(&managed.function)))
            }
        }
    }

    /// Checks who asks.
    fn admit(&self, head: &Parts, body: &[u8]) -> Result<Caller, Refused> {
        let now = OffsetDateTime::now_utc();
        if let Some(access_key_id) = claimed_key(&head.headers)
            && let Some(secret_access_key) = self.faults.spared(access_key_id)
        {
            let access_key_id = access_key_id.to_owned();
            let credentials =
                Credentials { access_key_id, secret_access_key, region: self.credentials.region.clone() };
            return credentials.verify("lambda", head, body, now).map(|()| Caller::Spared);
        }
        self.credentials.verify("lambda", head, body, now).map(|()| Caller::Ordinary)
    }

    fn find(&self, name: &str, query: Option<&str>) -> Result<(Address, Arc<Managed>), ApiError> {
        let region = &self.credentials.region;
        let qualifier = query.and_then(qualifier);
        let address =
            Address::parse(name, qualifier.as_deref(), region).map_err(|problem| match problem {
                NotAnAddress::Malformed => ApiError::invalid_parameter(format!(
                    "`{name}` is not a function name, a partial ARN or an ARN with at most one qualifier"
                )),
                NotAnAddress::Elsewhere => ApiError::function_not_found(name),
            })?;
        let managed = self.scheduler.find(&address.name).filter(|_| address.names_latest());
        let managed = managed.ok_or_else(|| ApiError::function_not_found(&address.arn(region)))?;
        Ok((address, Arc::clone(managed)))
    }

    async fn invoke(
        &self,
        name: &str,
        head: &Parts,
        payload: Bytes,
        request_id: &Arc<str>,
        caller: Caller,
    ) -> Result<Answer, ApiError> {
        let (address, managed) = self.find(name, head.uri.query())?;
        let mode = header_text(&head.headers, "x-amz-invocation-type").unwrap_or("RequestResponse");
        if mode == "Event" && payload.len() > EVENT_LIMIT {
            return Err(ApiError::too_large(EVENT_LIMIT));
        }
        let invocation = Invocation {
            request_id: Arc::clone(request_id),
            payload: checked_payload(payload)?,
            function_arn: address.arn(&self.credentials.region),
            trace_id: head.headers.get("x-amzn-trace-id").cloned().unwrap_or_else(new_trace_id),
            client_context: client_context(&head.headers)?,
        };
        let fault = match caller {
            Caller::Ordinary if mode != "DryRun" => self.faults.on_request(&address.name, request_id),
            Caller::Ordinary | Caller::Spared => None,
        };
        match fault {
            Some(RequestFault::Throttled(reason)) => return Err(ApiError::throttled(reason)),
            Some(RequestFault::ServiceError) => return Err(ApiError::service_fault()),
            Some(RequestFault::AnswerLost) | None => {}
        }
        let answer = self.carry_out(mode, &head.headers, &managed, invocation, caller).await;
        if fault.is_none() {
            return answer;
        }
        let mut lost = answer.unwrap_or_else(|error| error.answer());
        lost.extensions_mut().insert(Lost);
        Ok(lost)
    }

    async fn carry_out(
        &self,
        mode: &str,
        headers: &HeaderMap,
        managed: &Arc<Managed>,
        mut invocation: Invocation,
        caller: Caller,
    ) -> Result<Answer, ApiError> {
        match mode {
            "RequestResponse" => {
                let wants_log = match header_text(headers, "x-amz-log-type") {
                    None | Some("None") => false,
                    Some("Tail") => true,
                    Some(other) => {
                        return Err(ApiError::invalid_parameter(format!(
                            "LogType `{other}` is not None or Tail"
                        )));
                    }
                };
                self.run_and_answer(managed, invocation, wants_log).await
            }
            "Event" => {
                invocation.client_context = None;
                let trace_id = invocation.trace_id.clone();
                match caller {
                    Caller::Ordinary => self.events.receive(managed, &invocation),
                    Caller::Spared => self.events.accept(Arc::clone(managed), invocation),
                }
                let mut answer = empty(StatusCode::ACCEPTED);
                answer.headers_mut().insert("x-amzn-trace-id", trace_id);
                Ok(answer)
            }
            "DryRun" => Ok(empty(StatusCode::NO_CONTENT)),
            other => Err(ApiError::invalid_parameter(format!(
                "InvocationType `{other}` is not RequestResponse, Event or DryRun"
            ))),
        }
    }

    async fn run_and_answer(
        &self,
        managed: &Managed,
        invocation: Invocation,
        wants_log: bool,
    ) -> Result<Answer, ApiError> {
        let trace_id = invocation.trace_id.clone();
        let capacity = self.scheduler.try_capacity(managed);
        let capacity = capacity.map_err(|throttle| ApiError::throttled(throttle.reason()))?;
        let ran = self.scheduler.start(managed, capacity, invocation).await;
        let completed = ran.unwrap_or(Err(NotRun::Stopping)).map_err(|error| ApiError::service(&error))?;
        let (body, failed) = match completed.outcome {
            Outcome::Success(result) => (result, false),
            Outcome::FunctionError(document) => (document, true),
        };
        let mut answer = bytes(StatusCode::OK, body);
        let headers = answer.headers_mut();
        headers.insert("x-amz-executed-version", HeaderValue::from_static(LATEST));
        headers.insert("x-amzn-trace-id", trace_id);
        if failed {
            headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        }
        if wants_log && let Ok(tail) = HeaderValue::from_str(&STANDARD.encode(&completed.log_tail)) {
            headers.insert("x-amz-log-result", tail);
        }
        Ok(answer)
    }

    fn list(&self) -> Answer {
        let functions: Vec<_> =
            self.scheduler.functions().map(|managed| self.configuration(&managed.function)).collect();
        json(StatusCode::OK, &json!({ "Functions": functions }))
    }

    fn description(&self, function: &Function) -> serde_json::Value {
        let mut description = json!({ "Configuration": self.configuration(function), "Tags": {} });
        if let (Some(reserved), Some(fields)) = (function.reserved_concurrency, description.as_object_mut()) {
            fields.insert("Concurrency".into(), json!({ "ReservedConcurrentExecutions": reserved }));
        }
        description
    }

    fn configuration(&self, function: &Function) -> serde_json::Value {
        let variables: serde_json::Map<String, serde_json::Value> =
            function.environment.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        json!({
            "FunctionName": function.name,
            "FunctionArn": function_arn(&self.credentials.region, &function.name),
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "PackageType": "Zip",
            "Version": LATEST,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            // Lambda's granularity is a second; what is configured here more finely is rounded up.
            "Timeout": function.timeout.as_millis().div_ceil(1_000),
            "MemorySize": function.memory_mb,
            "Environment": { "Variables": variables },
            "LoggingConfig": { "LogFormat": "Text", "LogGroup": function.log_group_name() },
        })
    }
}

fn qualifier(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("Qualifier="))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// The payload as the function gets it. No payload is an empty object (no document of AWS's says so).
fn checked_payload(payload: Bytes) -> Result<Bytes, ApiError> {
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        Ok(_) => Ok(payload),
        Err(error) => {
            Err(ApiError::invalid_content(format!("Could not parse request body into json: {error}")))
        }
    }
}

/// The client context as a runtime gets it: plain, where the caller sent base64.
fn client_context(headers: &HeaderMap) -> Result<Option<HeaderValue>, ApiError> {
    let Some(encoded) = headers.get("x-amz-client-context") else { return Ok(None) };
    if encoded.len() > CLIENT_CONTEXT_LIMIT {
        let message = format!("ClientContext is longer than {CLIENT_CONTEXT_LIMIT} bytes");
        return Err(ApiError::invalid_content(message));
    }
    let decoded = STANDARD.decode(encoded).ok();
    let json = decoded.filter(|text| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok());
    let value = json.and_then(|text| HeaderValue::from_bytes(&text).ok());
    let message = "ClientContext must be the base64 of one line of JSON";
    value.map(Some).ok_or_else(|| ApiError::invalid_content(message))
}

/// A request id as Lambda makes them.
pub(super) fn new_request_id() -> Arc<str> {
    uuid::Uuid::new_v4().to_string().into()
}

/// A trace of its own for a caller that brought none: not sampled.
pub(super) fn new_trace_id() -> HeaderValue {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let random = uuid::Uuid::new_v4().simple().to_string();
    let parent = uuid::Uuid::new_v4().simple().to_string();
    let trace = format!("Root=1-{now:08x}-{};Parent={};Sampled=0", &random[..24], &parent[..16]);
    HeaderValue::from_str(&trace).unwrap_or_else(|_| HeaderValue::from_static("Sampled=0"))
}
