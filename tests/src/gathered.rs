//! What the workers of a job leave when all of it is done, written by hand: results of any size, each in an object of its own,
//! where workers would have packed small ones, and the merged records of them.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::crc::Crc64;
use fanfold_flow::done::{Done, Group};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::literal::Literal;
use fanfold_flow::plan::Plan;
use fanfold_flow::result::{ChunkResult, Stored};
use fanfold_flow::version::Version;
use fanfold_store::{PutOptions, Store, StoreExt};
use futures::{StreamExt, stream};

/// Results that are put at once.
const PUTS_IN_FLIGHT: usize = 16;

/// Leaves a result of each chunk of a planned job, of the bytes that `content` gives for its index.
pub async fn leave_results(
    store: &dyn Store,
    keys: &JobKeys,
    started_ms: i64,
    content: impl Fn(u64) -> Bytes + Sync,
) {
    let plan: Plan = store.get_json(&keys.plan()).await.unwrap_or_else(|error| panic!("the plan: {error}"));
    for number in 0..plan.grouping().groups() {
        let mut done = Vec::new();
        for partition in plan.grouping().members(number) {
            let chunks = plan.partition(partition, 1).map(|partition| partition.chunks).unwrap_or_default();
            let results: Vec<_> = chunks
                .into_iter()
                .map(|chunk| result(store, keys, chunk.index, started_ms, content(chunk.index)))
                .collect();
            done.push((partition, results));
        }
        let group = Group { version: Version, number, done: all_done(done).await };
        let put = store.put_json(&keys.group(number), &group, PutOptions::default()).await;
        put.unwrap_or_else(|error| panic!("group {number}: {error}"));
    }
}

/// Waits for results, some of them at once.
async fn all_done(partitions: Vec<(u64, Vec<impl Future<Output = ChunkResult>>)>) -> Vec<Done> {
    let numbers: Vec<(u64, usize)> =
        partitions.iter().map(|(number, results)| (*number, results.len())).collect();
    let results = partitions.into_iter().flat_map(|(_, results)| results);
    let mut results = stream::iter(results).buffered(PUTS_IN_FLIGHT).collect::<Vec<_>>().await.into_iter();
    let outcome = |(partition, count)| Done {
        version: Version,
        partition,
        attempts: 1,
        results: results.by_ref().take(count).collect(),
        failures: Vec::new(),
        tries: Vec::new(),
        deaths: Vec::new(),
        environments: vec![None],
    };
    numbers.into_iter().map(outcome).collect()
}

async fn result(
    store: &dyn Store,
    keys: &JobKeys,
    index: u64,
    started_ms: i64,
    content: Bytes,
) -> ChunkResult {
    let (uri, bytes, crc) = (keys.chunk_result(index, 0, 0, 1), content.len() as u64, Crc64::of(&content));
    let put = store.put(&uri, content, PutOptions::default()).await;
    let etag = put.unwrap_or_else(|error| panic!("put {uri}: {error}")).to_string();
    let stored = Stored {
        object: Arc::new(ObjectVersion { uri, etag, bytes }),
        lead_bytes: 0,
        offset: 0,
        bytes,
        crc,
        separator: Literal::default(),
    };
    ChunkResult {
        index,
        cut: 0,
        hop: 0,
        attempt: 1,
        stored: Some(stored),
        header: None,
        records: 1,
        input: None,
        bytes_in: 0,
        bytes_out: bytes,
        started_ms,
        wall_ms: 1,
    }
}
