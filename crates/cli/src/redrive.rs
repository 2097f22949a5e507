//! `fanfold redrive` of a run on this machine, whose objects were kept.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fanfold_dispatcher::{Answer, Redriven, Standing, State};
use fanfold_emulator::lambda::LogLine;
use fanfold_emulator::s3::ETags;
use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Output, Report, Status, redrive_advice};
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use fanfold_store::{ErrorKind, Store, StoreExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::args::stack::{RedriveArgs, StackArgs};
use crate::args::{PlaceArgs, ProgramRun};
use crate::ended::{self, Ended};
use crate::exit::Stop;
use crate::find::Found;
use crate::home::{self, Home};
use crate::joblog::Joblog;
use crate::machine::{self, Machine, Wishes};
use crate::progress::Progress;
use crate::run::in_the_users_words;
use crate::signals::Signals;
use crate::stderr::say;
use crate::summary::{self, Again, Facts};
use crate::target::Target;
use crate::{claims, dispatcher, functions, stdout};

/// What is kept of a redrive that a signal stopped.
const KEPT: &str = "what was to be redriven is kept, and nothing of the redrive is; the same command does it";

/// A run that is to be redriven.
struct Base {
    job: Job,
    plan: Plan,
    home: Home,
    joblog: Joblog,
}

/// What came of asking for a redrive.
enum Came {
    /// A run was started, and has ended so.
    Ended(Box<Ended>),
    /// Nothing was started: nothing is left, or it was done by a redrive before.
    Before(Box<Answer>, Box<Report>),
}

/// Has what is left of a run done on this machine, and tells how that ended.
///
/// # Errors
/// Whatever keeps the job from an output. After a signal what was started has been stopped and removed, and the redrive can
/// be asked for again.
pub(crate) async fn here(args: &RedriveArgs) -> Result<(), Stop> {
    if args.stack != StackArgs::default() {
        let message =
            "use --data or --s3 environment: they mean a run on this machine, and not one of a stack";
        return Err(Error::new(Code::InvalidJob, message).into());
    }
    let (began, run) = (Instant::now(), &args.run);
    let base = Base::read(&args.job_id, run).await?;
    let mut signals = Signals::listen()?;
    let progress = if run.quiet { Progress::quiet() } else { Progress::on_stderr() };
    let (log_lines, lines) = mpsc::unbounded_channel();
    let wishes = Wishes {
        log_lines: Some(log_lines),
        etags: ETags::Opaque,
        tasks: base.home.tasks.clone(),
        task_directory: Some(base.home.task_directory.clone()),
        ..Wishes::default()
    };
    let machine = Machine::start(&run.machine, wishes).await?;
    let started = OnceLock::new();
    let came = tokio::select! {
        came = whole(&base, &machine, &started, lines, &progress) => came.map_err(Stop::of),
        signal = signals.next() => Err(Stop::Signalled { signal, kept: KEPT }),
    };
    progress.end();
    let rubbish = rubbish(&base, &machine.work, &came, started.get());
    machine.stop(&rubbish).await;
    match came.map_err(|stop| in_the_users_words(stop, &base.home.names))? {
        Came::Ended(ended) => ended.tell(&base.home.names, run, began),
        Came::Before(answer, report) => tell_of_before(&base, &answer, &report, run),
    }
}

impl Base {
    /// Reads what there is of the run, and checks what can be checked before anything is started.
    async fn read(job_id: &JobId, run: &ProgramRun) -> Result<Self, Error> {
        let work = machine::work_of(&run.machine.place)?;
        let (store, embedded) = machine::store_alone(&run.machine.place, ETags::Opaque).await?;
        let read = Self::of(job_id, &work, &store, run).await;
        drop(store);
        if let Some(embedded) = embedded {
            embedded.stop().await;
        }
        read
    }

    async fn of(
        job_id: &JobId,
        work: &ObjectUri,
        store: &Arc<dyn Store>,
        run: &ProgramRun,
    ) -> Result<Self, Error> {
        let keys = JobKeys::new(work, job_id);
        let plan: Plan = match store.get_json(&keys.plan()).await {
            Ok(plan) => plan,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(unknown("redrive", job_id, &run.machine.place));
            }
            Err(error) => return Err(error.into()),
        };
        let job: Job = store.get_json(&keys.job()).await?;
        let home = Home::of(store, work, &plan).await?;
        let joblog = Joblog::wanted(run, &machine::current_directory()?)?;
        // Whether it may be replaced is seen when there is something to do.
        let output = home.address(&plan, &job);
        let target = output.as_ref().map(|address| Target::at("output.uri", address, &home.directory, true));
        let target = target.transpose()?;
        let claim =
            target.as_ref().zip(output).map(|(target, address)| (format!("output.uri {address}"), target));
        claims::are_free(claim, run, &joblog, &Found::default())?;
        Ok(Self { job, plan, home, joblog })
    }

    /// Where an output is for the user.
    fn place_of(output: &Output, file: Option<&str>) -> String {
        match file {
            Some("-") => "standard output".to_owned(),
            Some(file) => file.to_owned(),
            None => output.uri.to_string(),
        }
    }
}

/// That there is no such run, to someone who wanted something done about it.
pub(crate) fn unknown(wanted: &str, job_id: &JobId, place: &PlaceArgs) -> Error {
    let message = format!(
        "{wanted} {job_id}: there is no such run in what{} keeps; `fanfold run` and `map` name theirs when they end",
        place.options()
    );
    Error::new(Code::InvalidJob, message)
}

/// Whether something is left of a run that a redrive may do, and none has come to its end.
async fn is_left(base: &Base, machine: &Machine) -> Result<bool, Error> {
    let event = json!({ "status": base.plan.job_id });
    let standing: Standing = asked(machine, &event).await?;
    Ok(match (standing.report, standing.redriven) {
        (_, Some(Redriven { status, .. })) if status != State::Running => false,
        (report, _) => report.is_none_or(|report| report.can_be_redriven()),
    })
}

/// What the dispatcher answers to an event.
async fn asked<T: DeserializeOwned>(machine: &Machine, event: &Value) -> Result<T, Error> {
    let answer = dispatcher::ask(&*machine.invoke, functions::DISPATCHER, event).await?;
    T::deserialize(&answer).map_err(|error| {
        Error::caused(Code::Internal, format!("read the dispatcher's answer: {answer}"), error)
    })
}

/// Asks for the redrive, follows, copies out.
async fn whole(
    base: &Base,
    machine: &Machine,
    started: &OnceLock<JobId>,
    lines: mpsc::UnboundedReceiver<LogLine>,
    progress: &Progress,
) -> Result<Came, Error> {
    // Before any work: whether the output could be brought home.
    if is_left(base, machine).await? {
        let before = [base.plan.earlier(), std::slice::from_ref(&base.plan.job_id)].concat();
        base.home.target(&base.plan, &before, &base.job, machine).await?;
    }
    let event = json!({ "redrive": base.plan.job_id });
    let mut answer: Answer = asked(machine, &event).await?;
    if let Some(report) = answer.report.take() {
        return Ok(Came::Before(Box::new(answer), Box::new(report)));
    }
    let run = started.get_or_init(|| answer.job_id);
    let keys = JobKeys::new(&machine.work, run);
    let ended = ended::follow(&keys, &base.home, &base.joblog, machine, lines, progress).await?;
    Ok(Came::Ended(Box::new(ended)))
}

/// What need not stay: once nothing is left to do, the copies of local files; of a run that was stopped half way, everything.
fn rubbish(
    base: &Base,
    work: &ObjectUri,
    came: &Result<Came, Stop>,
    started: Option<&JobId>,
) -> Vec<ObjectUri> {
    match (came, started) {
        (Ok(Came::Ended(ended)), _) if !ended.report.can_be_redriven() => {
            vec![home::local(work, home::first(&base.plan))]
        }
        (Err(Stop::Signalled { .. }), Some(run)) => {
            let keys = JobKeys::new(work, run);
            vec![keys.folder(), keys.active()]
        }
        _ => Vec::new(),
    }
}

/// Tells of a redrive for which nothing was started.
fn tell_of_before(base: &Base, answer: &Answer, report: &Report, run: &ProgramRun) -> Result<(), Stop> {
    let mut message = answer.message.clone();
    let again = ended::again(report, run);
    if let Again::By(command) = &again {
        message = message.replace(&redrive_advice(&report.job_id), &format!("redrive that: {command}"));
    }
    let file = base.home.address(&base.plan, &base.job);
    if let Some(output) = &report.output {
        message = message.replace(&output.uri.to_string(), &Base::place_of(output, file.as_deref()));
    }
    say!("{message}");
    if run.json {
        let at = report.output.as_ref().map(|output| output.uri.to_string());
        let output = file.or(at);
        let facts =
            Facts { output: output.as_deref(), joblog: None, retried: None, elapsed: Duration::ZERO, again };
        let report = summary::json(report, &facts)
            .map_err(|error| Error::caused(Code::Internal, "write the report as JSON", error))?;
        stdout::print(&(report + "\n"))?;
    }
    if report.status == Status::Succeeded { Ok(()) } else { Err(Stop::Reported(summary::code(report))) }
}
