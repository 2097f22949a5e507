//! From a job document to its output: what `map` and `run` have in common.

use std::time::Instant;

use fanfold_emulator::lambda::LogLine;
use fanfold_emulator::s3::ETags;
use fanfold_flow::code::Code;
use fanfold_flow::job::{Job, Source};
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::occasion::Occasion;
use fanfold_flow::template::{self, Values};
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::args::ProgramRun;
use crate::copy_in::copy_in;
use crate::ended::{self, Ended};
use crate::exit::Stop;
use crate::find::{Found, Names, find};
use crate::functions::process_memory_mb;
use crate::home::{self, Home};
use crate::joblog::Joblog;
use crate::machine::{self, Machine, Wishes};
use crate::places::{self, FieldNames, Places};
use crate::progress::{Phase, Progress};
use crate::signals::Signals;
use crate::target::Target;
use crate::wanted::{self, Wanted};
use crate::{claims, dispatcher, functions};

/// What is kept of a run that a signal stopped. Its workers were killed, so there are no records of what they did: it would
/// have to be redriven as a whole.
const KEPT: &str = "nothing of the run is kept, so there is nothing to redrive; run the job again";

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

/// Runs a job on this machine, and tells how it ended.
///
/// # Errors
/// Whatever keeps the job from an output. After a signal everything has been stopped and removed.
pub(crate) async fn run(wanted: Wanted, args: ProgramRun) -> Result<(), Stop> {
    let began = Instant::now();
    let ready = ready(&wanted, &args)?;
    let home = Home {
        output: ready.output.clone(),
        directory: machine::current_directory()?,
        names: ready.found.names.clone(),
        tasks: wanted.tasks,
        task_directory: machine::task_directory(wanted.task_directory)?,
    };
    // From here on there is something to clean up.
    let mut signals = Signals::listen()?;
    let progress = if args.quiet { Progress::quiet() } else { Progress::on_stderr() };
    let (log_lines, lines) = mpsc::unbounded_channel();
    // Nobody here takes an ETag for an MD5, and hashing would take longer than most programs do.
    let wishes = Wishes {
        log_lines: Some(log_lines),
        etags: ETags::Opaque,
        tasks: home.tasks.clone(),
        task_directory: Some(home.task_directory.clone()),
        ..Wishes::default()
    };
    let machine = Machine::start(&args.machine, wishes).await?;
    let ended = tokio::select! {
        ended = whole(&ready, &home, &machine, lines, &progress) => ended.map_err(Stop::of),
        signal = signals.next() => Err(Stop::Signalled { signal, kept: KEPT }),
    };
    progress.end();
    let rubbish = rubbish(&machine.work, &ready, &ended);
    machine.stop(&rubbish).await;
    ended.map_err(|stop| in_the_users_words(stop, &home.names))?.tell(&home.names, &args, began)
}

/// Checks everything that can be checked before anything is started.
fn ready(wanted: &Wanted, args: &ProgramRun) -> Result<Ready, Error> {
    let work = machine::work_of(&args.machine.place)?;
    let name = wanted.document.get("name").and_then(Value::as_str).unwrap_or("job");
    let job_id = new_job_id(name);
    let local = home::local(&work, &job_id);
    let places = places::part(wanted.document.clone(), &local);
    let job = places.job(wanted.names)?;
    if let Some(problem) = job.memory_problem(process_memory_mb(&args.machine)) {
        return Err(places::refusal(vec![problem], wanted.names));
    }
    let Places { document, mut inputs, output, reads_s3 } = places;
    let occasion = wanted.occasion();
    wanted::has_its_object(&job, output.as_deref(), &occasion)?;
    if !args.machine.place.keeps_objects() {
        needs_no_store_that_stays(&job, wanted.names, reads_s3, output.is_none())?;
    }
    let directory = machine::current_directory()?;
    let values = Values { job_id: &job_id, name: &job.name, occasion: &occasion };
    for input in &mut inputs {
        input.address = template::fill(&input.address, &values);
        input.field = (wanted.names)(&input.field);
    }
    let found = find(&inputs, &directory)?;
    let address = output.as_ref().map(|output| template::fill_address(output, &values));
    let option = (wanted.names)("output.uri");
    let joblog = Joblog::wanted(args, &directory)?;
    let target =
        address.as_ref().map(|address| Target::at(&option, address, &directory, job.output.overwrite));
    let target = target.transpose()?;
    let claim = target.as_ref().zip(address.as_ref());
    claims::are_free(
        claim.map(|(target, address)| (format!("{option} {address}"), target)),
        args,
        &joblog,
        &found,
    )?;
    Ok(Ready { document, job, job_id, occasion, local, found, output, reads_s3, joblog })
}

/// Refuses addresses in an embedded S3 that begins empty and ends with the program: nothing can be read from it, and what is
/// written would be lost.
fn needs_no_store_that_stays(
    job: &Job,
    names: FieldNames,
    reads_s3: bool,
    writes_s3: bool,
) -> Result<(), Error> {
    const STORES: &str = "without --data DIR, s3:// means an S3 in this program that begins empty and ends with it; for your own S3, use \
                          --s3 environment --work s3://BUCKET/PREFIX/";
    if reads_s3 {
        let field = names(if matches!(job.source, Source::Items(_)) {
            "source.items.uri"
        } else {
            "source.objects.uri"
        });
        return Err(Error::new(
            Code::InputMissing,
            format!("read {field} from S3: nothing is there: {STORES}"),
        ));
    }
    if writes_s3 {
        let (field, uri) = (names("output.uri"), &job.output.uri);
        let message = format!("use {field} {uri}: the output would be lost: {STORES}; or name a file");
        return Err(Error::new(Code::InvalidJob, message));
    }
    Ok(())
}

/// A name for this run that no other has: the job's name, the time, and a random part.
pub(crate) fn new_job_id(name: &str) -> JobId {
    let random = Uuid::new_v4().simple().to_string();
    let time = Timestamp::now().strftime("%Y%m%d-%H%M%S");
    JobId::from_token(&format!("{name}-{time}-{}", &random[..8]))
}

/// Copies in, submits, follows, copies out.
async fn whole(
    ready: &Ready,
    home: &Home,
    machine: &Machine,
    lines: mpsc::UnboundedReceiver<LogLine>,
    progress: &Progress,
) -> Result<Ended, Error> {
    let values = Values { job_id: &ready.job_id, name: &ready.job.name, occasion: &ready.occasion };
    machine.ensure_bucket(&ready.job.output.uri.filled(&values).bucket).await?;
    progress.begin(Phase::Copy { verb: "copying in", done: 0, total: ready.found.bytes() });
    copy_in(&ready.found.files, &machine.store, machine.embedded_s3(), progress).await?;
    home.keep(&machine.store, &machine.work, &ready.job_id).await?;
    submit(ready, machine).await?;
    let keys = JobKeys::new(&machine.work, &ready.job_id);
    ended::follow(&keys, home, &ready.joblog, machine, lines, progress).await
}

async fn submit(ready: &Ready, machine: &Machine) -> Result<(), Error> {
    let event = wanted::event(&ready.document, &ready.job_id, &ready.occasion);
    let Err(error) = dispatcher::ask(&*machine.invoke, functions::DISPATCHER, &event).await else {
        return Ok(());
    };
    let hint = match error.code {
        Code::InputMissing | Code::Store if ready.reads_s3 && machine.embedded_s3().is_some() => {
            "; s3:// means the S3 of --data; for your own, use --s3 environment --work s3://BUCKET/PREFIX/"
        }
        _ => "",
    };
    Err(Error { message: format!("{}{hint}", error.message), ..error })
}

/// What need not stay: the copies of local files, unless a redrive of the run may need them; of a run that was stopped, which
/// nobody can go on with, everything of its own.
fn rubbish(work: &ObjectUri, ready: &Ready, ended: &Result<Ended, Stop>) -> Vec<ObjectUri> {
    let Ready { job_id, local, .. } = ready;
    match ended {
        Ok(ended) if ended.report.can_be_redriven() => Vec::new(),
        Ok(_) => vec![local.clone()],
        Err(stop) => {
            let keys = JobKeys::new(work, job_id);
            let of_the_run = [home::kept_at(work, job_id), keys.folder(), keys.active()];
            let is_stopped = matches!(stop, Stop::Signalled { .. } | Stop::ReaderGone);
            of_the_run.into_iter().filter(|_| is_stopped).chain([local.clone()]).collect()
        }
    }
}

/// A failure in which files have the names that the user knows.
pub(crate) fn in_the_users_words(stop: Stop, names: &Names) -> Stop {
    match stop {
        Stop::Failed(error) => Stop::Failed(Error::new(error.code, names.in_text(&error.chain()))),
        Stop::Reported(_) | Stop::Signalled { .. } | Stop::Unwatched(_) | Stop::ReaderGone => stop,
    }
}
