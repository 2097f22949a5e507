//! What can go wrong with calling functions, sorted by what a caller can do about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::invoke::RequestId;

/// A cause from below, kept for the chain of sources.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Which limit a throttled request ran into (`Reason` of `TooManyRequestsException`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ThrottleReason {
    /// All environments of the account are busy.
    AccountConcurrency,
    /// All environments reserved for this function are busy.
    ReservedConcurrency,
    /// The function is called at too high a rate for its concurrency.
    InvocationRate,
    /// This caller sends requests at too high a rate.
    CallerRate,
    /// The service gave another reason, or none (then empty).
    Other(String),
}

impl ThrottleReason {
    /// The reason by the service's name for it.
    pub fn from_service(name: &str) -> Self {
        match name {
            "ConcurrentInvocationLimitExceeded" => Self::AccountConcurrency,
            "ReservedFunctionConcurrentInvocationLimitExceeded" => Self::ReservedConcurrency,
            "FunctionInvocationRateLimitExceeded" | "ReservedFunctionInvocationRateLimitExceeded" => {
                Self::InvocationRate
            }
            "CallerRateLimitExceeded" => Self::CallerRate,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ThrottleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccountConcurrency => "the account's concurrency is used up",
            Self::ReservedConcurrency => "the function's reserved concurrency is used up",
            Self::InvocationRate => "the function is called at too high a rate",
            Self::CallerRate => "this caller sends requests at too high a rate",
            Self::Other(reason) if reason.is_empty() => "no reason given",
            Self::Other(reason) => reason,
        })
    }
}

/// A failure inside the function: it was called, and did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// What kind of failure: `Sandbox.Timedout`, `Runtime.ExitError`, `Function.ResponseSizeTooLarge`, or the
    /// function's own. Empty where the payload does not say.
    pub error_type: String,
    /// The failure in words. Where the payload does not say, the payload itself.
    pub message: String,
    /// The payload as it came.
    pub payload: Bytes,
    /// The service's id of the invocation.
    pub request_id: RequestId,
}

impl FunctionError {
    /// The failure that this payload tells of. An older form of the timeout has no type and is known by its words.
    pub fn from_payload(payload: Bytes, request_id: RequestId) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "errorType", default)]
            error_type: String,
            #[serde(rename = "errorMessage", default)]
            error_message: String,
        }
        let wire = serde_json::from_slice(&payload).unwrap_or_else(|_| Wire {
            error_type: String::new(),
            error_message: String::from_utf8_lossy(&payload).into_owned(),
        });
        let timed_out = wire.error_type.is_empty() && wire.error_message.contains("Task timed out after");
        let error_type = if timed_out { Self::TIMED_OUT.to_owned() } else { wire.error_type };
        Self { error_type, message: wire.error_message, payload, request_id }
    }

    /// The type of a failure by time-out.
    pub const TIMED_OUT: &'static str = "Sandbox.Timedout";

    /// The type of a failure by the end of the process.
    pub const EXITED: &'static str = "Runtime.ExitError";

    /// Whether the function ran into its time-out.
    pub fn is_timeout(&self) -> bool {
        self.error_type == Self::TIMED_OUT
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.error_type.is_empty() { "an error without a type" } else { &self.error_type };
        write!(f, "it failed with {kind} (request id {}): {}", self.request_id, self.message)
    }
}

/// Why a function could not be called, or failed. The text reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// Some limit is reached; nothing was run. Try again, more slowly.
    #[error("invoke {function}: throttled: {reason}")]
    Throttled {
        /// Which function.
        function: String,
        /// Which limit.
        reason: ThrottleReason,
        /// How long the service asks to wait at least, where it says.
        retry_after: Option<Duration>,
    },
    /// There is no such function.
    #[error("invoke {function}: there is no such function: {message}")]
    NotFound {
        /// Which function.
        function: String,
        /// The service's words.
        message: String,
    },
    /// The payload is larger than the service takes; nothing was sent, or nothing was run.
    #[error("invoke {function}: the payload has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Which function.
        function: String,
        /// Size of the payload in bytes.
        bytes: usize,
        /// Most bytes that this kind of invocation takes.
        limit: usize,
    },
    /// The credentials do not allow this, or are missing or stale.
    #[error("invoke {function}: access denied: {message}")]
    Denied {
        /// Which function.
        function: String,
        /// The service's words.
        message: String,
    },
    /// The function is being changed (HTTP 409, for some seconds after a deploy). Try again for about 2 minutes.
    #[error("invoke {function}: it is being updated: {message}")]
    Conflict {
        /// Which function.
        function: String,
        /// The service's words.
        message: String,
    },
    /// The service or the connection to it failed, or gave no answer in time. The function may or may not run.
    #[error("invoke {function}: service unavailable: {message}")]
    Unavailable {
        /// Which function.
        function: String,
        /// What is known, without the cause.
        message: String,
        /// The cause from below.
        #[source]
        source: Option<Cause>,
    },
    /// The request itself is wrong, for example a payload that is no JSON; or anything the adapter does not know.
    #[error("invoke {function}: refused with {code}: {message}")]
    Invalid {
        /// Which function.
        function: String,
        /// The service's code.
        code: String,
        /// The service's words.
        message: String,
    },
    /// The function was run and failed.
    #[error("invoke {function}: {error}")]
    Function {
        /// Which function.
        function: String,
        /// What it left. Part of the text, so not a source.
        error: Box<FunctionError>,
    },
}

impl InvokeError {
    /// Whether the same request may succeed later, unchanged. After `Unavailable`, the function may run twice.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Conflict { .. } | Self::Unavailable { .. })
    }

    /// The function's own failure, if it is one.
    pub fn function_error(&self) -> Option<&FunctionError> {
        match self {
            Self::Function { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Which function was called.
    pub fn function(&self) -> &str {
        match self {
            Self::Throttled { function, .. }
            | Self::NotFound { function, .. }
            | Self::TooLarge { function, .. }
            | Self::Denied { function, .. }
            | Self::Conflict { function, .. }
            | Self::Unavailable { function, .. }
            | Self::Invalid { function, .. }
            | Self::Function { function, .. } => function,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_known_in_its_old_and_its_new_form() {
        let new = br#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: r Error: Task timed out after 3.00 seconds"}"#;
        let old = br#"{"errorMessage":"2026-11-02T00:00:00Z r Task timed out after 3.00 seconds"}"#;
        for payload in [&new[..], &old[..]] {
            let error = FunctionError::from_payload(Bytes::copy_from_slice(payload), RequestId::new("r"));
            assert!(error.is_timeout(), "{error}");
        }
    }

    #[test]
    fn a_payload_that_is_no_error_document_is_kept_as_the_message() {
        let error = FunctionError::from_payload(Bytes::from_static(b"Killed"), RequestId::new("r"));
        assert_eq!((error.error_type.as_str(), error.message.as_str()), ("", "Killed"));
        assert_eq!(error.to_string(), "it failed with an error without a type (request id r): Killed");
    }
}
