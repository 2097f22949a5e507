//! Each kind of stop, and what sweeps every minute make of it.

use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::report::Status;
use fanfold_gather::{Lease, NoOutput, Tried, advance_group};
use fanfold_runtime::Metric;
use fanfold_store::StoreExt;
use serde_json::{Value, json};

use super::decide::{Graces, SENDS_MAX, STUCK_AFTER_MS};
use super::sweep;
use crate::Settings;
use crate::recover::REDUCER_ATTEMPTS;
use crate::world::{TIMEOUT, World};

const MINUTE: Duration = Duration::from_secs(60);

impl World {
    async fn sweep(&self) -> Value {
        let swept = self.dispatch(&json!({ "sweep": {} })).await;
        assert_eq!(swept["failed"], 0, "{swept}");
        swept
    }

    /// Sweeps now and every minute, for so long.
    async fn sweep_for(&self, time: Duration) {
        for _ in 0..=time.as_secs() / MINUTE.as_secs() {
            self.sweep().await;
            self.pass(MINUTE);
        }
    }

    /// Makes good what a worker's death left of a group.
    async fn merges(&self, group: u64) {
        let plan = self.plan().await;
        advance_group(&self.deps, &plan.job_id, plan.grouping(), group).await.unwrap();
    }
}

fn start_grace() -> Duration {
    Settings::new(1).sweep_grace
}

fn pause_max() -> Duration {
    grace(Graces::new(start_grace()).pause_max_ms())
}

fn grace(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap())
}

#[tokio::test]
async fn a_job_whose_workers_are_at_work_is_left_alone() {
    let world = World::with_job(3, None).await;
    for partition in 0..3 {
        world.begins(partition, 1).await;
    }
    assert_eq!(world.sweep().await["running"], 3);
    world.sweep_for(TIMEOUT).await;
    assert_eq!(world.sent("worker").await, [(0, 1), (1, 1), (2, 1)], "as the dispatcher sent them");
    assert_eq!(world.sent("reducer").await, []);
    assert_eq!(world.measured(Metric::JobsStuck), 0.0);
}

#[tokio::test]
async fn a_partition_that_never_started_is_sent_again_after_a_grace() {
    let world = World::with_job(3, None).await;
    world.begins(0, 1).await;
    world.begins(2, 1).await;
    world.sweep().await;
    assert_eq!(world.sent("worker").await.len(), 3, "the job has only just started");
    world.pass(start_grace());
    world.sweep().await;
    assert_eq!(world.sent("worker").await, [(0, 1), (1, 1), (1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_fan_out_that_was_lost_is_made_good() {
    // More than one invocation dispatches by itself; those that it left to others never ran.
    let world = World::with_job(600, None).await;
    assert_eq!(world.sent("worker").await, []);
    world.sweep_for(start_grace()).await;
    let numbers: Vec<u64> = world.sent("worker").await.into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn in_a_lane_only_the_partition_whose_turn_it_is_is_sent() {
    let world = World::with_job(9, Some(3)).await;
    // Lane 0 is at 3, which nobody has begun; lane 1 is at 1; lane 2 is through.
    world.begins(0, 1).await;
    world.commits(0, 1).await;
    world.begins(1, 1).await;
    for partition in [2, 5, 8] {
        world.begins(partition, 1).await;
        world.commits(partition, 1).await;
    }
    world.sweep_for(start_grace()).await;
    assert_eq!(world.sent("worker").await, [(0, 1), (1, 1), (2, 1), (3, 1)]);
}

#[tokio::test]
async fn a_worker_past_its_deadline_is_followed_by_the_next_attempt_and_at_last_by_a_failure() {
    let world = World::with_job(2, Some(1)).await;
    for attempt in 1..=2 {
        world.begins(0, attempt).await;
        world.sweep_for(TIMEOUT).await;
        assert_eq!(world.outcome(0).await, None, "its death may be told yet");
        world.sweep().await;
    }
    // Of the second attempt nobody told either, and the job allows no third: the lane goes on without it.
    let outcome = world.outcome(0).await.unwrap();
    assert_eq!((outcome.failures.len(), outcome.failures[0].attempts), (1, 2));
    assert!(outcome.failures[0].message.contains("past its time limit"), "{}", outcome.failures[0].message);
    assert_eq!(world.sent("worker").await, [(0, 1), (0, 2), (1, 1)]);
    assert_eq!(world.measured(Metric::ChunksFailed), 1.0);
}

#[tokio::test]
async fn a_group_that_nobody_merged_is_merged_at_once_and_the_reducer_started() {
    let world = World::with_job(12, None).await;
    for partition in 0..12 {
        world.commits(partition, 1).await;
    }
    let swept = world.sweep().await;
    assert_eq!(swept["merged"], 2);
    assert!(world.is_there(&world.keys.group(0)).await && world.is_there(&world.keys.group(1)).await);
    assert_eq!(world.sent("reducer").await, [(0, 1)]);
}

#[tokio::test]
async fn a_reducer_that_never_started_is_sent_again_by_the_first_sweep_and_then_after_a_pause() {
    let world = World::with_job(1, None).await;
    world.commits(0, 1).await;
    world.merges(0).await;
    assert_eq!(world.sent("reducer").await, [(0, 1)], "as the last worker sent it");
    world.sweep_for(MINUTE * 4).await;
    assert_eq!(world.sent("reducer").await, [(0, 1), (0, 1)]);
    world.sweep().await;
    assert_eq!(world.sent("reducer").await, [(0, 1), (0, 1), (0, 1)]);
}

#[tokio::test]
async fn a_lease_that_expired_is_followed_by_the_next_reducer_and_at_last_by_the_jobs_end() {
    let world = World::with_job(1, None).await;
    world.commits(0, 1).await;
    world.merges(0).await;
    for attempt in 1..=REDUCER_ATTEMPTS {
        let (at, tried) = (world.keys.lease(), Tried { hop: 0, attempt });
        let mut lease = Lease::take(&world.deps, &at, tried, world.budget()).await.unwrap().unwrap();
        // What the first has begun, the others go on with.
        assert_eq!(lease.upload().is_some(), attempt > 1);
        if attempt == 1 {
            let upload = world.deps.store.create_upload(&world.plan().await.output, None).await.unwrap();
            lease.note(&world.deps, &at, &upload).await.unwrap();
        }
        world.sweep_for(TIMEOUT).await;
        assert_eq!(world.report().await, None, "its death may be told yet");
        world.sweep_for(MINUTE).await;
    }
    assert_eq!(world.sent("reducer").await, [(0, 1), (0, 2), (0, 3)]);
    assert_eq!(world.report().await.unwrap().status, Status::Failed);
    assert_eq!(world.deps.store.list_uploads("world", "").await.unwrap(), []);
    assert!(!world.is_there(&world.keys.active()).await);
    assert_eq!(world.measured(Metric::JobsFailed), 1.0);
}

#[tokio::test]
async fn what_is_left_of_a_job_that_has_ended_is_taken_away() {
    let world = World::with_job(1, None).await;
    world.commits(0, 1).await;
    world.merges(0).await;
    let marker: Value = world.deps.store.get_json(&world.keys.active()).await.unwrap();
    world.reducers_die().await;
    world.deps.store.create_json(&world.keys.active(), &marker).await.unwrap();
    let upload = world.deps.store.create_upload(&world.keys.chunk_result(0, 0, 0, 1), None).await;
    upload.unwrap();
    assert_eq!(world.sweep().await["ended"], 1);
    assert!(!world.is_there(&world.keys.active()).await);
    assert_eq!(world.deps.store.list_uploads("world", "").await.unwrap(), []);
    assert_eq!(world.measured(Metric::JobsFailed), 1.0, "an end is told once");
}

#[tokio::test]
async fn a_job_that_was_to_stop_is_reduced_by_the_sweep_like_any_other_and_its_marker_outlives_its_last_worker()
 {
    let world = World::with_job(2, None).await;
    world.begins(0, 1).await;
    // Who was asked to stop it died just after that was written down.
    world
        .deps
        .store
        .create_json(&world.keys.cancel(), &json!({ "version": 1, "asked_ms": 0 }))
        .await
        .unwrap();
    assert_eq!(world.sweep().await["merged"], 1);
    assert!(world.is_there(&world.keys.group(0)).await);
    // The sweep itself reads no account of it: a reducer does, with the pauses of any other.
    world.sweep_for(MINUTE * 3).await;
    assert_eq!((world.sent("reducer").await.len(), world.report().await), (1, None));
    world.sweep_for(MINUTE).await;
    assert_eq!(world.sent("reducer").await, [(0, 1), (0, 1)]);
    let failed = NoOutput { code: Code::Internal, message: "no output".to_owned() };
    let report = world.ends(Err(failed)).await;
    assert_eq!((report.status, report.chunks.cancelled), (Status::Cancelled, 2));
    // A worker that cannot see it goes on, and leaves something.
    world.pass(TIMEOUT);
    world.deps.store.create_upload(&world.keys.chunk_result(0, 0, 0, 1), None).await.unwrap();
    world.sweep().await;
    assert_eq!(world.deps.store.list_uploads("world", "").await.unwrap(), []);
    assert!(world.is_there(&world.keys.active()).await);
    world.pass(MINUTE);
    world.sweep().await;
    assert!(!world.is_there(&world.keys.active()).await);
    assert_eq!(world.sent("worker").await, [(0, 1), (1, 1)], "none was sent again");
}

#[tokio::test]
async fn an_event_that_waits_is_doubled_a_bounded_number_of_times_and_then_the_job_ends() {
    let world = World::with_job(2, None).await;
    world.sweep_for(MINUTE * 60 * 48).await;
    let sent = world.sent("worker").await;
    assert_eq!(sent.len(), 2 * (1 + SENDS_MAX as usize), "{sent:?}");
    // All partitions have failed, and nobody has begun to reduce either.
    assert!(world.outcome(0).await.unwrap().failures[0].message.contains("no worker started"));
    assert_eq!(world.sent("reducer").await.len(), 1 + SENDS_MAX as usize);
    assert_eq!(world.report().await.unwrap().status, Status::Failed);
}

#[tokio::test]
async fn a_partition_far_back_in_the_queue_is_not_given_up_while_others_of_its_job_end() {
    let world = World::with_job(50, None).await;
    let mut due = Duration::ZERO;
    for partition in 0..49 {
        world.begins(partition, 1).await;
        world.commits(partition, 1).await;
        world.sweep_for(MINUTE * 25).await;
        due += MINUTE * 26;
        assert_eq!(world.outcome(49).await, None, "after {due:?}");
    }
    let doubles =
        async || world.sent("worker").await.iter().filter(|(number, _)| *number == 49).count() as u64;
    let longest = pause_max().as_secs();
    let most = u64::from(SENDS_MAX) + due.as_secs() / longest;
    assert!((u64::from(SENDS_MAX) + 2..=most).contains(&doubles().await), "{} of {most}", doubles().await);
    // Now it stands alone.
    world.sweep_for(grace(STUCK_AFTER_MS) + pause_max()).await;
    assert!(world.outcome(49).await.unwrap().failures[0].message.contains("no worker started"));
}

#[tokio::test]
async fn of_two_sweeps_at_once_one_acts() {
    let world = World::with_job(3, None).await;
    world.sweep().await;
    world.pass(start_grace());
    let settings = Settings::new(1);
    let (one, other) = tokio::join!(
        sweep(&world.deps, &settings, world.budget()),
        sweep(&world.deps, &settings, world.budget())
    );
    assert_eq!(one.unwrap()["sent"].as_u64().unwrap() + other.unwrap()["sent"].as_u64().unwrap(), 3);
    assert_eq!(world.sent("worker").await.len(), 6);
}

#[tokio::test]
async fn a_job_in_which_nothing_runs_or_moves_is_told_to_be_stuck() {
    let world = World::with_job(3, Some(1)).await;
    world.sweep_for(grace(STUCK_AFTER_MS)).await;
    assert_eq!(world.measured(Metric::JobsStuck), 0.0);
    assert_eq!(world.sweep().await["stuck"], 1);
    assert_eq!(world.measured(Metric::JobsStuck), 1.0);
    // It moves again.
    world.begins(0, 1).await;
    world.commits(0, 1).await;
    assert_eq!(world.sweep().await["stuck"], 0);
}

#[tokio::test]
async fn a_large_job_is_looked_at_in_rounds_and_none_of_it_is_forgotten() {
    // 10,609 partitions make 103 groups, more than one sweep looks at.
    let world = World::with_job(10_609, None).await;
    world.begins(10_608, 1).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(world.sweep().await["running"].as_u64().unwrap());
    }
    assert_eq!(seen, [0, 1, 0, 1]);
}

#[tokio::test]
async fn jobs_for_which_there_is_no_time_are_told_and_left() {
    let world = World::with_job(1, None).await;
    world.pass(TIMEOUT);
    let over = fanfold_runtime::Budget::until(world.now_ms());
    assert_eq!(sweep(&world.deps, &Settings::new(1), over).await.unwrap()["left"], 1);
}
