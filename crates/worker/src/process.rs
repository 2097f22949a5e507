//! One chunk through one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::job::{Job, Task};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::template::{self, Values};
use fanfold_pool::{Ended, Pool, RunError, Tail, Turn};
use fanfold_runtime::{Deps, Error};
use tokio::sync::SemaphorePermit;

use crate::Settings;
use crate::attempts::Work;
use crate::cancel::Cancelled;
use crate::input::{Cut, Input, InputError};
use crate::output::{Held, Output, Printed, Wanted};
use crate::pack::{self, Kind, Room, Unstored};
use crate::program::About;
use crate::reason::{self, At, Failed, Reason};
use crate::runner::{Prepared, Runner};
use crate::time::{Known, Portions, Times, can_be_cut};

/// What all chunks of a partition share.
pub(crate) struct Shared {
    pub(crate) job: Job,
    partition: Partition,
    pub(crate) deps: Deps,
    pub(crate) settings: Settings,
    pub(crate) keys: JobKeys,
    pub(crate) kind: Kind,
    pub(crate) room: Room,
    /// The job's task, placeholders filled in.
    task: Task,
    runner: Runner,
    pub(crate) processes: u32,
    pool: Pool,
    deadline_ms: i64,
    pub(crate) times: Times,
    pub(crate) cancelled: Cancelled,
}

impl Shared {
    /// Opens a pool for the job's program.
    ///
    /// # Errors
    /// When this deployment does not run the job's task, or has less memory than a process may take.
    pub(crate) fn new(work: &Work<'_>, cancelled: Cancelled) -> Result<Self, Error> {
        let Work { job, partition, deps, settings, budget, times, .. } = *work;
        let values = Values { job_id: &partition.job_id, name: &job.name, occasion: &partition.occasion };
        let task = template::fill_task(&job.task, &values);
        let processes = job.processes.on(settings.cores);
        if let Some(problem) = job.memory_problem(settings.memory_mb_of_a_process()) {
            return Err(Error::new(Code::InvalidJob, problem.to_string()));
        }
        Ok(Self {
            job: job.clone(),
            partition: partition.clone(),
            deps: deps.clone(),
            settings: settings.clone(),
            keys: deps.keys(&partition.job_id),
            kind: Kind {
                format: job.format(),
                compress: job.output.compress,
                total_chunks: partition.total_chunks,
            },
            room: Room::new(processes),
            runner: Runner::new(&task, partition, settings)?,
            task,
            processes,
            pool: settings.pool(processes, job.memory_mb),
            deadline_ms: budget.deadline_ms(),
            times,
            cancelled,
        })
    }

    /// Makes sure that no process outlives the invocation.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        let failed = |error| Error::caused(Code::Internal, "end the partition's processes", error);
        let mut left = self.runner.end().await.map_err(failed)?;
        left.extend(self.pool.kill_leftovers().map_err(failed)?);
        if !left.is_empty() {
            tracing::warn!(processes = left.len(), "killed what the programs had left behind");
        }
        Ok(())
    }

    /// Whether a chunk may be ended at a record; if not, why.
    pub(crate) fn can_be_cut(&self, chunk: &Chunk) -> Result<(), &'static str> {
        can_be_cut(chunk, &self.partition, &self.job)
    }

    /// Waits until one more process may run, and one more result may be in memory.
    async fn turn(&self) -> (Option<SemaphorePermit<'_>>, Turn<'_>) {
        (self.room.for_a_result().await, self.pool.turn().await)
    }

    fn is_late(&self) -> bool {
        self.times.is_late(self.deps.world.as_ref())
    }

    /// Whether there is time for what took so long before, in milliseconds.
    pub(crate) fn has_time_for(&self, took_ms: u64) -> bool {
        let world = self.deps.world.as_ref();
        !self.is_late() && Duration::from_millis(took_ms) < self.times.until_kill(world)
    }

    /// When the input of this chunk ends early, whose process begins now; none if it must not.
    fn cut_of(&self, chunk: &Chunk, has_printed: &Arc<AtomicBool>) -> Option<Cut> {
        self.can_be_cut(chunk).ok()?;
        let (times, world) = (self.times, self.deps.world.clone());
        let (started_ms, has_printed) = (world.now_ms(), has_printed.clone());
        let portions = Portions::new(started_ms);
        let is_due = move || {
            let now_ms = world.now_ms();
            let has_printed = has_printed.load(Ordering::Relaxed);
            times.must_end(Known { started_ms, has_printed, portion_ms: portions.ask(now_ms) }, now_ms)
        };
        Some(Cut { is_due: Box::new(is_due), at_most: chunk.prior.at_most })
    }
}

/// What became of a chunk.
pub(crate) enum Ran {
    /// Its process did it, or a piece of it; then this is the rest.
    Done(Box<ChunkResult>, Option<Chunk>),
    /// Its process did it. The result is small, and yet to be stored.
    Unstored(Box<Unstored>),
    /// It was not done.
    Failed(Box<Failed>),
    /// It was not begun, since time is running out.
    NotBegun(Chunk),
    /// The job was cancelled before it was done.
    Cancelled(Chunk),
}

/// What a process has made of a chunk.
struct Made {
    result: ChunkResult,
    /// The result's bytes, where they are small and all of the chunk.
    unstored: Option<Held>,
    /// What of the chunk is left.
    rest: Option<Chunk>,
}

/// Why a chunk has no result.
enum NoResult {
    Because(Reason),
    NotBegun,
    Cancelled,
}

impl From<Reason> for NoResult {
    fn from(reason: Reason) -> Self {
        Self::Because(reason)
    }
}

/// Runs a chunk through a process when it is its turn, unless it is too late by then.
pub(crate) async fn run(shared: Arc<Shared>, chunk: Chunk, attempt: u32) -> Ran {
    // Kept until the result has left this task: so there are no more of them in memory, however slow the store is.
    let (_room, turn) = tokio::select! {
        biased;
        () = shared.cancelled.wait() => return Ran::Cancelled(chunk),
        turn = shared.turn() => turn,
    };
    if shared.is_late() {
        return Ran::NotBegun(chunk);
    }
    let started_ms = shared.deps.world.now_ms();
    let mut log = ProgramLog { shared: &shared, index: chunk.index, attempt, tail: Tail::default() };
    match try_run(&shared, turn, &chunk, &mut log, started_ms).await {
        Ok(Made { result, unstored: Some(held), .. }) => {
            Ran::Unstored(Box::new(Unstored::wait(&shared.room, chunk, result, held).await))
        }
        Ok(Made { result, unstored: None, rest }) => Ran::Done(Box::new(result), rest),
        Err(NoResult::NotBegun) => Ran::NotBegun(chunk),
        Err(NoResult::Cancelled) => Ran::Cancelled(chunk),
        Err(NoResult::Because(reason)) => {
            let (hop, took, stderr_tail) =
                (shared.partition.hop, since(started_ms, &shared), log.tail.text());
            Ran::Failed(Box::new(reason.of(chunk, At { hop, attempt, started_ms, took, stderr_tail })))
        }
    }
}

fn since(moment_ms: i64, shared: &Shared) -> Duration {
    let took_ms = shared.deps.world.now_ms().saturating_sub(moment_ms);
    Duration::from_millis(u64::try_from(took_ms).unwrap_or(0))
}

async fn try_run(
    shared: &Shared,
    turn: Turn<'_>,
    chunk: &Chunk,
    log: &mut ProgramLog<'_>,
    started_ms: i64,
) -> Result<Made, NoResult> {
    let attempt = log.attempt;
    let prepared = prepared(shared, chunk, attempt)?;
    let has_printed = Arc::new(AtomicBool::new(false));
    let cut = shared.cut_of(chunk, &has_printed);
    let mut input = Input::new(chunk, &shared.partition, &shared.job, &shared.deps.store, cut);
    let at = shared.keys.chunk_result(chunk.index, chunk.cut, shared.partition.hop, attempt);
    let (place, Kind { format, compress, .. }) = ((chunk.index, chunk.cut), shared.kind);
    let wanted = Wanted { format, compress, has_lead: shared.kind.has_lead(place, place), at };
    let mut output = Output::new(wanted, shared.deps.store.clone(), has_printed);
    let ran = tokio::select! {
        biased;
        () = shared.cancelled.wait() => Err(NoResult::Cancelled),
        ran = prepared.run(turn, &mut input, &mut output, log) => Ok(ran),
        () = tokio::time::sleep(shared.times.until_kill(shared.deps.world.as_ref())) => {
            let uncut = shared.can_be_cut(chunk).err();
            Err(reason::out_of_time(since(started_ms, shared), uncut).into())
        }
    };
    let ended = match ran {
        Err(no_result) => {
            give_up(output).await;
            return Err(no_result);
        }
        Ok(Ok(ended)) if prepared.is_done(&ended, &shared.task) => ended,
        // Whatever it makes of no input at all.
        Ok(Ok(_)) if input.is_cut_at_its_start() => {
            give_up(output).await;
            return Err(NoResult::NotBegun);
        }
        Ok(Ok(ended)) => {
            let reason = reason::unsuccessful(&prepared, ended, shared);
            return Err(failed(shared, reason, input, output).await.into());
        }
        Ok(Err(RunError::Input(error))) => {
            give_up(output).await;
            return Err(reason::unreadable(&error).into());
        }
        Ok(Err(error)) => return Err(failed(shared, reason::broken(&error), input, output).await.into()),
    };
    result_of(shared, chunk, attempt, started_ms, (input, output, ended)).await
}

/// What a process that ended well has left.
async fn result_of(
    shared: &Shared,
    chunk: &Chunk,
    attempt: u32,
    started_ms: i64,
    (input, output, ended): (Input, Output, Ended),
) -> Result<Made, NoResult> {
    let tally = match in_time(shared, input.finish()).await {
        Ok(tally) => tally,
        Err(reason) => {
            give_up(output).await;
            return Err(reason.into());
        }
    };
    let wall_ms = u64::try_from(ended.wall.as_millis()).unwrap_or(u64::MAX);
    let rest = tally.rest.map(|rest| chunk.rest(rest, shared.times.grown(chunk.prior.at_most, wall_ms)));
    if rest.as_ref().is_some_and(|rest| rest.input == chunk.input) {
        give_up(output).await;
        return Err(NoResult::NotBegun);
    }
    let is_last = rest.is_none() && chunk.index + 1 == shared.partition.total_chunks;
    let (printed, header) = match output.finish(is_last).await {
        Ok(finished) => finished,
        Err(error) => return Err(reason::unstorable(&error).behind(ended).into()),
    };
    let mut result = ChunkResult {
        index: chunk.index,
        cut: chunk.cut,
        hop: shared.partition.hop,
        attempt,
        stored: None,
        header: header.map(Arc::new),
        records: tally.records,
        input: tally.aligned,
        bytes_in: ended.bytes_in,
        bytes_out: ended.bytes_out,
        started_ms,
        wall_ms,
    };
    let unstored = match printed {
        Printed::Nothing => None,
        Printed::Held(held) if rest.is_none() => Some(held),
        Printed::Held(held) => match pack::store_alone(shared, &result, held).await {
            Ok(stored) => {
                result.stored = stored;
                None
            }
            Err(error) => return Err(reason::unstorable(&error.into()).behind(ended).into()),
        },
        Printed::Stored(stored) => {
            result.stored = Some(stored);
            None
        }
    };
    tell(shared, &result, unstored.as_ref(), rest.is_some());
    Ok(Made { result, unstored, rest })
}

fn tell(shared: &Shared, result: &ChunkResult, unstored: Option<&Held>, is_piece: bool) {
    let what = if is_piece { "a piece of a chunk is done" } else { "a chunk is done" };
    tracing::info!(
        job = %shared.partition.job_id, partition = shared.partition.number, index = result.index, cut = result.cut,
        hop = result.hop, attempt = result.attempt, records = result.records, bytes_in = result.bytes_in,
        bytes = unstored.map_or(result.bytes(), |held| held.bytes.len() as u64), wall_ms = result.wall_ms, "{what}"
    );
}

fn prepared<'a>(shared: &'a Shared, chunk: &Chunk, attempt: u32) -> Result<Prepared<'a>, Reason> {
    let about = About { job_id: &shared.partition.job_id, chunk, attempt, deadline_ms: shared.deadline_ms };
    let prepared = shared.runner.prepare(&about, &shared.task, &shared.settings);
    prepared.map_err(|error| Reason::new(error.code, error.chain()))
}

/// The reason why a chunk was not done, unless its input had a worse one: the chunk behind it begins where this one proves
/// that it ends, whatever became of the program.
async fn failed(shared: &Shared, reason: Reason, input: Input, output: Output) -> Reason {
    give_up(output).await;
    in_time(shared, input.prove_end()).await.err().unwrap_or(reason)
}

/// What comes of reading an input to where it must be read, which may be far behind what the program took.
async fn in_time<T>(
    shared: &Shared,
    reading: impl Future<Output = Result<T, InputError>>,
) -> Result<T, Reason> {
    let left = shared.times.until_kill(shared.deps.world.as_ref());
    match tokio::time::timeout(left, reading).await {
        Ok(read) => read.map_err(|error| reason::unreadable(&error)),
        Err(_) => Err(reason::unread()),
    }
}

/// Drops what was stored of a result that does not count. If that fails too, the end of the job takes it.
async fn give_up(output: Output) {
    if let Err(error) = output.abort().await {
        tracing::warn!("failed to drop an unfinished result: {error}");
    }
}

/// A program's standard error, as log lines that say whose they are.
struct ProgramLog<'a> {
    shared: &'a Shared,
    index: u64,
    attempt: u32,
    tail: Tail,
}

impl fanfold_pool::Log for ProgramLog<'_> {
    fn bytes(&mut self, written: &[u8]) {
        self.tail.push(written);
    }

    fn line(&mut self, line: &[u8]) {
        let Self { index, attempt, .. } = *self;
        tracing::info!(
            job = %self.shared.partition.job_id, index, attempt, stderr = %String::from_utf8_lossy(line), "the program says"
        );
    }
}
