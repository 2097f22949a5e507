//! What a job's texts leave to the run reaches its programs, and its input, the same in every worker.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use e2e::memory::{BUCKET, MemoryWorld};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_process_of_a_run_is_told_the_same_and_other_braces_stay() {
    let world = MemoryWorld::new(1);
    let script = "printf '%s\\n' \"$1\" \"$2\" \"$WHEN\" {x}";
    let job = json!({
        "version": 1, "name": "orders", "token": "run-1", "scheduled_time": "2026-11-21T03:00:00Z",
        "source": { "range": { "end": 3, "chunk": 1 } },
        "task": {
            "command": ["sh", "-c", script, "sh", "{name}/{job_id}", "{scheduled_date}"],
            "environment": { "WHEN": "{scheduled_time} {start_tim}" }
        },
        "output": { "uri": format!("s3://{BUCKET}/out/{{scheduled_date}}") }
    });
    let ended = world.run(&job).await.unwrap();
    let one = "orders/run-1\n2026-11-21\n2026-11-21T03-00-00Z {start_tim}\n{x}\n";
    assert_eq!(ended.output(), one.repeat(3).as_bytes());
    assert_eq!(world.keys("out/").await, ["out/2026-11-21"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_looks_like_a_glob_and_like_a_placeholder_is_read_and_named_as_it_is() {
    let world = MemoryWorld::new(1);
    let key = "in/{job_id}[a]*.csv";
    for (key, content) in
        [(key, "mine\n"), ("in/run-1a-other.csv", "not mine\n"), ("in/run-1[a]x.csv", "not mine\n")]
    {
        world.put(key, content).await;
    }
    let job = json!({
        "version": 1, "name": "arrivals", "token": "run-1", "trigger": { "object": format!("s3://{BUCKET}/{key}") },
        "source": { "objects": { "uri": "{object_uri}" } },
        "task": { "command": ["sh", "-c", "printf '%s\\n' \"$1\"; cat", "sh", "{object_name}"] },
        "output": { "uri": format!("s3://{BUCKET}/out/{{object_name}}") },
        "on_object_created": { "bucket": BUCKET, "prefix": "in/" }
    });
    let ended = world.run(&job).await.unwrap();
    assert_eq!(ended.output(), b"{job_id}[a]*.csv\nmine\n");
    assert_eq!(world.keys("out/").await, ["out/{job_id}[a]*.csv"]);
}
