//! A run on this machine, followed to its end, and told of.

use std::time::Instant;

use fanfold_emulator::lambda::LogLine;
use fanfold_flow::code::Code;
use fanfold_flow::crc::RunningCrc;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Report, Status};
use fanfold_runtime::Error;
use fanfold_store::StoreExt;
use tokio::sync::mpsc;

use crate::ahead::Ahead;
use crate::args::{ProgramRun, S3Choice};
use crate::exit::{FAILURE, Stop};
use crate::find::Names;
use crate::home::Home;
use crate::joblog::Joblog;
use crate::machine::Machine;
use crate::measures::bytes;
use crate::progress::Progress;
use crate::stderr::{self, say};
use crate::stdout;
use crate::summary::{self, Again, Facts};
use crate::watch::{self, Watched};

/// What there is to tell of a run that ended.
pub(crate) struct Ended {
    pub(crate) report: Report,
    retried: u64,
    /// Where the output is for the user: a path, or an s3:// address.
    output: Option<String>,
    /// Likewise the joblog, if it is anywhere; or why it could not be copied out.
    joblog: Result<Option<String>, Error>,
    /// How many bytes of the output went to standard output before it was whole.
    written_ahead: u64,
}

/// Follows a run that is under way until it ends, and brings home what it leaves.
///
/// # Errors
/// When it ends without a report, and when its output cannot be brought home.
///
/// # Cancellation
/// The run goes on until the machine stops. No file of the output appears in part.
pub(crate) async fn follow(
    keys: &JobKeys,
    home: &Home,
    joblog: &Joblog,
    machine: &Machine,
    mut lines: mpsc::UnboundedReceiver<LogLine>,
    progress: &Progress,
) -> Result<Ended, Error> {
    let plan: Plan = machine.store.get_json(&keys.plan()).await?;
    let mut watched = Watched::new(plan.clone());
    let (ended, mut has_ended) = tokio::sync::watch::channel(false);
    let report = async {
        let report = watch::until_ended(machine, keys, &mut lines, &mut watched, progress).await;
        ended.send_replace(true);
        report
    };
    let written = async {
        // Requests to another store are paid for, and slow.
        if home.output.as_deref() != Some("-") || machine.embedded_s3().is_none() {
            return Ok(RunningCrc::new());
        }
        let ahead = Ahead::new(&plan, keys, &machine.store);
        ahead.follow(&mut tokio::io::stdout(), &mut has_ended).await
    };
    let (report, written) = tokio::try_join!(report, written)?;
    let written_ahead = written.bytes();
    let output = match &report.output {
        Some(output) => {
            let job: Job = machine.store.get_json(&keys.job()).await?;
            Some(home.bring(output, written, &plan, &job, machine, progress).await?)
        }
        None => None,
    };
    let joblog = joblog.brought_home(&report, machine).await;
    Ok(Ended { report, retried: watched.retried, output, joblog, written_ahead })
}

impl Ended {
    /// Prints the summary, the report where it is asked for, and gives the failure there was.
    ///
    /// # Errors
    /// That the job failed, or that something cannot be printed.
    pub(crate) fn tell(self, names: &Names, args: &ProgramRun, began: Instant) -> Result<(), Stop> {
        let Self { report, retried, output, joblog, written_ahead } = self;
        let joblog_at = joblog.as_ref().ok().and_then(Option::as_deref);
        // A person cannot open what is kept in an embedded S3 that has stopped.
        let is_at_hand = args.joblog.is_some() || args.machine.place.s3 == S3Choice::Environment;
        let facts = Facts {
            output: output.as_deref(),
            joblog: joblog_at.filter(|_| is_at_hand),
            retried: Some(retried),
            elapsed: began.elapsed(),
            again: again(&report, args),
        };
        let failed = report.status != Status::Succeeded;
        if failed || !args.quiet || !report.failures.is_empty() {
            let text =
                if args.quiet { summary::failures(&report, &facts) } else { summary::whole(&report, &facts) };
            stderr::text(&names.in_text(&text));
        }
        if failed && written_ahead > 0 {
            say!("  {} of an output had been written to standard output by then", bytes(written_ahead));
        }
        if args.json {
            let report = summary::json(&report, &Facts { joblog: joblog_at, ..facts })
                .map_err(|error| Error::caused(Code::Internal, "write the report as JSON", error))?;
            stdout::print(&(report + "\n"))?;
        }
        match (failed, joblog) {
            (false, joblog) => Ok(joblog.map(drop)?),
            (true, Ok(_)) => Err(Stop::Reported(summary::code(&report))),
            (true, Err(error)) => {
                // The job's own failure is the one to end with.
                say!("{FAILURE}no joblog{FAILURE:#}: failed to {}", error.chain());
                Err(Stop::Reported(summary::code(&report)))
            }
        }
    }
}

/// How what is left of a run on this machine is done.
pub(crate) fn again(report: &Report, args: &ProgramRun) -> Again {
    if args.machine.place.keeps_objects() {
        Again::By(format!("fanfold redrive {}{}", report.job_id, args.machine.options()))
    } else {
        Again::Lost
    }
}
