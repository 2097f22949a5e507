//! A cancelled job ends with every chunk accounted for, and nothing of it is sent any more.

use std::sync::Arc;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Hop};
use fanfold_flow::event::FanOut;
use fanfold_flow::partition::Partition;
use fanfold_flow::report::Counts;
use fanfold_flow::report::{Output, Report, Status};
use fanfold_gather::{Commit, NoOutput, advance_group, clean_up_for_good, commit_hop, read_left};
use fanfold_store::faults::{Call, Decision, Faulty};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::world::{World, nothing};

/// What the dispatcher answers to who cancels the world's job.
async fn cancelled(world: &World) -> Value {
    world.dispatch(&json!({ "cancel": world.keys.job_id() })).await
}

/// What a reducer says of a job that it could not put together for any other reason.
fn no_output() -> Result<Output, NoOutput> {
    Err(NoOutput { code: Code::ProgramFailed, message: "some chunks failed".to_owned() })
}

/// The world's job is cancelled, and its reducer ends it.
async fn cancelled_and_reduced(world: &World) -> Report {
    let answer = cancelled(world).await;
    assert_eq!((&answer["status"], world.report().await), (&json!("running"), None), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("was cancelled, and is about to end"), "{answer}");
    assert_eq!(world.sent("reducer").await.last(), Some(&(0, 1)));
    world.ends(no_output()).await
}

/// It is written down that the world's job is to stop, and whoever did that died.
async fn is_to_stop(world: &World) {
    let record = Cancel { version: Version, asked_ms: world.now_ms() };
    world.deps.store.create_json(&world.keys.cancel(), &record).await.unwrap();
}

async fn ended(world: &World) -> End {
    end(&world.keys, world.plan().await.grouping(), &world.deps).await.unwrap()
}

/// A worker ends its hop with its first chunk done, and the rest of it left.
async fn ends_a_hop(world: &World, partition: u64) -> Chunk {
    let payload = world.plan().await.partition(partition, 1).unwrap();
    let rest = Chunk { cut: 1, ..payload.chunks[0].clone() };
    let done = Done { results: vec![world.result(&payload.chunks[0], 1)], ..nothing(&payload) };
    let hop = Hop { version: Version, hop: 0, done, rest: vec![rest.clone()] };
    assert_eq!(commit_hop(&world.deps, &payload, &hop).await.unwrap(), Commit::First);
    rest
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_accounts_for_every_chunk_and_says_how_the_rest_is_done() {
    let world = World::with_job(25, None).await;
    for partition in 0..10 {
        world.commits(partition, 1).await;
    }
    let plan = world.plan().await;
    advance_group(&world.deps, &plan.job_id, plan.grouping(), 0).await.unwrap();
    world.commits(17, 1).await;
    world.fails(12).await;
    let report = cancelled_and_reduced(&world).await;
    let answer = cancelled(&world).await;
    assert_eq!(answer["status"], "cancelled", "{answer}");
    let message = answer["message"].as_str().unwrap();
    for part in ["11 of 25 chunks done, 1 failed, 13 cancelled", "on request", "fanfold redrive one"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(report.chunks, Counts { total: 25, done: 11, failed: 1, cancelled: 13 });
    assert!(report.chunks.add_up());
    assert_eq!((report.status, report.code), (Status::Cancelled, Some(Code::Cancelled)));
    assert_eq!(report.failures.len(), 1, "what was cancelled is counted, what failed is told");
    assert_eq!((report.records, report.output), (77, None));
}

#[tokio::test(start_paused = true)]
async fn who_cancels_a_second_time_finds_it_done() {
    let world = World::with_job(3, None).await;
    let report = cancelled_and_reduced(&world).await;
    let first = cancelled(&world).await;
    world.pass(Duration::from_secs(60));
    assert_eq!(cancelled(&world).await, first);
    assert_eq!((world.report().await, world.sent("reducer").await.len()), (Some(report), 1));
}

#[tokio::test(start_paused = true)]
async fn who_cancels_is_told_of_the_end_when_the_reducer_is_quick() {
    let world = World::with_job(3, None).await;
    let reducer = async {
        while world.sent("reducer").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        world.ends(no_output()).await
    };
    let (answer, report) = tokio::join!(cancelled(&world), reducer);
    assert_eq!((&answer["status"], &answer["report"]), (&json!("cancelled"), &json!(report)));
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_chunks_all_have_their_outcome_is_past_stopping_and_is_reduced() {
    let world = World::with_job(2, None).await;
    world.commits(0, 1).await;
    world.fails(1).await;
    let plan = world.plan().await;
    advance_group(&world.deps, &plan.job_id, plan.grouping(), 0).await.unwrap();
    let answer = cancelled(&world).await;
    assert_eq!(answer["status"], "running");
    assert!(answer["message"].as_str().unwrap().contains("past stopping"), "{answer}");
    assert!(!is_cancelled(&world.deps, &world.keys).await.unwrap());
    assert_eq!(world.sent("reducer").await, [(0, 1), (0, 1)], "the worker's may have been lost");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_last_chunks_end_while_it_is_stopped_ends_as_they_did() {
    let world = World::with_job(2, None).await;
    let workers = async {
        tokio::time::sleep(STOPPING / 2).await;
        world.commits(0, 1).await;
        world.fails(1).await;
    };
    tokio::join!(cancelled(&world), workers);
    let report = world.ends(no_output()).await;
    assert_eq!((report.status, report.chunks.cancelled), (Status::Failed, 0));
    let answer = cancelled(&world).await;
    assert!(answer["message"].as_str().unwrap().starts_with("nothing was stopped"), "{answer}");
}

#[tokio::test]
async fn a_job_that_has_ended_is_left_as_it_is() {
    let world = World::with_job(1, None).await;
    world.fails(0).await;
    let report = world.ends(no_output()).await;
    let answer = cancelled(&world).await;
    assert_eq!(answer["status"], "failed");
    assert!(answer["message"].as_str().unwrap().contains("had ended"), "{answer}");
    assert_eq!(world.report().await, Some(report));
    assert!(!is_cancelled(&world.deps, &world.keys).await.unwrap());
}

#[tokio::test]
async fn a_job_that_there_is_not_is_not_cancelled() {
    let world = World::with_job(1, None).await;
    let settings = Settings::new(1);
    let refusal = cancel(&"on".parse().unwrap(), &world.deps, &settings, world.budget()).await.unwrap_err();
    assert!(refusal.message.contains("cancel job 'on': there is no such job"), "{refusal}");
    assert!(!is_cancelled(&world.deps, &world.deps.keys(&"on".parse().unwrap())).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_commits_after_the_end_counts_for_nothing() {
    let world = World::with_job(12, None).await;
    world.commits(0, 1).await;
    cancelled_and_reduced(&world).await;
    let plan = world.plan().await;
    for partition in 1..12 {
        world.commits(partition, 1).await;
        let group = plan.grouping().group_of(partition);
        advance_group(&world.deps, &plan.job_id, plan.grouping(), group).await.unwrap();
    }
    let left = read_left(&world.deps, &plan).await.unwrap();
    assert_eq!((left.kept.len(), left.failures.len()), (1, 11));
    assert_eq!(world.report().await.unwrap().chunks, Counts { total: 12, done: 1, failed: 0, cancelled: 11 });
}

#[tokio::test(start_paused = true)]
async fn what_the_hops_of_a_partition_did_is_kept_and_only_their_rest_is_cancelled() {
    // In two groups, one hop before the job is to stop, the others as their workers stop.
    let world = World::with_job(17, None).await;
    let mut rests = vec![(1, ends_a_hop(&world, 1).await)];
    let workers = async {
        tokio::time::sleep(STOPPING - Duration::from_millis(1)).await;
        for partition in [4, 8, 16] {
            rests.push((partition, ends_a_hop(&world, partition).await));
        }
    };
    tokio::join!(cancelled(&world), workers);
    let report = world.ends(no_output()).await;
    let left = read_left(&world.deps, &world.plan().await).await.unwrap();
    let kept: Vec<_> = left.kept.iter().map(|result| (result.index, result.cut)).collect();
    assert_eq!(kept, [(1, 0), (4, 0), (8, 0), (16, 0)]);
    let failed = left.failures.into_iter().filter_map(|failure| Some((failure.index, failure.rest?)));
    assert_eq!(failed.collect::<Vec<_>>(), rests);
    assert_eq!((report.status, report.chunks.cancelled), (Status::Cancelled, 17));
}

#[tokio::test(start_paused = true)]
async fn a_hop_that_ends_while_its_group_is_closed_is_kept() {
    let world = World::with_job(2, None).await;
    // Whoever closes the group has seen that the partition has no outcome, and looks how it was last tried.
    let slow_attempts = |call: &Call<'_>| match call.at.contains("/attempts/") {
        true => Decision::Delay(Duration::from_secs(2)),
        false => Decision::Pass,
    };
    let store = Arc::new(Faulty::new(world.deps.store.clone(), slow_attempts));
    let (slow, plan) = (Deps { store, ..world.deps.clone() }, world.plan().await);
    let worker = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ends_a_hop(&world, 1).await
    };
    let (closed, rest) = tokio::join!(close_groups(&slow, &plan), worker);
    assert_eq!(closed.unwrap(), 1);
    let left = read_left(&world.deps, &plan).await.unwrap();
    assert_eq!((left.kept.len(), left.failures.last().unwrap().rest.clone()), (1, Some(rest)));
}

#[tokio::test(start_paused = true)]
async fn the_groups_of_a_job_that_is_to_stop_are_not_closed_before_its_workers_had_their_time() {
    let world = World::with_job(2, None).await;
    let began = Instant::now();
    cancelled(&world).await;
    let took = began.elapsed();
    assert!(took >= STOPPING && took < STOPPING + WAIT + Duration::from_secs(1), "{took:?}");
    let other = World::with_job(2, None).await;
    is_to_stop(&other).await;
    other.pass(STOPPING - Duration::from_millis(1));
    assert_eq!(ended(&other).await, End::NotYet);
    assert!(!other.is_there(&other.keys.group(0)).await);
    other.pass(Duration::from_millis(1));
    assert_eq!(ended(&other).await, End::Closed(1));
    assert_eq!(ended(&other).await, End::Closed(0), "again is nothing");
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_time_for_is_left_to_the_sweep() {
    let world = World::with_job(2, None).await;
    let short = Budget::until(world.now_ms() + 10_000);
    let answer = cancel(world.keys.job_id(), &world.deps, &Settings::new(1), short).await.unwrap();
    assert!(answer["message"].as_str().unwrap().contains("is about to end"), "{answer}");
    assert!(!world.is_there(&world.keys.group(0)).await);
    assert_eq!(world.sent("reducer").await, []);
    world.pass(STOPPING);
    world.dispatch(&json!({ "sweep": {} })).await;
    assert!(world.is_there(&world.keys.group(0)).await);
    assert_eq!(world.sent("reducer").await, [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dispatched_for_a_job_that_is_cancelled_whoever_asks() {
    let world = World::with_job(600, None).await;
    cancelled(&world).await;
    for range in world.payloads("dispatcher").await {
        assert!(serde_json::from_value::<FanOut>(range.clone()).is_ok());
        world.dispatch(&range).await;
    }
    assert_eq!(world.sent("worker").await, []);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_stopped_half_way_is_taken_up_again() {
    let world = World::with_job(30, None).await;
    is_to_stop(&world).await;
    let running = world.dispatch(&json!({ "status": "one" })).await;
    assert!(running["message"].as_str().unwrap().contains("is about to end"), "{running}");
    let report = cancelled_and_reduced(&world).await;
    assert_eq!((report.status, report.chunks.cancelled), (Status::Cancelled, 30));
}

#[tokio::test(start_paused = true)]
async fn the_marker_of_a_cancelled_job_stays_until_no_worker_can_write_any_more() {
    let world = World::with_job(1, None).await;
    let report = cancelled_and_reduced(&world).await;
    // A worker that has not heard of it.
    let payload: Partition = serde_json::from_value(world.payloads("worker").await.remove(0)).unwrap();
    let at = world.keys.chunk_result(payload.chunks[0].index, 0, 0, 1);
    world.deps.store.create_upload(&at, None).await.unwrap();
    assert!(world.is_there(&world.keys.active()).await);
    clean_up_for_good(&world.deps, &world.keys, &report).await.unwrap();
    assert!(!world.is_there(&world.keys.active()).await);
    assert_eq!(world.deps.store.list_uploads("world", "").await.unwrap(), []);
}
