//! One chunk through one process.

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::Failure;
use fanfold_flow::job::{Job, Task};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::template::{self, Values};
use fanfold_pool::{Ended, Exit, Pool, Program, RunError};
use fanfold_runtime::{Budget, Deps, Error};

use crate::Settings;
use crate::input::{Input, InputError};
use crate::output::{Output, OutputError};
use crate::program::{self, About};

/// What all chunks of a partition share.
pub(crate) struct Shared {
    job: Job,
    partition: Partition,
    deps: Deps,
    settings: Settings,
    keys: JobKeys,
    /// The job's task, placeholders filled in.
    task: Task,
    argv: Vec<String>,
    pool: Pool,
    deadline_ms: i64,
}

impl Shared {
    /// Opens a pool for the job's program.
    ///
    /// # Errors
    /// When this deployment does not run the job's task.
    pub(crate) fn new(
        job: &Job,
        partition: &Partition,
        deps: &Deps,
        settings: &Settings,
        budget: Budget,
    ) -> Result<Self, Error> {
        let values = Values { job_id: &partition.job_id, name: &job.name, occasion: &partition.occasion };
        let task = template::fill_task(&job.task, &values);
        Ok(Self {
            job: job.clone(),
            partition: partition.clone(),
            deps: deps.clone(),
            settings: settings.clone(),
            keys: deps.keys(&partition.job_id),
            argv: program::argv(&task, partition.occasion.deployed_task, settings)?,
            task,
            pool: settings.pool(job.processes.on(settings.cores)),
            deadline_ms: budget.deadline_ms(),
        })
    }

    /// Makes sure that no process outlives the invocation.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let left = self.pool.kill_leftovers();
        let left =
            left.map_err(|error| Error::caused(Code::Internal, "end the partition's processes", error))?;
        if !left.is_empty() {
            tracing::warn!(processes = left.len(), "killed what the programs had left behind");
        }
        Ok(())
    }
}

/// A chunk that was not done.
pub(crate) struct Failed {
    /// Its place in the partition.
    pub(crate) chunk: usize,
    pub(crate) failure: Failure,
    pub(crate) sigkill: bool,
}

/// Why a chunk was not done, before it is known which.
struct Reason {
    code: Code,
    message: String,
    stderr_tail: String,
    sigkill: bool,
}

impl Reason {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), stderr_tail: String::new(), sigkill: false }
    }
}

/// Runs the partition's chunk at this place through a process.
pub(crate) async fn run(
    shared: std::sync::Arc<Shared>,
    place: usize,
    attempt: u32,
) -> Result<ChunkResult, Failed> {
    let chunk = &shared.partition.chunks[place];
    let ended = try_run(&shared, chunk, attempt).await;
    ended.map_err(|Reason { code, message, stderr_tail, sigkill }| Failed {
        chunk: place,
        failure: Failure { index: chunk.index, code, message, stderr_tail, attempts: attempt },
        sigkill,
    })
}

async fn try_run(shared: &Shared, chunk: &Chunk, attempt: u32) -> Result<ChunkResult, Reason> {
    let program = prepared(shared, chunk, attempt)?;
    let started_ms = shared.deps.world.now_ms();
    let mut input = Input::new(chunk, &shared.partition, &shared.job, &shared.deps.store);
    let at = shared.keys.chunk_result(chunk.index, chunk.cut, attempt);
    let last = chunk.index + 1 == shared.partition.total_chunks;
    let mut output = Output::new(shared.job.format(), last, shared.deps.store.clone(), at);
    let mut log = ProgramLog { shared, index: chunk.index, attempt };
    let ran = shared.pool.run(&program, &mut input, &mut output, &mut log).await;
    let ended = match ran {
        Ok(ended) if ended.exit.success() => ended,
        Ok(ended) => return Err(failed(unsuccessful(&program, ended), input, output).await),
        Err(RunError::Input(error)) => return Err(given_up(output, unreadable(&error)).await),
        Err(error) => return Err(failed(broken(error), input, output).await),
    };
    let tally = match input.finish().await {
        Ok(tally) => tally,
        Err(error) => return Err(given_up(output, unreadable(&error)).await),
    };
    let (stored, header) = output.finish().await.map_err(|error| Reason {
        stderr_tail: ended.stderr_tail.clone(),
        ..Reason::new(error.code(), chain(&error))
    })?;
    let result = ChunkResult {
        index: chunk.index,
        cut: chunk.cut,
        attempt,
        stored,
        header,
        records: tally.records,
        input: tally.aligned,
        bytes_in: ended.bytes_in,
        started_ms,
        wall_ms: u64::try_from(ended.wall.as_millis()).unwrap_or(u64::MAX),
    };
    tracing::info!(
        job = %shared.partition.job_id, partition = shared.partition.number, index = chunk.index, attempt,
        records = result.records, bytes_in = result.bytes_in, bytes = result.bytes(), wall_ms = result.wall_ms,
        "a chunk is done"
    );
    Ok(result)
}

fn prepared(shared: &Shared, chunk: &Chunk, attempt: u32) -> Result<Program, Reason> {
    let about = About { job_id: &shared.partition.job_id, chunk, attempt, deadline_ms: shared.deadline_ms };
    program::program(&shared.argv, &shared.task, &shared.settings, &about)
        .map_err(|error| Reason::new(error.code, error.chain()))
}

/// The reason why a chunk was not done, unless its input had a worse one: the chunk behind it begins where this one proves
/// that it ends, whatever became of the program.
async fn failed(reason: Reason, input: Input, output: Output) -> Reason {
    let reason = match input.finish().await {
        Ok(_) => reason,
        Err(error) => unreadable(&error),
    };
    given_up(output, reason).await
}

fn unreadable(error: &InputError) -> Reason {
    Reason::new(error.code(), chain(error))
}

/// Drops what was stored of a result that does not count. If that fails too, the bucket's lifecycle takes it.
async fn given_up(output: Output, reason: Reason) -> Reason {
    if let Err(error) = output.abort().await {
        tracing::warn!("failed to drop an unfinished result: {error}");
    }
    reason
}

fn unsuccessful(program: &Program, ended: Ended) -> Reason {
    let name = program.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (code, what) = match ended.exit {
        Exit::Code(status) => (Code::ProgramFailed, format!("exited with status {status}")),
        Exit::Signal(signal) => {
            (Code::ProgramKilled, format!("was ended by signal {signal}{}", signal_name(signal)))
        }
    };
    Reason {
        stderr_tail: ended.stderr_tail,
        sigkill: ended.exit == Exit::Signal(SIGKILL),
        ..Reason::new(code, format!("the program {name} {what}"))
    }
}

const SIGKILL: i32 = 9;

fn signal_name(signal: i32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        SIGKILL => " (SIGKILL: most often, memory ran out)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn broken(error: RunError<InputError, OutputError>) -> Reason {
    let code = match &error {
        RunError::Start { .. } => Code::ProgramNotStarted,
        RunError::Input(input) => input.code(),
        RunError::Output(output) => output.code(),
        RunError::OutputHeld { .. } => Code::OutputHeld,
        RunError::Pipe { .. } | RunError::Wait { .. } | RunError::Leftovers { .. } => Code::Internal,
    };
    Reason::new(code, chain(&error))
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

/// A program's standard error, as log lines that say whose they are.
struct ProgramLog<'a> {
    shared: &'a Shared,
    index: u64,
    attempt: u32,
}

impl fanfold_pool::Log for ProgramLog<'_> {
    fn line(&mut self, line: &[u8]) {
        let Self { index, attempt, .. } = *self;
        tracing::info!(
            job = %self.shared.partition.job_id, index, attempt, stderr = %String::from_utf8_lossy(line), "the program says"
        );
    }
}
