//! All chunks of a partition, and again those that failed, for as long as there is time.

use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure, Try};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::version::Version;
use fanfold_gather::{Claim, Sent, claim_attempt};
use fanfold_runtime::{Budget, Deps, Error, backoff};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Settings;
use crate::cancel::{self, Cancelled};
use crate::process::{self, Ran, Shared};
use crate::reason::Failed;
use crate::time::Times;

/// What there is to do, and with what.
pub(crate) struct Work<'a> {
    pub(crate) job: &'a Job,
    pub(crate) partition: &'a Partition,
    /// What the worker was sent: this partition, or an earlier one of its lane.
    pub(crate) sent: Sent,
    pub(crate) deps: &'a Deps,
    pub(crate) settings: &'a Settings,
    pub(crate) budget: Budget,
    pub(crate) times: Times,
}

/// What a partition came to in this invocation.
pub(crate) enum Came {
    /// To this, with this left for a next hop; nothing is left where it came to its end.
    To(Done, Vec<Chunk>),
    /// To nothing: another worker was told to try again what failed here.
    NotOurs,
    /// To nothing: the job is cancelled.
    Cancelled,
}

/// Runs every chunk of a partition, and tries again what failed while the job's retries allow and there is time.
pub(crate) async fn run(work: &Work<'_>) -> Result<Came, Error> {
    let (cancel, cancelled) = watch::channel(false);
    let shared = match Shared::new(work, Cancelled(cancelled)) {
        Ok(shared) => Arc::new(shared),
        Err(refusal) => return Ok(Came::To(refused(work, &refusal), Vec::new())),
    };
    let mut rounds = Rounds::new(work);
    let keys = work.deps.keys(&work.partition.job_id);
    let ran = tokio::select! {
        biased;
        ran = rounds.run_all(&shared) => ran,
        never = cancel::look(work.deps, &keys, cancel) => match never {},
    };
    rounds.running.shutdown().await;
    shared.end()?;
    match ran? {
        End::AllRan => Ok(rounds.into_outcome()),
        End::NotOurs => Ok(Came::NotOurs),
        End::Cancelled => Ok(Came::Cancelled),
    }
}

/// The outcome of a task that this deployment does not run: to try again would not mend it.
fn refused(work: &Work<'_>, refusal: &Error) -> Done {
    let failures = work.partition.chunks.iter().map(|chunk| Failure {
        index: chunk.index,
        code: refusal.code,
        message: refusal.chain(),
        stderr_tail: String::new(),
        attempts: work.partition.attempt,
        rest: Failure::rest_of(chunk),
    });
    Done { failures: failures.collect(), ..nothing_yet(work, work.partition.attempt) }
}

/// What a partition comes to before anything is done.
fn nothing_yet(work: &Work<'_>, attempts: u32) -> Done {
    Done {
        version: Version,
        partition: work.partition.number,
        attempts,
        results: Vec::new(),
        failures: Vec::new(),
        tries: Vec::new(),
        deaths: work.partition.deaths.clone(),
        environments: vec![Some(work.deps.environment.clone())],
    }
}

/// How running all chunks ended.
enum End {
    AllRan,
    NotOurs,
    Cancelled,
}

/// Tries at a partition's chunks, one after another: in each, all that is worth it.
struct Rounds<'a> {
    work: &'a Work<'a>,
    attempt: u32,
    results: Vec<ChunkResult>,
    /// What failed in this round, so far.
    failed: Vec<Failed>,
    failures: Vec<Failure>,
    tries: Vec<Try>,
    /// What is left for the next hop. First what was running when time was up, so that it is the first to run there.
    rest: Vec<Chunk>,
    not_begun: Vec<Chunk>,
    /// The chunks that run now. Whatever ends this, they are stopped and waited for: a task that is only told to stop may
    /// still have its process when the invocation ends.
    running: JoinSet<Ran>,
}

impl<'a> Rounds<'a> {
    fn new(work: &'a Work<'a>) -> Self {
        Self {
            work,
            attempt: work.partition.attempt,
            results: Vec::new(),
            failed: Vec::new(),
            failures: Vec::new(),
            tries: Vec::new(),
            rest: Vec::new(),
            not_begun: Vec::new(),
            running: JoinSet::new(),
        }
    }

    fn into_outcome(self) -> Came {
        let Self { work, attempt, mut results, mut failures, tries, mut rest, not_begun, .. } = self;
        results.sort_by_key(|result| (result.index, result.cut));
        failures.sort_by_key(|failure| failure.index);
        rest.extend(not_begun);
        Came::To(Done { results, failures, tries, ..nothing_yet(work, attempt) }, rest)
    }

    /// Runs all until nothing is worth another try, or the next attempt is not ours to make.
    async fn run_all(&mut self, shared: &Arc<Shared>) -> Result<End, Error> {
        let mut left: Vec<Chunk> = self.work.partition.chunks.clone();
        loop {
            if self.together(shared, left).await? == Round::Cancelled {
                return Ok(End::Cancelled);
            }
            let (again, alone) = self.sort_out(shared);
            if again.is_empty() && alone.is_empty() {
                return Ok(End::AllRan);
            }
            tokio::select! {
                biased;
                () = shared.cancelled.wait() => return Ok(End::Cancelled),
                () = tokio::time::sleep(backoff(self.work.deps.world.as_ref(), self.attempt)) => {}
            }
            self.attempt += 1;
            if self.claim().await? == Claim::Taken {
                return Ok(End::NotOurs);
            }
            for chunk in alone {
                if self.together(shared, vec![chunk]).await? == Round::Cancelled {
                    return Ok(End::Cancelled);
                }
            }
            left = again;
        }
    }

    async fn claim(&self) -> Result<Claim, Error> {
        let Work { partition, deps, sent, budget, .. } = *self.work;
        claim_attempt(deps, partition, self.attempt, sent, budget).await
    }

    /// Runs chunks as many at once as the pool allows; of one that may only be taken in pieces, one after another. When the
    /// job is cancelled, all that runs ends by itself, and is waited for.
    async fn together(&mut self, shared: &Arc<Shared>, chunks: Vec<Chunk>) -> Result<Round, Error> {
        for chunk in chunks {
            self.running.spawn(process::run(Arc::clone(shared), chunk, self.attempt));
        }
        let (times, world) = (shared.times, self.work.deps.world.as_ref());
        // The next piece of a chunk takes about as long as the one before it.
        let has_time_for = |took| !times.is_late(world) && took < times.until_kill(world);
        let mut round = Round::Ran;
        while let Some(ended) = self.running.join_next().await {
            match ended.map_err(|error| Error::caused(Code::Internal, "run a chunk", error))? {
                Ran::Done(result, rest) => {
                    let took = Duration::from_millis(result.wall_ms);
                    self.results.push(*result);
                    match rest {
                        Some(rest) if has_time_for(took) => {
                            self.running.spawn(process::run(Arc::clone(shared), rest, self.attempt));
                        }
                        Some(rest) => self.rest.push(rest),
                        None => {}
                    }
                }
                Ran::Failed(failed) => {
                    self.tries.push(failed.tried.clone());
                    self.failed.push(*failed);
                }
                Ran::NotBegun(chunk) => self.not_begun.push(chunk),
                Ran::Cancelled => round = Round::Cancelled,
            }
        }
        Ok(round)
    }

    /// Takes from what failed in this round what is worth another try here; apart, what SIGKILL ended: most often the
    /// memory was not enough for all, and may be for one. What ran out of time is for the next hop, if it is any use; the
    /// others have failed for good.
    fn sort_out(&mut self, shared: &Shared) -> (Vec<Chunk>, Vec<Chunk>) {
        let (mut again, mut alone) = (Vec::new(), Vec::new());
        for failed in std::mem::take(&mut self.failed) {
            let is_retry = failed.code != Code::OutOfTime;
            if is_retry && (self.attempt > self.work.job.retries || !failed.may_end_otherwise()) {
                self.failures.push(failed.for_good(self.attempt));
                continue;
            }
            let (index, code, reason) = (failed.chunk.index, failed.code, &failed.message);
            if is_retry && !shared.times.is_late(self.work.deps.world.as_ref()) {
                tracing::warn!(job = %self.work.partition.job_id, index, attempt = self.attempt, %code, reason, "trying a chunk again");
                let was_killed = failed.was_killed();
                if was_killed {
                    alone.push(failed.chunk);
                } else {
                    again.push(failed.chunk);
                }
                continue;
            }
            let can_be_cut = shared.can_be_cut(&failed.chunk).is_ok();
            match shared.times.afresh(&failed.chunk, can_be_cut, failed.tried.started_ms) {
                Some(chunk) => {
                    tracing::warn!(job = %self.work.partition.job_id, index, late = chunk.late, %code, reason, "starting a chunk afresh");
                    self.rest.push(chunk);
                }
                None => self.failures.push(failed.for_good(self.attempt)),
            }
        }
        (again, alone)
    }
}

/// How running some chunks ended.
#[derive(PartialEq, Eq)]
enum Round {
    Ran,
    Cancelled,
}
