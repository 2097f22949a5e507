//! How results become one output: formats, compression and packing, over the three real handlers with real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::memory::{BUCKET, MemoryWorld};
use fanfold_flow::code::Code;
use fanfold_flow::job::Compress;
use fanfold_store::faults::{Call, Decision, Faulty};
use fanfold_store::{ErrorKind, Operation};
use serde_json::{Value, json};

/// A job over so many numbers, each a chunk for this shell script.
fn numbers(end: u64, script: &str, format: &str, compress: &str) -> Value {
    json!({
        "version": 1, "name": "test",
        "source": { "range": { "end": end, "chunk": 1 } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": format!("s3://{BUCKET}/out"), "format": format, "compress": compress, "overwrite": true },
    })
}

/// What independent decoders make of an output.
fn decompressed(compress: &str, output: &[u8]) -> Vec<u8> {
    let compress: Compress = serde_json::from_value(compress.into()).unwrap();
    assert!(compress.is_none() || !output.is_empty(), "no file of {compress:?} is without a byte");
    e2e::decoders::decompressed(compress, output).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_the_same_compressed_or_not_in_every_format() {
    // Of seven chunks the first, the fourth and the last print nothing that counts.
    for (format, nothing, something, expected) in [
        ("bytes", "", "printf %s $FANFOLD_INDEX", "1245"),
        ("lines", "", "printf '%s\\nx' $FANFOLD_INDEX", "1\nx\n2\nx\n4\nx\n5\nx"),
        (
            "jsonl",
            "",
            "printf '{\"a\":%s}\\n[]' $FANFOLD_INDEX",
            "{\"a\":1}\n[]\n{\"a\":2}\n[]\n{\"a\":4}\n[]\n{\"a\":5}\n[]",
        ),
        ("csv", "echo a", "printf 'a\\n%s' $FANFOLD_INDEX", "a\n1\n2\n4\n5\n"),
        ("csv", "", "printf 'a\\n%s' $FANFOLD_INDEX", "a\n1\n2\n4\n5\n"),
        (
            "json-array",
            "echo ' [ ] '",
            "printf '[%s, [\"],[\"]]' $FANFOLD_INDEX",
            "[1, [\"],[\"],2, [\"],[\"],4, [\"],[\"],5, [\"],[\"]]\n",
        ),
    ] {
        let script = format!(
            "case $FANFOLD_INDEX in 0|3|6) {} ;; *) {something} ;; esac",
            if nothing.is_empty() { ":" } else { nothing }
        );
        for compress in ["none", "gzip", "zstd"] {
            let world = MemoryWorld::new(3);
            let output = world.run(&numbers(7, &script, format, compress)).await.unwrap().output();
            let text = String::from_utf8(decompressed(compress, &output)).unwrap();
            // The line end of what was the last line of a chunk in between is set, and that of the last one, too.
            let text = if format == "csv" && !text.ends_with('\n') { text + "\n" } else { text };
            assert_eq!(text, expected, "{format}, {compress}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_and_is_tolerated_leaves_no_trace_in_an_output() {
    let script = "test $FANFOLD_INDEX != 0 && test $FANFOLD_INDEX != 4 && printf '[%s]' $FANFOLD_INDEX";
    for compress in ["none", "gzip", "zstd"] {
        let mut job = numbers(5, script, "json-array", compress);
        job["tolerated_failures"] = json!(2);
        job["retries"] = json!(0);
        let output = MemoryWorld::new(2).run(&job).await.unwrap().output();
        assert_eq!(decompressed(compress, &output), b"[1,2,3]\n", "{compress}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_not_json_are_refused_by_both_json_formats() {
    for (format, result, words) in [
        ("json-array", "[1,2,]", "at byte 5 is ']', expected a value"),
        ("json-array", "[01]", "at byte 2 is '1', expected ',' or ']'"),
        ("json-array", "[1] 2", "at byte 4 is '2', expected nothing more"),
        ("jsonl", "{}\\n\\n{}\\n", "line 2, at byte 3, is blank"),
        ("jsonl", "{}\\n{\\n}\\n", "line 2 ends at byte 4 within a JSON value"),
    ] {
        let mut job = numbers(2, &format!("printf '{result}'"), format, "none");
        job["retries"] = json!(0);
        let report = MemoryWorld::new(2).run(&job).await.unwrap().report;
        assert_eq!(report.code, Some(Code::ResultMalformed), "{result}");
        let message = report.failures.first().map(|failure| format!("{failure:?}")).unwrap_or_default();
        assert!(message.contains(words), "{result}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_nothing_is_nothing_in_its_format_and_a_file_that_decoders_take() {
    for (format, script, expected) in [
        ("bytes", ":", ""),
        ("lines", ":", ""),
        ("jsonl", ":", ""),
        ("csv", "printf a,b", "a,b"),
        ("csv", ":", ""),
        ("json-array", "echo '[]'", "[]\n"),
    ] {
        for compress in ["none", "gzip", "zstd"] {
            for chunks in [0, 3] {
                let ended =
                    MemoryWorld::new(2).run(&numbers(chunks, script, format, compress)).await.unwrap();
                let expected = if chunks == 0 && format == "csv" { "" } else { expected };
                assert_eq!(
                    decompressed(compress, &ended.output()),
                    expected.as_bytes(),
                    "{format}, {compress}, {chunks}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_megabytes_become_one_and_not_a_byte_goes_through_the_reducer() {
    // 7 MB each, of strings that look like structure.
    let script = "printf '[%s' $FANFOLD_INDEX; yes ',\"],[ \\\" {\"' | head -n 600000; printf ']'";
    for (compress, is_large) in [("none", true), ("gzip", false)] {
        let ended = MemoryWorld::new(2).run(&numbers(4, script, "json-array", compress)).await.unwrap();
        let streamed_bytes = ended.report.output.as_ref().unwrap().streamed_bytes;
        assert_eq!(streamed_bytes == 0, is_large, "{compress}: {streamed_bytes}");
        let output = decompressed(compress, &ended.output());
        let values: Vec<Value> = serde_json::from_slice(&output).unwrap();
        assert_eq!(values.len(), 4 * 600_001);
        let starts: Vec<&Value> = values.iter().filter(|value| value.is_number()).collect();
        assert_eq!(starts, [0, 1, 2, 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_large_results_is_not_read_by_the_reducer_either() {
    let script = "echo number,text; yes $FANFOLD_INDEX,0123456789 | head -n 500000";
    let ended = MemoryWorld::new(2).run(&numbers(3, script, "csv", "none")).await.unwrap();
    assert_eq!(ended.report.output.as_ref().unwrap().streamed_bytes, 0);
    let output = String::from_utf8(ended.output()).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!((lines[0], lines.len()), ("number,text", 1 + 3 * 500_000));
    assert!(lines[1..].is_sorted() && !lines[1..].contains(&lines[0]));
}

/// A world that counts the objects of results, of which the first so many are refused.
fn counting(cores: u32, refused: usize) -> (MemoryWorld, Arc<AtomicUsize>) {
    let puts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&puts);
    let decide = move |call: &Call<'_>| {
        let is_result = call.operation == Operation::Put && call.at.contains("/chunks/");
        match is_result && count.fetch_add(1, Ordering::Relaxed) < refused {
            true => Decision::Fail(ErrorKind::Denied),
            false => Decision::Pass,
        }
    };
    (MemoryWorld::behind(cores, move |store| Arc::new(Faulty::new(store, decide))), puts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_small_results_get_an_object_a_partition() {
    let (world, puts) = counting(4, 0);
    for number in 0..1_000 {
        world.put(&format!("in/{number:04}"), format!("{number}\n")).await;
    }
    let source = json!({ "objects": { "uri": format!("s3://{BUCKET}/in/"), "split": "none" } });
    let job = json!({
        "version": 1, "name": "test", "source": source, "task": { "command": ["cat"] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
    });
    let ended = world.run(&job).await.unwrap();
    assert_eq!((ended.report.chunks.done, ended.report.partitions), (1_000, 4));
    assert_eq!(puts.load(Ordering::Relaxed), 4);
    let expected: String = (0..1_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(ended.output(), expected.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_get_lost_on_their_way_to_the_store_are_made_again() {
    let script = "test $FANFOLD_INDEX = 3 || echo $FANFOLD_INDEX";
    let mut job = numbers(6, script, "bytes", "none");
    job["processes"] = json!(6);
    job["tolerated_failures"] = json!(0);
    let (world, puts) = counting(6, 1);
    let ended = world.run(&job).await.unwrap();
    assert_eq!(ended.report.attempts, 2 * ended.report.partitions, "{:?}", ended.report);
    assert_eq!(ended.output(), b"0\n1\n2\n4\n5\n");
    assert_eq!(puts.load(Ordering::Relaxed), 2);

    job["retries"] = json!(0);
    let (world, _) = counting(6, 1);
    let report = world.run(&job).await.unwrap().report;
    // What had no byte to be stored is done.
    assert_eq!((report.code, report.chunks.failed, report.chunks.done), (Some(Code::Store), 5, 1));
    assert!(report.message.contains("with those of its neighbours"), "{}", report.message);
}
