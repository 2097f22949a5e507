//! Outputs that workers compress, as other people's decoders read them.

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use fanfold_flow::joblog::Line;
use serde_json::{Value, json};

use crate::functions::{deployed, job};
use crate::{bare, data, sandbox};

/// What Python's decoder makes of a gzip file.
fn gunzipped(path: &str) -> Vec<u8> {
    let script = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    let output = Command::new("python3").args(["-c", script, path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What the reference decoder makes of Zstandard.
fn unzstd(file: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_table_compressed_by_many_processes_is_the_bare_programs() {
    let input = data("birdstrikes.csv");
    let minor = ["awk", "-F,", "NR==1 || $0 ~ /Minor/"];
    let whole = bare(&minor, &input);
    for (compress, spread) in [("gzip", "16KiB"), ("gzip", "1GiB"), ("zstd", "16KiB"), ("zstd", "1GiB")] {
        let sandbox = sandbox();
        let options = ["-i", &input, "-o", "out.csv.z", "--split", "csv", "--header"];
        let more = ["--chunk-bytes", spread, "--processes", "3", "--compress", compress];
        sandbox.map(&[&options[..], &more].concat(), &minor).succeeded();
        let file = sandbox.read("out.csv.z");
        let table = match compress {
            "gzip" => gunzipped(sandbox.path("out.csv.z").to_str().unwrap()),
            _ => unzstd(&file),
        };
        assert!(table == whole, "{compress}, {spread}");
        assert!(file.len() < whole.len(), "{compress}, {spread}: {} bytes", file.len());
        sandbox.assert_clean(&["out.csv.z"]);
    }
}

#[test]
fn arrays_compressed_by_many_processes_are_one_array() {
    let (sandbox, input) = (sandbox(), data("flights.jsonl"));
    let script =
        "import json, sys; json.dump([json.loads(line) for line in sys.stdin], sys.stdout, indent=1)";
    let options = ["-i", &input, "-o", "out.json.gz", "--chunk-bytes", "50kB", "--compress", "gzip"];
    let argv = ["python3", "-c", script];
    sandbox.map(&[&options[..], &["--format", "json-array"]].concat(), &argv).succeeded();
    let array = gunzipped(sandbox.path("out.json.gz").to_str().unwrap());
    let expected: Vec<Value> = serde_json::from_slice(&bare(&argv, &input)).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&array).unwrap(), expected);
    sandbox.assert_clean(&["out.json.gz"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_at_a_deadline_is_read_as_one() {
    let deployed = deployed(Duration::from_secs(6)).await;
    let input: String = (0..400).map(|line| format!("line {line:03}\n")).collect();
    deployed.put("in", input.clone()).await;
    // Some 8 s for each of two chunks.
    let mut job =
        job("while read -r line; do sleep 0.04; echo \"$line\"; done", input.len() as u64 / 2 + 1, 2);
    (job["output"]["compress"], job["output"]["format"]) = (json!("zstd"), json!("lines"));
    let submitted = deployed.submit(&job).await;
    let (output, report) = deployed.output(&submitted).await;
    assert_eq!(String::from_utf8(unzstd(&output)).unwrap(), input);
    let joblog = deployed.joblog(&submitted).await;
    let mut lines = joblog.lines().skip(1).map(|line| Line::parse(line).unwrap());
    assert!(lines.any(|line| line.cut > 0) && report.chunks.done == 2, "{joblog}");
    deployed.stop().await;
}
