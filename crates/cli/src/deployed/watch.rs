//! `fanfold watch`: a deployed job, followed to its end.

use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::keys::JobId;
use fanfold_flow::report::{Report, Status};
use fanfold_runtime::Error;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Deployed, standing};
use crate::exit::Stop;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::stdout;
use crate::summary::{self, Facts};

/// The shortest and the longest pause between two looks. In between it is a tenth of the time that has gone by: so who
/// waits for a short job hears of its end soon, and a long one costs few calls.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often time is shown to go by.
const TICK: Duration = Duration::from_millis(250);

/// Follows a job until it ends, and tells how.
///
/// # Errors
/// That the job failed, with its code; that it cannot be asked after; that a signal came. In the last two cases the job goes
/// on, and how to follow it again has been said.
pub(crate) async fn watch(deployed: &Deployed, job_id: &JobId, json: bool) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    let progress = Progress::on_stderr();
    let ended = tokio::select! {
        ended = until_ended(deployed, job_id, &progress) => ended.map_err(Stop::Failed),
        signal = signals.next() => Err(Stop::Unwatched(signal)),
    };
    progress.end();
    match ended {
        Ok(report) => tell(&report, json),
        Err(stop) => {
            if !matches!(&stop, Stop::Failed(error) if error.code != Code::Invoke) {
                let (again, logs) =
                    (deployed.command("watch", job_id.as_str()), deployed.command("logs", job_id.as_str()));
                anstream::eprintln!(
                    "no longer watching; the job goes on. To go on watching:\n  {again}\nWhat it logs:\n  {logs}"
                );
            }
            Err(stop)
        }
    }
}

/// Looks at growing intervals until the job has ended.
async fn until_ended(deployed: &Deployed, job_id: &JobId, progress: &Progress) -> Result<Report, Error> {
    let began = Instant::now();
    loop {
        let (_, standing) = standing::ask(deployed, job_id).await?;
        let running_ms = Timestamp::now().as_millisecond().saturating_sub(standing.started_ms);
        let running = Duration::from_millis(u64::try_from(running_ms).unwrap_or_default());
        progress.join(standing::phase(&standing), running);
        if let Some(report) = standing::ended(&standing)? {
            return Ok(report.clone());
        }
        let next = Instant::now() + pause(began.elapsed());
        while Instant::now() < next {
            progress.tick();
            tokio::time::sleep_until(next.min(Instant::now() + TICK)).await;
        }
    }
}

fn pause(watched: Duration) -> Duration {
    (watched / 10).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// Prints the summary, the report where it is asked for, and gives the failure there was.
fn tell(report: &Report, json: bool) -> Result<(), Stop> {
    anstream::eprint!("{}", told(report));
    if json {
        stdout::print_json(report)?;
    }
    if report.status == Status::Succeeded { Ok(()) } else { Err(Stop::Reported(summary::code(report))) }
}

/// The summary of a job that has ended.
pub(crate) fn told(report: &Report) -> String {
    let output = report.output.as_ref().map(|output| output.uri.to_string());
    let took_ms = report.ended_ms.saturating_sub(report.started_ms);
    let elapsed = Duration::from_millis(u64::try_from(took_ms).unwrap_or_default());
    summary::whole(report, &Facts { output: output.as_deref(), retried: None, elapsed })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use fanfold_invoke::memory::{Failure, MemoryInvoke};
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Value {
        json!({
            "version": 1, "job_id": "run-1", "name": "orders", "status": "failed", "partitions": 1, "attempts": 3,
            "chunks": { "total": 1, "done": 0, "failed": 1, "cancelled": 0 }, "records": 0, "bytes_in": 0,
            "failures": [], "code": "program_failed", "message": "1 of 1 chunks failed",
            "started_ms": 1_000, "ended_ms": 186_000
        })
    }

    /// A dispatcher whose job runs for so long.
    fn dispatcher(job_time: Duration) -> (Arc<MemoryInvoke>, Deployed) {
        let invoke = Arc::new(MemoryInvoke::new());
        let began = Instant::now();
        invoke.register("dispatcher", move |invocation| async move {
            let event: Value = serde_json::from_slice(&invocation.payload).unwrap();
            assert_eq!(event, json!({ "status": "run-1" }));
            let mut answer = json!({
                "job_id": "run-1", "name": "orders", "status": "running", "started_ms": 1_000, "message": "it runs",
                "chunks": { "total": 1, "done": 0 }, "partitions": { "total": 1, "done": 0 }
            });
            if began.elapsed() >= job_time {
                answer["status"] = json!("failed");
                answer["report"] = report();
            }
            Ok(Bytes::from(answer.to_string()))
        });
        (Arc::clone(&invoke), Deployed::in_memory(invoke))
    }

    fn run_1() -> JobId {
        "run-1".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_job_is_noticed_soon_and_a_long_job_costs_few_looks() {
        for (seconds, looks) in [(0, 1), (1, 6), (60, 45), (3_600, 450)] {
            let job_time = Duration::from_secs(seconds);
            let (invoke, deployed) = dispatcher(job_time);
            let began = Instant::now();
            let report = until_ended(&deployed, &run_1(), &Progress::quiet()).await.unwrap();
            assert_eq!(report.code, Some(Code::ProgramFailed));
            let late = began.elapsed() - job_time;
            assert!(late <= pause(job_time), "{late:?} after {job_time:?}");
            let looked = invoke.deliveries().len();
            assert!(looked <= looks, "{looked} looks in {job_time:?}");
        }
    }

    #[tokio::test]
    async fn a_job_that_failed_ends_the_watching_with_its_code() {
        let (_invoke, deployed) = dispatcher(Duration::ZERO);
        let stop = watch(&deployed, &run_1(), false).await.unwrap_err();
        assert!(matches!(stop, Stop::Reported(Code::ProgramFailed)), "{stop:?}");
    }

    #[tokio::test]
    async fn what_the_dispatcher_refuses_is_told_in_its_words_with_its_code() {
        let (invoke, deployed) = dispatcher(Duration::ZERO);
        invoke.register("dispatcher", |_| async {
            Err(Failure::new("input_missing", "there is no job run-1"))
        });
        let error = until_ended(&deployed, &run_1(), &Progress::quiet()).await.unwrap_err();
        assert_eq!((error.code, error.chain().as_str()), (Code::InputMissing, "there is no job run-1"));
        invoke.register("dispatcher", |_| async { Err(Failure::new("Sandbox.Timedout", "timed out")) });
        let error = until_ended(&deployed, &run_1(), &Progress::quiet()).await.unwrap_err();
        assert!(error.code == Code::Internal && error.chain().contains("Sandbox.Timedout"), "{error}");
    }

    #[tokio::test]
    async fn a_job_that_ended_without_a_report_is_a_fault_and_not_a_success() {
        let (invoke, deployed) = dispatcher(Duration::ZERO);
        invoke.register("dispatcher", |_| async {
            let answer = json!({
                "job_id": "run-1", "name": "orders", "status": "succeeded", "started_ms": 0, "message": "x",
                "chunks": { "total": 1, "done": 1 }, "partitions": { "total": 1, "done": 1 }
            });
            Ok(Bytes::from(answer.to_string()))
        });
        let error = until_ended(&deployed, &run_1(), &Progress::quiet()).await.unwrap_err();
        assert!(error.code == Code::Internal && error.chain().contains("no report"), "{error}");
    }

    #[test]
    fn the_summary_takes_the_time_from_the_report() {
        let report: Report = serde_json::from_value(report()).unwrap();
        let text = anstream::adapter::strip_str(&told(&report)).to_string();
        assert!(text.contains("3 min 05 s") && text.contains("0 done, 1 failed of 1 chunk"), "{text}");
    }
}
