//! One invocation in one environment: START, the event, the answer or the lack of one, END and REPORT.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;
use tokio::time::Instant;

use super::environment::Environment;
use super::exchange::{Ending, Event, Reply};
use super::process::describe_exit;
use super::runtime_api::RESPONSE_LIMIT;
use super::settings::Function;

/// What a function is asked to do.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) function_arn: String,
    pub(super) trace_id: HeaderValue,
    pub(super) client_context: Option<HeaderValue>,
}

/// How an invocation ended inside the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The function's result.
    Success(Bytes),
    /// The error document: the function's own, or Lambda's about its end.
    FunctionError(Bytes),
}

/// A finished invocation.
#[derive(Debug, Clone)]
pub(super) struct Completed {
    pub(super) outcome: Outcome,
    /// The last 4 KiB of its log.
    pub(super) log_tail: Vec<u8>,
}

/// How an environment comes to an invocation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// It has served before.
    Warm,
    /// New; INIT took this long.
    Cold(Duration),
    /// New, and INIT is not over: it failed once, and is repeated on the invocation's own time.
    Initialising,
}

/// The emulator stopped before the function answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

enum Finish {
    Replied(Reply),
    Ended(Ending),
    TimedOut,
}

/// The error type of an invocation that ran out of time.
const TIMED_OUT: &str = "Sandbox.Timedout";

/// Lambda's own word on how an invocation failed, as the caller gets it and as REPORT names it.
struct Failure {
    kind: &'static str,
    document: Bytes,
}

impl Failure {
    fn new(kind: &'static str, message: &str) -> Self {
        let document = json!({ "errorType": kind, "errorMessage": message });
        Self { kind, document: document.to_string().into() }
    }
}

/// Whose word counts: the function's, or Lambda's about it.
enum Judged {
    Answer(Outcome),
    Failure(Failure),
}

/// Runs `invocation` in `environment`, which the caller has claimed. Without an answer in time, or at all, the whole
/// process group is killed and reaped when this returns.
///
/// # Errors
/// The emulator stops.
///
/// # Cancellation
/// The environment must be killed by who drops this.
pub(super) async fn run(
    environment: &Environment,
    invocation: &Invocation,
    start: Start,
) -> Result<Completed, Stopped> {
    let timeout = environment.function.timeout;
    let started = match start {
        // Its time and its log began with INIT.
        Start::Initialising => environment.launched,
        Start::Warm | Start::Cold(_) => {
            environment.log.begin(Arc::clone(&invocation.request_id)).await;
            Instant::now()
        }
    };
    let ends = started + timeout;
    let deadline = SystemTime::now() + ends.saturating_duration_since(Instant::now());
    let finish = match tokio::time::timeout_at(ends, converse(environment, invocation, deadline)).await {
        Ok(Ok(reply)) => Finish::Replied(reply),
        Ok(Err(ending)) => Finish::Ended(ending),
        Err(_) => Finish::TimedOut,
    };
    let took = started.elapsed();
    let memory_mb = environment.peak_memory_mb();
    if !matches!(finish, Finish::Replied(_)) {
        environment.kill().await;
    }
    let judged = judge(finish, &invocation.request_id, timeout)?;
    let failed_as = match &judged {
        Judged::Answer(_) => None,
        Judged::Failure(failure) => Some(failure.kind),
    };
    let usage = Usage { took, start, memory_mb, failed_as };
    let lines = vec![
        format!("END RequestId: {}", invocation.request_id),
        usage.report(&environment.function, &invocation.request_id),
    ];
    let log_tail = environment.log.end(lines).await;
    let outcome = match judged {
        Judged::Answer(outcome) => outcome,
        Judged::Failure(failure) => Outcome::FunctionError(failure.document),
    };
    Ok(Completed { outcome, log_tail })
}

async fn converse(
    environment: &Environment,
    invocation: &Invocation,
    deadline: SystemTime,
) -> Result<Reply, Ending> {
    let exchange = environment.exchange();
    exchange.settled().await?;
    let event = Event {
        request_id: Arc::clone(&invocation.request_id),
        invocation_id: uuid::Uuid::new_v4().to_string(),
        payload: invocation.payload.clone(),
        function_arn: invocation.function_arn.clone(),
        trace_id: invocation.trace_id.clone(),
        client_context: invocation.client_context.clone(),
        deadline,
    };
    // Claimed and settled, it can only not be idle because it has ended since.
    let Some(reply) = exchange.assign(event) else { return Err(exchange.ended().await) };
    match reply.await {
        Ok(reply) => Ok(reply),
        Err(_) => Err(exchange.ended().await),
    }
}

fn judge(finish: Finish, request_id: &str, timeout: Duration) -> Result<Judged, Stopped> {
    let failure = match finish {
        Finish::Replied(Reply::Response(result)) => return Ok(Judged::Answer(Outcome::Success(result))),
        Finish::Replied(Reply::Error(document)) | Finish::Ended(Ending::InitFailed(document)) => {
            return Ok(Judged::Answer(Outcome::FunctionError(document)));
        }
        Finish::Replied(Reply::TooLarge { size }) => Failure::new(
            "Function.ResponseSizeTooLarge",
            &format!(
                "Response payload size ({size} bytes) exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
            ),
        ),
        Finish::TimedOut => {
            let seconds = timeout.as_secs_f64();
            let message = format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds");
            Failure::new(TIMED_OUT, &message)
        }
        Finish::Ended(Ending::Exited(status)) => exit_error(request_id, &describe_exit(status)),
        Finish::Ended(Ending::Killed) => exit_error(request_id, "Runtime exited with error: signal: killed"),
        Finish::Ended(Ending::Stopped) => return Err(Stopped),
    };
    Ok(Judged::Failure(failure))
}

fn exit_error(request_id: &str, reason: &str) -> Failure {
    Failure::new("Runtime.ExitError", &format!("RequestId: {request_id} Error: {reason}"))
}

/// The answer to an invocation whose function has no program to start.
pub(super) fn invalid_entrypoint(request_id: &str, reason: &str) -> Completed {
    let failure =
        Failure::new("Runtime.InvalidEntrypoint", &format!("RequestId: {request_id} Error: {reason}"));
    Completed { outcome: Outcome::FunctionError(failure.document), log_tail: Vec::new() }
}

/// What an invocation used, as REPORT tells.
struct Usage {
    took: Duration,
    start: Start,
    /// Nothing when the process was gone before it could be measured.
    memory_mb: Option<u64>,
    failed_as: Option<&'static str>,
}

impl Usage {
    fn report(&self, function: &Function, request_id: &str) -> String {
        let init = match self.start {
            Start::Cold(init) => init,
            Start::Warm | Start::Initialising => Duration::ZERO,
        };
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        // Billed by the millisecond, INIT included.
        let billed = milliseconds(self.took + init).ceil();
        let mut report = format!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {} MB\t",
            milliseconds(self.took),
            function.memory_mb,
        );
        if let Some(memory_mb) = self.memory_mb {
            report.push_str(&format!("Max Memory Used: {memory_mb} MB\t"));
        }
        if let Start::Cold(init) = self.start {
            report.push_str(&format!("Init Duration: {:.2} ms\t", milliseconds(init)));
        }
        match self.failed_as {
            None => {}
            Some(TIMED_OUT) => report.push_str("Status: timeout"),
            Some(kind) => report.push_str(&format!("Status: error\tError Type: {kind}")),
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_lambdas_does() {
        let function = Function::new("f", Vec::new());
        let cold = Usage {
            took: Duration::from_micros(2_041),
            start: Start::Cold(Duration::from_micros(44_180)),
            memory_mb: Some(18),
            failed_as: None,
        };
        assert_eq!(
            cold.report(&function, "id"),
            "REPORT RequestId: id\tDuration: 2.04 ms\tBilled Duration: 47 ms\tMemory Size: 128 MB\t\
             Max Memory Used: 18 MB\tInit Duration: 44.18 ms\t"
        );
        let dead = Usage {
            took: Duration::from_millis(3_000),
            start: Start::Warm,
            memory_mb: None,
            failed_as: Some(TIMED_OUT),
        };
        assert_eq!(
            dead.report(&function, "id"),
            "REPORT RequestId: id\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tStatus: timeout"
        );
        let crashed = Usage { failed_as: Some("Runtime.ExitError"), ..dead };
        assert!(crashed.report(&function, "id").ends_with("\tStatus: error\tError Type: Runtime.ExitError"));
    }
}
