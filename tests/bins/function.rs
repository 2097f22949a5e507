//! A function for conformance tests: answers with its payload, or fails when it is told to by its environment.
#![forbid(unsafe_code)]

use fanfold_invoke::conformance::{FAILED, ON_PURPOSE};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let failing = std::env::var_os("FAILING").is_some();
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        if failing {
            return Err(Diagnostic { error_type: FAILED.to_owned(), error_message: ON_PURPOSE.to_owned() });
        }
        Ok(event.payload)
    }))
    .await
}
