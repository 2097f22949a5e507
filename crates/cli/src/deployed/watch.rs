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
        progress.join(standing.phase(), running);
        if let Some(report) = standing.ended()? {
            return Ok(report);
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
