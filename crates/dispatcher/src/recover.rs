//! What becomes of an invocation that ended without an outcome: it is tried again, or recorded as failed.

mod reducer;

use std::collections::BTreeSet;

use fanfold_flow::code::Code;
use fanfold_flow::done::{Death, Done, Failure};
use fanfold_flow::event::Failed;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::version::Version;
use fanfold_gather::{
    Attempt, Lane, Sent, advance, at_its_hop, commit, done_in, last_attempt, merged_groups, report_of,
};
use fanfold_runtime::{Deps, Error, backoff};
use fanfold_store::StoreExt;

pub(crate) use reducer::{REDUCER_ATTEMPTS, end_without_reducer, reducer};

/// A worker died: what it was at is tried again while the job's retries allow, then recorded as failed.
pub(crate) async fn worker(failed: Failed<Partition>, deps: &Deps) -> Result<(), Error> {
    let Failed { payload, reason, request_id, was_run } = failed;
    let keys = deps.keys(&payload.job_id);
    if !was_run {
        // It has waited for hours since there was no room for it. Whether it is to be sent again, the sweep decides, which
        // sees whether anything of the job moves.
        tracing::warn!(job = %payload.job_id, partition = payload.number, reason, "an event was never run");
        return Ok(());
    }
    if report_of(deps, &keys).await?.is_some() {
        tracing::info!(job = %payload.job_id, partition = payload.number, reason, "a worker died; its job has ended");
        return Ok(());
    }
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    let mut lane = Lane::of(&job, deps);
    let Some(planned) = first_undone(as_planned(&payload, &plan)?, &mut lane, deps).await? else {
        return Ok(());
    };
    let mut partition = at_its_hop(deps, &keys, planned).await?;
    let begun = last_attempt(deps, &keys, partition.number).await?;
    let Some(attempt) = last_of(&Sent::of(&payload, &request_id), &partition, begun) else {
        tracing::info!(job = %partition.job_id, partition = partition.number, reason, "a worker died; another is at it");
        return Ok(());
    };
    tracing::warn!(job = %partition.job_id, partition = partition.number, hop = partition.hop, attempt, reason, "a worker died");
    if (partition.number, partition.hop) == (payload.number, payload.hop) {
        partition.deaths = payload.deaths;
    }
    if attempt == 0 {
        return try_again(partition, 0, deps).await;
    }
    died(&mut partition, attempt, reason, deps);
    if attempt <= job.retries {
        tokio::time::sleep(backoff(deps.world.as_ref(), attempt)).await;
        return try_again(partition, attempt, deps).await;
    }
    give_up(&job, &partition, attempt, &mut lane, deps).await
}

/// Notes how an attempt at a partition's hop ended.
pub(crate) fn died(partition: &mut Partition, attempt: u32, reason: String, deps: &Deps) {
    let known_ms = deps.world.now_ms();
    partition.deaths.push(Death { hop: partition.hop, attempt, reason, known_ms });
}

/// The partition that a record names, as the plan has it. The record came as an event, and so from whoever may invoke the
/// dispatcher: what it says of chunks, or of a task that was deployed, counts for nothing, or a command could be run that
/// the worker's settings do not allow.
fn as_planned(told: &Partition, plan: &Plan) -> Result<Partition, Error> {
    plan.partition(told.number, told.attempt).ok_or_else(|| {
        let message = format!(
            "take up the failed partition {} of {}: the job has {} partitions, counted from 0",
            told.number,
            plan.job_id,
            plan.partitions.len()
        );
        Error::new(Code::InvalidJob, message)
    })
}

/// Has a partition tried again of which attempt `over` was the last and left no outcome. With an `over` of 0 it was never
/// tried.
pub(crate) async fn try_again(mut partition: Partition, over: u32, deps: &Deps) -> Result<(), Error> {
    partition.attempt = over + 1;
    deps.send(&deps.functions.worker, &partition).await
}

/// Records a partition as failed after so many attempts at its hop, the last of which ended as was noted; what waits for it
/// goes on.
pub(crate) async fn give_up(
    job: &Job,
    partition: &Partition,
    attempts: u32,
    lane: &mut Lane<'_>,
    deps: &Deps,
) -> Result<(), Error> {
    commit(deps, job, partition, given_up(partition, attempts)).await?;
    advance(deps, partition).await?;
    match lane.next(partition).await? {
        Some(next) => deps.send(&deps.functions.worker, &next).await,
        None => Ok(()),
    }
}

/// The partition that the worker was at when it died: the first in its lane without an outcome. The one before it may have
/// been committed and no more, so the gather is taken on from there.
async fn first_undone(sent: Partition, lane: &mut Lane<'_>, deps: &Deps) -> Result<Option<Partition>, Error> {
    let keys = deps.keys(&sent.job_id);
    let mut outcomes = Outcomes { deps, keys: &keys, merged: merged_groups(deps, &keys).await?, group: None };
    let mut partition = sent;
    while outcomes.has(&partition).await? {
        let Some(next) = lane.next(&partition).await? else {
            advance(deps, &partition).await?;
            return Ok(None);
        };
        if !outcomes.has(&next).await? {
            advance(deps, &partition).await?;
        }
        partition = next;
    }
    Ok(Some(partition))
}

/// Which partitions have their outcome, by lists: a lane may be long.
struct Outcomes<'a> {
    deps: &'a Deps,
    keys: &'a JobKeys,
    merged: BTreeSet<u64>,
    /// The last group that was listed, and what of it has an outcome.
    group: Option<(u64, BTreeSet<u64>)>,
}

impl Outcomes<'_> {
    async fn has(&mut self, partition: &Partition) -> Result<bool, Error> {
        let group = partition.group();
        if self.merged.contains(&group) {
            return Ok(true);
        }
        let done = match self.group.take() {
            Some((listed, done)) if listed == group => done,
            _ => done_in(self.deps, self.keys, group).await?,
        };
        Ok(self.group.insert((group, done)).1.contains(&partition.number))
    }
}

/// The last attempt at a partition's hop that is over now that the worker that was `sent` this is dead; 0 if none was made;
/// none if the last one is another worker's, of which nobody said that it died: what says that this one did may come late,
/// or twice.
fn last_of(sent: &Sent, partition: &Partition, begun: Option<Attempt>) -> Option<u32> {
    let was_sent_this = (partition.number, partition.hop) == (sent.partition, sent.hop);
    match begun.filter(|begun| begun.tried.hop == partition.hop) {
        Some(begun) if begun.by == *sent => Some(begun.tried.attempt),
        Some(begun) if !was_sent_this || begun.tried.attempt >= sent.attempt => None,
        // It died before it could write down that it had begun. That counts too, or it would be tried for ever.
        _ if was_sent_this => Some(sent.attempt),
        _ => Some(0),
    }
}

/// The outcome of a partition whose workers all died.
fn given_up(partition: &Partition, attempts: u32) -> Done {
    let reason = partition.deaths.last().map_or("nothing is known of how", |death| death.reason.as_str());
    let message = format!("the worker ended without an outcome: {reason}");
    let failure = |chunk| Failure::of(chunk, partition.number, attempts, Code::WorkerDied, &message);
    let failures = partition.chunks.iter().map(failure);
    Done {
        version: Version,
        partition: partition.number,
        attempts,
        results: Vec::new(),
        failures: failures.collect(),
        tries: Vec::new(),
        deaths: partition.deaths.clone(),
        environments: vec![None],
    }
}

#[cfg(test)]
mod tests {
    use fanfold_flow::chunk::Chunk;
    use fanfold_flow::done::Hop;
    use fanfold_gather::{Claim, Commit, Lease, Tried, claim_attempt, commit_hop};
    use serde_json::json;

    use super::*;
    use crate::world::World;

    /// What the dispatcher is told when the worker with this attempt has died.
    async fn worker_dies(world: &World, attempt: u32) {
        let payload = world.plan().await.partition(0, attempt).unwrap();
        worker(
            Failed {
                payload,
                reason: "it was killed".to_owned(),
                request_id: "request".to_owned(),
                was_run: true,
            },
            &world.deps,
        )
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn workers_that_die_before_they_begin_are_given_up_like_others() {
        let world = World::with_job(1, None).await;
        worker_dies(&world, 1).await;
        assert_eq!((world.sent("worker").await, world.outcome(0).await), (vec![(0, 1), (0, 2)], None));
        worker_dies(&world, 2).await;
        assert_eq!(world.sent("worker").await.len(), 2);
        let outcome = world.outcome(0).await.unwrap();
        assert_eq!((outcome.failures[0].code, outcome.failures[0].attempts), (Code::WorkerDied, 2));
    }

    #[tokio::test]
    async fn what_a_record_says_beyond_its_partition_and_attempt_is_sent_to_nobody() {
        let world = World::with_job(2, None).await;
        let plan = world.plan().await;
        let mut payload = plan.partition(0, 1).unwrap();
        payload.occasion.deployed_task = true;
        payload.occasion.scheduled_ms = Some(1);
        payload.partitions = 9;
        payload.chunks = plan.partition(1, 1).unwrap().chunks;
        let record = |payload: &Partition| {
            json!({
                "requestContext": { "requestId": "request" }, "requestPayload": payload,
                "responsePayload": { "errorType": "Runtime.ExitError", "errorMessage": "it was killed" }
            })
        };
        world.dispatch(&record(&payload)).await;
        let last = world.payloads("worker").await.pop().unwrap();
        let mut again: Partition = serde_json::from_value(last).unwrap();
        assert_eq!(again.deaths.pop().unwrap().reason, "Runtime.ExitError: it was killed");
        assert_eq!(again, plan.partition(0, 2).unwrap());
        payload.number = 2;
        let reason = "it was killed".to_owned();
        let refusal =
            worker(Failed { payload, reason, request_id: "request".to_owned(), was_run: true }, &world.deps)
                .await
                .unwrap_err();
        assert_eq!(refusal.code, Code::InvalidJob);
        assert!(refusal.to_string().contains("the job has 2 partitions"), "{refusal}");
        assert_eq!(world.sent("worker").await, [(0, 1), (0, 2), (1, 1)]);
    }

    #[tokio::test]
    async fn a_worker_that_died_in_a_later_hop_is_followed_at_that_hop() {
        let world = World::with_job(1, None).await;
        world.begins(0, 1).await;
        let first = world.plan().await.partition(0, 1).unwrap();
        let left = Chunk { cut: 1, ..first.chunks[0].clone() };
        let done = Done { failures: Vec::new(), ..given_up(&first, 1) };
        let hop = Hop { version: Version, hop: 0, done, rest: vec![left.clone()] };
        assert_eq!(commit_hop(&world.deps, &first, &hop).await.unwrap(), Commit::First);
        // It died before it told the next hop.
        worker_dies(&world, 1).await;
        let second: Partition =
            serde_json::from_value(world.payloads("worker").await.pop().unwrap()).unwrap();
        assert_eq!((second.hop, second.attempt, &second.chunks), (1, 1, &vec![left]));
        // The next hop dies as well, and again: that is one failure, with what had been done before.
        for attempt in 1..=2 {
            let payload = Partition { attempt, ..second.clone() };
            let sent = Sent::of(&payload, "request");
            let claim = claim_attempt(&world.deps, &payload, attempt, &sent, world.budget()).await;
            assert_eq!(claim.unwrap(), Claim::Ours);
            let reason = "it was killed".to_owned();
            worker(Failed { payload, reason, request_id: "request".to_owned(), was_run: true }, &world.deps)
                .await
                .unwrap();
        }
        let outcome = world.outcome(0).await.unwrap();
        assert_eq!((outcome.attempts, outcome.environments.len(), outcome.failures.len()), (3, 2, 1));
        assert_eq!(outcome.failures[0].rest, Some(second.chunks[0].clone()));
        assert_eq!(world.sent("worker").await.len(), 3);
    }

    #[tokio::test]
    async fn an_event_that_was_never_run_costs_no_attempt() {
        let world = World::with_job(1, None).await;
        let payload = world.plan().await.partition(0, 1).unwrap();
        let record = json!({
            "requestContext": { "condition": "EventAgeExceeded" }, "requestPayload": payload
        });
        for _ in 0..3 {
            world.dispatch(&record).await;
        }
        assert_eq!((world.sent("worker").await.len(), world.outcome(0).await), (1, None));
    }

    #[tokio::test]
    async fn the_death_of_a_duplicate_is_not_that_of_the_worker_which_runs() {
        let world = World::with_job(1, None).await;
        world.begins(0, 1).await;
        let payload = world.plan().await.partition(0, 1).unwrap();
        let reason = "it was killed before it began".to_owned();
        let failed = Failed { payload, reason, request_id: "another".to_owned(), was_run: true };
        worker(failed, &world.deps).await.unwrap();
        assert_eq!((world.sent("worker").await, world.outcome(0).await), (vec![(0, 1)], None));
        let lease =
            Lease::take(&world.deps, &world.keys.lease(), Tried::FIRST, world.budget()).await.unwrap();
        assert!(lease.is_some());
        let record = json!({
            "requestContext": { "requestId": "another" },
            "requestPayload": { "version": 1, "reduce": "one", "attempt": 1 }
        });
        world.dispatch(&record).await;
        assert_eq!(world.sent("reducer").await, []);
    }

    #[tokio::test]
    async fn a_death_told_twice_costs_the_next_attempt_nothing() {
        let world = World::with_job(1, None).await;
        world.begins(0, 1).await;
        worker_dies(&world, 1).await;
        world.begins(0, 2).await;
        worker_dies(&world, 1).await;
        assert_eq!(world.sent("worker").await, [(0, 1), (0, 2)]);
        assert_eq!(world.outcome(0).await, None, "attempt 2 still runs");
        worker_dies(&world, 2).await;
        assert!(world.outcome(0).await.is_some());
    }
}
