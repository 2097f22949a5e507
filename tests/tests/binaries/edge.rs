//! The command line at the edge to the machine: names, places, standard streams, and what people type by habit.

use std::fs::File;
use std::process::Stdio;

use fanfold_flow::job::Compress;
use serde_json::json;

use crate::sandbox;
use e2e::decoders::decompressed;
use e2e::program::{Ended, Sandbox};

/// A shell script in which `$F` is the program.
fn shell(sandbox: &Sandbox, script: &str) -> Ended {
    let mut command = sandbox.any("bash");
    command.args(["-c", script]).env("F", env!("CARGO_BIN_EXE_e2e-fanfold"));
    sandbox.start(&mut command).ended()
}

/// A sandbox with a file of many lines.
fn with_lines() -> Sandbox {
    let sandbox = sandbox();
    let lines: String = (0..2_000).map(|number| format!("line {number}\n")).collect();
    sandbox.write("in", lines);
    sandbox
}

#[test]
fn arguments_and_input_names_are_taken_letter_by_letter() {
    let sandbox = sandbox();
    sandbox.write("{name}.txt", "Dear {name}, \\{name} {start_date}\n");
    let script = "s/{name}/Bob/; s/\\\\{name}/{deployment.x}/; s/e\\{3\\}/3/";
    sandbox.map(&["-i", "{name}.txt", "-o", "out-{name}"], &["sed", script]).succeeded();
    assert_eq!(sandbox.read("out-name"), b"Dear Bob, {deployment.x} {start_date}\n");
    sandbox.assert_clean(&["{name}.txt", "out-name"]);
}

#[test]
fn a_job_file_writes_braces_with_a_backslash() {
    let sandbox = sandbox();
    sandbox.write("{name}.txt", "x\n");
    let job = json!({
        "version": 1, "name": "n", "source": { "objects": { "uri": "\\{name}.txt" } },
        "task": { "command": ["sed", "s/x/{name} \\{name}/"] }, "output": { "uri": "\\{name}.{name}" }
    });
    sandbox.write("job.json", job.to_string());
    sandbox.run(["run", "job.json"]).succeeded();
    assert_eq!(sandbox.read("{name}.n"), b"n {name}\n");
}

#[test]
fn an_output_that_would_be_lost_is_refused_before_the_start() {
    let sandbox = with_lines();
    let refused = sandbox.map(&["-i", "in", "-o", "s3://b/out"], &["touch", "ran"]).failed_with(2);
    refused.says(&["--output s3://b/out", "would be lost", "--data DIR", "--s3 environment --work"]);
    let refused = sandbox.map(&["-i", "s3://b/in", "-o", "out"], &["touch", "ran"]).failed_with(3);
    refused.says(&["--input", "--data DIR", "begins empty"]);
    sandbox.assert_clean(&["in"]);
}

#[test]
fn nothing_goes_over_something_else_by_another_name() {
    let sandbox = with_lines();
    let touch = ["touch", "ran"];
    let refused = sandbox.map(&["-i", "in", "-o", "out", "--joblog", "./out"], &touch).failed_with(2);
    refused.says(&["use --output out and --joblog ./out"]);
    let refused = sandbox.map(&["-i", "in", "-o", "out", "--joblog", "../work/in"], &touch).failed_with(2);
    refused.says(&["use --joblog ../work/in: it is the input"]);
    sandbox.map(&["-i", "in", "-o", "-", "--json"], &touch).failed_with(2).says(&["--output - and --json"]);
    sandbox.assert_clean(&["in"]);
    // Standard output is that file as well.
    let stdout = File::create(sandbox.path("out")).unwrap();
    let mut command = sandbox.command(["map", "-i", "in", "-o", "out", "--json", "--", "touch", "ran"]);
    let refused = sandbox.start_with_its_stdout(command.stdout(Stdio::from(stdout))).ended().failed_with(2);
    refused.says(&["--output out and --json"]);
}

#[test]
fn places_that_cannot_be_written_are_found_before_the_work() {
    let sandbox = with_lines();
    // A folder in which not even root can make a file.
    let touch = ["touch", "ran"];
    let refused = sandbox.map(&["-i", "in", "-o", "/proc/self/fdinfo/out"], &touch).failed_with(2);
    refused.says(&["use --output: no file can be made in the folder /proc/"]);
    let joblog = ["-i", "in", "-o", "out", "--joblog", "/proc/self/fdinfo/jobs"];
    sandbox.map(&joblog, &touch).failed_with(2).says(&["use --joblog: no file can be made"]);
    sandbox.assert_clean(&["in"]);
}

#[test]
fn standard_input_is_an_input() {
    let sandbox = with_lines();
    for inputs in ["-i -", "-", "/dev/stdin"] {
        let script = format!("cat in | \"$F\" map {inputs} -o - -q --chunk-bytes 1k -- tr a-z A-Z");
        let ended = shell(&sandbox, &script).succeeded();
        assert_eq!(ended.stdout, sandbox.read("in").to_ascii_uppercase(), "{inputs}");
    }
    // A file is read from where it stands, as by cat.
    let ended = shell(&sandbox, "{ read -r line; \"$F\" map - -o - -q -- cat; } < <(cat in)").succeeded();
    assert!(ended.stdout.starts_with(b"line 1\nline 2\n"));
    shell(&sandbox, "\"$F\" map - - -o out -- cat < in").failed_with(2).says(&["can be read only once"]);
}

#[test]
fn a_reader_that_stops_is_a_quiet_end() {
    let sandbox = with_lines();
    let script = "{ \"$F\" map in -o - -q --chunk-bytes 1k -- sh -c 'cat; head -c 200000 /dev/zero'; echo $? > status; } | head -1";
    let ended = shell(&sandbox, script).succeeded();
    assert_eq!((ended.stdout.as_slice(), ended.stderr.as_str()), (&b"line 0\n"[..], ""));
    assert_eq!(sandbox.read("status"), b"141\n");
    sandbox.assert_clean(&["in", "status"]);
}

/// The first results are read while the last chunk still waits for something that only then happens.
#[test]
fn results_reach_standard_output_in_order_as_chunks_end() {
    let sandbox = with_lines();
    let program = "cat; [ $FANFOLD_INDEX != 6 ] || until [ -e go ]; do sleep 0.02; done";
    let chunks = "--chunk-bytes 3k --workers 8 --processes 1";
    let script = format!(
        "\"$F\" map in -o - -q {chunks} -- sh -c '{program}' | {{ head -c 5000 > first; touch go; cat > rest; }}; \
         cat first rest | cmp - in && wc -c < first"
    );
    let ended = shell(&sandbox, &script).succeeded();
    assert_eq!(ended.stdout, b"5000\n");
}

#[test]
fn a_reader_that_stops_ends_the_work() {
    let sandbox = with_lines();
    let program = "cat; [ $FANFOLD_INDEX = 0 ] || sleep 1000";
    let chunks = "--chunk-bytes 3k --workers 8 --processes 1";
    let script =
        format!("{{ \"$F\" map in -o - -q {chunks} -- sh -c '{program}'; echo $? >&2; }} | head -n 1");
    let ended = shell(&sandbox, &script).succeeded();
    assert_eq!((ended.stdout.as_slice(), ended.stderr.as_str()), (&b"line 0\n"[..], "141\n"));
    sandbox.assert_clean(&["in"]);
}

#[test]
fn a_failure_behind_a_written_beginning_is_said_and_ends_the_program_so() {
    let sandbox = with_lines();
    let program = "cat; [ $FANFOLD_INDEX != 6 ] || { sleep 1; exit 3; }";
    let options = [
        "in",
        "-o",
        "-",
        "-q",
        "--chunk-bytes",
        "3k",
        "--workers",
        "8",
        "--processes",
        "1",
        "--retries",
        "0",
    ];
    let ended = sandbox.map(&options, &["sh", "-c", program]).failed_with(4);
    let whole = sandbox.read("in");
    assert!(!ended.stdout.is_empty() && ended.stdout.len() < whole.len() && whole.starts_with(&ended.stdout));
    ended.says(&["of an output had been written to standard output by then"]);
}

#[test]
fn every_format_is_the_same_on_standard_output_as_in_a_file() {
    let sandbox = with_lines();
    for (format, program) in [
        ("bytes", "cat"),
        ("lines", "printf x; head -c 100"),
        ("csv", "echo a,b; cat"),
        ("json-array", "wc -l | sed 's/.*/[&, 1]/'"),
    ] {
        for (compress, kind) in [
            (&[][..], Compress::None),
            (&["--compress", "gzip"], Compress::Gzip),
            (&["--compress", "zstd"], Compress::Zstd),
        ] {
            let options =
                ["in", "--chunk-bytes", "2k", "--workers", "3", "--processes", "1", "--format", format];
            let to = |output: &str| {
                let options = [&options[..], compress, &["-o", output, "-q"]].concat();
                sandbox.map(&options, &["sh", "-c", program]).succeeded()
            };
            to("out");
            // How well a result is compressed may depend on how its bytes came.
            let plain = |bytes: &[u8]| decompressed(kind, bytes).unwrap();
            assert!(plain(&to("-").stdout) == plain(&sandbox.read("out")), "{format} {compress:?}");
        }
    }
}

#[test]
fn a_closed_standard_output_is_no_place_for_an_output() {
    let sandbox = with_lines();
    for output in ["-o -", "-o out --json", "-o out --joblog -"] {
        let script = format!("\"$F\" map in {output} -q -- touch ran >&-");
        shell(&sandbox, &script).failed_with(2).says(&["write standard output: it is closed"]);
    }
    sandbox.assert_clean(&["in"]);
    shell(&sandbox, "\"$F\" map in -o - -q -- cat > /dev/null").succeeded();
    shell(&sandbox, "\"$F\" map in -o out -q -- cat >&-").succeeded();
}

#[test]
fn words_that_cannot_be_printed_change_nothing() {
    let sandbox = with_lines();
    shell(&sandbox, "\"$F\" map in -o out -- cat 2>/dev/full").succeeded();
    assert_eq!(sandbox.read("out"), sandbox.read("in"));
    shell(&sandbox, "\"$F\" map in -o out -- false 2>/dev/full").failed_with(4);
}

#[test]
fn grep_is_told_how_its_status_1_is_accepted() {
    let sandbox = with_lines();
    let options = ["-i", "in", "-o", "out", "--chunk-bytes", "1k"];
    let refused = sandbox.map(&options, &["grep", "line 17"]).failed_with(4);
    refused.says(&["grep exits 1 where nothing matches", "--ok-status 0,1", "after 1 attempt"]);
    let accepting = [&options[..], &["--ok-status", "0,1"]].concat();
    sandbox.map(&accepting, &["grep", "line 17"]).succeeded();
    let expected = shell(&sandbox, "grep 'line 17' in").stdout;
    assert!(!expected.is_empty() && sandbox.read("out") == expected);
    sandbox.map(&accepting, &["grep", "-E", "("]).failed_with(4).says(&["exited with status 2"]);
}

#[test]
fn a_name_of_several_words_is_told_to_be_one() {
    let sandbox = with_lines();
    let refused = sandbox.map(&["in", "-o", "out"], &["grep 1"]).failed_with(4);
    refused.says(&["this name is one word with a space in it", "sh -c"]);
}

#[test]
fn several_inputs_and_globs_are_read_in_order() {
    let sandbox = sandbox();
    for name in ["a.txt", "b.txt", "c.txt", ".hidden.txt", "d/e.txt"] {
        sandbox.write(name, format!("{name}\n"));
    }
    for (inputs, output) in [
        (&["{b,a}.txt"][..], "a.txt\nb.txt\n"),
        (&["[ac].txt"], "a.txt\nc.txt\n"),
        (&["-i", "c.txt", "a.txt"], "c.txt\na.txt\n"),
        (&["*.txt", "-q"], "a.txt\nb.txt\nc.txt\n"),
        (&["."], "a.txt\nb.txt\nc.txt\nd/e.txt\n"),
    ] {
        let ended = sandbox.map(&[inputs, &["-o", "-"]].concat(), &["cat"]).succeeded();
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), output, "{inputs:?}");
    }
}

#[test]
fn a_folder_whose_name_is_not_utf8_is_named() {
    let sandbox = with_lines();
    let script = "mkdir $'caf\\xe9' && cd $'caf\\xe9' && \"$F\" map ../in -o ../out -- touch ../ran";
    shell(&sandbox, script).failed_with(2).says(&[r#"caf\xE9": its name is not UTF-8"#]);
}

#[test]
fn options_are_refused_by_the_names_that_were_typed() {
    let sandbox = with_lines();
    let options = ["-i", "in", "-o", "out"];
    for (option, value, says) in [
        ("--memory-mb", "99999999", "--memory-mb: must be at most"),
        ("--timeout", "1ms", "it must be from 1s to 15m"),
        ("--retries", "-1", "-1 is not in 0..=10"),
        ("--name", "a b", "--name: must be 1 to 64 letters"),
        ("--chunk-bytes", "18446744073709551616", "is too large"),
    ] {
        let refused =
            sandbox.map(&[&options[..], &[option, value]].concat(), &["touch", "ran"]).failed_with(2);
        refused.says(&[says]);
    }
    sandbox
        .map(&["-i", "nothing", "-o", "out"], &["cat"])
        .failed_with(3)
        .says(&["read --input: there is no file"]);
    sandbox.assert_clean(&["in"]);
}
