//! The three functions' own bootstraps on the embedded Lambda: the job runs as deployed, and ends whatever dies.

use std::time::Duration;

use e2e::deployment::{BUCKET, Bootstraps, Deployment};
use fanfold_flow::report::Counts;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{bare, data};

pub(crate) async fn deployed(worker_timeout: Duration) -> Deployment {
    let bootstraps = Bootstraps {
        dispatcher: env!("CARGO_BIN_EXE_e2e-dispatcher"),
        worker: env!("CARGO_BIN_EXE_e2e-worker"),
        reducer: env!("CARGO_BIN_EXE_e2e-reducer"),
        worker_timeout,
    };
    Deployment::start(bootstraps).await
}

/// A job over the lines of `in` with this shell script as its program.
pub(crate) fn job(script: &str, chunk_bytes: u64, retries: u32) -> Value {
    json!({
        "version": 1,
        "name": "deployed",
        "source": { "objects": { "uri": format!("s3://{BUCKET}/in"), "split": "lines", "chunk_bytes": chunk_bytes } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
        "retries": retries
    })
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_as_deployed() {
    let deployed = deployed(minute()).await;
    let input = data("birdstrikes.csv");
    deployed.put("in", std::fs::read(&input).unwrap()).await;
    let mut job = job("", 64 << 10, 2);
    let minor = ["awk", "-F,", "NR==1 || $0 ~ /Minor/"];
    (job["task"]["command"], job["output"]["format"]) = (json!(minor), json!("csv"));
    (job["source"]["objects"]["split"], job["source"]["objects"]["header"]) = (json!("csv"), json!(true));
    let submitted = deployed.submit(&job).await;
    let (output, report) = deployed.output(&submitted).await;
    assert!(output == bare(&minor, &input));
    assert_eq!((report.records, report.attempts), (10_000, report.partitions));
    assert!(report.partitions > 1);
    deployed.stop().await;
}

/// The first attempt at the second chunk notes that it runs, and then never ends.
const STUCK_AT_FIRST: &str =
    "if [ $FANFOLD_ATTEMPT = 1 -a $FANFOLD_INDEX = 1 ]; then touch stuck; exec sleep 1000; fi; cat";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_midst_of_its_chunks_is_made_up_for() {
    let deployed = deployed(minute()).await;
    let input: String = (0..20_000).map(|line| format!("line {line}\n")).collect();
    deployed.put("in", input.clone()).await;
    let submitted = deployed.submit(&job(STUCK_AT_FIRST, 40_000, 2)).await;
    deployed.until("the stuck chunk", async || deployed.folder().join("stuck").exists()).await;
    assert!(deployed.signal_running("worker", Signal::KILL) > 0);
    let (output, report) = deployed.output(&submitted).await;
    assert!(output == input.as_bytes());
    assert!(report.attempts > report.partitions, "{report:?}");
    assert_eq!(report.chunks.done, report.chunks.total);
    assert_eq!(deployed.processes("sleep"), [], "a program outlived its worker");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_is_ended_by_lambda_and_made_up_for() {
    let deployed = deployed(Duration::from_secs(4)).await;
    deployed.put("in", "0\n1\n2\n3\n").await;
    let submitted = deployed.submit(&job(STUCK_AT_FIRST, 2, 2)).await;
    deployed.until("the stuck chunk", async || deployed.folder().join("stuck").exists()).await;
    // Stopped, it cannot even notice that its time is running out.
    assert!(deployed.signal_running("worker", Signal::STOP) > 0);
    let (output, report) = deployed.output(&submitted).await;
    assert_eq!(output, b"0\n1\n2\n3\n");
    assert!(report.attempts > report.partitions, "{report:?}");
    assert_eq!(deployed.processes("sleep"), [], "a program outlived its worker");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_delivered_twice_runs_once() {
    let deployed = deployed(minute()).await;
    deployed.put("in", "0\n1\n2\n3\n4\n5\n").await;
    let mut job = job("echo run >> runs; cat", 2, 2);
    job["token"] = json!("the-same");
    let (first, second) = tokio::join!(deployed.submit(&job), deployed.submit(&job));
    assert_eq!(first, second);
    let (output, report) = deployed.output(&first).await;
    assert_eq!(output, b"0\n1\n2\n3\n4\n5\n");
    // Delivered again when all is over, it is still the same job.
    assert_eq!(deployed.submit(&job).await, first);
    assert_eq!(deployed.report(&first).await, report);
    let runs = std::fs::read_to_string(deployed.folder().join("runs")).unwrap();
    assert_eq!(runs, "run\n".repeat(6), "each chunk's program runs once");
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reducer_killed_in_the_midst_of_its_work_is_made_up_for() {
    let deployed = deployed(minute()).await;
    deployed.put("in", "0\n1\n2\n3\n").await;
    // Results that take a while to copy and to stream.
    let script = "yes $FANFOLD_INDEX | head -c 40000001";
    let submitted = deployed.submit(&job(script, 2, 2)).await;
    deployed.until("the reducer", async || !deployed.running("reducer").is_empty()).await;
    assert_eq!(deployed.signal_running("reducer", Signal::KILL), 1);
    assert!(!deployed.has_ended(&submitted).await, "it was killed too late to see anything");
    let (output, report) = deployed.output(&submitted).await;
    let expected: Vec<u8> = (0..4)
        .flat_map(|index| format!("{index}\n").repeat(20_000_001).into_bytes()[..40_000_001].to_vec())
        .collect();
    assert!(output == expected, "{} bytes", output.len());
    assert_eq!(report.chunks, Counts { total: 4, done: 4, failed: 0, cancelled: 0 });
    deployed.stop().await;
}
