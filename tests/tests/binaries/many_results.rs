//! More results than there could be in memory, none of which were packed: workers pack small ones, and so their records are
//! written by hand here, and the reducer's own bootstrap is given them.

use std::time::Duration;

use bytes::Bytes;
use e2e::deployment::{BUCKET, Bootstraps, Deployment, Submitted};
use e2e::gathered::leave_results;
use e2e::processes::Process;
use fanfold_flow::crc::Crc64;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::occasion::Occasion;
use fanfold_flow::plan::{Listing, make};
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{PutOptions, StoreExt};
use serde_json::json;

/// How many results there are.
const PIECES: u64 = 10_000;

/// How many bytes each has.
const PIECE_BYTES: usize = 64 << 10;

/// The most memory that the reducer may ever have had.
const MEMORY_KIB_MAX: u64 = 128 << 10;

/// Bytes whose period is a prime, as long as a piece may begin anywhere in it.
fn pattern() -> Bytes {
    (0..PIECE_BYTES + 251).map(|place| (place % 251) as u8).collect::<Vec<u8>>().into()
}

/// The output goes on in the pattern where the piece before ended.
fn piece(pattern: &Bytes, index: u64) -> Bytes {
    let start = usize::try_from(index).unwrap() * PIECE_BYTES % 251;
    pattern.slice(start..start + PIECE_BYTES)
}

/// The three functions, of which only the reducer has anything to do, and time for it.
async fn deployed() -> Deployment {
    let bootstraps = Bootstraps {
        dispatcher: env!("CARGO_BIN_EXE_e2e-dispatcher"),
        worker: env!("CARGO_BIN_EXE_e2e-worker"),
        reducer: env!("CARGO_BIN_EXE_e2e-reducer"),
        worker_timeout: Duration::from_secs(60),
    };
    Deployment::start_with(bootstraps, |function| function.timeout = Duration::from_secs(600)).await
}

/// A job that is planned, and all of whose chunks are done.
async fn gathered(deployed: &Deployment, pattern: &Bytes) -> JobKeys {
    let (store, id) = (deployed.store(), "many".parse().unwrap());
    let keys = JobKeys::new(&ObjectUri::new(BUCKET, "work/"), &id);
    let job = Job::from_json(&json!({
        "version": 1, "name": "many", "source": { "range": { "end": PIECES, "chunk": 1 } },
        "task": { "name": "none" }, "output": { "uri": format!("s3://{BUCKET}/out") }
    }));
    let job = job.unwrap();
    let plan = make(&job, &id, Listing::Nothing, 1, Occasion::at(0));
    store.put_json(&keys.job(), &job, PutOptions::default()).await.unwrap();
    store.put_json(&keys.plan(), &plan, PutOptions::default()).await.unwrap();
    leave_results(store, &keys, 0, |index| piece(pattern, index)).await;
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_results_of_64_kib_that_nobody_packed_need_less_than_128_mib_in_the_reducer() {
    let (deployed, pattern) = (deployed().await, pattern());
    let keys = gathered(&deployed, &pattern).await;
    deployed.send("reducer", &json!({ "version": 1, "reduce": "many", "attempt": 1 })).await;
    let report = deployed.report(&Submitted::with_keys(&keys)).await;
    let output = report.output.unwrap_or_else(|| panic!("{}", report.message));
    let pieces = (0..PIECES).map(|index| (Crc64::of(&piece(&pattern, index)), PIECE_BYTES as u64));
    assert_eq!((output.bytes, output.crc64nvme), (PIECES * PIECE_BYTES as u64, Crc64::of_all(pieces)));
    // Only the last part may be so small that the store takes a copy of it.
    assert_eq!(output.streamed_bytes, output.bytes - PIECE_BYTES as u64);
    // Whoever has reduced waits for the next event.
    let reducers = deployed.processes("reducer");
    let peak = reducers.iter().filter_map(Process::peak_memory_kib).max();
    println!("the reducer's peak: {} MiB", peak.unwrap_or(0) >> 10);
    assert!(peak.is_some_and(|kib| kib < MEMORY_KIB_MAX), "{peak:?} KiB");
    deployed.stop().await;
}
