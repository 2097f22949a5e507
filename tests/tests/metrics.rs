//! What the functions measure is what their jobs report.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use e2e::memory::{BUCKET, MemoryWorld};
use fanfold_flow::report::Status;
use fanfold_runtime::Metric;
use serde_json::{Value, json};

fn job(script: &str) -> Value {
    json!({
        "version": 1,
        "name": "measured",
        "source": { "objects": { "uri": format!("s3://{BUCKET}/in"), "chunk_bytes": 100 } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
        "retries": 1,
        "max_concurrency": 2
    })
}

fn sum(world: &MemoryWorld, metric: Metric) -> f64 {
    world.measured(metric).iter().sum()
}

async fn with_input() -> MemoryWorld {
    let world = MemoryWorld::new(2);
    world.put("in", (0..300).map(|line| format!("{line}\n")).collect::<String>()).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_a_job_add_up_to_its_report() {
    let world = with_input().await;
    let ended = world.run(&job("cat; echo done")).await.unwrap();
    let report = &ended.report;
    assert_eq!(sum(&world, Metric::Chunks), report.chunks.done as f64);
    assert_eq!(sum(&world, Metric::Records), report.records as f64);
    assert_eq!(sum(&world, Metric::BytesIn), report.bytes_in as f64);
    assert_eq!(sum(&world, Metric::BytesOut), report.output.as_ref().unwrap().bytes as f64);
    assert_eq!(sum(&world, Metric::Attempts), report.attempts as f64);
    assert_eq!(world.measured(Metric::Partitions), [report.partitions as f64]);
    assert_eq!(world.measured(Metric::ProcessCpuSeconds).len() as u64, report.partitions);
    assert!(world.measured(Metric::ProcessPeakMemoryBytes).iter().all(|bytes| *bytes > 100_000.0));
    assert_eq!(
        (world.measured(Metric::JobsStarted), world.measured(Metric::JobsSucceeded)),
        (vec![1.0], vec![1.0])
    );
    assert_eq!(world.measured(Metric::JobSeconds), [(report.ended_ms - report.started_ms) as f64 / 1_000.0]);
    for never in [Metric::JobsFailed, Metric::JobsStuck] {
        assert!(world.measured(never).is_empty(), "{never:?}");
    }
    assert_eq!(sum(&world, Metric::ChunksFailed), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_tells_its_failures_and_tries() {
    let world = with_input().await;
    let ended = world.run(&job("cat; [ $FANFOLD_INDEX != 1 ]")).await.unwrap();
    assert_eq!(ended.report.status, Status::Failed);
    assert_eq!(sum(&world, Metric::ChunksFailed), 1.0);
    assert_eq!(sum(&world, Metric::Chunks), ended.report.chunks.done as f64);
    assert_eq!(sum(&world, Metric::Attempts), (ended.report.partitions + 1) as f64);
    assert_eq!(
        (world.measured(Metric::JobsFailed), world.measured(Metric::JobsSucceeded)),
        (vec![1.0], Vec::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_twice_is_told_once() {
    let world = with_input().await;
    let mut job = job("cat");
    job["token"] = json!("nightly");
    let (first, second) = tokio::join!(world.run(&job), world.run(&job));
    assert_eq!(first.unwrap().report, second.unwrap().report);
    assert_eq!(
        (world.measured(Metric::JobsStarted), world.measured(Metric::JobsSucceeded)),
        (vec![1.0], vec![1.0])
    );
    assert_eq!(sum(&world, Metric::Records), 300.0);
}

#[test]
fn a_function_prints_its_metrics_as_lines_of_their_own_when_a_namespace_is_given() {
    // Nobody answers at this address: the function starts, says so, and gives up.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for namespace in [None, Some("Fanfold")] {
        let mut function = Command::new(env!("CARGO_BIN_EXE_e2e-reducer"));
        function.env_clear().envs([
            ("AWS_LAMBDA_RUNTIME_API", nobody.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "reducer"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_ACCESS_KEY_ID", "nobody"),
            ("AWS_SECRET_ACCESS_KEY", "nothing"),
            ("AWS_REGION", "us-east-1"),
            ("FANFOLD_WORK_URI", "s3://world/work/"),
            ("FANFOLD_DISPATCHER", "dispatcher"),
            ("FANFOLD_WORKER", "worker"),
            ("FANFOLD_REDUCER", "reducer"),
            ("FANFOLD_PIPELINE", "orders"),
        ]);
        function.envs(namespace.map(|namespace| ("FANFOLD_METRICS_NAMESPACE", namespace)));
        let printed = String::from_utf8(function.output().unwrap().stdout).unwrap();
        let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let metrics: Vec<&Value> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
        match namespace {
            None => assert!(metrics.is_empty(), "{printed}"),
            Some(namespace) => {
                assert_eq!(metrics.len(), 1, "{printed}");
                assert_eq!(metrics[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"], namespace);
                assert_eq!(
                    (&metrics[0]["ColdStarts"], &metrics[0]["Pipeline"]),
                    (&json!(1.0), &json!("orders"))
                );
            }
        }
    }
}
