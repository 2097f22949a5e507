//! The reducer alone, over a job that is gathered: killed at every request, out of time, twice at once, and with nodes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::code::Code;
use fanfold_flow::report::Status;
use fanfold_store::faults::{Call, Decision, Pass};
use fanfold_store::{Operation, PutOptions, Store, StoreExt};
use serde_json::{Value, json};

use crate::world::{BUCKET, FEW_PARTS, Life, SMALL, TIME, World};

/// An output with copied parts, split and whole, and streamed ones.
const SIZES: [usize; 9] = [700, 10, 300, 5, 64, 63, 900, 3, 40];

/// Pieces enough for nodes.
fn many() -> Vec<usize> {
    (0..30).map(|piece| [200, 30, 20, 25, 300, 90][piece % 6]).collect()
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_request_the_next_reducer_goes_on_and_makes_no_part_twice() {
    let mut died = 0;
    for last_is_done in [false, true] {
        for requests in 0.. {
            let world = World::of(&SIZES, SMALL).await;
            let life = Life::of(requests, last_is_done);
            let first = world.reduce(world.event().unwrap(), &life, TIME, Pass).await;
            let why = format!("after {requests} requests, the last done: {last_is_done}");
            if !life.is_over() {
                first.ended.unwrap();
                world.assert_done(&why).await;
                break;
            }
            died += 1;
            // What it came to, before the next one begins.
            let (there, had_ended) = (world.parts_noted().await, world.report().await.is_some());
            let stands = world.store.exists(&world.output).await.unwrap();
            world.tell_of(&first).await;
            let later = world.finish().await;
            let all = world.concat().await.unwrap().parts.len();
            let lacking = if stands || had_ended { 0 } else { all - there.unwrap_or(0) };
            let made: u64 = later.iter().map(world::Ran::parts).sum();
            assert_eq!(made, lacking as u64, "{why}: of {all} parts {there:?} were there");
            world.assert_done(&why).await;
            assert!(world.keys_below("work/active/").await.is_empty(), "{why}");
        }
    }
    assert!(died > 60, "{died} deaths are not each request's");
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_request_and_nobody_told_the_sweep_has_it_gone_on_with() {
    for requests in 0.. {
        let world = World::of(&SIZES, SMALL).await;
        let life = Life::of(requests, requests % 2 == 0);
        let first = world.reduce(world.event().unwrap(), &life, TIME, Pass).await;
        if !life.is_over() {
            first.ended.unwrap();
            break;
        }
        while world.event().is_some() {}
        world.sweep_to_the_end().await;
        world.assert_done(&format!("after {requests} requests")).await;
    }
}

/// A copy of part n takes 15 n seconds, the first time.
fn slow_at_first(call: &Call<'_>) -> Decision {
    let part: Option<u64> = call.at.rsplit_once('#').and_then(|(_, number)| number.parse().ok());
    match (call.operation, part) {
        (Operation::CopyPart | Operation::UploadPart, Some(part)) => {
            Decision::Delay(Duration::from_secs(15 * part))
        }
        _ => Decision::Pass,
    }
}

#[tokio::test(start_paused = true)]
async fn when_time_is_up_the_rest_of_the_upload_is_handed_on_and_nothing_that_is_there_is_made_again() {
    let world = World::of(&SIZES, SMALL).await;
    let minute = Duration::from_secs(60);
    let first = world.reduce(world.event().unwrap(), &Life::long(), minute, slow_at_first).await;
    first.ended.as_ref().unwrap();
    // Parts 1 to 3 take 15, 30 and 45 seconds, and the others longer than there is.
    assert_eq!(world.parts_noted().await, Some(3));
    assert_eq!(world.report().await, None);
    let next = world.event().unwrap();
    assert_eq!(next, json!({ "version": 1, "reduce": "job", "hop": 1, "attempt": 1 }));
    // The same event comes twice at once, and the hop before it once more: they leave it to who has the lease.
    let life = Life::long();
    let (one, two, late) = tokio::join!(
        world.reduce(next.clone(), &life, minute, Pass),
        world.reduce(next.clone(), &life, minute, Pass),
        world.reduce(first.event.clone(), &life, minute, Pass),
    );
    for ran in [&one, &two, &late] {
        ran.ended.as_ref().unwrap();
    }
    let all = world.concat().await.unwrap().parts.len() as u64;
    assert_eq!(one.parts() + two.parts() + late.parts(), all - 3);
    assert_eq!(world.event(), None);
    world.assert_done("handed on").await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_never_ends_is_handed_on_a_hundred_times_and_then_the_job_fails() {
    let world = World::of(&SIZES, SMALL).await;
    let mut hops = 0;
    while let Some(event) = world.event() {
        let never = |call: &Call<'_>| match call.operation {
            Operation::CopyPart => Decision::Delay(Duration::from_secs(100_000)),
            _ => Decision::Pass,
        };
        world.reduce(event, &Life::long(), TIME, never).await.ended.unwrap();
        hops += 1;
    }
    assert_eq!(hops, 100);
    let report = world.report().await.unwrap();
    assert_eq!((report.status, report.code), (Status::Failed, Some(Code::Store)));
    assert!(report.message.contains("after 100 invocations of the reducer"), "{}", report.message);
    world.assert_nothing_is_left("never ending").await;
    assert!(!world.store.exists(&world.output).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_output_with_too_many_parts_is_made_of_nodes_at_the_same_time() {
    let world = World::of(&many(), FEW_PARTS).await;
    let first = world.reduce(world.event().unwrap(), &Life::long(), TIME, Pass).await;
    first.ended.unwrap();
    let mut nodes = Vec::new();
    while let Some(event) = world.event() {
        nodes.push(event);
    }
    let named: Vec<u64> = nodes.iter().map(|event| event["node"].as_u64().unwrap()).collect();
    assert_eq!(named, (0..nodes.len() as u64).collect::<Vec<_>>(), "each node once");
    assert!(nodes.len() > 2, "{named:?}");
    // In any order, each without the others.
    for event in nodes.into_iter().rev() {
        assert_eq!(world.event(), None, "the output waits for all of them");
        world.reduce(event, &Life::long(), TIME, Pass).await.ended.unwrap();
    }
    let last = world.event().unwrap();
    assert_eq!(last, json!({ "version": 1, "reduce": "job", "hop": 1, "attempt": 1 }));
    let root = world.reduce(last, &Life::long(), TIME, Pass).await;
    root.ended.unwrap();
    world.assert_done("nodes").await;
    let streamed = world.report().await.unwrap().output.unwrap().streamed_bytes;
    assert!(streamed > 0 && streamed < world.whole.len() as u64, "{streamed} bytes in all nodes");
    world.sweep_to_the_end().await;
    world.assert_done("nodes, swept").await;
}

/// Runs all events; the invocation in which the request with this number comes, over all of them, dies of it.
async fn die_at(world: &World, request: i64, last_is_done: bool, is_told: bool) -> bool {
    let life = Life::of(request, last_is_done);
    let mut has_died = false;
    while let Some(event) = world.event() {
        if has_died {
            world.reduce(event, &Life::long(), TIME, Pass).await.ended.unwrap();
            continue;
        }
        let ran = world.reduce(event, &life, TIME, Pass).await;
        has_died = life.is_over();
        if has_died && is_told {
            world.tell_of(&ran).await;
        } else if !has_died {
            ran.ended.unwrap();
        }
    }
    has_died
}

#[tokio::test(start_paused = true)]
async fn whoever_of_an_outputs_nodes_dies_at_any_request_the_output_is_exact() {
    for last_is_done in [false, true] {
        for request in 0.. {
            let world = World::of(&many(), FEW_PARTS).await;
            let has_died = die_at(&world, request, last_is_done, true).await;
            world.assert_done(&format!("death at request {request}, done: {last_is_done}")).await;
            if !has_died {
                assert!(request > 100, "{request} requests");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_of_an_outputs_nodes_dies_and_nobody_is_told_the_sweep_finds_it() {
    for request in (0..).step_by(3) {
        let world = World::of(&many(), FEW_PARTS).await;
        let has_died = die_at(&world, request, request % 2 == 0, false).await;
        world.sweep_to_the_end().await;
        world.assert_done(&format!("death at request {request}, swept")).await;
        if !has_died {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_events_are_all_lost_are_found_by_the_sweep() {
    let world = World::of(&many(), FEW_PARTS).await;
    world.reduce(world.event().unwrap(), &Life::long(), TIME, Pass).await.ended.unwrap();
    while world.event().is_some() {}
    world.sweep_to_the_end().await;
    world.assert_done("lost events").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_nobody_can_make_fails_the_job_by_its_name() {
    let world = World::of(&many(), FEW_PARTS).await;
    let mut tries = 0;
    while let Some(event) = world.event() {
        if event["node"] == 1 {
            tries += 1;
            let ran = world.reduce(event, &Life::of(8, false), TIME, Pass).await;
            assert!(ran.ended.is_err());
            world.tell_of(&ran).await;
        } else {
            world.reduce(event, &Life::long(), TIME, Pass).await.ended.unwrap();
        }
    }
    assert_eq!(tries, 3);
    let report = world.report().await.unwrap();
    assert_eq!(report.status, Status::Failed);
    assert!(report.message.contains("node 1 of the output could not be put together"), "{}", report.message);
    world.assert_nothing_is_left("a node given up").await;
    world.sweep_to_the_end().await;
    world.assert_nothing_is_left("a node given up, swept").await;
}

/// Changes a byte of the result of this index behind everybody's back.
async fn flip(world: &World, index: u64) {
    let at = world.keys.chunk_result(index, 0, 0, 1);
    let mut bytes = world.store.get_bytes(&at, u64::MAX).await.unwrap().to_vec();
    bytes[0] ^= 1;
    world.store.put(&at, bytes.into(), PutOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_was_changed_fails_the_job_at_once_and_the_message_says_whose_it_is() {
    for (sizes, limits, index, place) in
        [(SIZES.to_vec(), SMALL, 2, ""), (SIZES.to_vec(), SMALL, 1, ""), (many(), FEW_PARTS, 6, ", in node")]
    {
        let world = World::of(&sizes, limits).await;
        flip(&world, index).await;
        let ran = world.finish().await;
        let report = world.report().await.unwrap();
        assert_eq!((report.status, report.code), (Status::Failed, Some(Code::OutputCorrupt)));
        let told = format!("it has the result of index {index}{place}");
        assert!(report.message.contains(&told) && report.message.contains("ETag"), "{}", report.message);
        assert!(ran.iter().all(|ran| ran.event["attempt"] == 1), "never retried");
        world.assert_nothing_is_left("a changed result").await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_those_that_were_written_are_caught_at_completion_and_never_tried_again() {
    for (sizes, limits) in [(SIZES.to_vec(), SMALL), (many(), FEW_PARTS)] {
        let world = World::of(&sizes, limits).await;
        // As if the disk had lost a bit: the object and its tag say the same, and the worker took another checksum.
        let at = world.keys.group(0);
        let mut group: Value = world.store.get_json(&at).await.unwrap();
        let stored = &mut group["done"][0]["results"][0]["stored"];
        let mut crc = stored["crc"].as_str().unwrap().to_owned();
        crc.replace_range(0..1, if crc.starts_with('0') { "1" } else { "0" });
        stored["crc"] = crc.into();
        world.store.put_json(&at, &group, PutOptions::default()).await.unwrap();
        let ran = world.finish().await;
        let report = world.report().await.unwrap();
        assert_eq!((report.status, report.code), (Status::Failed, Some(Code::OutputCorrupt)));
        for part in ["still has the ETag", "the result of index 0 is not what was written"] {
            assert!(report.message.contains(part), "{part}: {}", report.message);
        }
        assert!(ran.iter().all(|ran| ran.event["attempt"] == 1), "never retried");
        assert!(!world.store.exists(&world.output).await.unwrap());
        world.assert_nothing_is_left("lost bits").await;
    }
}

/// Two reducers: the first waits for long just before it completes, and another takes over and is done meanwhile.
async fn race(world: &World, meanwhile: impl AsyncFn()) {
    let event = world.event().unwrap();
    let later = json!({ "version": 1, "reduce": "job", "attempt": 2 });
    let waits = |call: &Call<'_>| match call.operation {
        Operation::CompleteUpload => Decision::Delay(Duration::from_secs(100)),
        _ => Decision::Pass,
    };
    let (slow_life, quick_life) = (Life::long(), Life::long());
    let slow = world.reduce(event, &slow_life, TIME, waits);
    let quick = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        meanwhile().await;
        world.reduce(later, &quick_life, TIME, Pass).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    slow.ended.unwrap();
    quick.ended.unwrap();
    assert_eq!(world.event(), None);
}

#[tokio::test(start_paused = true)]
async fn of_two_reducers_that_race_to_complete_one_wins_and_the_other_finds_its_own_jobs_output() {
    let world = World::of(&SIZES, SMALL).await;
    race(&world, async || {}).await;
    world.assert_done("a race").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stranger_writes_while_two_reducers_race_stands_and_the_job_says_so() {
    let world = World::of(&SIZES, SMALL).await;
    let strangers = Bytes::from_static(b"a stranger's");
    race(&world, async || {
        world.store.put(&world.output, strangers.clone(), PutOptions::default()).await.unwrap();
    })
    .await;
    let report = world.report().await.unwrap();
    assert_eq!(
        (report.status, report.code),
        (Status::Failed, Some(Code::OutputExists)),
        "{}",
        report.message
    );
    assert_eq!(world.store.get_bytes(&world.output, 100).await.unwrap(), strangers);
    assert_eq!(world.store.list_uploads(BUCKET, "").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_somebody_else_to_the_same_place_outlives_the_job() {
    let world = World::of(&SIZES, SMALL).await;
    let strangers = world.store.create_upload(&world.output, None).await.unwrap();
    world.finish().await;
    assert_eq!(world.report().await.unwrap().status, Status::Succeeded);
    assert_eq!(world.store.list_uploads(BUCKET, "").await.unwrap(), [strangers]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_begun_without_an_answer_is_taken_away() {
    let world = World::of(&SIZES, SMALL).await;
    let lost = |call: &Call<'_>| match (call.operation, call.nth) {
        (Operation::CreateUpload, 0) => Decision::LoseAnswer(fanfold_store::ErrorKind::Timeout),
        _ => Decision::Pass,
    };
    world.reduce(world.event().unwrap(), &Life::long(), TIME, lost).await.ended.unwrap();
    world.assert_done("an answer lost").await;
    let shared: Arc<dyn Store> = world.store.clone();
    assert_eq!(shared.list_uploads(BUCKET, "").await.unwrap(), []);
}
