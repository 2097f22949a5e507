//! Programs that do what programs do: each ends as the contract says, and leaves nothing behind.

use fanfold_flow::code::Code;
use fanfold_flow::report::{Counts, Report, Status};

use crate::sandbox;
use e2e::program::{Ended, Sandbox};

/// More than any pipe holds, so that a program that does not read is noticed.
const CHUNK_BYTES: usize = 3_000_000;

/// Three chunks of lines, each line a divisor of a chunk, so that every chunk begins where its range does.
fn input() -> Vec<u8> {
    (0..3 * CHUNK_BYTES / 100).flat_map(|number| format!("{number:099}\n").into_bytes()).collect()
}

/// A sandbox with the input `in`, and an output `out` from before.
fn prepared() -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("in", input());
    sandbox.write("out", "from before");
    sandbox
}

/// A job over the three chunks with this shell script as its program.
fn map(sandbox: &Sandbox, options: &[&str], script: &str) -> Ended {
    let chunk_bytes = CHUNK_BYTES.to_string();
    let usual = ["-i", "in", "-o", "out", "--chunk-bytes", &chunk_bytes, "--json"];
    sandbox.map(&[&usual[..], options].concat(), &["sh", "-c", script])
}

/// Runs a script that is to succeed, and gives its output and its report. Nothing else is left of it.
fn succeeding(script: &str) -> (Vec<u8>, Report) {
    let sandbox = prepared();
    let report = map(&sandbox, &[], script).succeeded().report();
    assert_eq!(report.chunks, Counts { total: 3, done: 3, failed: 0, cancelled: 0 });
    sandbox.assert_clean(&["in", "out"]);
    (sandbox.read("out"), report)
}

/// Runs a script that is to fail in these many of the three chunks, and gives what was said. The output from before stays.
fn failing(failed: u64, code: Code, options: &[&str], script: &str) -> (Ended, Report) {
    let sandbox = prepared();
    let ended = map(&sandbox, options, script).failed_with(i32::from(code.exit_status()));
    let report = ended.report();
    assert_eq!((report.status, &report.output), (Status::Failed, &None));
    assert_eq!(report.chunks, Counts { total: 3, done: 3 - failed, failed, cancelled: 0 });
    assert!(report.failures.iter().all(|failure| failure.code == code), "{:?}", report.failures);
    ended.says(&[code.as_str(), code.advice(), "no output"]);
    sandbox.assert_clean(&["in", "out"]);
    assert_eq!(sandbox.read("out"), b"from before");
    (ended, report)
}

#[test]
fn a_program_may_fill_its_output_before_it_reads() {
    let (output, _) = succeeding("head -c 5000000 /dev/zero; cat");
    let input = input();
    let expected: Vec<u8> =
        input.chunks(CHUNK_BYTES).flat_map(|chunk| [&vec![0; 5_000_000], chunk].concat()).collect();
    assert!(output == expected, "{} bytes instead of {}", output.len(), expected.len());
}

#[test]
fn a_program_need_not_read() {
    let (output, report) = succeeding("echo $FANFOLD_INDEX");
    assert_eq!(output, b"0\n1\n2\n");
    assert_eq!(report.attempts, report.partitions, "to stop reading is no failure");
}

#[test]
fn a_program_need_not_print() {
    let (output, report) = succeeding("cat > /dev/null");
    assert_eq!(output, b"");
    assert_eq!(report.records, input().len() as u64 / 100);
}

#[test]
fn megabytes_of_standard_error_are_no_hindrance() {
    let (output, _) =
        succeeding("cat; yes some trouble | head -c 3000000 >&2; head -c 2000000 /dev/zero >&2");
    assert!(output == input());
}

#[test]
fn a_program_that_is_killed_once_is_tried_again() {
    let sandbox = prepared();
    let script = "head -c 1000; if [ $FANFOLD_ATTEMPT = 1 ]; then kill -KILL $$; fi; cat";
    let ended = map(&sandbox, &[], script).succeeded();
    ended.says(&["trying again after program_killed", "SIGKILL", "3 retries"]);
    assert!(sandbox.read("out") == input(), "half a result of the first attempt must not count");
    sandbox.assert_clean(&["in", "out"]);
}

#[test]
fn a_program_that_is_always_killed_fails_its_job_with_the_signal() {
    let (ended, report) = failing(3, Code::ProgramKilled, &["--retries", "1"], "kill -TERM $$");
    ended.says(&["signal 15 (SIGTERM)", "index 0", "index 1", "index 2", "after 2 attempts"]);
    assert_eq!(report.failures.iter().map(|failure| failure.index).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_program_that_fails_after_half_its_output_leaves_none_of_it() {
    let script = "head -c 1500000; if [ $FANFOLD_INDEX = 1 ]; then echo no such gull >&2; exit 3; fi; cat";
    let (ended, report) = failing(1, Code::ProgramFailed, &["--retries", "1"], script);
    ended.says(&["exited with status 3", "| no such gull", "1 of 3 chunks failed"]);
    assert_eq!((report.failures[0].index, report.failures[0].attempts), (1, 2));
    assert_eq!(report.failures[0].stderr_tail, "no such gull\n");
}

#[test]
fn a_tolerated_failure_is_left_out_of_the_output_and_listed() {
    let sandbox = prepared();
    let script = "if [ $FANFOLD_INDEX = 1 ]; then exit 3; fi; cat";
    let ended = map(&sandbox, &["--retries", "0", "--tolerated-failures", "1"], script).succeeded();
    ended.says(&["index 1", "exited with status 3"]);
    let report = ended.report();
    assert_eq!(report.chunks, Counts { total: 3, done: 2, failed: 1, cancelled: 0 });
    let input = input();
    let expected = [&input[..CHUNK_BYTES], &input[2 * CHUNK_BYTES..]].concat();
    assert!(sandbox.read("out") == expected);
    sandbox.assert_clean(&["in", "out"]);
}

#[test]
fn a_program_that_is_not_there_is_named_and_not_tried_again() {
    let sandbox = prepared();
    let ended = sandbox.map(&["-i", "in", "-o", "out", "--json"], &["no-such-program", "x"]);
    let ended = ended.failed_with(i32::from(Code::ProgramNotStarted.exit_status()));
    ended.says(&["program_not_started", "no-such-program", "after 1 attempt:"]);
    assert_eq!(ended.report().failures.len(), 1);
    sandbox.assert_clean(&["in", "out"]);
    assert_eq!(sandbox.read("out"), b"from before");
}

#[test]
fn what_a_program_leaves_running_is_ended() {
    let (output, _) = succeeding("sleep 1000 > /dev/null 2>&1 & setsid sleep 1000 > /dev/null 2>&1 & cat");
    assert!(output == input());
}

#[test]
fn what_is_left_running_must_not_hold_the_output_open() {
    let (ended, _) =
        failing(3, Code::OutputHeld, &["--retries", "0", "--processes", "3"], "sleep 1000 & cat");
    ended.says(&["sleep"]);
}
