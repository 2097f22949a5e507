//! Why a chunk was not done, in words for whoever has to mend it.

use std::time::Duration;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::{Failure, Try};
use fanfold_flow::result::{Aligned, ChunkResult};
use fanfold_pool::{Ended, Exit, RunError, StartError};
use fanfold_runtime::Error;
use fanfold_store::StoreError;

use crate::Settings;
use crate::hint;
use crate::input::InputError;
use crate::output::OutputError;
use crate::runner::Prepared;
use crate::shared::Shared;

/// Why a chunk was not done, before it is said of which.
pub(crate) struct Reason {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// How its process ended, if it came to its end.
    ended: Option<Box<Ended>>,
    /// Whether there was too little of something to start a process, of which there may be enough for one alone.
    is_shortage: bool,
    /// Which bytes of its object the chunk's records take, if they were read to their end all the same.
    input: Option<Aligned>,
    /// Whether the program's status was its answer, which the next try gets as well.
    is_answer: bool,
}

/// Why a chunk has no result.
pub(crate) enum NoResult {
    /// It failed.
    Because(Reason),
    /// There is no time for it.
    NotBegun,
    /// The job was cancelled.
    Cancelled,
}

impl From<Error> for NoResult {
    fn from(error: Error) -> Self {
        Self::Because(Reason::new(error.code, error.chain()))
    }
}

impl From<Reason> for NoResult {
    fn from(reason: Reason) -> Self {
        Self::Because(reason)
    }
}

/// A try that failed.
pub(crate) struct At {
    /// The hop in which it was made.
    pub(crate) hop: u32,
    /// Which try at the hop it was, from 1.
    pub(crate) attempt: u32,
    /// When it began, in milliseconds since 1970 (UTC).
    pub(crate) started_ms: i64,
    /// How long it took.
    pub(crate) took: Duration,
    /// The end of what its program had written to standard error by then.
    pub(crate) stderr_tail: String,
}

/// A chunk that was not done.
pub(crate) struct Failed {
    pub(crate) chunk: Chunk,
    pub(crate) code: Code,
    pub(crate) message: String,
    stderr_tail: String,
    /// Whether it took more memory than any process of the job may, however few run.
    has_exceeded: bool,
    /// What is told of it in the joblog.
    pub(crate) tried: Try,
    /// As in [`Reason`].
    is_shortage: bool,
    /// As in [`Reason`].
    input: Option<Aligned>,
    is_answer: bool,
}

impl Reason {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ended: None, is_shortage: false, input: None, is_answer: false }
    }

    /// Of a process that ended so.
    pub(crate) fn behind(self, ended: Ended) -> Self {
        Self { ended: Some(Box::new(ended)), ..self }
    }

    /// Of a chunk whose records take these bytes.
    pub(crate) fn over(self, input: Option<Aligned>) -> Self {
        Self { input, ..self }
    }

    /// The failure of this chunk in this try.
    pub(crate) fn of(self, chunk: Chunk, at: At) -> Failed {
        let Self { code, message, ended, is_shortage, input, is_answer } = self;
        let At { hop, attempt, started_ms, took, stderr_tail } = at;
        let (exit, signal) = match ended.as_ref().map(|ended| ended.exit) {
            Some(Exit::Code(status)) => (Some(status), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        let tried = Try {
            index: chunk.index,
            cut: chunk.cut,
            hop,
            attempt,
            started_ms,
            wall_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            bytes_in: ended.as_ref().map_or(0, |ended| ended.bytes_in),
            bytes_out: ended.as_ref().map_or(0, |ended| ended.bytes_out),
            code,
            exit,
            signal,
        };
        let has_exceeded = ended.is_some_and(|ended| ended.memory_exceeded.is_some());
        Failed { chunk, code, message, stderr_tail, has_exceeded, tried, is_shortage, input, is_answer }
    }
}

impl Failed {
    /// Whether memory, or something else that processes share, may be what was missing: then the chunk is tried again alone.
    pub(crate) fn wants_to_be_alone(&self) -> bool {
        let is_killed = self.tried.signal == Some(SIGKILL) || self.code == Code::OutOfMemory;
        self.is_shortage || is_killed && !self.has_exceeded
    }

    /// Whether the same chunk may be done at the next try.
    pub(crate) fn may_end_otherwise(&self) -> bool {
        let is_of_this_kind = matches!(
            self.code,
            Code::ProgramFailed
                | Code::ProgramKilled
                | Code::OutOfMemory
                | Code::OutputHeld
                | Code::Store
                | Code::Internal
        );
        (is_of_this_kind || self.is_shortage) && !self.is_answer
    }

    /// The failure as it is recorded, in this partition and after so many tries.
    pub(crate) fn for_good(self, partition: u64, attempts: u32) -> Failure {
        let Self { chunk, code, message, stderr_tail, input, .. } = self;
        Failure { stderr_tail, input, ..Failure::of(&chunk, partition, attempts, code, message) }
    }
}

/// A program that ended, but not well, or a task that did.
pub(crate) fn unsuccessful(ran: &Prepared<'_>, ended: Ended, shared: &Shared) -> Reason {
    let &Shared { processes, ref settings, ref job, .. } = shared;
    let mut is_answer = false;
    let (code, message) = match ended.exit {
        Exit::Code(_) | Exit::Signal(_) if ended.memory_exceeded.is_some() => {
            let (taken_mb, limit_mb) = (ended.memory_exceeded.unwrap_or(0) >> 20, job.memory_mb.unwrap_or(0));
            (Code::OutOfMemory, memory_exceeded(ran, taken_mb, limit_mb))
        }
        // Also where a shell tells of it, by a status.
        Exit::Code(_) | Exit::Signal(_) if ended.out_of_memory => {
            (Code::OutOfMemory, out_of_memory(ran, processes, settings))
        }
        Exit::Code(status) => {
            let exited = || format!("exited with status {status}");
            let hint = ran.hint(status).map(|hint| format!("; {hint}"));
            is_answer = hint.is_some();
            let what = ended.words.clone().unwrap_or_else(exited);
            (Code::ProgramFailed, format!("{ran} {what}{}", hint.unwrap_or_default()))
        }
        Exit::Signal(signal) => {
            let ended_by = || format!("was ended by signal {signal}{}", signal_name(signal));
            (Code::ProgramKilled, format!("{ran} {}", ended.words.clone().unwrap_or_else(ended_by)))
        }
    };
    Reason { is_answer, ..Reason::new(code, message) }.behind(ended)
}

/// What to say where memory ran out: how much there was, and what to set.
fn out_of_memory(ran: &Prepared<'_>, processes: u32, settings: &Settings) -> String {
    let memory_mb = settings.memory_mb;
    let shared = match processes {
        1 => "which it had to itself, the worker's own need aside".to_owned(),
        several => format!("which up to {several} processes shared"),
    };
    format!(
        "the kernel ended {ran} since memory ran out: the worker has {memory_mb} MB, {shared}; give the worker \
         more than {memory_mb} MB, or set \"memory_mb\" to what a process takes, or \"processes\" lower, or make chunks smaller"
    )
}

/// What to say where a process took more than it may.
fn memory_exceeded(ran: &Prepared<'_>, taken_mb: u64, limit_mb: u32) -> String {
    format!(
        "{ran} was killed since it had taken {taken_mb} MB of memory, with what it started, and the job's \"memory_mb\" lets a \
         process take {limit_mb}; set it higher, or make chunks smaller"
    )
}

const SIGKILL: i32 = 9;

fn signal_name(signal: i32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        SIGKILL => " (SIGKILL, by whom is unknown; the kernel counted no lack of memory)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// A run that gave no result.
pub(crate) fn broken(error: &RunError<InputError, OutputError>) -> Reason {
    let code = match error {
        RunError::Start { .. } => Code::ProgramNotStarted,
        RunError::Input(input) => input.code(),
        RunError::Output(output) => output.code(),
        RunError::OutputHeld { .. } => Code::OutputHeld,
        RunError::Frame { .. } => Code::ProgramFailed,
        RunError::Pipe { .. } | RunError::Wait { .. } | RunError::Leftovers { .. } => Code::Internal,
    };
    let is_shortage = matches!(error, RunError::Start(error) if error.is_shortage());
    let advice = match error {
        RunError::Start(StartError::NotFound { program, .. }) => hint::of_name(program),
        _ => is_shortage.then_some("set \"processes\" lower"),
    };
    let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
    Reason { is_shortage, ..Reason::new(code, format!("{}{advice}", chain(error))) }
}

pub(crate) fn unreadable(error: &InputError) -> Reason {
    Reason::new(error.code(), chain(error)).over(error.read())
}

pub(crate) fn unstorable(error: &OutputError) -> Reason {
    Reason::new(error.code(), chain(error))
}

/// A chunk whose result was lost on its way to the store, with others.
pub(crate) fn lost(chunk: Chunk, result: &ChunkResult, error: &StoreError) -> Failed {
    let code = Code::Store;
    let tried = Try {
        index: result.index,
        cut: result.cut,
        hop: result.hop,
        attempt: result.attempt,
        started_ms: result.started_ms,
        wall_ms: result.wall_ms,
        bytes_in: result.bytes_in,
        bytes_out: result.bytes_out,
        code,
        exit: Some(0),
        signal: None,
    };
    let message = format!("store the result, with those of its neighbours: {}", chain(error));
    Failed {
        chunk,
        code,
        message,
        stderr_tail: String::new(),
        has_exceeded: false,
        tried,
        is_shortage: false,
        input: result.input,
        is_answer: false,
    }
}

/// A process that was killed since time was up, after so long; `uncut` says why its input was not ended earlier, where it
/// cannot be.
pub(crate) fn out_of_time(took: Duration, uncut: Option<&str>) -> Reason {
    let seconds = took.as_secs_f64();
    let why = match uncut {
        Some(reason) => format!("it cannot be cut, since {reason}"),
        None => "it did not come to its end in time behind what it had been given".to_owned(),
    };
    Reason::new(
        Code::OutOfTime,
        format!("the program had run for {seconds:.0} s when its worker's time was up; {why}"),
    )
}

/// A chunk whose input had to be read on behind what its program took, for which there was no time.
pub(crate) fn unread() -> Reason {
    let message =
        "there was no time to read the chunk to its end, which must prove that it lies outside quotes";
    Reason::new(Code::OutOfTime, message)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
