//! The joblog of real runs: a line for each try at a chunk, in columns that add up to what the report says.

use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::joblog::{Line, Outcome, header};
use fanfold_flow::report::{Report, Status};

use rustix::process::Signal;

use crate::functions::{deployed, job};
use crate::sandbox;
use e2e::program::{Ended, Sandbox};

/// How many lines of five bytes the input has, of which three chunks are made.
const RECORDS: u64 = 300;

/// Runs a shell script over three chunks in one worker at a time, with a joblog.
fn map(sandbox: &Sandbox, options: &[&str], script: &str) -> Ended {
    let input: String = (0..RECORDS).map(|number| format!("{number:04}\n")).collect();
    sandbox.write("in", input);
    let chunk_bytes = (RECORDS * 5 / 3).to_string();
    let usual = ["-i", "in", "-o", "out", "--chunk-bytes", &chunk_bytes, "--joblog", "jobs.tsv", "--json"];
    sandbox.map(&[&usual[..], options].concat(), &["sh", "-c", script])
}

/// The joblog's text, header included.
fn joblog(sandbox: &Sandbox) -> String {
    String::from_utf8(sandbox.read("jobs.tsv")).unwrap()
}

fn lines(joblog: &str) -> Vec<Line<'_>> {
    let lines = joblog.strip_prefix(&header()).unwrap_or_else(|| panic!("no header: {joblog}"));
    lines.lines().map(|line| Line::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Asserts that what the lines of results say is in sum what the report says of the whole.
fn assert_sums(lines: &[Line<'_>], report: &Report) {
    let done = || lines.iter().filter(|line| line.outcome == Outcome::Done);
    assert_eq!(done().count() as u64, report.chunks.done);
    assert_eq!(done().map(|line| line.bytes_in).sum::<u64>(), report.bytes_in);
    assert_eq!(done().filter_map(|line| line.records).sum::<u64>(), report.records);
    let output = report.output.as_ref().map_or(0, |output| output.bytes);
    assert_eq!(done().map(|line| line.bytes_out).sum::<u64>(), output);
}

#[test]
fn a_try_that_failed_and_the_one_that_mended_it_both_have_a_line_and_the_sums_are_the_reports() {
    let sandbox = sandbox();
    let script = "if [ $FANFOLD_INDEX$FANFOLD_ATTEMPT = 11 ]; then echo half; exit 3; fi; tr 0-8 1-9";
    let ended = map(&sandbox, &[], script).succeeded();
    let report = ended.report();
    assert!(report.joblog.is_some(), "the report says where it is");
    assert!(!ended.stderr.contains("jobs.tsv"), "where all went well, nobody need look");
    let text = joblog(&sandbox);
    let lines = lines(&text);
    let told: Vec<_> =
        lines.iter().map(|line| (line.index, line.outcome, line.exitval, line.signal)).collect();
    let failed = Outcome::Failed(Code::ProgramFailed);
    let done = Outcome::Done;
    assert_eq!(told, [(0, done, 0, 0), (1, failed, 3, 0), (1, done, 0, 0), (2, done, 0, 0)]);
    assert!(lines[1].attempt < lines[2].attempt && lines[1].started_ms <= lines[2].started_ms);
    assert_eq!(lines[1].bytes_out, 5, "what it printed before it failed");
    for line in &lines {
        assert_eq!((line.cut, line.hop, line.reason), (0, 0, None));
        assert!(line.host.is_some() && line.cold.is_some(), "{line:?}");
        assert!((report.started_ms..=report.ended_ms).contains(&line.started_ms), "{line:?}");
        assert!(line.command.starts_with("sh -c 'if [ $FANFOLD_INDEX"), "{}", line.command);
    }
    assert_sums(&lines, &report);
    sandbox.assert_clean(&["in", "out", "jobs.tsv"]);
}

#[test]
fn a_job_that_fails_names_its_joblog_and_the_signal_stands_in_it() {
    let sandbox = sandbox();
    let script = "if [ $FANFOLD_INDEX = 2 ]; then kill -TERM $$; fi; cat";
    let ended = map(&sandbox, &["--retries", "1"], script);
    let ended = ended.failed_with(i32::from(Code::ProgramKilled.exit_status()));
    ended.says(&["joblog    jobs.tsv, a line for each try at a chunk"]);
    assert_eq!(ended.report().status, Status::Failed);
    let text = joblog(&sandbox);
    let told: Vec<_> = lines(&text)
        .iter()
        .filter(|line| line.index == 2)
        .map(|line| (line.outcome, line.exitval, line.signal))
        .collect();
    let killed = (Outcome::Failed(Code::ProgramKilled), 0, 15);
    assert_eq!(told, [killed, killed], "each of both tries");
    sandbox.assert_clean(&["in", "jobs.tsv"]);
}

#[test]
fn a_joblog_that_nobody_asked_for_stays_only_where_the_jobs_objects_stay() {
    let sandbox = sandbox();
    sandbox.write("in", "1\n");
    let report = |options: &[&str]| {
        let usual = ["-i", "in", "-o", "out", "--json"];
        sandbox.map(&[&usual[..], options].concat(), &["cat"]).succeeded().report()
    };
    assert_eq!(report(&[]).joblog, None, "it went with the temporary folder");
    assert!(report(&["--data", "kept"]).joblog.is_some());
    sandbox.assert_clean(&["in", "out", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_died_has_a_line_of_its_own_with_what_is_known_of_its_end() {
    let deployed = deployed(Duration::from_secs(60)).await;
    deployed.put("in", "0\n1\n2\n3\n").await;
    let script = "if [ $FANFOLD_ATTEMPT = 1 ]; then touch stuck; exec sleep 1000; fi; cat";
    let submitted = deployed.submit(&job(script, 8, 1)).await;
    deployed.until("the stuck chunk", async || deployed.folder().join("stuck").exists()).await;
    assert_eq!(deployed.signal_running("worker", Signal::KILL), 1);
    let (_, report) = deployed.output(&submitted).await;
    let text = String::from_utf8(deployed.get(&report.joblog.clone().unwrap()).await).unwrap();
    let lines = lines(&text);
    let told: Vec<_> = lines.iter().map(|line| (line.index, line.attempt, line.outcome)).collect();
    assert_eq!(told, [(0, 1, Outcome::Failed(Code::WorkerDied)), (0, 2, Outcome::Done)]);
    assert_eq!((lines[0].exitval, lines[0].signal, lines[0].host), (-1, 0, None));
    assert!(lines[0].reason.is_some_and(|reason| reason.contains("killed")), "{:?}", lines[0].reason);
    assert_sums(&lines, &report);
    deployed.stop().await;
}
