//! One chunk through one process.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::result::ChunkResult;
use fanfold_pool::{Ended, RunError, Tail, Turn};

use crate::header;
use crate::input::{Input, InputError, Tally};
use crate::output::{HeaderRule, Held, Output, Printed, Wanted};
use crate::pack::{self, Kind, Unstored};
use crate::reason::{self, At, Failed, NoResult, Reason};
use crate::shared::Shared;

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

/// Runs a chunk through a process when it is its turn, unless it is too late by then.
pub(crate) async fn run(shared: Arc<Shared>, chunk: Chunk, attempt: u32) -> Ran {
    let (header, asked_ms) = (header::rule(&shared, &chunk).await, shared.deps.world.now_ms());
    let header = match header {
        Ok(header) => header,
        Err(no_result) => return not_done(&shared, chunk, no_result, (attempt, asked_ms, String::new())),
    };
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
    match try_run(&shared, turn, &chunk, header, &mut log, started_ms).await {
        Ok(Made { result, unstored: Some(held), .. }) => {
            Ran::Unstored(Box::new(Unstored::wait(&shared.room, chunk, result, held).await))
        }
        Ok(Made { result, unstored: None, rest }) => Ran::Done(Box::new(result), rest),
        Err(no_result) => {
            let stderr_tail = log.tail.text();
            not_done(&shared, chunk, no_result, (attempt, started_ms, stderr_tail))
        }
    }
}

/// What becomes of a chunk that has no result in this attempt, which began at this moment and wrote this to standard error last.
fn not_done(
    shared: &Shared,
    chunk: Chunk,
    no_result: NoResult,
    (attempt, started_ms, stderr_tail): (u32, i64, String),
) -> Ran {
    match no_result {
        NoResult::NotBegun => Ran::NotBegun(chunk),
        NoResult::Cancelled => Ran::Cancelled(chunk),
        NoResult::Because(reason) => {
            let (hop, took) = (shared.partition.hop, since(started_ms, shared));
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
    header: Option<HeaderRule>,
    log: &mut ProgramLog<'_>,
    started_ms: i64,
) -> Result<Made, NoResult> {
    let attempt = log.attempt;
    let prepared = shared.prepare(chunk, attempt, false)?;
    let has_printed = Arc::new(AtomicBool::new(false));
    let cut = shared.cut_of(chunk, &has_printed);
    let mut input = Input::new(chunk, &shared.partition, &shared.job, &shared.deps.store, cut);
    if !shared.runs_empty(chunk) && !has_a_record(shared, &mut input).await? {
        let tally = in_time(shared, input.finish()).await?;
        return Ok(Made {
            result: result(shared, chunk, attempt, started_ms, &tally),
            unstored: None,
            rest: None,
        });
    }
    let at = shared.keys.chunk_result(chunk.index, chunk.cut, shared.partition.hop, attempt);
    let (place, Kind { format, compress, .. }) = ((chunk.index, chunk.cut), shared.kind);
    let wanted = Wanted { format, header, compress, has_lead: shared.kind.has_lead(place, place), at };
    let mut output = Output::new(wanted, shared.deps.store.clone(), has_printed);
    let ran = tokio::select! {
        biased;
        () = shared.cancelled.wait() => Err(NoResult::Cancelled),
        ran = prepared.run(turn, &mut input, &mut output, log) => Ok(ran),
        () = tokio::time::sleep(shared.until_kill()) => {
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
    let mut result = result(shared, chunk, attempt, started_ms, &tally);
    let rest = tally.rest.map(|rest| chunk.rest(rest, shared.times.grown(chunk.prior.at_most, wall_ms)));
    if rest.as_ref().is_some_and(|rest| rest.input == chunk.input) {
        give_up(output).await;
        return Err(NoResult::NotBegun);
    }
    let is_last = rest.is_none() && chunk.index + 1 == shared.partition.total_chunks;
    let (printed, header) = match output.finish(is_last).await {
        Ok(finished) => finished,
        // What is left of a piece is not read, so nobody knows where the chunk ends.
        Err(error) => {
            let read = result.input.filter(|_| rest.is_none());
            return Err(reason::unstorable(&error).behind(ended).over(read).into());
        }
    };
    // Of a job of one chunk, its first piece has the header among its bytes.
    result.header = header.filter(|_| shared.partition.total_chunks > 1).map(Arc::new);
    (result.bytes_in, result.bytes_out, result.wall_ms) = (ended.bytes_in, ended.bytes_out, wall_ms);
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

/// A result of which nothing is known yet but what it was made of.
fn result(shared: &Shared, chunk: &Chunk, attempt: u32, started_ms: i64, tally: &Tally) -> ChunkResult {
    ChunkResult {
        index: chunk.index,
        cut: chunk.cut,
        hop: shared.partition.hop,
        attempt,
        stored: None,
        header: None,
        records: tally.records,
        input: tally.aligned,
        bytes_in: 0,
        bytes_out: 0,
        started_ms,
        wall_ms: 0,
    }
}

/// Whether there is a record to start a process for, or no time to find out.
async fn has_a_record(shared: &Shared, input: &mut Input) -> Result<bool, NoResult> {
    tokio::select! {
        biased;
        () = shared.cancelled.wait() => Err(NoResult::Cancelled),
        has_record = in_time(shared, input.has_a_record()) => Ok(has_record?),
    }
}

fn tell(shared: &Shared, result: &ChunkResult, unstored: Option<&Held>, is_piece: bool) {
    let what = if is_piece { "a piece of a chunk is done" } else { "a chunk is done" };
    tracing::info!(
        job = %shared.partition.job_id, partition = shared.partition.number, index = result.index, cut = result.cut,
        hop = result.hop, attempt = result.attempt, records = result.records, bytes_in = result.bytes_in,
        bytes = unstored.map_or(result.bytes(), |held| held.bytes.len() as u64), wall_ms = result.wall_ms, "{what}"
    );
}

/// The reason why a chunk was not done, unless its input had a worse one: the chunk behind it begins where this one proves
/// that it ends, whatever became of the program.
async fn failed(shared: &Shared, reason: Reason, input: Input, output: Output) -> Reason {
    give_up(output).await;
    match in_time(shared, input.prove_end()).await {
        Ok(read) => reason.over(read),
        Err(worse) => worse,
    }
}

/// What comes of reading an input to where it must be read, which may be far behind what the program took.
async fn in_time<T>(
    shared: &Shared,
    reading: impl Future<Output = Result<T, InputError>>,
) -> Result<T, Reason> {
    let left = shared.until_kill();
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
