//! The port itself.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::limits::{CALL_PAYLOAD_BYTES, EVENT_PAYLOAD_BYTES};

use crate::error::InvokeError;

/// The service's id of one invocation. Retries of an event keep it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// The id as the service wrote it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two ways to invoke a function, for errors, fault decisions and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Wait for the function's answer (`RequestResponse`).
    Call,
    /// Hand over an event and go on (`Event`).
    Send,
}

impl Mode {
    /// Most bytes of payload that this way takes.
    pub const fn payload_bytes_max(self) -> usize {
        match self {
            Self::Call => CALL_PAYLOAD_BYTES,
            Self::Send => EVENT_PAYLOAD_BYTES,
        }
    }

    /// Refuses a payload that the service would refuse, before anything is sent. Every adapter begins with this.
    ///
    /// # Errors
    /// [`InvokeError::TooLarge`].
    pub fn check_payload(self, function: &str, payload: &Bytes) -> Result<(), InvokeError> {
        let (bytes, limit) = (payload.len(), self.payload_bytes_max());
        if bytes > limit {
            return Err(InvokeError::TooLarge { function: function.to_owned(), bytes, limit });
        }
        Ok(())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Send => "send",
        })
    }
}

/// What a function answered to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The service's id of the invocation.
    pub request_id: RequestId,
    /// What the function returned: a JSON document.
    pub payload: Bytes,
    /// The end of the function's log, at most 4 KB, where the service gives it.
    pub log_tail: Option<String>,
}

/// Functions by name or ARN, as AWS Lambda offers them.
///
/// # Errors
/// Both methods fail with an [`InvokeError`] that names the function.
///
/// # Cancellation
/// A future that is dropped does not stop the function: it may run, have run, or never run.
#[async_trait]
pub trait Invoke: fmt::Debug + Send + Sync + 'static {
    /// Runs a function and waits for its answer, at most 6 MB each way.
    ///
    /// # Errors
    /// [`InvokeError::Function`] when it ran and failed; else why it did not run.
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError>;

    /// Hands an event of at most 1 MB to a function and returns once the service has it. The function then runs at
    /// least once: a delivery may be doubled, and a failed one is tried again as the function is configured.
    ///
    /// # Errors
    /// Why the event was not taken. What becomes of it afterwards is not told here.
    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError>;
}
