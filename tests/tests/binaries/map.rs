//! The main job: `fanfold map` leaves what the bare program would have written over the whole file.

use fanfold_flow::report::{Counts, Status};

use crate::{bare, data, sandbox};

/// The README's program.
const MINOR: [&str; 3] = ["awk", "-F,", "NR==1 || $0 ~ /Minor/"];

#[test]
fn the_readmes_job_equals_the_bare_program_however_it_is_cut_and_spread() {
    let input = data("birdstrikes.csv");
    let whole = bare(&MINOR, &input);
    for spread in [
        ["--chunk-bytes", "64KiB", "--workers", "2", "--processes", "2"],
        ["--chunk-bytes", "16KiB", "--workers", "4", "--processes", "1"],
        ["--chunk-bytes", "1GiB", "--workers", "1", "--processes", "6"],
        ["--chunk-bytes", "100001", "--workers", "3", "--processes", "3"],
    ] {
        let sandbox = sandbox();
        let options = ["--input", &input, "--output", "out.csv", "--split", "csv", "--header"];
        sandbox.map(&[&options[..], &spread].concat(), &MINOR).succeeded();
        assert!(sandbox.read("out.csv") == whole, "{spread:?}");
        sandbox.assert_clean(&["out.csv"]);
    }
}

#[test]
fn the_report_accounts_for_every_chunk_and_every_record() {
    let (sandbox, input) = (sandbox(), data("birdstrikes.csv"));
    let options =
        ["-i", &input, "-o", "out.csv", "--split", "csv", "--header", "--chunk-bytes", "64KiB", "--json"];
    let ended = sandbox.map(&options, &["cat"]).succeeded();
    let report = ended.report();
    let file = std::fs::read(&input).unwrap();
    let chunks = file.len().div_ceil(64 << 10) as u64;
    assert_eq!(report.status, Status::Succeeded);
    assert_eq!(report.chunks, Counts { total: chunks, done: chunks, failed: 0, cancelled: 0 });
    // Data rows; the header is none. The last of them has no final newline.
    assert_eq!(report.records, file.iter().filter(|byte| **byte == b'\n').count() as u64);
    assert!(report.partitions > 1 && report.attempts == report.partitions, "{report:?}");
    assert_eq!(report.output.map(|output| output.bytes), Some(file.len() as u64));
    assert_eq!(sandbox.read("out.csv"), file);
    ended.says(&["done: ", ": 10,000 records", "out.csv"]);
}

#[test]
fn json_lines_through_a_python_filter_equal_the_bare_filter() {
    let (sandbox, input) = (sandbox(), data("flights.jsonl"));
    let script = "import json, sys\n\
        for line in sys.stdin:\n    \
            flight = json.loads(line)\n    \
            if flight['delay'] > 30: print(json.dumps(flight, sort_keys=True))";
    let filter = ["python3", "-c", script];
    let options =
        ["--input", &input, "--output", "late.jsonl", "--split", "lines", "--chunk-bytes", "50kB", "--json"];
    let report = sandbox.map(&options, &filter).succeeded().report();
    let whole = bare(&filter, &input);
    assert!(!whole.is_empty() && sandbox.read("late.jsonl") == whole);
    assert_eq!(report.records, 5_000);
    sandbox.assert_clean(&["late.jsonl"]);
}

#[test]
fn an_output_to_a_pipe_is_the_output_and_nothing_else() {
    let (sandbox, input) = (sandbox(), data("flights.jsonl"));
    let upper = ["tr", "a-z", "A-Z"];
    let ended = sandbox.map(&["-i", &input, "-o", "-", "--chunk-bytes", "100kB"], &upper).succeeded();
    assert!(ended.stdout == bare(&upper, &input));
    sandbox.assert_clean(&[]);
}

#[test]
fn quiet_says_nothing_of_a_job_that_succeeds() {
    let (sandbox, input) = (sandbox(), data("flights.jsonl"));
    let ended = sandbox.map(&["-i", &input, "-o", "out", "--quiet"], &["sh", "-c", "cat; echo noise >&2"]);
    let ended = ended.succeeded();
    assert_eq!((ended.stdout.as_slice(), ended.stderr.as_str()), (&b""[..], ""));
}

#[test]
fn objects_in_a_kept_data_folder_are_the_next_jobs_input() {
    let (sandbox, input) = (sandbox(), data("flights.jsonl"));
    let kept = ["--chunk-bytes", "100kB", "--data", "kept"];
    let upper = ["tr", "a-z", "A-Z"];
    sandbox.map(&[&["-i", &input, "-o", "s3://fanfold/upper"], &kept[..]].concat(), &upper).succeeded();
    sandbox.map(&[&["-i", "s3://fanfold/upper", "-o", "out"], &kept[..]].concat(), &["cat"]).succeeded();
    assert!(sandbox.read("out") == bare(&upper, &input));
    sandbox.assert_clean(&["kept", "out"]);
}
