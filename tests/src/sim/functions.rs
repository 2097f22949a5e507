//! An invocation's port to functions: requests take time, fail in all the ways of Lambda, and may be its last.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_invoke::{Answer, Invoke, InvokeError, RequestId, ThrottleReason};

use super::faults::Fault;
use super::lambda::Lambda;
use super::life::Life;
use super::told::Told;

/// Functions as an invocation meets them.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) life: Arc<Life>,
    pub(crate) lambda: Arc<Lambda>,
}

impl Functions {
    /// What Lambda answers without running anything, if it does.
    fn refusal(&self, function: &str) -> Option<InvokeError> {
        let function = function.to_owned();
        let message = "a fault made on purpose, and nothing was run".to_owned();
        let refusal = if self.life.strikes(Fault::Throttled, 1.0) {
            let reason = throttle_reason(self.life.random().usize(..4));
            InvokeError::Throttled { function, reason, retry_after: None }
        } else if !self.life.strikes(Fault::InvokeError, 1.0) {
            return None;
        } else if self.life.random().bool() {
            InvokeError::Conflict { function, message }
        } else {
            InvokeError::Unavailable { function, message, source: None }
        };
        self.life.note(&format_args!("{refusal}"));
        Some(refusal)
    }
}

fn throttle_reason(number: usize) -> ThrottleReason {
    match number {
        0 => ThrottleReason::AccountConcurrency,
        1 => ThrottleReason::ReservedConcurrency,
        2 => ThrottleReason::InvocationRate,
        _ => ThrottleReason::CallerRate,
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Invoke for Functions {
    /// No function of Fanfold waits for another: it would pay for both.
    async fn call(&self, function: &str, _: Bytes) -> Result<Answer, InvokeError> {
        let message = "functions of this world only send one another events".to_owned();
        Err(InvokeError::Denied { function: function.to_owned(), message })
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        let request = async {
            if let Some(refusal) = self.refusal(function) {
                return Err(refusal);
            }
            self.life.note(&format_args!("sends {function} {}", Told(&payload)));
            let id = self.lambda.accept(function, payload)?;
            if self.life.strikes(Fault::InvokeAnswerLost, 1.0) {
                let message = "a fault made on purpose, and the answer was lost".to_owned();
                return Err(InvokeError::Unavailable {
                    function: function.to_owned(),
                    message,
                    source: None,
                });
            }
            Ok(id)
        };
        self.life.request(|| format!("send {function} an event"), request).await
    }
}
