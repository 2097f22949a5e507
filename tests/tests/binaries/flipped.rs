//! A stored result is changed behind our back, between the worker that wrote it and the reducer: the job says where that was
//! caught, and leaves neither an output nor an upload.
//!
//! The last partition of every job here waits for a file, so that there is a time between.

use std::fs;
use std::time::Duration;

use e2e::deployment::{BUCKET, Deployment, Submitted};
use e2e::files;
use fanfold_flow::code::Code;
use fanfold_flow::done::Done;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::{Report, Status};
use fanfold_flow::result::Stored;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{ErrorKind, Store, StoreExt};
use serde_json::json;

use crate::functions::deployed;

/// How many results there are, each of a worker of its own.
const PARTITIONS: u64 = 3;

/// What S3 copies by itself.
const LARGE_BYTES: u64 = 6_000_000;

/// What the reducer reads.
const SMALL_BYTES: u64 = 60_000;

/// A job whose results all have so many bytes behind their header, under way: all but the last partition are done.
struct UnderWay {
    deployed: Deployment,
    submitted: Submitted,
}

impl UnderWay {
    async fn with_results_of(bytes: u64) -> Self {
        let deployed = deployed(Duration::from_secs(60)).await;
        let last = PARTITIONS - 1;
        let script = format!(
            "if [ $FANFOLD_OFFSET = {last} ]; then while [ ! -e go ]; do sleep 0.01; done; fi; \
             echo index,row; seq -f $FANFOLD_OFFSET,%.0f 1 1000000 | head -c {bytes}"
        );
        let job = json!({
            "version": 1, "name": "flipped", "token": "flipped",
            "source": { "range": { "end": PARTITIONS, "chunk": 1 } },
            "task": { "command": ["sh", "-c", script] },
            "output": { "uri": format!("s3://{BUCKET}/out"), "format": "csv" },
            "processes": 1, "retries": 0
        });
        let submitted = deployed.submit(&job).await;
        Self { deployed, submitted }
    }

    /// The result of a partition, as soon as its worker has committed it.
    async fn result_of(&self, partition: u64) -> Stored {
        let keys = JobKeys::new(&ObjectUri::new(BUCKET, "work/"), &"flipped".parse().unwrap());
        let at = keys.done(0, partition);
        let is_there = async || self.deployed.store().exists(&at).await.unwrap();
        self.deployed.until("the done record", is_there).await;
        let done: Done = self.deployed.store().get_json(&at).await.unwrap();
        done.results[0].stored.clone().unwrap()
    }

    /// Has the last worker go on, and tells how the job ended: in failure, and with nothing left of its output.
    async fn fails(self) -> Report {
        let Self { deployed, submitted } = self;
        fs::write(deployed.folder().join("go"), "").unwrap();
        // No upload is left either: that holds of every report that is waited for.
        let report = deployed.report(&submitted).await;
        assert_eq!(
            (report.status, report.code),
            (Status::Failed, Some(Code::OutputCorrupt)),
            "{}",
            report.message
        );
        let output = deployed.store().head(&ObjectUri::new(BUCKET, "out")).await;
        assert_eq!(output.unwrap_err().kind(), ErrorKind::NotFound);
        deployed.stop().await;
        report
    }
}

/// A place in the midst of a result, in its object.
fn middle(result: &Stored) -> usize {
    usize::try_from(result.offset + result.bytes / 2).unwrap()
}

/// Puts other content of the same length at the result's key, as anybody might who may write there.
async fn put_over(under_way: &UnderWay, result: &Stored) {
    let mut bytes = under_way.deployed.get(&result.object.uri).await;
    bytes[middle(result)] ^= 1;
    under_way.deployed.put(&result.object.uri.key, bytes).await;
}

/// Changes the result in the file in which the store keeps it. To the store, it is what it was.
async fn flip_on_disk(under_way: &UnderWay, result: &Stored) {
    let bytes = under_way.deployed.get(&result.object.uri).await;
    let midst = middle(result);
    files::flip(under_way.deployed.folder(), &bytes[midst - 20..midst + 20]);
    let head = under_way.deployed.store().head(&result.object.uri).await.unwrap();
    assert_eq!(head.etag.as_str(), result.object.etag);
}

fn says(report: &Report, parts: &[&str]) {
    for part in parts {
        assert!(report.message.contains(part), "'{part}' is not in: {}", report.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_that_was_put_anew_is_caught_when_it_is_copied_by_its_etag() {
    let under_way = UnderWay::with_results_of(LARGE_BYTES).await;
    let result = under_way.result_of(1).await;
    put_over(&under_way, &result).await;
    let report = under_way.fails().await;
    says(&report, &["as its ETag shows", &result.object.uri.to_string(), "result of index 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_result_that_was_put_anew_is_caught_when_it_is_read_by_its_etag() {
    let under_way = UnderWay::with_results_of(SMALL_BYTES).await;
    let result = under_way.result_of(1).await;
    put_over(&under_way, &result).await;
    let report = under_way.fails().await;
    says(&report, &["as its ETag shows", &result.object.uri.to_string(), "result of index 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_of_a_large_result_that_rots_on_the_stores_disk_is_caught_at_complete_by_the_crc() {
    let under_way = UnderWay::with_results_of(LARGE_BYTES).await;
    // It is copied without its header, so the store has to read it: the embedded one does so where it does not take the whole
    // of what was uploaded at once, and knows its checksum.
    let result = under_way.result_of(1).await;
    assert!(result.lead_bytes > 0 && result.bytes > 5 << 20, "{result:?}");
    flip_on_disk(&under_way, &result).await;
    let report = under_way.fails().await;
    let whose = format!("the result of index 1 is not what was written: bytes {}..", result.offset);
    let object = result.object.uri.to_string();
    says(&report, &["complete s3://deployed/out", "CRC64NVME", "still has the ETag", &whose, &object]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_of_a_small_result_that_rots_on_the_stores_disk_is_caught_when_it_was_read_by_the_crc() {
    let under_way = UnderWay::with_results_of(SMALL_BYTES).await;
    let result = under_way.result_of(1).await;
    flip_on_disk(&under_way, &result).await;
    let report = under_way.fails().await;
    says(&report, &["as they were read", "CRC64NVME", "the result of index 1 is not what was written"]);
}
