//! One event to a dispatcher, here or deployed, and its answer.

use bytes::Bytes;
use fanfold_flow::code::Code;
use fanfold_flow::written::AsWritten;
use fanfold_invoke::Invoke;
use fanfold_runtime::Error;
use serde_json::{Value, json};

/// What the dispatcher answers to an event.
///
/// # Errors
/// The dispatcher's own refusal, with its code; `internal` when it failed in a way that it has no code for; `invoke` when
/// it could not be asked.
///
/// # Cancellation
/// The dispatcher may handle the event all the same.
pub(crate) async fn ask(invoke: &dyn Invoke, function: &str, event: &Value) -> Result<Value, Error> {
    let error = match invoke.call(function, Bytes::from(AsWritten(event).to_string())).await {
        Ok(answer) => {
            return serde_json::from_slice(&answer.payload).map_err(|error| {
                Error::caused(Code::Internal, format!("read the answer of {function}"), error)
            });
        }
        Err(error) => error,
    };
    let Some(failed) = error.function_error() else { return Err(error.into()) };
    match serde_json::from_value(json!(failed.error_type)) {
        Ok(Code::Internal) | Err(_) => Err(Error::caused(Code::Internal, "ask the dispatcher", error)),
        Ok(code) => Err(Error::new(code, failed.message.clone())),
    }
}
