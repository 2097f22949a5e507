//! What the Invoke API answers when nothing was run: a status, a code in a header, and a JSON document.

use std::error::Error;

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::http_server::{Answer, json as json_answer};
use crate::signature::Refused;

/// How soon a throttled caller is asked to come back, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// A request that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    /// By this the SDKs choose the class of the error.
    code: &'static str,
    message: String,
    /// Only with 429.
    reason: Option<&'static str>,
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::new(StatusCode::FORBIDDEN, refused.code, refused.message)
    }
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reason: None }
    }

    pub(super) fn function_not_found(arn: &str) -> Self {
        let message = format!("Function not found: {arn}");
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub(super) fn unknown_operation(method: &http::Method, path: &str) -> Self {
        let message = format!("the emulator has no operation {method} {path}");
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
    }

    pub(super) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)
    }

    pub(super) fn invalid_content(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", message)
    }

    pub(super) fn throttled(reason: &'static str) -> Self {
        let mut error =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.");
        error.reason = Some(reason);
        error
    }

    /// A failure of the service, as it says no more of.
    pub(super) fn service_fault() -> Self {
        let message = "The service encountered an internal error.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", message)
    }

    /// The emulator's own failure, with every cause.
    pub(super) fn service(error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", message)
    }

    /// The answer to send.
    pub(super) fn answer(&self) -> Answer {
        let origin = if self.status.is_server_error() { "Service" } else { "User" };
        // The service model spells the field `Message` for some exceptions and `message` for others.
        let mut document = json!({ "Type": origin, "Message": self.message, "message": self.message });
        if let (Some(reason), Some(document)) = (self.reason, document.as_object_mut()) {
            document.insert("Reason".into(), Value::from(reason));
        }
        let mut answer = json_answer(self.status, &document);
        let headers = answer.headers_mut();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        if self.reason.is_some() {
            headers.insert("retry-after", HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        answer
    }
}
