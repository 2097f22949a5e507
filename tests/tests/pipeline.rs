//! The promises of the main job, over the three real handlers with real processes, everything else in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use e2e::memory::{BUCKET, MemoryWorld};
use fanfold_flow::code::Code;
use fanfold_flow::report::{Counts, Status};
use fanfold_flow::written::AsWritten;
use fanfold_store::ErrorKind;
use fanfold_store::faults::{Call, Decision, Faulty};
use proptest::prelude::*;
use serde_json::{Value, json};

fn job(source: Value, command: &[&str], output: Value) -> Value {
    json!({ "version": 1, "name": "test", "source": source, "task": { "command": command }, "output": output })
}

/// A job over the objects at `key`, whose output is at `out`.
fn objects(key: &str, split: Value, chunk_bytes: u64, command: &[&str], format: &str) -> Value {
    let source = json!({ "objects": { "uri": format!("s3://{BUCKET}/{key}"), "split": split, "chunk_bytes": chunk_bytes } });
    job(source, command, json!({ "uri": format!("s3://{BUCKET}/out"), "format": format }))
}

async fn run(world: &MemoryWorld, job: &Value) -> Vec<u8> {
    world.run(job).await.unwrap().output()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_of_any_lines_is_exact(lines in prop::collection::vec("[a-z é]{0,30}\r?\n", 0..60), tail in "[a-z]{0,9}", chunk_bytes in 1..200_u64) {
        let input = lines.concat() + &tail;
        block_on(async {
            let world = MemoryWorld::new(3);
            world.put("in", input.clone()).await;
            assert_eq!(run(&world, &objects("in", json!("lines"), chunk_bytes, &["cat"], "bytes")).await, input.as_bytes());
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_inputs_come_through_exactly() {
    let long = "x".repeat(20 << 20);
    let inputs =
        ["", "1", "\n", "\n\n\n", "a\r\nb\r\n", "no final newline", &format!("short\n{long}\nshort\n{long}")];
    for input in inputs {
        for chunk_bytes in [1_000, 7 << 20] {
            let world = MemoryWorld::new(2);
            world.put("in", input.to_owned()).await;
            // Few chunks of a byte or two; the long lines with larger ones.
            let chunk_bytes = if input.len() < 100 { 2 } else { chunk_bytes.max(1 << 20) };
            let output = run(&world, &objects("in", json!("lines"), chunk_bytes, &["cat"], "bytes")).await;
            assert!(output == input.as_bytes(), "{} bytes by {chunk_bytes}", input.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_under_a_prefix_come_in_byte_order_whatever_their_names() {
    let world = MemoryWorld::new(4);
    let names =
        ["in/😀.txt", "in/b c.txt", "in/a+b%20.txt", "in/한글 파일.txt", "in/B", "in/sub/x", "in/a//b"];
    for name in names {
        world.put(name, format!("{name}\n")).await;
    }
    world.put("in/folder/", "").await;
    let mut sorted = names;
    sorted.sort_unstable();
    let whole: String = sorted.iter().map(|name| format!("{name}\n")).collect();
    assert_eq!(run(&world, &objects("in/", json!("none"), 64, &["cat"], "bytes")).await, whole.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_its_own_order_and_a_glob_stays_within_a_folder() {
    let world = MemoryWorld::new(2);
    for key in ["in/1.txt", "in/2.txt", "in/3.csv", "in/sub/4.txt"] {
        world.put(key, format!("{key}\n")).await;
    }
    let uris = json!([format!("s3://{BUCKET}/in/3.csv"), format!("s3://{BUCKET}/in/*.txt")]);
    let job =
        job(json!({ "objects": { "uri": uris } }), &["cat"], json!({ "uri": format!("s3://{BUCKET}/out") }));
    assert_eq!(run(&world, &job).await, b"in/3.csv\nin/1.txt\nin/2.txt\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn brackets_in_a_prefix_are_letters_and_in_a_glob_are_signs() {
    let world = MemoryWorld::new(2);
    for key in ["in/[a]/1", "in/{b}/1", "in/a/1", "in/c*d/1", "in/cxd/1"] {
        world.put(key, format!("{key}\n")).await;
    }
    for (key, whole) in [
        ("in/[a]/", "in/[a]/1\n"),
        ("in/\\{b\\}/*", "in/{b}/1\n"),
        ("in/[{]b[}]/*", "in/{b}/1\n"),
        ("in/[a]/*", "in/a/1\n"),
        ("in/c\\*d/*", "in/c*d/1\n"),
    ] {
        let mut job = objects(key, json!("lines"), 64, &["cat"], "bytes");
        job["output"]["overwrite"] = json!(true);
        assert_eq!(String::from_utf8(run(&world, &job).await).unwrap(), whole, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_empty_objects_make_few_invocations() {
    let world = MemoryWorld::new(4);
    for number in 0..10_000 {
        world.put(&format!("in/{number:05}"), "").await;
    }
    world.put("in/05000x", "the only line\n").await;
    // `true` reads nothing and prints nothing: the cheapest process there is, ten thousand times.
    let ended = world.run(&objects("in/", json!("lines"), 64, &["cat"], "lines")).await.unwrap();
    assert_eq!(ended.report.chunks, Counts { total: 10_001, done: 10_001, failed: 0, cancelled: 0 });
    assert!(world.invocations("worker") <= 80, "{}", world.invocations("worker"));
    assert_eq!(ended.output(), b"the only line\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_header_is_given_to_every_process_and_written_once() {
    let world = MemoryWorld::new(3);
    let rows: String = (0..500).map(|row| format!("{row},\"name, {row}\"\n")).collect();
    world.put("in/a.csv", format!("id,name\n{rows}")).await;
    world.put("in/b.csv", "").await;
    world.put("in/c.csv", "id,name").await;
    world.put("in/d.csv", "id,name\n500,last").await;
    let source = json!({ "objects": { "uri": format!("s3://{BUCKET}/in/"), "split": "csv", "header": true, "chunk_bytes": 1000 } });
    let job =
        job(source, &["awk", "-F,", "NR==1 || $1 % 7 == 0"], json!({ "uri": format!("s3://{BUCKET}/out") }));
    let kept: String =
        (0..500).filter(|row| row % 7 == 0).map(|row| format!("{row},\"name, {row}\"\n")).collect();
    let ended = world.run(&job).await.unwrap();
    assert_eq!(ended.report.records, 501);
    assert_eq!(String::from_utf8(ended.output()).unwrap(), format!("id,name\n{kept}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_is_never_closed_fails_the_job_by_name() {
    let world = MemoryWorld::new(2);
    world.put("in.csv", format!("id,text\n1,\"{}\n", "a line\n".repeat(100))).await;
    let mut job = objects("in.csv", json!("csv"), 100, &["cat"], "bytes");
    job["tolerated_failures"] = json!("100%");
    let ended = world.run(&job).await.unwrap();
    assert_eq!((ended.report.status, ended.output), (Status::Failed, None));
    assert_eq!(ended.report.failures[0].code, Code::RecordCut);
    assert!(ended.report.message.contains("byte 10"), "{}", ended.report.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_chunk_of_a_csv_took_over_is_left_out_with_it() {
    let world = MemoryWorld::new(2);
    // The nominal border at byte 8 lies within quotes, where the second chunk cannot see it.
    world.put("in.csv", "1,\"aaaa\nbb\ncc\"\n").await;
    let script = "[ $FANFOLD_INDEX != 0 ] && cat";
    let mut job = objects("in.csv", json!("csv"), 8, &["sh", "-c", script], "bytes");
    job["tolerated_failures"] = json!("100%");
    let ended = world.run(&job).await.unwrap();
    assert_eq!(
        (ended.report.status, &ended.report.code),
        (Status::Succeeded, &None),
        "{}",
        ended.report.message
    );
    assert_eq!((ended.report.chunks.failed, ended.report.records), (1, 0));
    assert_eq!(ended.output(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_different_headers_are_refused_before_the_work() {
    let world = MemoryWorld::new(2);
    world.put("headers/a.csv", "id,n\n1,a\n").await;
    world.put("headers/b.csv", "x,y,z\n1,a,b\n2,b,c\n").await;
    let source = json!({ "objects": { "uri": format!("s3://{BUCKET}/headers/"), "split": "csv", "header": true, "chunk_bytes": 9 } });
    let job = job(source, &["cat"], json!({ "uri": format!("s3://{BUCKET}/out") }));
    let refusal = world.run(&job).await.unwrap_err().to_string();
    for part in ["header_differs", "headers/b.csv: its header differs at byte 0"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tolerated_failure_of_a_csv_is_left_out_where_its_border_was_proved() {
    let world = MemoryWorld::new(2);
    world.put("in.csv", "1,aaa\n2,bbb\n3,ccc\n").await;
    let script = "[ $FANFOLD_INDEX != 1 ] && cat";
    let mut job = objects("in.csv", json!("csv"), 6, &["sh", "-c", script], "bytes");
    job["tolerated_failures"] = json!(1);
    assert_eq!(run(&world, &job).await, b"1,aaa\n3,ccc\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_without_the_same_header_fail_the_job_by_name() {
    let world = MemoryWorld::new(2);
    world.put("in.csv", "id\n1\n2\n3\n4\n").await;
    let job = objects("in.csv", json!("csv"), 4, &["cat"], "csv");
    let ended = world.run(&job).await.unwrap();
    assert_eq!(ended.report.status, Status::Failed);
    assert!(ended.report.message.contains("different header lines"), "{}", ended.report.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_gives_each_process_its_offset_and_limit() {
    let world = MemoryWorld::new(2);
    let script = "echo \"[$FANFOLD_OFFSET, $FANFOLD_LIMIT]\"; cat";
    let output = json!({ "uri": format!("s3://{BUCKET}/out"), "format": "json-array" });
    let job = job(json!({ "range": { "start": 5, "end": 30, "chunk": 10 } }), &["sh", "-c", script], output);
    let output: Value = serde_json::from_slice(&run(&world, &job).await).unwrap();
    assert_eq!(output, json!([5, 10, 15, 10, 25, 5]));
}

#[tokio::test(flavor = "multi_thread")]
async fn items_come_as_lines_from_the_job_or_from_an_object() {
    let world = MemoryWorld::new(2);
    let values: Vec<Value> = (0..25).map(|n| json!({ "n": n, "text": "a\nb" })).collect();
    let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
    world.put("items.jsonl", lines.trim_end().to_owned()).await;
    let output = json!({ "uri": format!("s3://{BUCKET}/out"), "format": "lines", "overwrite": true });
    let own = job(json!({ "items": { "values": values, "chunk": 7 } }), &["cat"], output.clone());
    assert_eq!(run(&world, &own).await, lines.as_bytes());
    let listed = json!({ "items": { "uri": format!("s3://{BUCKET}/items.jsonl"), "chunk": 7 } });
    assert_eq!(run(&world, &job(listed, &["cat"], output)).await, lines.trim_end().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_reach_the_program_byte_for_byte() {
    let items = [
        "18446744073709551616",
        "-0",
        "1.10E+2",
        "{\"b\": 1,\"a\":[ ],\"b\":-9223372036854775809}",
        "\"\\u0041\\/\"",
    ];
    let text = json!({
        "version": 1, "name": "test", "source": { "items": { "values": [0], "chunk": 2 } }, "task": { "command": ["cat"] },
        "output": { "uri": format!("s3://{BUCKET}/out"), "format": "jsonl" }
    });
    let text = text.to_string().replace("[0]", &format!("[{}, {{\n \"c d\": 1.0\n}}]", items.join("\n, ")));
    let AsWritten(job) = serde_json::from_str(&text).unwrap();
    let expected = format!("{}\n{{\"c d\":1.0}}\n", items.join("\n"));
    assert_eq!(String::from_utf8(run(&MemoryWorld::new(2), &job).await).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_gives_nothing_out() {
    let world = MemoryWorld::new(2);
    let array = |uri: &str| json!({ "uri": format!("s3://{BUCKET}/{uri}"), "format": "json-array" });
    let range = job(json!({ "range": { "end": 0, "chunk": 10 } }), &["false"], array("a"));
    assert_eq!(run(&world, &range).await, b"[]\n");
    let items =
        job(json!({ "items": { "values": [] } }), &["false"], json!({ "uri": format!("s3://{BUCKET}/b") }));
    assert_eq!(run(&world, &items).await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_index_of_a_job_that_fails_is_accounted_for() {
    let world = MemoryWorld::new(2);
    let script = "if [ $FANFOLD_INDEX = 3 ]; then echo half; echo why >&2; exit 3; fi; echo $FANFOLD_INDEX";
    let source = json!({ "range": { "end": 10, "chunk": 1 } });
    let mut job = job(source, &["sh", "-c", script], json!({ "uri": format!("s3://{BUCKET}/out") }));
    job["retries"] = json!(1);
    let ended = world.run(&job).await.unwrap();
    assert_eq!((ended.report.status, &ended.output), (Status::Failed, &None));
    assert_eq!(ended.report.chunks, Counts { total: 10, done: 9, failed: 1, cancelled: 0 });
    let failure = &ended.report.failures[0];
    assert_eq!((failure.index, failure.code, failure.attempts), (3, Code::ProgramFailed, 2));
    assert!(failure.stderr_tail.contains("why") && failure.message.contains("status 3"), "{failure:?}");

    job["tolerated_failures"] = json!("10%");
    let ended = world.run(&job).await.unwrap();
    assert_eq!(ended.report.failures.len(), 1);
    assert_eq!(ended.output(), b"0\n1\n2\n4\n5\n6\n7\n8\n9\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_failed_is_tried_again() {
    let world = MemoryWorld::new(2);
    let script =
        "[ $FANFOLD_INDEX = 1 -a $FANFOLD_ATTEMPT = 1 ] && kill -9 $$; echo $FANFOLD_INDEX.$FANFOLD_ATTEMPT";
    let job = job(
        json!({ "range": { "end": 3, "chunk": 1 } }),
        &["sh", "-c", script],
        json!({ "uri": format!("s3://{BUCKET}/out") }),
    );
    assert_eq!(run(&world, &job).await, b"0.1\n1.2\n2.1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_there_is_left_alone_unless_the_job_says_otherwise() {
    let world = MemoryWorld::new(2);
    world.put("in", "new\n").await;
    world.put("out", "old\n").await;
    let mut job = objects("in", json!("lines"), 64, &["cat"], "bytes");
    let refusal = world.run(&job).await.unwrap_err().to_string();
    assert!(refusal.contains("output_exists") && refusal.contains("overwrite"), "{refusal}");
    job["output"]["overwrite"] = json!(true);
    assert_eq!(run(&world, &job).await, b"new\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_keep_to_the_concurrency_and_reach_every_partition() {
    let world = MemoryWorld::new(1);
    let mut job = job(
        json!({ "range": { "end": 20, "chunk": 1 } }),
        &["sh", "-c", "echo $FANFOLD_INDEX"],
        json!({ "uri": format!("s3://{BUCKET}/out") }),
    );
    job["max_concurrency"] = json!(3);
    let ended = world.run(&job).await.unwrap();
    assert_eq!((ended.report.partitions, world.invocations("worker")), (20, 3));
    let numbers: String = (0..20).map(|number| format!("{number}\n")).collect();
    assert_eq!(ended.output(), numbers.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_delivered_twice_is_one_job() {
    let world = MemoryWorld::new(2);
    let mut job = job(
        json!({ "range": { "end": 4, "chunk": 1 } }),
        &["sh", "-c", "echo $FANFOLD_INDEX"],
        json!({ "uri": format!("s3://{BUCKET}/out") }),
    );
    job["token"] = json!("nightly-2026-11-22");
    let (first, second) = tokio::join!(world.run(&job), world.run(&job));
    assert_eq!(first.unwrap().output(), second.unwrap().output());
    assert_eq!(world.keys("work/jobs/").await.iter().filter(|key| key.ends_with("result.json")).count(), 1);
    assert!(world.keys("work/active/").await.is_empty(), "no marker outlives its job");
    assert!(
        !world.keys("work/jobs/").await.iter().any(|key| key.contains("/chunks/")),
        "no chunk result outlives its output"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_job_under_the_same_token_is_refused() {
    let world = MemoryWorld::new(2);
    world.put("in", "1\n").await;
    let mut job = objects("in", json!("lines"), 64, &["cat"], "bytes");
    job["token"] = json!("nightly");
    assert_eq!(run(&world, &job).await, b"1\n");
    assert_eq!(run(&world, &job).await, b"1\n", "the same job again is answered as before");
    job["task"]["command"] = json!(["wc"]);
    let refusal = world.run(&job).await.unwrap_err().to_string();
    assert!(refusal.contains("invalid_job") && refusal.contains("a token of its own"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reducer_left_that_died_after_its_report_is_taken_away_by_the_next() {
    let world = MemoryWorld::new(2);
    world.put("in", "1\n").await;
    let ended = world.run(&objects("in", json!("lines"), 64, &["cat"], "bytes")).await.unwrap();
    let job_id = ended.report.job_id.as_str();
    world.put(&format!("work/active/{job_id}"), "{}").await;
    world.put(&format!("work/jobs/{job_id}/chunks/000000000.000.001"), "1\n").await;
    // And one of a worker that was killed while it uploaded.
    world.leave_upload(&format!("work/jobs/{job_id}/chunks/000000000.000.002")).await;
    world.send("reducer", &json!({ "version": 1, "reduce": job_id, "attempt": 2 })).await;
    assert_eq!(world.keys("work/active/").await, Vec::<String>::new());
    assert_eq!(world.keys(&format!("work/jobs/{job_id}/chunks/")).await, Vec::<String>::new());
    world.assert_no_uploads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_are_copied_by_the_store_and_not_by_the_reducer() {
    let world = MemoryWorld::new(2);
    let job = job(
        json!({ "range": { "end": 3, "chunk": 1 } }),
        &["sh", "-c", "head -c 6000000 /dev/zero | tr '\\0' $FANFOLD_INDEX"],
        json!({ "uri": format!("s3://{BUCKET}/out") }),
    );
    let ended = world.run(&job).await.unwrap();
    assert_eq!(ended.report.output.as_ref().unwrap().streamed_bytes, 0);
    let output = ended.output();
    assert_eq!(output.len(), 18_000_000);
    assert!(
        output.chunks(6_000_000).zip(b"012").all(|(piece, digit)| piece.iter().all(|byte| byte == digit))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_with_advice() {
    let world = MemoryWorld::new(2);
    world.put("in", "x\n").await;
    let missing = objects("nothing/*.csv", json!("lines"), 64, &["cat"], "bytes");
    let refusal = world.run(&missing).await.unwrap_err().to_string();
    assert!(refusal.contains("input_missing") && refusal.contains("matches no object"), "{refusal}");
    let unknown = objects("in", json!("lines"), 64, &["no-such-program"], "bytes");
    let ended = world.run(&unknown).await.unwrap();
    assert_eq!(ended.report.failures[0].code, Code::ProgramNotStarted);
    assert_eq!(ended.report.failures[0].attempts, 1, "what cannot end otherwise is not tried again");
    let mut unregistered = objects("in", json!("lines"), 64, &[], "bytes");
    unregistered["task"] = json!({ "name": "translat" });
    let report = world.run(&unregistered).await.unwrap().report;
    assert_eq!((report.code, report.failures[0].attempts), (Some(Code::InvalidJob), 1));
    assert!(report.message.contains("did you mean 'translate'?"), "{}", report.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_without_its_joblog_rather_than_not_at_all() {
    for refused in [false, true] {
        let decide = move |call: &Call<'_>| match refused && call.at.contains("joblog.tsv") {
            true => Decision::Fail(ErrorKind::Denied),
            false => Decision::Pass,
        };
        let world = MemoryWorld::behind(2, move |store| Arc::new(Faulty::new(store, decide)));
        world.put("in", "1\n2\n").await;
        let ended = world.run(&objects("in", json!("lines"), 2, &["cat"], "bytes")).await.unwrap();
        assert_eq!(ended.report.joblog.is_none(), refused);
        assert_eq!(ended.output(), b"1\n2\n");
    }
}
