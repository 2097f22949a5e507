//! All chunks of a partition, and again those that failed.

use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure};
use fanfold_flow::job::Job;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::version::Version;
use fanfold_gather::{Claim, Sent, claim_attempt};
use fanfold_runtime::{Budget, Deps, Error};
use tokio::task::JoinSet;

use crate::Settings;
use crate::process::{self, Failed, Shared};

/// What there is to do, and with what.
pub(crate) struct Work<'a> {
    pub(crate) job: &'a Job,
    pub(crate) partition: &'a Partition,
    /// What the worker was sent: this partition, or an earlier one of its lane.
    pub(crate) sent: Sent,
    pub(crate) deps: &'a Deps,
    pub(crate) settings: &'a Settings,
    pub(crate) budget: Budget,
}

/// Most of the time that is kept for committing after the processes have been stopped.
const MARGIN_MAX: Duration = Duration::from_secs(5);

/// Runs every chunk of a partition, tries again what failed while the job's retries allow, and gives the outcome: none if
/// another worker was told to try again what failed here.
pub(crate) async fn run(work: &Work<'_>) -> Result<Option<Done>, Error> {
    let shared = match Shared::new(work.job, work.partition, work.deps, work.settings, work.budget) {
        Ok(shared) => Arc::new(shared),
        Err(refusal) => return Ok(Some(refused(work, &refusal))),
    };
    let remaining = work.budget.remaining(work.deps.world.as_ref());
    let time = remaining - MARGIN_MAX.min(remaining / 10);
    let mut round = Round::first(work.partition.attempt);
    let in_time = tokio::time::timeout(time, round.run_all(work, &shared)).await;
    round.running.shutdown().await;
    shared.end()?;
    match in_time {
        Ok(Ok(Claim::Ours)) => {}
        Ok(Ok(Claim::Taken)) => return Ok(None),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(out_of_time(work, &round, time)),
    }
    round.results.sort_by_key(|result| (result.index, result.cut));
    round.failures.sort_by_key(|failed| failed.failure.index);
    Ok(Some(Done {
        version: Version,
        partition: work.partition.number,
        attempt: round.attempt,
        results: round.results,
        failures: round.failures.into_iter().map(|failed| failed.failure).collect(),
    }))
}

/// The outcome of a task that this deployment does not run: to try again would not mend it.
fn refused(work: &Work<'_>, refusal: &Error) -> Done {
    let Partition { number, attempt, chunks, .. } = work.partition;
    let failures = chunks.iter().map(|chunk| Failure {
        index: chunk.index,
        code: refusal.code,
        message: refusal.chain(),
        stderr_tail: String::new(),
        attempts: *attempt,
    });
    Done {
        version: Version,
        partition: *number,
        attempt: *attempt,
        results: Vec::new(),
        failures: failures.collect(),
    }
}

fn out_of_time(work: &Work<'_>, round: &Round, time: Duration) -> Error {
    let Partition { number, chunks, .. } = work.partition;
    let message = format!(
        "finish partition {number}: after {:.0} s {} of its {} chunks were done; smaller chunks would fit into the time",
        time.as_secs_f64(),
        round.results.len(),
        chunks.len()
    );
    Error::new(Code::WorkerDied, message)
}

struct Round {
    attempt: u32,
    results: Vec<ChunkResult>,
    failures: Vec<Failed>,
    /// The chunks that run now. Out of time, they are stopped and waited for: a task that is only told to stop may still
    /// have its process when the invocation ends.
    running: JoinSet<Result<ChunkResult, Failed>>,
}

impl Round {
    fn first(attempt: u32) -> Self {
        Self { attempt, results: Vec::new(), failures: Vec::new(), running: JoinSet::new() }
    }

    /// Runs all until nothing is worth another try, or the next attempt is not ours to make.
    async fn run_all(&mut self, work: &Work<'_>, shared: &Arc<Shared>) -> Result<Claim, Error> {
        let mut left: Vec<usize> = (0..work.partition.chunks.len()).collect();
        loop {
            self.together(shared, left).await?;
            let (again, alone) = self.take_those_to_try_again(work);
            if again.is_empty() && alone.is_empty() {
                return Ok(Claim::Ours);
            }
            self.attempt += 1;
            if self.claim(work).await? == Claim::Taken {
                return Ok(Claim::Taken);
            }
            for chunk in alone {
                self.together(shared, vec![chunk]).await?;
            }
            left = again;
        }
    }

    async fn claim(&self, work: &Work<'_>) -> Result<Claim, Error> {
        let Work { partition, deps, sent, budget, .. } = *work;
        claim_attempt(deps, &deps.keys(&partition.job_id), partition.number, self.attempt, sent, budget).await
    }

    /// Runs chunks as many at once as the pool allows.
    async fn together(&mut self, shared: &Arc<Shared>, chunks: Vec<usize>) -> Result<(), Error> {
        for chunk in chunks {
            self.running.spawn(process::run(Arc::clone(shared), chunk, self.attempt));
        }
        while let Some(ended) = self.running.join_next().await {
            match ended.map_err(|error| Error::caused(Code::Internal, "run a chunk", error))? {
                Ok(result) => self.results.push(result),
                Err(failed) => self.failures.push(failed),
            }
        }
        Ok(())
    }

    /// Takes from the failures what is worth another try; apart, what SIGKILL ended: most often the memory was not enough
    /// for all, and may be for one.
    fn take_those_to_try_again(&mut self, work: &Work<'_>) -> (Vec<usize>, Vec<usize>) {
        let (mut again, mut alone) = (Vec::new(), Vec::new());
        if self.attempt > work.job.retries {
            return (again, alone);
        }
        for failed in std::mem::take(&mut self.failures) {
            let Failure { index, code, ref message, .. } = failed.failure;
            if !may_end_otherwise(code) {
                self.failures.push(failed);
                continue;
            }
            tracing::warn!(job = %work.partition.job_id, index, attempt = self.attempt, %code, reason = message, "trying a chunk again");
            if failed.sigkill { alone.push(failed.chunk) } else { again.push(failed.chunk) }
        }
        (again, alone)
    }
}

/// Whether the same chunk may be done at the next try.
fn may_end_otherwise(code: Code) -> bool {
    matches!(
        code,
        Code::ProgramFailed | Code::ProgramKilled | Code::OutputHeld | Code::Store | Code::Internal
    )
}
