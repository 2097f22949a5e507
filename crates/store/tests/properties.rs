//! What holds whatever happens: lists against a model, and writers and readers under every kind of fault.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::counting::Counting;
use fanfold_store::faults::{Call, Decide, Decision, Faulty, Pass, Rates, Seeded};
use fanfold_store::memory::{MemorySettings, MemoryStore};
use fanfold_store::{
    CompleteOptions, Condition, ErrorKind, ObjectReader, ObjectWriter, Operation, PutOptions, ReadOptions,
    Store, StoreError, StoreExt, WriteOptions,
};
use futures::TryStreamExt;
use proptest::prelude::*;

const BUCKET: &str = "bucket";

/// Faults in a third of all calls.
const ROUGH: Rates =
    Rates { fail: 0.15, lose_answer: 0.08, cut_body: 0.2, delay: 0.1, delay_max: Duration::from_secs(20) };

/// Time that stands still but for sleeping, so that back-offs and delays cost none.
fn paused<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(body)
}

/// Bytes whose period is a prime.
fn sample(bytes: usize) -> Bytes {
    (0..bytes).map(|place| (place % 251) as u8).collect::<Vec<_>>().into()
}

async fn write(
    store: Arc<dyn Store>,
    at: &ObjectUri,
    content: &Bytes,
    piece: usize,
) -> Result<(), StoreError> {
    let part_bytes = NonZeroU64::new(5 << 20).unwrap();
    let options = WriteOptions { condition: Condition::IfAbsent, part_bytes, ..WriteOptions::default() };
    let mut writer = ObjectWriter::new(store, at.clone(), options);
    for piece in content.chunks(piece) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    let written = writer.finish().await?;
    assert_eq!((written.bytes, written.crc), (content.len() as u64, Crc64::of(content)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pages_neither_lose_nor_repeat_a_key(
        keys in prop::collection::btree_set("[a/]{1,4}", 0..40),
        prefix in "[a/]{0,2}",
        after in prop::option::of("[a/]{1,3}"),
        page in 1_usize..6,
    ) {
        paused(async {
            let page_objects = NonZeroUsize::new(page).unwrap();
            let store = MemoryStore::with_settings([BUCKET], MemorySettings { page_objects, ..MemorySettings::default() });
            for key in &keys {
                store.put(&ObjectUri::new(BUCKET, key), Bytes::new(), PutOptions::default()).await.unwrap();
            }
            let mut listed = Vec::new();
            let mut position = after.clone();
            loop {
                let found = store.list(BUCKET, &prefix, position.as_deref()).await.unwrap();
                prop_assert!(found.objects.len() <= page);
                listed.extend(found.objects.into_iter().map(|object| object.key));
                let Some(next) = found.next else { break };
                position = Some(next);
            }
            let beyond = |key: &&String| after.as_ref().is_none_or(|after| *key > after);
            let model: Vec<String> = keys.iter().filter(|key| key.starts_with(&prefix)).filter(beyond).cloned().collect();
            prop_assert_eq!(listed, model);
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_fails_an_object_is_whole_or_not_there(
        seed: u64,
        bytes in prop_oneof![0_usize..2_000, 5_242_870_usize..5_242_890, 10_000_000_usize..11_000_000],
        piece in 500_000_usize..3_000_000,
    ) {
        paused(async {
            let memory = Arc::new(MemoryStore::new([BUCKET]));
            let faulty = Arc::new(Faulty::new(memory.clone(), Seeded::new(seed, ROUGH)));
            let (at, content) = (ObjectUri::new(BUCKET, "object"), sample(bytes));
            let written = write(faulty.clone(), &at, &content, piece).await;
            match memory.get_bytes(&at, u64::MAX).await {
                Ok(found) => prop_assert!(found == content),
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::NotFound);
                    prop_assert!(written.is_err_and(|error| error.is_transient()));
                    return Ok(());
                }
            }
            let info = memory.head(&at).await.unwrap();
            let options = ReadOptions { request_bytes: NonZeroU64::new(1_000_003).unwrap(), ..ReadOptions::default() };
            let reader = ObjectReader::new(faulty, at, info.etag, 0..info.size, options);
            match reader.into_stream().try_collect::<Vec<_>>().await {
                Ok(pieces) => prop_assert!(pieces.concat() == content),
                Err(error) => prop_assert!(error.is_transient()),
            }
            Ok(())
        })?;
    }
}

#[test]
fn the_same_seed_makes_the_same_faults_in_any_order() {
    let seeded = Seeded::new(42, ROUGH);
    let call = |nth, number| {
        let at = format!("s3://bucket/{}", nth % 7);
        seeded.decide(&Call { operation: Operation::Get, at: &at, nth, number })
    };
    let forwards: Vec<Decision> = (0..500).map(|nth| call(nth, nth)).collect();
    let mut backwards: Vec<Decision> = (0..500).rev().map(|nth| call(nth, 999 - nth)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    for rate in [Decision::Pass, Decision::CutBody(0), Decision::LoseAnswer(ErrorKind::Timeout)] {
        let wanted = std::mem::discriminant(&rate);
        let happens = forwards.iter().any(|decision| std::mem::discriminant(decision) == wanted);
        assert!(happens, "{rate:?} never happens");
    }
}

#[tokio::test]
async fn a_small_object_is_one_request_and_a_large_one_a_request_a_part() {
    let counting = Arc::new(Counting::new(Arc::new(MemoryStore::new([BUCKET]))));
    write(counting.clone(), &ObjectUri::new(BUCKET, "small"), &sample(1_000_000), 70_000).await.unwrap();
    assert_eq!(counting.counts().of(Operation::Put), 1);
    assert_eq!(counting.counts().calls.values().sum::<u64>(), 1);
    write(counting.clone(), &ObjectUri::new(BUCKET, "large"), &sample(12_000_000), 70_000).await.unwrap();
    let counts = counting.counts();
    assert_eq!(counts.of(Operation::CreateUpload), 1);
    assert_eq!(counts.of(Operation::UploadPart), 3);
    assert_eq!(counts.of(Operation::CompleteUpload), 1);
    assert_eq!(counts.bytes_written, 13_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_down_is_given_up_on_with_its_own_error() {
    let down = |_: &Call<'_>| Decision::Fail(ErrorKind::Unavailable);
    let counting = Arc::new(Counting::new(Arc::new(Faulty::new(Arc::new(MemoryStore::new([BUCKET])), down))));
    let error =
        write(counting.clone(), &ObjectUri::new(BUCKET, "object"), &sample(10), 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.operation(), Operation::Put);
    assert_eq!(counting.counts().of(Operation::Put), 5);
}

#[tokio::test]
async fn a_writer_whose_write_was_cut_short_refuses_to_finish() {
    let slow = |call: &Call<'_>| match call.operation {
        Operation::CreateUpload => Decision::Delay(Duration::from_secs(3_600)),
        _ => Decision::Pass,
    };
    let store = Arc::new(Faulty::new(Arc::new(MemoryStore::new([BUCKET])), slow));
    let mut writer = ObjectWriter::new(store, ObjectUri::new(BUCKET, "object"), WriteOptions::default());
    // Polled once and dropped, while it waits for the upload to begin.
    let cut_short = futures::FutureExt::now_or_never(writer.write(sample(9_000_000)));
    assert!(cut_short.is_none());
    let error = writer.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn a_replacement_by_an_upload_older_than_the_object_is_a_conflict() {
    let store = MemoryStore::new([BUCKET]);
    let at = ObjectUri::new(BUCKET, "object");
    let upload = store.create_upload(&at, None).await.unwrap();
    let part = store.upload_part(&upload, 1, sample(10)).await.unwrap();
    let etag = store.put(&at, sample(20), PutOptions::default()).await.unwrap();
    let options = CompleteOptions { condition: Condition::IfMatches(etag), ..CompleteOptions::default() };
    let error = store.complete_upload(&upload, &[part], options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_range_of_a_source_of_5_mib_or_less_is_refused_with_advice() {
    let store = Faulty::new(Arc::new(MemoryStore::new([BUCKET])), Pass);
    let (source, target) = (ObjectUri::new(BUCKET, "source"), ObjectUri::new(BUCKET, "target"));
    store.put(&source, sample(5 << 20), PutOptions::default()).await.unwrap();
    let upload = store.create_upload(&target, None).await.unwrap();
    let error = store.copy_part(&upload, 1, &source, Some(0..100), None).await.unwrap_err();
    assert!(error.message().contains("leave the range out"), "{error}");
}
