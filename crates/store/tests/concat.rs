//! What holds of an object that is put together from others, whatever fails on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{ConcatPlan, Part, Range, Segment};
use fanfold_flow::crc::Crc64;
use fanfold_flow::limits::PART_BYTES_MIN;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::version::Version;
use fanfold_store::concat::{Assembly, Bounds, ConcatError, Progress};
use fanfold_store::counting::Counting;
use fanfold_store::faults::{Call, Decide, Decision, Faulty, Pass, Rates, Seeded};
use fanfold_store::memory::MemoryStore;
use fanfold_store::{Condition, ErrorKind, Operation, PutOptions, Store, StoreExt, Upload};
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::time::Instant;

const BUCKET: &str = "bucket";

/// What is just enough for a part that is not the last.
const PART: usize = PART_BYTES_MIN as usize;

/// Faults in a third of all calls.
const ROUGH: Rates =
    Rates { fail: 0.15, lose_answer: 0.08, cut_body: 0.2, delay: 0.1, delay_max: Duration::from_secs(20) };

/// Time that stands still but for sleeping, so that back-offs and delays cost none.
fn paused<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(body)
}

/// Sources, and the plan of an object that is made from them.
struct Scene {
    memory: Arc<MemoryStore>,
    at: ObjectUri,
    plan: ConcatPlan,
    whole: Vec<u8>,
}

/// What a part is made of: the sizes of its pieces. One that is copied has a single piece.
#[derive(Clone, Debug)]
enum Made {
    Copied(usize),
    Streamed(Vec<usize>),
}

impl Scene {
    async fn of(parts: &[Made]) -> Self {
        let memory = Arc::new(MemoryStore::new([BUCKET]));
        let (mut whole, mut planned) = (Vec::new(), Vec::new());
        for part in parts {
            let pieces = match part {
                Made::Copied(bytes) => std::slice::from_ref(bytes),
                Made::Streamed(pieces) => pieces.as_slice(),
            };
            let mut ranges = Vec::new();
            for bytes in pieces {
                ranges.push(source(&memory, whole.len(), *bytes).await);
                whole.extend(content(whole.len(), *bytes));
            }
            planned.push(match part {
                Made::Copied(_) => Part::Copy(ranges.remove(0)),
                Made::Streamed(_) => Part::Stream(ranges.into_iter().map(Segment::Range).collect()),
            });
        }
        let (bytes, crc) = (whole.len() as u64, Crc64::of(&whole));
        let plan = ConcatPlan { version: Version, parts: planned, bytes, crc };
        Self { memory, at: ObjectUri::new(BUCKET, "whole"), plan, whole }
    }

    fn behind(&self, decide: impl Decide) -> Arc<dyn Store> {
        Arc::new(Faulty::new(self.memory.clone(), decide))
    }

    async fn begin(&self) -> Upload {
        self.memory.create_upload(&self.at, None).await.unwrap()
    }

    async fn assert_is_right(&self) {
        let found = self.memory.get_bytes(&self.at, u64::MAX).await.unwrap();
        assert!(found == self.whole, "{} bytes, not the {} that were planned", found.len(), self.whole.len());
        assert_eq!(self.memory.list_uploads(BUCKET, "").await.unwrap(), []);
    }
}

/// Bytes whose period is a prime, as they are from this place on.
fn content(from: usize, bytes: usize) -> impl Iterator<Item = u8> {
    (from..from + bytes).map(|place| (place % 251) as u8)
}

/// A stretch in the middle of an object that is larger; small ones are whole objects.
async fn source(store: &MemoryStore, from: usize, bytes: usize) -> Range {
    let around = if bytes > PART { 100 } else { 0 };
    let object = ObjectUri::new(BUCKET, format!("source/{from}"));
    let whole: Bytes =
        [vec![b'x'; around], content(from, bytes).collect(), vec![b'y'; around]].concat().into();
    let object_bytes = whole.len() as u64;
    let etag = store.put(&object, whole, PutOptions::default()).await.unwrap().to_string();
    let start = around as u64;
    let object = Arc::new(ObjectVersion { uri: object, etag, bytes: object_bytes });
    Range { object, start, end: start + bytes as u64 }
}

async fn whole(store: &Arc<dyn Store>, scene: &Scene, upload: &Upload) -> Result<(), ConcatError> {
    let assembly = Assembly::new(store, &scene.plan, &scene.at, Bounds::default());
    let found = assembly.found(upload).await?;
    let Progress::Whole(parts) = assembly.parts(upload, found, pending()).await? else {
        panic!("nobody said that time is up")
    };
    assembly.complete(upload, &parts, Condition::IfAbsent).await.map(drop)
}

fn scenes() -> impl Strategy<Value = Vec<Made>> {
    let large = (0..3_usize).prop_map(|more| PART + 1 + more * 977);
    let part = prop_oneof![
        large.clone().prop_map(Made::Copied),
        Just(Made::Copied(PART)),
        prop::collection::vec(1..200_000_usize, 30..40).prop_map(|mut pieces| {
            pieces.push(PART);
            Made::Streamed(pieces)
        }),
    ];
    let last = prop_oneof![
        (1..PART).prop_map(Made::Copied),
        prop::collection::vec(1..100_usize, 1..5).prop_map(Made::Streamed),
    ];
    (prop::collection::vec(part, 1..4), last)
        .prop_map(|(parts, last)| parts.into_iter().chain([last]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whoever_goes_on_with_an_upload_ends_with_the_exact_bytes_and_makes_no_part_twice(parts in scenes(), seed: u64) {
        paused(async {
            let scene = Scene::of(&parts).await;
            let upload = scene.begin().await;
            let mut tries = 0;
            loop {
                let counting = Arc::new(Counting::new(scene.memory.clone()));
                let before = scene.memory.list_parts(&upload).await.map_or(0, |parts| parts.len());
                // Each of those that go on is a reducer of its own, with luck of its own.
                let store: Arc<dyn Store> = Arc::new(Faulty::new(counting.clone(), Seeded::new(seed + tries, ROUGH)));
                let ended = whole(&store, &scene, &upload).await;
                let counts = counting.counts();
                let answered = counts.of(Operation::CopyPart) + counts.of(Operation::UploadPart);
                // What is done and not answered is done again; nothing else is.
                let lost = if before == parts.len() { 0 } else { parts.len() - before };
                assert!(answered as usize <= 5 * lost, "{answered} parts were made, {before} of {} were there", parts.len());
                match ended {
                    Ok(()) => break,
                    Err(ConcatError::Store(error)) if error.is_transient() => tries += 1,
                    // Completed by the one before, whose answer was lost together with what it asked then.
                    Err(ConcatError::Store(error)) if error.kind() == ErrorKind::NoSuchUpload => {
                        let standing = Assembly::new(&store, &scene.plan, &scene.at, Bounds::default()).standing().await;
                        if matches!(standing, Ok(Some(_))) {
                            break;
                        }
                        tries += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
                assert!(tries < 100, "{tries} tries");
            }
            scene.assert_is_right().await;
        });
    }
}

#[test]
fn once_time_is_up_no_part_is_begun_and_those_under_way_are_kept() {
    paused(async {
        let scene = Scene::of(&vec![Made::Copied(PART); 10]).await;
        let upload = scene.begin().await;
        let bounds = Bounds { copies_in_flight: 3, ..Bounds::default() };
        // Each copy takes a second, and time is up in the middle of the second three.
        let store = scene.behind(|call: &Call<'_>| match call.operation {
            Operation::CopyPart => Decision::Delay(Duration::from_secs(1)),
            _ => Decision::Pass,
        });
        let assembly = Assembly::new(&store, &scene.plan, &scene.at, bounds);
        let time = tokio::time::sleep(Duration::from_millis(1_500));
        assert_eq!(assembly.parts(&upload, Vec::new(), time).await.unwrap(), Progress::TimeIsUp(6));
        assert_eq!(scene.memory.list_parts(&upload).await.unwrap().len(), 6);
        // Where no time is left at all, nothing is begun.
        let found = assembly.found(&upload).await.unwrap();
        assert_eq!(assembly.parts(&upload, found, ready(())).await.unwrap(), Progress::TimeIsUp(6));
        whole(&store, &scene, &upload).await.unwrap();
        scene.assert_is_right().await;
    });
}

#[test]
fn no_more_is_under_way_at_once_than_the_bounds_say() {
    // A store that takes a second for each request of one kind, so that the time that all take tells how many run at once.
    let time = |parts: Vec<Made>, slow: Operation, bounds: Bounds| {
        paused(async move {
            let scene = Scene::of(&parts).await;
            let upload = scene.begin().await;
            let store = scene.behind(move |call: &Call<'_>| match call.operation == slow {
                true => Decision::Delay(Duration::from_secs(1)),
                false => Decision::Pass,
            });
            let began = Instant::now();
            let assembly = Assembly::new(&store, &scene.plan, &scene.at, bounds);
            assembly.parts(&upload, Vec::new(), pending()).await.unwrap();
            began.elapsed().as_secs()
        })
    };
    let bounds =
        Bounds { copies_in_flight: 4, streamed_bytes_in_flight: 2 * PART as u64, reads_in_flight: 10 };
    assert_eq!(time(vec![Made::Copied(PART); 10], Operation::CopyPart, bounds), 3);
    // Two parts of 5 MiB at once.
    let streamed = vec![Made::Streamed(vec![PART / 8; 8]); 5];
    assert_eq!(time(streamed.clone(), Operation::UploadPart, bounds), 3);
    // Ten reads at once, over both.
    assert_eq!(time(streamed, Operation::Get, bounds), 4);
    // A part that is larger than the bound goes alone.
    assert_eq!(time(vec![Made::Streamed(vec![3 * PART]); 3], Operation::UploadPart, bounds), 3);
}

#[test]
fn copies_ask_for_nothing_but_the_copy() {
    paused(async {
        let scene = Scene::of(&[Made::Copied(PART + 1), Made::Copied(PART), Made::Copied(7)]).await;
        let counting = Arc::new(Counting::new(scene.memory.clone()));
        let store: Arc<dyn Store> = counting.clone();
        let upload = scene.begin().await;
        let assembly = Assembly::new(&store, &scene.plan, &scene.at, Bounds::default());
        let Progress::Whole(parts) = assembly.parts(&upload, Vec::new(), pending()).await.unwrap() else {
            panic!("all parts")
        };
        assembly.complete(&upload, &parts, Condition::Always).await.unwrap();
        let counts = counting.counts();
        assert_eq!(
            counts.calls.into_iter().collect::<Vec<_>>(),
            [(Operation::CopyPart, 3), (Operation::CompleteUpload, 1)]
        );
        assert_eq!((counts.bytes_read, counts.bytes_written), (0, 0));
        scene.assert_is_right().await;
    });
}

#[test]
fn a_part_that_is_not_the_plans_is_made_again() {
    paused(async {
        let scene = Scene::of(&[Made::Copied(PART + 1), Made::Streamed(vec![9])]).await;
        let upload = scene.begin().await;
        for (number, bytes) in [(1, PART), (3, 9)] {
            scene.memory.upload_part(&upload, number, vec![0; bytes].into()).await.unwrap();
        }
        whole(&scene.behind(Pass), &scene, &upload).await.unwrap();
        scene.assert_is_right().await;
    });
}

#[test]
fn what_fails_leaves_its_upload_and_waits_for_what_is_under_way() {
    paused(async {
        let scene = Scene::of(&vec![Made::Copied(PART); 4]).await;
        let upload = scene.begin().await;
        let store = scene.behind(|call: &Call<'_>| match (call.operation, call.at.ends_with("#2")) {
            (Operation::CopyPart, true) => Decision::Fail(ErrorKind::Denied),
            (Operation::CopyPart, false) => Decision::Delay(Duration::from_secs(9)),
            _ => Decision::Pass,
        });
        let failed = whole(&store, &scene, &upload).await.unwrap_err();
        assert!(
            matches!(&failed, ConcatError::Store(error) if error.kind() == ErrorKind::Denied),
            "{failed}"
        );
        let made: Vec<u32> =
            scene.memory.list_parts(&upload).await.unwrap().iter().map(|part| part.number).collect();
        assert_eq!(made, [1, 3, 4]);
    });
}

#[test]
fn a_source_that_was_changed_is_caught_by_its_etag_whether_it_is_copied_or_read() {
    for part in [Made::Copied(PART + 1), Made::Streamed(vec![10, PART])] {
        paused(async {
            let scene = Scene::of(&[part.clone(), Made::Copied(7)]).await;
            let changed = match &scene.plan.parts[0] {
                Part::Copy(range) => range.object.uri.clone(),
                Part::Stream(segments) => match &segments[1] {
                    Segment::Range(range) => range.object.uri.clone(),
                    Segment::Literal(literal) => panic!("{literal:?}"),
                },
            };
            let mut bytes = scene.memory.get_bytes(&changed, u64::MAX).await.unwrap().to_vec();
            bytes[1_000] ^= 1;
            scene.memory.put(&changed, bytes.into(), PutOptions::default()).await.unwrap();
            let upload = scene.begin().await;
            let failed = whole(&scene.behind(Pass), &scene, &upload).await.unwrap_err();
            assert!(
                matches!(&failed, ConcatError::SourceChanged { part: 1, range, .. } if range.object.uri == changed),
                "{failed}"
            );
            scene.memory.delete(BUCKET, std::slice::from_ref(&changed.key)).await.unwrap();
            let failed = whole(&scene.behind(Pass), &scene, &upload).await.unwrap_err();
            assert!(
                matches!(&failed, ConcatError::SourceGone { part: 1, range, .. } if range.object.uri == changed),
                "{failed}"
            );
        });
    }
}

#[test]
fn what_is_not_what_was_written_never_becomes_an_object() {
    for parts in [&[Made::Copied(PART + 1), Made::Streamed(vec![7])][..], &[Made::Streamed(vec![7, 9])], &[]]
    {
        paused(async {
            let mut scene = Scene::of(parts).await;
            // As if a byte had changed after it was written, and its object's tag had not.
            scene.plan.crc = Crc64::of(b"what was written");
            let store = scene.behind(Pass);
            let assembly = Assembly::new(&store, &scene.plan, &scene.at, Bounds::default());
            let upload = scene.begin().await;
            if assembly.is_one_put() {
                let failed = assembly.put(Condition::Always).await.unwrap_err();
                assert!(matches!(failed, ConcatError::Misread { .. }), "{failed}");
            } else {
                let failed = whole(&store, &scene, &upload).await.unwrap_err();
                assert!(matches!(failed, ConcatError::Corrupt { .. }), "{failed}");
                assert_eq!(scene.memory.list_parts(&upload).await.unwrap().len(), parts.len());
            }
            assert!(!scene.memory.exists(&scene.at).await.unwrap());
        });
    }
}

#[tokio::test]
async fn what_is_small_is_one_request_that_keeps_to_its_condition() {
    for parts in [&[][..], &[Made::Streamed(vec![1, 2, 3])]] {
        let scene = Scene::of(parts).await;
        let store = scene.behind(Pass);
        let assembly = Assembly::new(&store, &scene.plan, &scene.at, Bounds::default());
        assert!(assembly.is_one_put());
        assert_eq!(assembly.standing().await.unwrap(), None);
        let etag = assembly.put(Condition::IfAbsent).await.unwrap();
        assert_eq!(assembly.standing().await.unwrap(), Some(etag.clone()));
        // The same once more is as good as the first.
        assert_eq!(assembly.put(Condition::IfAbsent).await.unwrap(), etag);
        scene.assert_is_right().await;
        scene.memory.put(&scene.at, "another's".into(), PutOptions::default()).await.unwrap();
        assert_eq!(assembly.standing().await.unwrap(), None);
        let refused = assembly.put(Condition::IfAbsent).await.unwrap_err();
        assert!(
            matches!(&refused, ConcatError::Store(error) if error.kind() == ErrorKind::PreconditionFailed),
            "{refused}"
        );
    }
}

#[test]
fn a_future_that_is_dropped_leaves_an_upload_that_can_be_gone_on_with() {
    paused(async {
        let scene = Scene::of(&vec![Made::Copied(PART); 6]).await;
        let upload = scene.begin().await;
        let third = Arc::new(Notify::new());
        let notified = third.clone();
        let store = scene.behind(move |call: &Call<'_>| {
            if call.operation == Operation::CopyPart && call.at.ends_with("#3") {
                notified.notify_one();
                return Decision::Delay(Duration::from_secs(60));
            }
            Decision::Pass
        });
        tokio::select! {
            ended = whole(&store, &scene, &upload) => panic!("{ended:?}"),
            () = third.notified() => {}
        }
        whole(&scene.behind(Pass), &scene, &upload).await.unwrap();
        scene.assert_is_right().await;
    });
}
