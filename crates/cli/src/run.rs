//! From a job document to its output: what `map` and `run` have in common.

use std::time::Instant;

use fanfold_emulator::lambda::LogLine;
use fanfold_emulator::s3::ETags;
use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::occasion::Occasion;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::template::{self, Values};
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use fanfold_store::StoreExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::args::ProgramRun;
use crate::copy_in::copy_in;
use crate::copy_out::{Target, copy_out};
use crate::dispatcher;
use crate::exit::{FAILURE, Stop};
use crate::find::{Found, find};
use crate::functions;
use crate::joblog::Joblog;
use crate::machine::{self, Machine, Wishes};
use crate::places::{self, Places};
use crate::progress::{Phase, Progress};
use crate::signals::Signals;
use crate::stdout;
use crate::summary::{self, Facts};
use crate::wanted::{self, Wanted};
use crate::watch::{self, Watched};

/// A job that is ready to be run: checked, its files found, its output's place free.
struct Ready {
    document: Value,
    job: Job,
    job_id: JobId,
    /// What it is run for, as far as that is known before there is a plan.
    occasion: Occasion,
    /// Below here stands what is copied in and out.
    local: ObjectUri,
    found: Found,
    /// The local output as it was written.
    output: Option<String>,
    /// Whether the job reads or writes s3:// addresses of its own.
    reads_s3: bool,
    joblog: Joblog,
}

/// What there is to tell of a job that ended.
struct Ended {
    report: Report,
    retried: u64,
    /// Where the output is for the user: a path, or an s3:// address.
    output: Option<String>,
    /// Likewise the joblog, if it is anywhere; or why it could not be copied out.
    joblog: Result<Option<String>, Error>,
}

/// Runs a job on this machine, and tells how it ended.
///
/// # Errors
/// Whatever keeps the job from an output. After a signal everything has been stopped and removed.
pub(crate) async fn run(wanted: Wanted, args: ProgramRun) -> Result<(), Stop> {
    let began = Instant::now();
    let ready = ready(&wanted, &args)?;
    // From here on there is something to clean up.
    let mut signals = Signals::listen()?;
    let progress = if args.quiet { Progress::quiet() } else { Progress::on_stderr() };
    let (log_lines, lines) = mpsc::unbounded_channel();
    // Nobody here takes an ETag for an MD5, and hashing would take longer than most programs do.
    let wishes = Wishes {
        log_lines: Some(log_lines),
        etags: ETags::Opaque,
        tasks: wanted.tasks,
        task_directory: wanted.task_directory,
        ..Wishes::default()
    };
    let machine = Machine::start(&args.machine, wishes).await?;
    let ended = tokio::select! {
        ended = whole(&ready, &machine, lines, &progress) => ended.map_err(Stop::Failed),
        signal = signals.next() => Err(Stop::Signalled(signal)),
    };
    progress.end();
    let rubbish = rubbish(&ready, &machine.work, &ended);
    machine.stop(&rubbish).await;
    let ended = ended.map_err(|stop| in_the_users_words(stop, &ready))?;
    tell(ended, &ready, &args, began)
}

/// Checks everything that can be checked before anything is started.
fn ready(wanted: &Wanted, args: &ProgramRun) -> Result<Ready, Error> {
    let work = machine::work_of(&args.machine)?;
    let name = wanted.document.get("name").and_then(Value::as_str).unwrap_or("job");
    let job_id = new_job_id(name);
    let local = ObjectUri::new(&work.bucket, format!("{}local/{job_id}/", work.key));
    let places = places::part(wanted.document.clone(), &local);
    let job = places.job()?;
    let Places { document, mut inputs, output, reads_s3 } = places;
    let occasion = wanted.occasion();
    wanted::has_its_object(&job, output.as_deref(), &occasion)?;
    let directory = machine::current_directory()?;
    if let Some(output) = &output {
        Target::at(&filled(output, &job, &job_id, &occasion), &directory, job.output.overwrite)?;
        if output == "-" && args.json {
            return Err(Error::new(
                Code::InvalidJob,
                "print both the output and --json: both go to standard output",
            ));
        }
    }
    let joblog = Joblog::wanted(args, output.as_deref(), &directory)?;
    for input in &mut inputs {
        input.address = filled(&input.address, &job, &job_id, &occasion);
    }
    let found = find(&inputs, &directory)?;
    Ok(Ready { document, job, job_id, occasion, local, found, output, reads_s3, joblog })
}

/// A name for this run that no other has: the job's name, the time, and a random part.
pub(crate) fn new_job_id(name: &str) -> JobId {
    let random = Uuid::new_v4().simple().to_string();
    let time = Timestamp::now().strftime("%Y%m%d-%H%M%S");
    JobId::from_token(&format!("{name}-{time}-{}", &random[..8]))
}

fn filled(address: &str, job: &Job, job_id: &JobId, occasion: &Occasion) -> String {
    template::fill(address, &Values { job_id, name: &job.name, occasion })
}

/// Copies in, submits, follows, copies out.
async fn whole(
    ready: &Ready,
    machine: &Machine,
    mut lines: mpsc::UnboundedReceiver<LogLine>,
    progress: &Progress,
) -> Result<Ended, Error> {
    let values = Values { job_id: &ready.job_id, name: &ready.job.name, occasion: &ready.occasion };
    machine.ensure_bucket(&ready.job.output.uri.filled(&values).bucket).await?;
    progress.begin(Phase::Copy { verb: "copying in", done: 0, total: ready.found.bytes() });
    copy_in(&ready.found.files, &machine.store, machine.embedded_s3(), progress).await?;
    let keys = JobKeys::new(&machine.work, &ready.job_id);
    submit(ready, machine).await?;
    let plan: Plan = machine.store.get_json(&keys.plan()).await?;
    let mut watched = Watched::new(&plan);
    let report = watch::until_ended(machine, &keys, &mut lines, &mut watched, progress).await?;
    let output = match &report.output {
        Some(output) => Some(brought_home(output, &plan, ready, machine, progress).await?),
        None => None,
    };
    let joblog = ready.joblog.brought_home(&report, machine).await;
    Ok(Ended { report, retried: watched.retried, output, joblog })
}

async fn submit(ready: &Ready, machine: &Machine) -> Result<(), Error> {
    let event = wanted::event(&ready.document, &ready.job_id, &ready.occasion);
    let Err(error) = dispatcher::ask(&*machine.invoke, functions::DISPATCHER, &event).await else {
        return Ok(());
    };
    let hint = match error.code {
        Code::InputMissing | Code::Store if ready.reads_s3 && machine.embedded_s3().is_some() => {
            "; s3:// means the S3 embedded in this program (see --data); for your own, use --s3 environment --work s3://bucket/prefix/"
        }
        _ => "",
    };
    Err(Error { message: format!("{}{hint}", error.message), ..error })
}

/// Copies the output out, where it is local, and says where it is.
async fn brought_home(
    output: &fanfold_flow::report::Output,
    plan: &Plan,
    ready: &Ready,
    machine: &Machine,
    progress: &Progress,
) -> Result<String, Error> {
    let Some(address) = &ready.output else { return Ok(output.uri.to_string()) };
    let address = filled(address, &ready.job, &ready.job_id, &plan.occasion);
    let target = Target::at(&address, &machine::current_directory()?, ready.job.output.overwrite)?;
    progress.begin(Phase::Copy { verb: "copying out", done: 0, total: output.bytes });
    copy_out(output, &target, &machine.store, machine.embedded_s3(), progress).await?;
    Ok(address)
}

/// What need not stay: the copies of local files; of a run that was stopped, which nobody can go on with, everything.
fn rubbish(ready: &Ready, work: &ObjectUri, ended: &Result<Ended, Stop>) -> Vec<ObjectUri> {
    let mut prefixes = vec![ready.local.clone()];
    if matches!(ended, Err(Stop::Signalled(_))) {
        let keys = JobKeys::new(work, &ready.job_id);
        prefixes.extend([keys.folder(), keys.active()]);
    }
    prefixes
}

fn in_the_users_words(stop: Stop, ready: &Ready) -> Stop {
    match stop {
        Stop::Failed(error) => {
            Stop::Failed(Error::new(error.code, ready.found.with_local_names(&error.chain())))
        }
        Stop::Reported(_) | Stop::Signalled(_) | Stop::Unwatched(_) => stop,
    }
}

/// Prints the summary, the report where it is asked for, and gives the failure there was.
fn tell(ended: Ended, ready: &Ready, args: &ProgramRun, began: Instant) -> Result<(), Stop> {
    let Ended { report, retried, output, joblog } = ended;
    let facts = Facts {
        output: output.as_deref(),
        joblog: joblog.as_ref().ok().and_then(Option::as_deref),
        retried: Some(retried),
        elapsed: began.elapsed(),
    };
    let failed = report.status != Status::Succeeded;
    if failed || !args.quiet || !report.failures.is_empty() {
        let text = if args.quiet { summary::failures(&report) } else { summary::whole(&report, &facts) };
        anstream::eprint!("{}", ready.found.with_local_names(&text));
    }
    if args.json {
        let report = summary::json(&report, &facts)
            .map_err(|error| Error::caused(Code::Internal, "write the report as JSON", error))?;
        stdout::print(&(report + "\n"))?;
    }
    match (failed, joblog) {
        (false, joblog) => Ok(joblog.map(drop)?),
        (true, Ok(_)) => Err(Stop::Reported(summary::code(&report))),
        (true, Err(error)) => {
            // The job's own failure is the one to end with.
            anstream::eprintln!("{FAILURE}no joblog{FAILURE:#}: failed to {}", error.chain());
            Err(Stop::Reported(summary::code(&report)))
        }
    }
}
