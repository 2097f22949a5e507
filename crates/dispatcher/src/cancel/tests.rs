//! A cancelled job ends with every chunk accounted for, and nothing of it is sent any more.

use fanfold_flow::chunk::Chunk;
use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Hop};
use fanfold_flow::event::FanOut;
use fanfold_flow::partition::Partition;
use fanfold_flow::report::Counts;
use fanfold_gather::{
    Commit, NoOutput, advance_group, clean_up_for_good, commit_hop, is_cancelled, read_left,
};
use serde_json::json;

use super::*;
use crate::world::{World, nothing};

/// What the dispatcher answers to who cancels the world's job.
async fn cancelled(world: &World) -> Value {
    world.dispatch(&json!({ "cancel": world.keys.job_id() })).await
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
    let answer = cancelled(&world).await;
    assert_eq!(answer["status"], "cancelled", "{answer}");
    let message = answer["message"].as_str().unwrap();
    for part in ["11 of 25 chunks done, 1 failed, 13 cancelled", "on request", "fanfold redrive one"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let report = world.report().await.unwrap();
    assert_eq!(report.chunks, Counts { total: 25, done: 11, failed: 1, cancelled: 13 });
    assert!(report.chunks.add_up());
    assert_eq!((report.status, report.code), (Status::Cancelled, Some(Code::Cancelled)));
    assert_eq!(report.failures.len(), 1, "what was cancelled is counted, what failed is told");
    assert_eq!((report.records, report.output), (77, None));
}

#[tokio::test(start_paused = true)]
async fn who_cancels_a_second_time_finds_it_done() {
    let world = World::with_job(3, None).await;
    let first = cancelled(&world).await;
    let report = world.report().await;
    world.pass(Duration::from_secs(60));
    assert_eq!(cancelled(&world).await, first);
    assert_eq!(world.report().await, report);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_chunks_all_have_their_outcome_is_past_stopping_and_is_reduced() {
    let world = World::with_job(2, None).await;
    world.commits(0, 1).await;
    world.fails(1).await;
    let answer = cancelled(&world).await;
    assert_eq!(answer["status"], "running");
    assert!(answer["message"].as_str().unwrap().contains("past stopping"), "{answer}");
    assert_eq!((world.sent("reducer").await, world.report().await), (vec![(0, 1)], None));
}

#[tokio::test]
async fn a_job_that_has_ended_is_left_as_it_is() {
    let world = World::with_job(1, None).await;
    world.fails(0).await;
    let failed = NoOutput { code: Code::ProgramFailed, message: "1 of 1 chunks failed".to_owned() };
    let report = world.ends(Err(failed)).await;
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
    cancelled(&world).await;
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
    let world = World::with_job(2, None).await;
    let first = world.plan().await.partition(1, 1).unwrap();
    let rest = Chunk { cut: 1, ..first.chunks[0].clone() };
    let done = Done { results: vec![world.result(&first.chunks[0], 1)], ..nothing(&first) };
    let hop = Hop { version: Version, hop: 0, done, rest: vec![rest.clone()] };
    assert_eq!(commit_hop(&world.deps, &first, &hop).await.unwrap(), Commit::First);
    cancelled(&world).await;
    let left = read_left(&world.deps, &world.plan().await).await.unwrap();
    assert_eq!(left.kept.iter().map(|result| (result.index, result.cut)).collect::<Vec<_>>(), [(1, 0)]);
    let failed: Vec<_> = left.failures.iter().map(|failure| (failure.index, failure.rest.clone())).collect();
    assert_eq!(failed, [(0, None), (1, Some(rest))]);
    assert_eq!(world.report().await.unwrap().chunks.cancelled, 2);
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
    let record = Cancel { version: Version, asked_ms: world.now_ms() };
    world.deps.store.create_json(&world.keys.cancel(), &record).await.unwrap();
    let running = world.dispatch(&json!({ "status": "one" })).await;
    assert!(running["message"].as_str().unwrap().contains("is about to end"), "{running}");
    let plan = world.plan().await;
    assert_eq!(end(&plan, &world.deps, world.budget()).await.unwrap(), End::Now);
    let report = world.report().await.unwrap();
    assert_eq!((report.status, report.chunks.cancelled), (Status::Cancelled, 30));
    assert_eq!(end(&plan, &world.deps, world.budget()).await.unwrap(), End::Before);
    assert_eq!(world.report().await.unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn the_marker_of_a_cancelled_job_stays_until_no_worker_can_write_any_more() {
    let world = World::with_job(1, None).await;
    cancelled(&world).await;
    // A worker that has not heard of it.
    let payload: Partition = serde_json::from_value(world.payloads("worker").await.remove(0)).unwrap();
    let at = world.keys.chunk_result(payload.chunks[0].index, 0, 0, 1);
    world.deps.store.create_upload(&at, None).await.unwrap();
    assert!(world.is_there(&world.keys.active()).await);
    clean_up_for_good(&world.deps, &world.keys, &world.report().await.unwrap()).await.unwrap();
    assert!(!world.is_there(&world.keys.active()).await);
    assert_eq!(world.deps.store.list_uploads("world", "").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_else_is_just_ending_is_left_to_them() {
    let world = World::with_job(3, None).await;
    Lease::take(&world.deps, &world.keys, 1, world.budget()).await.unwrap().unwrap();
    let answer = cancelled(&world).await;
    assert_eq!(answer["status"], "running");
    assert!(answer["message"].as_str().unwrap().contains("was cancelled, and is about to end"), "{answer}");
    assert_eq!(world.report().await, None);
    // They never did, and their lease is over.
    world.pass(Duration::from_secs(3_600));
    assert_eq!(cancelled(&world).await["status"], "cancelled");
}
