//! What answers at Lambda's address besides Lambda: as much of three services as a pipeline's owner asks of them, and the
//! emulator's own requests.
//!
//! | request | module | signed |
//! |---|---|---|
//! | EventBridge `PutEvents` | `put_events` | yes |
//! | CloudWatch Logs `FilterLogEvents` | `filter_log_events` | yes |
//! | CloudFormation `DescribeStacks` | `describe_stacks` | yes |
//! | `GET /emulator/schedules`, `POST /emulator/schedules/NAME/fire?at=TIME`, `GET /emulator/queues/NAME` | `own` | no |
//!
//! The emulator's own requests are not signed, so that `curl` can send them. They do no more than the clock would, or show
//! what lies in a file; web pages, which can reach every port of this machine, are refused.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::deliveries::Deliveries;
use crate::http_server::{Answer, header_text, json as json_answer};
use crate::lambda::Neighbour;
use crate::logs::LogStore;
use crate::signature::{Credentials, Refused};
use crate::template::{Output, Template, stack_id};

mod client;
mod describe_stacks;
mod filter_log_events;
mod own;
mod put_events;

pub use client::{ClientError, fire};

/// What the services are about.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) credentials: Credentials,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) stack: Option<Stack>,
}

/// The stack that was deployed.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) description: Option<String>,
    pub(crate) outputs: Vec<Output>,
    /// When the emulator started.
    pub(crate) created: OffsetDateTime,
}

impl Stack {
    /// The stack of a template, deployed now.
    pub(crate) fn of(template: &Template, region: &str) -> Self {
        Self {
            name: template.stack.clone(),
            id: stack_id(&template.stack, region),
            description: template.description.clone(),
            outputs: template.outputs.clone(),
            created: OffsetDateTime::now_utc(),
        }
    }
}

/// The protocol of EventBridge and CloudWatch Logs: the operation in a header, JSON both ways.
const TARGET: &str = "x-amz-target";

impl Neighbour for Services {
    fn answer(&self, head: &Parts, body: &Bytes) -> Option<Answer> {
        if head.uri.path().starts_with(own::PREFIX) {
            return Some(own::answer(&self.deliveries, head));
        }
        if head.method != Method::POST || head.uri.path() != "/" {
            return None;
        }
        if let Some(target) = header_text(&head.headers, TARGET) {
            let answered = self.json_operation(target, head, body);
            return Some(answered.unwrap_or_else(|error| error.answer()));
        }
        let form = "application/x-www-form-urlencoded";
        let is_query = header_text(&head.headers, "content-type").is_some_and(|it| it.starts_with(form));
        is_query.then(|| self.query_operation(head, body))
    }
}

impl Services {
    fn json_operation(&self, target: &str, head: &Parts, body: &Bytes) -> Result<Answer, JsonError> {
        let (service, operation) = target.split_once('.').unwrap_or((target, ""));
        let signing_name = match service {
            "AWSEvents" => "events",
            "Logs_20140328" => "logs",
            _ => return Err(JsonError::unknown(target)),
        };
        self.verify(signing_name, head, body)?;
        let input: Value = serde_json::from_slice(body).map_err(|error| {
            JsonError::new("SerializationException", format!("the request is no JSON: {error}"))
        })?;
        let output = match (service, operation) {
            ("AWSEvents", "PutEvents") => put_events::put(&self.deliveries, &input)?,
            ("Logs_20140328", "FilterLogEvents") => filter_log_events::filter(&self.logs, &input)?,
            _ => return Err(JsonError::unknown(target)),
        };
        Ok(as_json_1_1(json_answer(StatusCode::OK, &output)))
    }

    fn query_operation(&self, head: &Parts, body: &Bytes) -> Answer {
        match self.verify("cloudformation", head, body) {
            Ok(()) => describe_stacks::answer(self.stack.as_ref(), body),
            Err(refused) => describe_stacks::refused(&refused),
        }
    }

    fn verify(&self, service: &str, head: &Parts, body: &Bytes) -> Result<(), Refused> {
        self.credentials.verify(service, head, body, OffsetDateTime::now_utc())
    }
}

/// A refusal in the JSON protocol.
#[derive(Debug)]
struct JsonError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl JsonError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    fn unknown(target: &str) -> Self {
        let message = format!("the emulator has no operation {target}; it has PutEvents and FilterLogEvents");
        Self::new("UnknownOperationException", message)
    }

    fn answer(&self) -> Answer {
        let document = json!({ "__type": self.code, "message": self.message });
        let mut answer = as_json_1_1(json_answer(self.status, &document));
        answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        answer
    }
}

impl From<Refused> for JsonError {
    fn from(refused: Refused) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: refused.code, message: refused.message }
    }
}

fn as_json_1_1(mut answer: Answer) -> Answer {
    let kind = HeaderValue::from_static("application/x-amz-json-1.1");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    answer
}
