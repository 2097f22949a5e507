//! The conformance suite over the store in memory and over every wrapper. The adapter to S3 is held to it by the
//! end-to-end tests, which have servers to run it against.

use std::num::NonZeroUsize;
use std::sync::Arc;

use fanfold_store::counting::Counting;
use fanfold_store::faults::{Faulty, Pass};
use fanfold_store::memory::{MemorySettings, MemoryStore};
use fanfold_store::{Operation, Store, conformance};

const BUCKET: &str = "bucket";

async fn holds(store: Arc<dyn Store>) {
    if let Err(broken) = conformance::run(store, BUCKET, "conformance/").await {
        panic!("{broken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_conforms() {
    holds(Arc::new(MemoryStore::new([BUCKET]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_pages_and_small_pieces_conform() {
    let settings = MemorySettings {
        page_objects: NonZeroUsize::new(7).unwrap(),
        body_piece_bytes: NonZeroUsize::new(10_007).unwrap(),
        ..MemorySettings::default()
    };
    holds(Arc::new(MemoryStore::with_settings([BUCKET], settings))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_without_faults_conforms() {
    let memory = Arc::new(MemoryStore::new([BUCKET]));
    holds(Arc::new(Faulty::new(memory, Pass))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counting_wrapper_conforms_and_sees_every_operation() {
    let counting = Arc::new(Counting::new(Arc::new(MemoryStore::new([BUCKET]))));
    holds(counting.clone()).await;
    let counts = counting.counts();
    for operation in Operation::ALL {
        assert!(counts.of(operation) > 0, "the suite never tries to {operation} anything");
    }
}

/// A suite that cannot fail proves nothing: a store that forgets its conditions breaks just what it should.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lies_is_found_out() {
    let memory = Arc::new(MemoryStore::new([BUCKET]));
    let cut = |call: &fanfold_store::faults::Call<'_>| match call.operation {
        Operation::CompleteUpload => {
            fanfold_store::faults::Decision::LoseAnswer(fanfold_store::ErrorKind::Denied)
        }
        _ => fanfold_store::faults::Decision::Pass,
    };
    let broken = conformance::run(Arc::new(Faulty::new(memory, cut)), BUCKET, "").await.unwrap_err();
    let names: Vec<_> = broken.names().collect();
    assert!(names.contains(&"parts_become_one_object"), "{names:?}");
    assert!(!names.contains(&"racing_creations_have_one_winner"), "{names:?}");
}
