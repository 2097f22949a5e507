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
use crate::summary::{self, Facts};
use crate::{stderr, stdout};

/// The shortest and the longest pause between two looks. In between it is a tenth of the time that has gone by: so who
/// waits for a short job hears of its end soon, and a long one costs few calls.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// So many looks in a row may fail, each with twice the pause of the one before: some fifteen seconds, besides those that
/// each look has for itself. A job runs for hours; one call that fails must not end the following of it.
const FAILURES_BORNE: u32 = 5;

/// How often time is shown to go by.
const TICK: Duration = Duration::from_millis(250);

/// Follows a job until it ends, and tells how.
///
/// # Errors
/// That the job failed, with its code; that there is no such job; that it could not be asked after several times in a row;
/// that a signal came. In the last two cases the job goes on, and how to follow it again has been said.
pub(crate) async fn watch(deployed: &Deployed, job_id: &JobId, json: bool) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    let progress = Progress::on_stderr();
    let ended = tokio::select! {
        ended = until_ended(deployed, job_id, &progress) => ended,
        signal = signals.next() => Err(Unseen::goes_on(Stop::Unwatched(signal))),
    };
    progress.end();
    match ended {
        Ok(report) => tell(&report, deployed, json),
        Err(unseen) => {
            stderr::text(&unseen.advice(deployed, job_id));
            Err(unseen.stop)
        }
    }
}

/// Why the watching ended before a job's end was seen.
#[derive(Debug)]
struct Unseen {
    stop: Stop,
    job_goes_on: bool,
}

impl Unseen {
    fn goes_on(stop: Stop) -> Self {
        Self { stop, job_goes_on: true }
    }

    /// There is nothing more to see.
    fn for_ever(error: Error) -> Self {
        Self { stop: Stop::Failed(error), job_goes_on: false }
    }

    /// How to follow a job that goes on.
    fn advice(&self, deployed: &Deployed, job_id: &JobId) -> String {
        if !self.job_goes_on {
            return String::new();
        }
        let [again, logs] = ["watch", "logs"].map(|name| deployed.command(name, job_id.as_str()));
        format!(
            "no longer watching; the job goes on. To go on watching:\n  {again}\nWhat it logs:\n  {logs}\n"
        )
    }
}

/// Looks at growing intervals until the job has ended, or too many looks in a row have failed.
async fn until_ended(deployed: &Deployed, job_id: &JobId, progress: &Progress) -> Result<Report, Unseen> {
    let began = Instant::now();
    let mut failures = 0;
    loop {
        match standing::ask(deployed, job_id).await {
            Ok((_, standing)) => {
                failures = 0;
                let running_ms = Timestamp::now().as_millisecond().saturating_sub(standing.started_ms);
                let running = Duration::from_millis(u64::try_from(running_ms).unwrap_or_default());
                progress.join(standing::phase(&standing), running);
                if let Some(report) = standing::ended(&standing).map_err(Unseen::for_ever)? {
                    return Ok(report.clone());
                }
            }
            Err(error) if matches!(error.code, Code::InvalidJob | Code::InputMissing) => {
                return Err(Unseen::for_ever(error));
            }
            Err(error) if failures == FAILURES_BORNE => return Err(Unseen::goes_on(Stop::Failed(error))),
            Err(error) => {
                failures += 1;
                progress.say(&format!("looking again: failed to {}", error.chain()));
            }
        }
        let next = Instant::now() + pause(began.elapsed(), failures);
        while Instant::now() < next {
            progress.tick();
            tokio::time::sleep_until(next.min(Instant::now() + TICK)).await;
        }
    }
}

/// The pause before the next look, after so many that failed in a row.
fn pause(watched: Duration, failures: u32) -> Duration {
    let after_failures = PAUSE_MIN.saturating_mul(1 << failures.min(FAILURES_BORNE));
    (watched / 10).max(after_failures).min(PAUSE_MAX)
}

/// Prints the summary, the report where it is asked for, and gives the failure there was.
fn tell(report: &Report, deployed: &Deployed, json: bool) -> Result<(), Stop> {
    stderr::text(&told(report, deployed));
    if json {
        stdout::print_json(report)?;
    }
    if report.status == Status::Succeeded { Ok(()) } else { Err(Stop::Reported(summary::code(report))) }
}

/// The summary of a job that has ended.
pub(crate) fn told(report: &Report, deployed: &Deployed) -> String {
    let output = report.output.as_ref().map(|output| output.uri.to_string());
    let took_ms = report.ended_ms.saturating_sub(report.started_ms);
    let elapsed = Duration::from_millis(u64::try_from(took_ms).unwrap_or_default());
    let joblog = report.joblog.as_ref().map(ToString::to_string);
    let (output, joblog) = (output.as_deref(), joblog.as_deref());
    let again = deployed.again(&report.job_id);
    summary::whole(report, &Facts { output, joblog, retried: None, elapsed, again })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

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

    fn running() -> Value {
        json!({
            "job_id": "run-1", "name": "orders", "status": "running", "started_ms": 1_000, "message": "it runs",
            "chunks": { "total": 1, "done": 0 }, "partitions": { "total": 1, "done": 0 }
        })
    }

    /// A dispatcher whose job runs for so long.
    fn dispatcher(job_time: Duration) -> (Arc<MemoryInvoke>, Deployed) {
        let invoke = Arc::new(MemoryInvoke::new());
        let began = Instant::now();
        invoke.register("dispatcher", move |invocation| async move {
            let event: Value = serde_json::from_slice(&invocation.payload).unwrap();
            assert_eq!(event, json!({ "status": "run-1" }));
            let mut answer = running();
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

    /// Why the end of the job is not seen, and what is advised then.
    async fn unseen(deployed: &Deployed) -> (Error, String) {
        let unseen = until_ended(deployed, &run_1(), &Progress::quiet()).await.unwrap_err();
        let advice = unseen.advice(deployed, &run_1());
        let Stop::Failed(error) = unseen.stop else { panic!("{:?}", unseen.stop) };
        (error, advice)
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
            assert!(late <= pause(job_time, 0), "{late:?} after {job_time:?}");
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
        let (error, advice) = unseen(&deployed).await;
        assert_eq!((error.code, error.chain().as_str()), (Code::InputMissing, "there is no job run-1"));
        assert_eq!(advice, "", "no job goes on");
        assert_eq!(invoke.deliveries().len(), 1, "the answer would be the same");
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_fail_do_not_end_the_watching_while_they_are_not_too_many_in_a_row() {
        for failure in ["store", "Sandbox.Timedout", "internal"] {
            let (invoke, deployed) = dispatcher(Duration::ZERO);
            let looks = AtomicU32::new(0);
            invoke.register("dispatcher", move |_| {
                let look = looks.fetch_add(1, Ordering::Relaxed) + 1;
                let mut answer = running();
                if look > 2 * FAILURES_BORNE + 1 {
                    answer["status"] = json!("failed");
                    answer["report"] = report();
                }
                // As many as are borne, one that does not fail, as many again.
                let fails = look != FAILURES_BORNE + 1 && look <= 2 * FAILURES_BORNE + 1;
                async move {
                    if fails {
                        Err(Failure::new(failure, "once"))
                    } else {
                        Ok(Bytes::from(answer.to_string()))
                    }
                }
            });
            let report = until_ended(&deployed, &run_1(), &Progress::quiet()).await.unwrap();
            assert_eq!(report.code, Some(Code::ProgramFailed), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_no_look_succeeds_the_failure_is_told_and_how_to_watch_the_job_again() {
        for (failure, code) in [("store", Code::Store), ("Sandbox.Timedout", Code::Internal)] {
            let (invoke, deployed) = dispatcher(Duration::ZERO);
            invoke.register("dispatcher", move |_| async move { Err(Failure::new(failure, "out of reach")) });
            let began = Instant::now();
            let (error, advice) = unseen(&deployed).await;
            assert!(error.code == code && error.chain().contains("out of reach"), "{error}");
            assert!(advice.contains("the job goes on"), "{advice}");
            assert!(advice.contains("fanfold watch run-1 --stack S\n"), "{advice}");
            let looked = invoke.deliveries().len();
            assert_eq!(looked, usize::try_from(FAILURES_BORNE).unwrap() + 1);
            assert!(began.elapsed() > Duration::from_secs(15), "the pauses grow: {:?}", began.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dispatcher_that_cannot_be_invoked_is_asked_again_too() {
        let invoke = Arc::new(MemoryInvoke::new());
        let began = Instant::now();
        let (error, advice) = unseen(&Deployed::in_memory(invoke)).await;
        assert_eq!(error.code, Code::Invoke);
        assert!(began.elapsed() > Duration::from_secs(15), "not at once: {:?}", began.elapsed());
        assert!(advice.contains("fanfold watch run-1"), "{advice}");
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
        let (error, advice) = unseen(&deployed).await;
        assert!(error.code == Code::Internal && error.chain().contains("no report"), "{error}");
        assert_eq!(advice, "", "it does not go on");
    }

    #[test]
    fn the_summary_takes_the_time_from_the_report() {
        let report: Report = serde_json::from_value(report()).unwrap();
        let text = anstream::adapter::strip_str(&told(&report, &dispatcher(Duration::ZERO).1)).to_string();
        assert!(text.contains("3 min 05 s") && text.contains("0 done, 1 failed of 1 chunk"), "{text}");
    }
}
