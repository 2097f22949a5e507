//! An output is held against the records of its run, not against its report alone.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::crc::Crc64;
use fanfold_flow::done::Done;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::{ChunkResult, Stored};
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::verification::Verdict;
use fanfold_gather::NoOutput;
use fanfold_store::{PutOptions, StoreExt};
use serde::Deserialize;

use super::*;
use crate::world::{World, nothing};

/// What the workers of every job here print, a chunk each.
const RESULTS: [&str; 3] = ["one\n", "", "three\n"];

/// A run that has put this output, which should be all results in order.
async fn with_output(output: &str) -> World {
    let world = World::with_job(RESULTS.len() as u64, None).await;
    let plan = world.plan().await;
    for (partition, printed) in (0..).zip(RESULTS) {
        let payload = plan.partition(partition, 1).unwrap();
        let stored = (!printed.is_empty()).then(|| Stored {
            object: Arc::new(ObjectVersion {
                uri: world.keys.chunk_result(partition, 0, 0, 1),
                etag: "gone by now".to_owned(),
                bytes: printed.len() as u64,
            }),
            lead_bytes: 0,
            offset: 0,
            bytes: printed.len() as u64,
            crc: Crc64::of(printed.as_bytes()),
            separator: Literal::default(),
        });
        let result = ChunkResult { stored, ..world.result(&payload.chunks[0], 1) };
        world.commits_done(&payload, Done { results: vec![result], ..nothing(&payload) }).await;
    }
    let put = Bytes::copy_from_slice(output.as_bytes());
    let etag = world.deps.store.put(&plan.output, put, PutOptions::default()).await.unwrap();
    world
        .ends(Ok(Output {
            uri: plan.output,
            bytes: output.len() as u64,
            crc64nvme: Crc64::of(output.as_bytes()),
            etag: etag.to_string(),
            streamed_bytes: 0,
        }))
        .await;
    world
}

async fn verified(world: &World) -> Verification {
    let answer = world.dispatch(&json!({ "verify": "one" })).await;
    Verification::deserialize(answer).unwrap()
}

async fn refused(world: &World, of: &str) -> Error {
    verify(&of.parse().unwrap(), &world.deps).await.unwrap_err()
}

fn out() -> ObjectUri {
    ObjectUri::new("world", "out")
}

#[tokio::test]
async fn an_output_is_verified_by_the_records_and_once_they_are_gone_by_the_report() {
    let world = with_output(&RESULTS.concat()).await;
    let by_records = verified(&world).await;
    assert_eq!(by_records.verdict, Verdict::Verified, "{}", by_records.message);
    assert_eq!(by_records.recorded.map(|recorded| recorded.results), Some(3));
    assert_eq!(by_records.found.unwrap().by, Look::Head);

    let groups = world.keys.groups();
    world.deps.store.delete_prefix(&groups.bucket, &groups.key).await.unwrap();
    let by_report = verified(&world).await;
    assert_eq!((by_report.verdict, by_report.recorded), (Verdict::Verified, None));
}

#[tokio::test]
async fn a_reducer_that_put_and_reported_something_else_is_found_out_by_the_records() {
    for wrong in ["three\none\n", "one\n", ""] {
        let judged = verified(&with_output(wrong).await).await;
        assert_eq!(judged.verdict, Verdict::Disputed, "{}", judged.message);
    }
}

#[tokio::test]
async fn an_output_that_was_replaced_or_taken_away_is_told_from_one_that_stands() {
    let world = with_output(&RESULTS.concat()).await;
    let other = Bytes::from_static(b"one\nThree\n");
    world.deps.store.put(&out(), other, PutOptions::default()).await.unwrap();
    assert_eq!(verified(&world).await.verdict, Verdict::Replaced);
    world.deps.store.delete("world", &["out".to_owned()]).await.unwrap();
    assert_eq!(verified(&world).await.verdict, Verdict::Missing);
}

#[tokio::test]
async fn of_a_run_without_an_output_nothing_is_verified_and_it_is_said_why() {
    let world = World::with_job(2, None).await;
    let running = refused(&world, "one").await;
    assert_eq!(running.code, Code::InvalidJob);
    assert!(
        running.message.contains("has not ended") && running.message.contains("fanfold status one"),
        "{running}"
    );
    let unknown = refused(&world, "onne").await;
    assert_eq!(unknown.code, Code::InvalidJob);
    assert!(unknown.message.contains("did you mean 'one'?"), "{unknown}");

    world.fails(0).await;
    world.commits(1, 1).await;
    world.ends(Err(NoOutput { code: Code::ProgramFailed, message: "1 of 2 chunks failed".to_owned() })).await;
    let failed = refused(&world, "one").await;
    assert_eq!(failed.code, Code::ProgramFailed);
    assert!(failed.message.contains("ended without one: 1 of 2 chunks failed"), "{failed}");
    assert!(failed.message.contains("fanfold redrive one"), "{failed}");
}
