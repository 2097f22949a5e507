//! From the process's start to the first event and on.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfold_flow::done::Environment;
use fanfold_flow::written::AsWritten;
use fanfold_invoke::aws::LambdaInvoke;
use fanfold_invoke::paced::{PacedInvoke, Pacing};
use fanfold_store::s3::S3Store;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use crate::budget::Budget;
use crate::deps::{Deps, Shared, SystemWorld, World};
use crate::error::Error;
use crate::logs;
use crate::metrics::{Metric, Of};
use crate::variables::{Variable, Variables, recorded};

/// Runs a function until Lambda ends its environment.
///
/// `read` takes the function's own settings from the environment; `handle` is the function. An event is handed over as
/// raw JSON, since an event that fails to parse in the runtime would be retried without end.
pub fn serve<S, H>(read: impl FnOnce(&mut Variables<'_>) -> Option<S>, handle: H) -> ExitCode
where
    H: AsyncFn(Value, &Deps, &S, Budget, &str) -> Result<Value, Error>,
{
    let mut variables = Variables::new(|name| std::env::var(name).ok());
    logs::start(logs::read_level(&mut variables));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("start the asynchronous runtime: {error}")),
    };
    let config = read_config(&mut variables, read);
    let config = match variables.finish(config) {
        Ok(config) => config,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(serve_events(config, handle)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("talk to the Lambda runtime: {error}")),
    }
}

fn failed(message: &str) -> ExitCode {
    tracing::error!("failed to {message}");
    ExitCode::FAILURE
}

/// What a function with settings of its own reads of its environment, in its order: found by reading, as [`serve`] does.
pub fn variables_of<S>(read: impl FnOnce(&mut Variables<'_>) -> Option<S>) -> Vec<Variable> {
    recorded(|variables| {
        let _level = logs::read_level(variables);
        read_config(variables, read)
    })
}

fn read_config<S>(
    variables: &mut Variables<'_>,
    read: impl FnOnce(&mut Variables<'_>) -> Option<S>,
) -> Option<(Shared, S)> {
    let shared = Shared::read(variables);
    let settings = read(variables);
    shared.zip(settings)
}

async fn serve_events<S, H>((shared, settings): (Shared, S), handle: H) -> Result<(), lambda_runtime::Error>
where
    H: AsyncFn(Value, &Deps, &S, Budget, &str) -> Result<Value, Error>,
{
    let lambda = Arc::new(LambdaInvoke::from_environment().await);
    let deps = Deps {
        store: Arc::new(S3Store::from_environment().await),
        invoke: Arc::new(PacedInvoke::new(lambda, Pacing::default(), SystemWorld.random())),
        world: Arc::new(SystemWorld),
        work: shared.work,
        functions: shared.functions,
        metrics: shared.metrics,
        environment: Environment { id: shared.environment, cold: true },
        request_id: String::new(),
    };
    let warm = Deps { environment: Environment { cold: false, ..deps.environment.clone() }, ..deps.clone() };
    let began = AtomicBool::new(false);
    deps.measure(Of::Pipeline, &[(Metric::ColdStarts, 1.0)]);
    let (cold, warm, began, settings, handle) = (&deps, &warm, &began, &settings, &handle);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<AsWritten<Value>>| async move {
        let request_id = event.context.request_id;
        let deps = if began.swap(true, Ordering::Relaxed) { warm } else { cold };
        let deps = Deps { request_id: request_id.clone(), ..deps.clone() };
        let deadline_ms = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let AsWritten(payload) = event.payload;
        let job = job_of(&payload);
        let answer = handle(payload, &deps, settings, Budget::until(deadline_ms), &request_id).await;
        if let Err(error) = &answer {
            tracing::error!(job, code = %error.code, request_id, "failed to {}", error.chain());
        }
        answer
    }))
    .await
}

/// The run that an event among our own functions is about, so that whoever asks the log for a run finds its failures too.
fn job_of(event: &Value) -> Option<String> {
    let names = ["job_id", "reduce", "fan_out"];
    names.iter().find_map(|name| event.get(name)?.as_str()).map(str::to_owned)
}
