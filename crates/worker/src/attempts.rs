//! All chunks of a partition, and again those that failed, for as long as there is time.

use std::sync::Arc;

use fanfold_flow::chunk::{Chunk, Prior};
use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure, Try};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::version::Version;
use fanfold_gather::{Claim, Sent, claim_attempt};
use fanfold_runtime::{Budget, Deps, Error, backoff};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::Settings;
use crate::cancel::{self, Cancelled};
use crate::pack::{self, Lost, Packs};
use crate::process::{self, Ran};
use crate::reason::{self, Failed};
use crate::shared::Shared;
use crate::time::Times;

/// What there is to do, and with what.
pub(crate) struct Work<'a> {
    pub(crate) job: &'a Job,
    pub(crate) partition: &'a Partition,
    /// What the worker was sent: this partition, or an earlier one of its lane.
    pub(crate) sent: &'a Sent,
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
    /// To this and no more, since the job is cancelled; this is left.
    Cancelled(Done, Vec<Chunk>),
}

/// Runs every chunk of a partition, and tries again what failed while the job's retries allow and there is time.
pub(crate) async fn run(work: &Work<'_>) -> Result<Came, Error> {
    let (cancel, cancelled) = watch::channel(false);
    let shared = match Shared::new(work, Cancelled(cancelled)) {
        Ok(shared) => Arc::new(shared),
        Err(refusal) => return Ok(Came::To(refused(work, &refusal), Vec::new())),
    };
    let mut rounds = Rounds::new(work, &shared);
    let keys = work.deps.keys(&work.partition.job_id);
    let ran = tokio::select! {
        biased;
        ran = rounds.run_all(&shared) => ran,
        never = cancel::look(work.deps, &keys, cancel) => match never {},
    };
    rounds.running.shutdown().await;
    rounds.packs.stop().await;
    shared.end().await?;
    match ran? {
        End::AllRan => {
            let (done, rest) = rounds.into_outcome();
            Ok(Came::To(done, rest))
        }
        End::NotOurs => Ok(Came::NotOurs),
        End::Cancelled => {
            let (done, rest) = rounds.into_outcome();
            Ok(Came::Cancelled(done, rest))
        }
    }
}

/// The outcome of a task that this deployment does not run: to try again would not mend it.
fn refused(work: &Work<'_>, refusal: &Error) -> Done {
    let Partition { number, attempt, ref chunks, .. } = *work.partition;
    let failure = |chunk| Failure::of(chunk, number, attempt, refusal.code, refusal.chain());
    Done { failures: chunks.iter().map(failure).collect(), ..nothing_yet(work, attempt) }
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
    /// Small results, until they are stored.
    packs: Packs,
}

impl<'a> Rounds<'a> {
    fn new(work: &'a Work<'a>, shared: &Arc<Shared>) -> Self {
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
            packs: Packs::new(shared, &work.partition.chunks),
        }
    }

    fn into_outcome(self) -> (Done, Vec<Chunk>) {
        let Self { work, attempt, mut results, mut failures, tries, mut rest, not_begun, .. } = self;
        results.sort_by_key(|result| (result.index, result.cut));
        failures.sort_by_key(|failure| failure.index);
        rest.extend(not_begun);
        (Done { results, failures, tries, ..nothing_yet(work, attempt) }, rest)
    }

    /// Runs all until nothing is worth another try, or the next attempt is not ours to make.
    async fn run_all(&mut self, shared: &Arc<Shared>) -> Result<End, Error> {
        let mut left: Vec<Chunk> = self.work.partition.chunks.clone();
        loop {
            for chunks in batches(left) {
                self.together(shared, chunks).await?;
            }
            left = self.sort_out(shared);
            if left.is_empty() || shared.cancelled.is_so() {
                // Nothing comes any more for which what is held could wait.
                self.store_all().await?;
                left.extend(self.sort_out(shared));
            }
            if shared.cancelled.is_so() {
                self.rest.append(&mut left);
                return Ok(End::Cancelled);
            }
            if left.is_empty() {
                return Ok(End::AllRan);
            }
            tokio::select! {
                biased;
                () = shared.cancelled.wait() => {
                    self.store_all().await?;
                    left.extend(self.sort_out(shared));
                    self.rest.append(&mut left);
                    return Ok(End::Cancelled);
                }
                () = tokio::time::sleep(backoff(self.work.deps.world.as_ref(), self.attempt)) => {}
            }
            self.attempt += 1;
            if self.claim().await? == Claim::Taken {
                return Ok(End::NotOurs);
            }
        }
    }

    async fn claim(&self) -> Result<Claim, Error> {
        let Work { partition, deps, sent, budget, .. } = *self.work;
        claim_attempt(deps, partition, self.attempt, sent, budget).await
    }

    /// Runs chunks as many at once as the pool allows; of one that may only be taken in pieces, one after another. When the
    /// job is cancelled, all that runs ends by itself, and is waited for.
    async fn together(&mut self, shared: &Arc<Shared>, chunks: Vec<Chunk>) -> Result<(), Error> {
        for chunk in chunks {
            self.running.spawn(process::run(Arc::clone(shared), chunk, self.attempt));
        }
        loop {
            tokio::select! {
                biased;
                Some(stored) = self.packs.next() => self.settle(stored)?,
                ran = self.running.join_next() => match ran {
                    Some(ran) => self.take(shared, ran.map_err(broken)?),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Takes what became of a chunk.
    fn take(&mut self, shared: &Arc<Shared>, ran: Ran) {
        match ran {
            Ran::Done(result, rest) => {
                self.packs.pass(&result, rest.as_ref());
                // The next piece of a chunk takes about as long as the one before it.
                let has_time = shared.has_time_for(result.wall_ms);
                self.results.push(*result);
                match rest {
                    Some(rest) if has_time => {
                        self.running.spawn(process::run(Arc::clone(shared), rest, self.attempt));
                    }
                    Some(rest) => self.rest.push(rest),
                    None => {}
                }
            }
            Ran::Unstored(unstored) => self.packs.add(*unstored),
            Ran::Failed(failed) => {
                self.tries.push(failed.tried.clone());
                self.failed.push(*failed);
            }
            Ran::NotBegun(chunk) => self.not_begun.push(chunk),
            Ran::Cancelled(chunk) => self.rest.push(chunk),
        }
    }

    /// Stores all results that are held.
    async fn store_all(&mut self) -> Result<(), Error> {
        self.packs.store_all();
        while let Some(stored) = self.packs.next().await {
            self.settle(stored)?;
        }
        Ok(())
    }

    /// Takes results that are stored: now they are done. Those that got lost have failed, each for itself.
    fn settle(&mut self, stored: Result<pack::Ended, JoinError>) -> Result<(), Error> {
        match stored.map_err(broken)? {
            Ok(results) => self.results.extend(results),
            Err(Lost { results, error }) => {
                for (chunk, result) in results {
                    let failed = reason::lost(chunk, &result, &error);
                    self.tries.push(failed.tried.clone());
                    self.failed.push(failed);
                }
            }
        }
        Ok(())
    }

    /// Takes from what failed in this round what is worth another try here. What there is no time for is left for the next
    /// hop, if that is any use; the others have failed for good.
    fn sort_out(&mut self, shared: &Shared) -> Vec<Chunk> {
        let mut again = Vec::new();
        for failed in std::mem::take(&mut self.failed) {
            let took_ms = failed.tried.wall_ms;
            let Some(chunk) = self.next_try(&failed, shared) else {
                let attempts = self.attempt.max(failed.chunk.prior.failed + 1);
                self.failures.push(failed.for_good(self.work.partition.number, attempts));
                continue;
            };
            let is_for_now = failed.code != Code::OutOfTime && shared.has_time_for(took_ms);
            tracing::warn!(
                job = %self.work.partition.job_id, index = chunk.index, cut = chunk.cut, attempt = self.attempt,
                in_next_hop = !is_for_now, code = %failed.code, reason = failed.message, "trying a chunk again"
            );
            if is_for_now { &mut again } else { &mut self.rest }.push(chunk);
        }
        again
    }

    /// How a chunk that failed is tried again; none if that is no use, or the job does not allow it.
    fn next_try(&self, failed: &Failed, shared: &Shared) -> Option<Chunk> {
        let Failed { chunk, code, tried, .. } = failed;
        if *code == Code::OutOfTime {
            return shared.times.afresh(chunk, shared.can_be_cut(chunk).is_ok(), tried.started_ms);
        }
        let times_failed = chunk.prior.failed + 1;
        let is_allowed = self.attempt.max(times_failed) <= self.work.job.retries;
        // What SIGKILL ended runs alone: most often the memory was not enough for all, and may be for one.
        let alone = chunk.prior.alone || failed.wants_to_be_alone();
        let prior = Prior { failed: times_failed, alone, ..chunk.prior };
        (is_allowed && failed.may_end_otherwise()).then(|| Chunk { prior, ..chunk.clone() })
    }
}

/// A task that ended without an answer.
fn broken(error: JoinError) -> Error {
    Error::caused(Code::Internal, "run a chunk", error)
}

/// What is run at once, in order: what ran out of time as early as can be, so that it has all the time there is, and what is
/// to run alone by itself.
fn batches(chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    let (alone, mut beside): (Vec<_>, Vec<_>) = chunks.into_iter().partition(|chunk| chunk.prior.alone);
    beside.sort_by_key(|chunk| chunk.prior.late == 0);
    let (late, others): (Vec<_>, Vec<_>) = alone.into_iter().partition(|chunk| chunk.prior.late > 0);
    let each = |chunks: Vec<Chunk>| chunks.into_iter().map(|chunk| vec![chunk]);
    each(late).chain([beside]).chain(each(others)).collect()
}

#[cfg(test)]
mod tests {
    use fanfold_flow::chunk::Input;

    use super::*;

    #[test]
    fn what_is_to_run_alone_does_and_what_ran_out_of_time_comes_early() {
        let chunk = |index, late, alone| Chunk {
            prior: Prior { late, alone, ..Prior::default() },
            ..Chunk::whole(index, Input::Range { offset: index, limit: 1 })
        };
        let chunks = vec![
            chunk(0, 0, false),
            chunk(1, 0, true),
            chunk(2, 1, false),
            chunk(3, 2, true),
            chunk(4, 0, false),
        ];
        let indexes: Vec<Vec<u64>> = batches(chunks)
            .into_iter()
            .map(|batch| batch.into_iter().map(|chunk| chunk.index).collect())
            .collect();
        assert_eq!(indexes, [vec![3], vec![2, 0, 4], vec![1]]);
    }
}
