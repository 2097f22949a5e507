//! A lane: one partition, then the next one that waits for it.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure, Hop};
use fanfold_flow::job::Job;
use fanfold_flow::limits::HOPS_MAX;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::version::Version;
use fanfold_gather::{
    Claim, Commit, Lane, Sent, advance, claim_attempt, commit, commit_hop, is_cancelled, is_done,
    is_superseded, left_unread,
};
use fanfold_pool::{Usage, usage};
use fanfold_runtime::{Budget, Deps, Error, Metric, Of};
use fanfold_store::StoreExt;
use serde::Deserialize;
use serde_json::Value;

use crate::Settings;
use crate::attempts::{self, Came, Work};
use crate::time::Times;

/// Handles a partition: runs its chunks, commits the outcome, takes the gather as far as it goes. What there is no time for
/// goes on in another invocation. Where the job limits its concurrency, goes on with the partition that waits for this one,
/// in the same invocation while there is time for it.
///
/// # Errors
/// When the event is no partition, and when store or invoke fail. Chunks that fail are no error: they are part of the
/// outcome.
///
/// # Cancellation
/// Dropping the future kills its processes. What was committed stays.
pub async fn handle(event: Value, deps: &Deps, settings: &Settings, budget: Budget) -> Result<(), Error> {
    let mut partition = Partition::deserialize(&event)
        .map_err(|error| Error::caused(Code::InvalidJob, "read the event as a partition", error))?;
    let job: Job = deps.store.get_json(&deps.keys(&partition.job_id).job()).await?;
    let (sent, times) = (Sent::of(&partition, &deps.request_id), Times::new(budget, deps.world.as_ref()));
    let mut lane = Lane::of(&job, deps);
    loop {
        let before = budget.remaining(deps.world.as_ref());
        let work = Work { job: &job, partition: &partition, sent: &sent, deps, settings, budget, times };
        match run(&work).await? {
            Ran::ToItsEnd => {}
            Ran::ToAHop(next) => return deps.send(&deps.functions.worker, &next).await,
            Ran::NotOurs => return Ok(()),
        }
        let left = budget.remaining(deps.world.as_ref());
        let Some(next) = lane.next(&partition).await? else { return Ok(()) };
        if !is_time_for_another(before.saturating_sub(left), times.until_cut(deps.world.as_ref())) {
            return deps.send(&deps.functions.worker, &next).await;
        }
        partition = next;
    }
}

/// How far a partition ran here.
enum Ran {
    /// It is done, now or before; what comes after it is ours.
    ToItsEnd,
    /// Time was up. This goes on.
    ToAHop(Box<Partition>),
    /// It is another invocation's, to which the same event came or that tries it again, or nobody's any more; so is the rest
    /// of the lane.
    NotOurs,
}

/// Runs a partition, unless another attempt is at it or was.
async fn run(work: &Work<'_>) -> Result<Ran, Error> {
    let Work { partition, deps, sent, budget, .. } = *work;
    let keys = deps.keys(&partition.job_id);
    let (job, number) = (&partition.job_id, partition.number);
    if claim_attempt(deps, partition, partition.attempt, sent, budget).await? == Claim::Taken {
        tracing::info!(%job, partition = number, hop = partition.hop, "this event came before; leaving it");
        return Ok(Ran::NotOurs);
    }
    if is_out_of_lane(work, partition.attempt).await? {
        tracing::info!(%job, partition = number, hop = partition.hop, "a later attempt is at it; leaving it");
        return Ok(Ran::NotOurs);
    }
    let (is_done, is_cancelled) =
        tokio::try_join!(is_done(deps, &keys, partition.group(), number), is_cancelled(deps, &keys))?;
    if is_cancelled {
        tracing::info!(%job, partition = number, "the job is cancelled; leaving it");
        return Ok(Ran::NotOurs);
    }
    if is_done {
        delete_results(deps, left_unread(deps, partition).await?).await?;
        advance(deps, partition).await?;
        return Ok(Ran::ToItsEnd);
    }
    let before = used(work);
    let came = attempts::run(work).await;
    measure(work, before, used(work));
    match came? {
        Came::To(done, rest) if rest.is_empty() => end(work, done).await,
        Came::To(done, rest) if partition.hop + 1 == HOPS_MAX => end(work, without_end(done, &rest)).await,
        Came::To(done, rest) => hop(work, done, rest).await,
        Came::NotOurs => {
            tracing::info!(%job, partition = number, "another worker tries it again");
            Ok(Ran::NotOurs)
        }
        Came::Cancelled(done, rest) => {
            // What was done is kept, for a redrive.
            if !done.results.is_empty() {
                hop(work, done, rest).await?;
            }
            Ok(Ran::NotOurs)
        }
    }
}

/// Commits a partition's outcome.
async fn end(work: &Work<'_>, done: Done) -> Result<Ran, Error> {
    let Work { job, partition, deps, .. } = *work;
    let attempt = done.attempts;
    let committed = commit(deps, job, partition, done.clone()).await?;
    if committed == Commit::Lost {
        tracing::info!(job = %partition.job_id, partition = partition.number, "another attempt was first");
        delete_results(deps, done.results).await?;
    }
    advance(deps, partition).await?;
    if committed == Commit::First && is_out_of_lane(work, attempt).await? {
        return Ok(Ran::NotOurs);
    }
    Ok(Ran::ToItsEnd)
}

/// Whether the partition's lane is a later attempt's than this one, which was taken for dead or lost while its event waited: the
/// later one may be running its processes, and if this one went on there would be two partitions of the lane at once. Each
/// claims first and then looks, and so one of the two sees the other.
async fn is_out_of_lane(work: &Work<'_>, attempt: u32) -> Result<bool, Error> {
    Ok(work.job.max_concurrency.is_some() && is_superseded(work.deps, work.partition, attempt).await?)
}

/// Ends a hop whose time was up, and tells what goes on.
async fn hop(work: &Work<'_>, done: Done, rest: Vec<Chunk>) -> Result<Ran, Error> {
    let Work { partition, deps, .. } = *work;
    let hop = Hop { version: Version, hop: partition.hop, done, rest };
    if commit_hop(deps, partition, &hop).await? == Commit::Lost {
        tracing::info!(job = %partition.job_id, partition = partition.number, hop = hop.hop, "another attempt was first");
        delete_results(deps, hop.done.results).await?;
        return Ok(Ran::NotOurs);
    }
    tracing::info!(
        job = %partition.job_id, partition = partition.number, hop = hop.hop, done = hop.done.results.len(),
        left = hop.rest.len(), "time is up; the partition goes on in another invocation"
    );
    Ok(Ran::ToAHop(Box::new(partition.after(&hop))))
}

/// The outcome of a partition that has used up its hops.
fn without_end(done: Done, rest: &[Chunk]) -> Done {
    let message = format!("the chunk had no end after {HOPS_MAX} invocations; make chunks smaller");
    let failure = |chunk| Failure::of(chunk, done.partition, done.attempts, Code::OutOfTime, &message);
    let failures = done.failures.iter().cloned().chain(rest.iter().map(failure)).collect();
    Done { failures, ..done }
}

/// What all processes took until now, those of tasks included.
fn used(work: &Work<'_>) -> io::Result<Usage> {
    usage().map(|usage| usage.and(work.settings.rust_tasks.usage()))
}

/// Tells what the partition's processes took, whatever became of it. In this function's environment nobody else runs any.
fn measure(work: &Work<'_>, before: io::Result<Usage>, after: io::Result<Usage>) {
    match (before, after) {
        (Ok(before), Ok(after)) => {
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
            let numbers = [
                (Metric::ProcessCpuSeconds, cpu),
                (Metric::ProcessPeakMemoryBytes, after.peak_memory_bytes as f64),
            ];
            work.deps.measure(Of::Job(&work.job.name, &work.partition.job_id), &numbers);
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!("failed to read what the processes took: {error}");
        }
    }
}

/// Deletes what attempts at a partition have stored and nobody will read.
async fn delete_results(deps: &Deps, results: Vec<ChunkResult>) -> Result<(), Error> {
    let stored = results.into_iter().filter_map(|result| result.stored);
    // Results may share an object.
    let keys: BTreeSet<String> = stored.map(|stored| stored.object.uri.key.clone()).collect();
    let keys: Vec<String> = keys.into_iter().collect();
    if keys.is_empty() {
        return Ok(());
    }
    Ok(deps.store.delete(&deps.work.bucket, &keys).await?)
}

/// Partitions of a job take about as long as one another; one that took twice as long must still fit.
fn is_time_for_another(last: Duration, left: Duration) -> bool {
    left > last * 2
}
