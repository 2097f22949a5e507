//! A redrive is one run of what failed in another, whoever asks for it how often.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::chunk::{Chunk, ObjectVersion};
use fanfold_flow::crc::Crc64;
use fanfold_flow::done::Done;
use fanfold_flow::partition::Partition;
use fanfold_flow::report::{Counts, Output, Status};
use fanfold_flow::result::Stored;
use fanfold_gather::NoOutput;
use fanfold_store::PutOptions;
use serde_json::json;

use super::*;
use crate::world::{World, nothing};

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

async fn redriven(world: &World) -> Value {
    world.dispatch(&json!({ "redrive": world.keys.job_id() })).await
}

async fn refused(world: &World, of: &str) -> Error {
    redrive(&id(of), &world.deps, &Settings::new(1)).await.unwrap_err()
}

fn failed() -> Result<Output, NoOutput> {
    Err(NoOutput { code: Code::ProgramFailed, message: "some chunks failed".to_owned() })
}

/// A job of so many partitions, of which these have failed, so that it has no output.
async fn with_failures(partitions: u64, failures: &[u64]) -> World {
    let world = World::with_job(partitions, None).await;
    some_fail(&world, failures).await;
    world.ends(failed()).await;
    world
}

async fn some_fail(world: &World, failures: &[u64]) {
    for partition in 0..world.plan().await.partitions.len() as u64 {
        if failures.contains(&partition) {
            world.fails(partition).await;
        } else {
            world.commits(partition, 1).await;
        }
    }
}

/// What workers were sent for a run: the indexes of each partition.
async fn sent(world: &World, run: &str) -> Vec<Vec<u64>> {
    let payloads = world.payloads("worker").await.into_iter().filter(|payload| payload["job_id"] == run);
    let payloads = payloads.map(|payload| serde_json::from_value::<Partition>(payload).unwrap());
    payloads.map(|payload| payload.chunks.iter().map(|chunk| chunk.index).collect()).collect()
}

#[tokio::test]
async fn a_redrive_runs_what_failed_and_only_that() {
    let world = with_failures(1_000, &[5, 500, 999]).await;
    let answer = redriven(&world).await;
    assert_eq!((&answer["job_id"], &answer["redrives"]), (&json!("one-r1"), &json!("one")));
    assert_eq!((&answer["partitions"], &answer["chunks"]), (&json!(3), &json!(3)));
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("3 of 1000 chunks, what is left of one, in 3 partitions"), "{message}");
    assert_eq!(sent(&world, "one-r1").await, [[5], [500], [999]]);

    let run = world.of_run("one-r1");
    let standing = run.dispatch(&json!({ "status": "one-r1" })).await;
    assert_eq!(standing["chunks"], json!({ "total": 1_000, "done": 997 }));
    some_fail(&run, &[1]).await;
    let report = run.ends(failed()).await;
    assert_eq!(report.chunks, Counts { total: 1_000, done: 999, failed: 1, cancelled: 0 });
    assert_eq!((report.records, report.attempts, report.earlier), (999 * 7, 3, vec![id("one")]));
}

#[tokio::test]
async fn a_redrive_that_is_asked_for_twice_is_one_run() {
    let world = with_failures(4, &[1]).await;
    let [first, second] = [redriven(&world).await, redriven(&world).await];
    assert_eq!((&first["job_id"], &second["job_id"]), (&json!("one-r1"), &json!("one-r1")));
    let started = world.measured(Metric::JobsStarted);
    assert!((started - 2.0).abs() < f64::EPSILON, "{started}");
    let run = world.of_run("one-r1");
    some_fail(&run, &[]).await;
    let output = Output {
        uri: run.plan().await.output,
        bytes: 0,
        crc64nvme: Crc64::of(b""),
        etag: "e".to_owned(),
        streamed_bytes: 0,
    };
    run.ends(Ok(output)).await;
    let third = redriven(&world).await;
    assert!(third["message"].as_str().unwrap().contains("job one-r1 succeeded"), "{third}");
    assert_eq!(third["report"]["chunks"]["done"], 4);
    assert!(!run.is_there(&run.keys.active()).await, "no marker comes back");
}

#[tokio::test]
async fn the_status_of_a_run_tells_who_redrives_it_and_how_that_stands() {
    let world = with_failures(2, &[0]).await;
    redriven(&world).await;
    let standing = world.dispatch(&json!({ "status": "one" })).await;
    assert_eq!(standing["redriven"], json!({ "job_id": "one-r1", "status": "running" }));
    assert!(standing["message"].as_str().unwrap().contains("redriven as one-r1, which runs"), "{standing}");
    let run = world.of_run("one-r1");
    some_fail(&run, &[0]).await;
    run.ends(failed()).await;
    let standing = world.dispatch(&json!({ "status": "one" })).await;
    assert_eq!(standing["redriven"], json!({ "job_id": "one-r1", "status": "failed" }));
}

#[tokio::test]
async fn a_redrive_is_redriven_in_its_turn_and_the_runs_before_it_are_known() {
    let world = with_failures(9, &[2, 3, 7]).await;
    redriven(&world).await;
    let first = world.of_run("one-r1");
    some_fail(&first, &[0, 2]).await;
    first.ends(failed()).await;
    assert_eq!(redriven(&first).await["job_id"], "one-r2");
    let plan = first.of_run("one-r2").plan().await;
    assert_eq!(plan.earlier(), [id("one"), id("one-r1")]);
    assert_eq!(sent(&world, "one-r2").await, [[2], [7]]);
}

#[tokio::test]
async fn a_run_that_somebody_named_like_a_redrive_is_none() {
    let world = with_failures(2, &[1]).await;
    let job: Value = world.deps.store.get_json(&world.keys.job()).await.unwrap();
    let mut event = job;
    event["token"] = json!("one-r1");
    world.dispatch(&event).await;
    assert_eq!(redriven(&world).await["job_id"], "one-r2", "the name was taken");
    let named = world.of_run("one-r1");
    some_fail(&named, &[0]).await;
    named.ends(failed()).await;
    assert_eq!(redriven(&named).await["job_id"], "one-r1-r1");
    // And the other way round: nobody gets the redrive under the name of the whole job.
    event["token"] = json!("one-r2");
    let taken = crate::handle(event, &world.deps, &Settings::new(1), world.budget(), "request").await;
    assert!(taken.unwrap_err().message.contains("that is the redrive of one"));
}

#[tokio::test]
async fn only_a_run_that_has_ended_and_lacks_something_is_redriven() {
    let world = World::with_job(2, None).await;
    let running = refused(&world, "one").await;
    assert!(running.message.contains("has not ended") && running.message.contains("cancel one"), "{running}");
    let unknown = refused(&world, "two").await;
    assert!(unknown.message.contains("redrive job 'two': there is no such job"), "{unknown}");
    some_fail(&world, &[]).await;
    let output = Output {
        uri: world.plan().await.output,
        bytes: 0,
        crc64nvme: Crc64::of(b""),
        etag: "e".to_owned(),
        streamed_bytes: 0,
    };
    world.ends(Ok(output)).await;
    let answer = redriven(&world).await;
    assert!(answer["message"].as_str().unwrap().contains("nothing to redrive"), "{answer}");
    assert_eq!((answer["job_id"].as_str(), world.sent("worker").await.len()), (Some("one"), 2));
}

#[tokio::test]
async fn what_would_fail_again_is_not_redriven_and_nothing_of_it_is_kept() {
    let world = World::with_job(2, None).await;
    let object = commits_stored(&world).await;
    world.fails(1).await;
    let message = "a record could have been cut".to_owned();
    let report = world.ends(Err(NoOutput { code: Code::RecordCut, message: message.clone() })).await;
    assert_eq!(report.message, message, "how it is redriven is not told");
    assert!(!world.is_there(&object).await);
    let refusal = refused(&world, "one").await;
    assert_eq!(refusal.code, Code::InvalidJob);
    for part in ["redrive one", "record_cut again", Code::RecordCut.advice()] {
        assert!(refusal.message.contains(part), "{part}: {refusal}");
    }
    assert!(!world.is_there(&world.keys.redrive()).await);
}

#[tokio::test]
async fn a_run_that_lacks_nothing_but_its_output_is_only_reduced_again() {
    let world = with_failures(3, &[]).await;
    let answer = redriven(&world).await;
    assert_eq!((&answer["job_id"], &answer["partitions"]), (&json!("one-r1"), &json!(0)));
    let reducers = world.payloads("reducer").await;
    assert_eq!(reducers.last().unwrap()["reduce"], "one-r1");
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_is_redriven_from_where_it_was_cut() {
    let world = World::with_job(3, None).await;
    world.commits(0, 1).await;
    let payload = world.plan().await.partition(1, 1).unwrap();
    let rest = Chunk { cut: 1, ..payload.chunks[0].clone() };
    let done = Done { results: vec![world.result(&payload.chunks[0], 1)], ..nothing(&payload) };
    let hop = fanfold_flow::done::Hop { version: Version, hop: 0, done, rest: vec![rest.clone()] };
    fanfold_gather::commit_hop(&world.deps, &payload, &hop).await.unwrap();
    world.dispatch(&json!({ "cancel": "one" })).await;
    assert_eq!(world.ends(failed()).await.status, Status::Cancelled);
    redriven(&world).await;
    let payloads = world.payloads("worker").await.into_iter().filter(|payload| payload["job_id"] == "one-r1");
    let payloads: Vec<Partition> = payloads.map(|payload| serde_json::from_value(payload).unwrap()).collect();
    assert_eq!(payloads[0].chunks, [rest]);
    assert_eq!((payloads.len(), payloads[1].chunks[0].index), (2, 2));
}

/// What a run put in its output's place.
async fn put_output(world: &World, bytes: &'static [u8]) -> Output {
    let uri = world.plan().await.output;
    let etag = world.deps.store.put(&uri, Bytes::from_static(bytes), PutOptions::default()).await.unwrap();
    let bytes_put = bytes.len() as u64;
    Output { uri, bytes: bytes_put, crc64nvme: Crc64::of(bytes), etag: etag.to_string(), streamed_bytes: 0 }
}

#[tokio::test]
async fn only_the_output_that_the_run_itself_put_is_replaced() {
    let world = World::with_job(3, None).await;
    some_fail(&world, &[1]).await;
    let output = put_output(&world, b"without index 1").await;
    world.ends(Ok(output.clone())).await;
    let standing = world.dispatch(&json!({ "status": "one" })).await;
    assert!(standing["message"].as_str().unwrap().contains("fanfold redrive one"), "{standing}");
    put_output(&world, b"somebody else's").await;
    assert_eq!(refused(&world, "one").await.code, Code::OutputExists);
    assert!(!world.is_there(&world.keys.redrive()).await, "what is refused leaves nothing");
    put_output(&world, b"without index 1").await;
    redriven(&world).await;
    let run = world.of_run("one-r1");
    let replaces = run.plan().await.redrive.unwrap().replaces;
    assert_eq!(replaces.as_ref(), Some(&output.etag));
    // The next redrive still knows of it.
    some_fail(&run, &[0]).await;
    run.ends(failed()).await;
    redriven(&run).await;
    assert_eq!(run.of_run("one-r2").plan().await.redrive.unwrap().replaces, replaces);
}

/// A worker commits the first partition with a result that stands in an object of its own.
async fn commits_stored(world: &World) -> fanfold_flow::uri::ObjectUri {
    let payload = world.plan().await.partition(0, 1).unwrap();
    let object = world.keys.chunk_result(payload.chunks[0].index, 0, 0, 1);
    let etag = world.deps.store.put(&object, Bytes::from_static(b"x"), PutOptions::default()).await.unwrap();
    let mut result = world.result(&payload.chunks[0], 1);
    result.stored = Some(Stored {
        object: Arc::new(ObjectVersion { uri: object.clone(), etag: etag.to_string(), bytes: 1 }),
        lead_bytes: 0,
        offset: 0,
        bytes: 1,
        crc: Crc64::of(b"x"),
        separator: b"".as_slice().into(),
    });
    world.commits_done(&payload, Done { results: vec![result], ..nothing(&payload) }).await;
    object
}

#[tokio::test]
async fn results_that_are_gone_are_named_and_the_job_is_to_be_run_anew() {
    let world = World::with_job(2, None).await;
    let object = commits_stored(&world).await;
    world.fails(1).await;
    world.ends(failed()).await;
    world.deps.store.delete(&object.bucket, std::slice::from_ref(&object.key)).await.unwrap();
    let refusal = refused(&world, "one").await;
    assert_eq!(refusal.code, Code::InputMissing);
    for part in [object.to_string().as_str(), "index 0", "anew"] {
        assert!(refusal.message.contains(part), "{part}: {refusal}");
    }
    assert!(!world.is_there(&world.keys.redrive()).await);
}

#[tokio::test]
async fn results_stay_while_anything_may_be_redriven_and_go_with_the_last_of_it() {
    let world = World::with_job(2, None).await;
    let object = commits_stored(&world).await;
    world.fails(1).await;
    let output = put_output(&world, b"x").await;
    world.ends(Ok(output)).await;
    assert!(world.is_there(&object).await, "one index is missing in the output");
    redriven(&world).await;
    let run = world.of_run("one-r1");
    let own = commits_stored(&run).await;
    assert!(run.is_there(&own).await && world.is_there(&object).await);
    run.ends(Ok(put_output(&run, b"xx").await)).await;
    assert!(!run.is_there(&own).await && !world.is_there(&object).await, "now every chunk is done");
}
