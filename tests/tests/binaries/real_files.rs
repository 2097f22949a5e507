//! Files as people have them: cut exactly, or refused by name before any program runs.

use e2e::program::Sandbox;

use crate::sandbox;

/// Prints each record of a CSV that a reader finds behind the header, so that one that was torn shows.
const ROWS: &str = "import csv, sys\ncsv.field_size_limit(1 << 30)\nfor row in list(csv.reader(sys.stdin))[1:]: print(repr(row))";

/// Whether `map` over a file, in chunks of each of these sizes, leaves what the bare program prints.
fn is_exact(sandbox: &Sandbox, file: &str, options: &[&str], program: &[&str], chunk_bytes: &[&str]) {
    let input = std::fs::File::open(sandbox.path(file)).unwrap();
    let bare = sandbox.any(program[0]).args(&program[1..]).stdin(input).output().unwrap().stdout;
    assert!(!bare.is_empty(), "the bare program prints nothing");
    for bytes in chunk_bytes {
        let cut = ["-i", file, "-o", "out", "--chunk-bytes", bytes, "-q"];
        sandbox.map(&[&cut[..], options].concat(), program).succeeded();
        let found = sandbox.read("out");
        assert!(found == bare, "{file} in chunks of {bytes}: {} bytes, not {}", found.len(), bare.len());
    }
}

#[test]
fn quoted_line_breaks_are_cut_exactly_at_any_chunk_size() {
    let sandbox = sandbox();
    let text = |row: usize| match row % 3 {
        0 => format!("\"a line\nand, \"\"another\"\" of {row}\""),
        _ => format!("plain {row}"),
    };
    let rows: String = (0..400).map(|row| format!("{row},{}\n", text(row))).collect();
    sandbox.write("commas.csv", format!("id,\"the\ntext\"\n{rows}"));
    let options = ["--split", "csv", "--header", "--format", "bytes"];
    is_exact(&sandbox, "commas.csv", &options, &["python3", "-c", ROWS], &["50", "333", "4KiB"]);

    let rows: String = (0..300).map(|row| format!("{row};\"size 5\\\" pipe\nsecond; {row}\"\n")).collect();
    sandbox.write("escapes.csv", format!("id;text\n{rows}"));
    let options = ["--split", "csv", "--escape", "\\", "--header", "--format", "bytes"];
    let reader = "import csv, sys\n\
        for row in list(csv.reader(sys.stdin, delimiter=';', escapechar='\\\\', doublequote=False))[1:]: print(repr(row))";
    is_exact(&sandbox, "escapes.csv", &options, &["python3", "-c", reader], &["64", "500"]);
}

#[test]
fn a_quoted_field_longer_than_many_chunks_is_cut_exactly() {
    let sandbox = sandbox();
    let long = "a line of a long text without any quote\n".repeat(8_000);
    let rows: String = (0..50).map(|row| format!("{row},short\n")).collect();
    sandbox.write("long.csv", format!("id,text\n{rows}51,\"{long}\"\n{rows}52,\"{long}\"\n{rows}"));
    let options = ["--split", "csv", "--header", "--format", "bytes"];
    is_exact(&sandbox, "long.csv", &options, &["python3", "-c", ROWS], &["30000", "100000"]);
}

#[test]
fn records_of_other_kinds_are_cut_exactly() {
    let sandbox = sandbox();
    let numbers = || 0..200;
    let fasta: String = numbers().map(|number| format!(">s{number}\nACGT>\nAC\n")).collect();
    sandbox.write("in.fa", fasta);
    let named = "/^>/ { name = $0; next } { print name, $0 }";
    is_exact(&sandbox, "in.fa", &["--split", "begins:>"], &["awk", named], &["60", "1000"]);

    let fastq: String = numbers().map(|number| format!("@r{number}\nACGT\n+\n@!!!\n")).collect();
    sandbox.write("in.fq", fastq);
    let quads = "NR % 4 == 1 { name = $0 } NR % 4 == 0 { print name, $0 }";
    is_exact(&sandbox, "in.fq", &["--split", "lines:4"], &["awk", quads], &["50", "999"]);

    let paragraphs: String = numbers().map(|number| format!("title {number}\ntext\n\n\n")).collect();
    sandbox.write("in.txt", paragraphs);
    let joined = "BEGIN { RS = \"\" } { gsub(/\\n/, \" \"); print }";
    is_exact(&sandbox, "in.txt", &["--split", "paragraphs"], &["awk", joined], &["70", "800"]);

    let sequence: String = numbers().map(|number| format!("\u{1e}{{\"i\":{number},\n \"x\":1}}\n")).collect();
    sandbox.write("in.seq", sequence);
    let objects = "import json, sys\n\
        for text in sys.stdin.read().split('\\x1e')[1:]: print(json.loads(text)['i'])";
    is_exact(&sandbox, "in.seq", &["--split", "begins:\u{1e}"], &["python3", "-c", objects], &["90", "700"]);

    sandbox.write("mac.csv", (0..50).map(|row| format!("{row},row\r")).collect::<String>());
    let lines = "import sys\nfor line in open(0, newline=''): print(line.rstrip('\\r'))";
    is_exact(&sandbox, "mac.csv", &["--split", "csv"], &["python3", "-c", lines], &["30", "100"]);
}

#[test]
fn what_stands_before_the_header_is_given_to_every_process() {
    let sandbox = sandbox();
    let rows: String = (0..60).map(|row| format!("{row},{}\n", row * row)).collect();
    sandbox.write("in.csv", format!("# exported \"today\nid,v\n{rows}"));
    let reader = "import csv, sys\n\
        for row in csv.DictReader(line for line in sys.stdin if line[0] != '#'): print(row['id'], row['v'])";
    let options = ["--split", "csv", "--header", "--comment", "#", "--format", "bytes"];
    is_exact(&sandbox, "in.csv", &options, &["python3", "-c", reader], &["60", "200"]);
    let options = ["--split", "csv", "--header", "--skip-lines", "1"];
    is_exact(&sandbox, "in.csv", &options, &["sed", "1d"], &["60", "200"]);
}

#[test]
fn equal_first_lines_are_no_header() {
    let sandbox = sandbox();
    let rows: String = (0..2_000).map(|row| format!("{row},Y\n")).collect();
    sandbox.write("in.csv", format!("id,flag\n{rows}"));
    let options = ["--split", "csv", "--header"];
    is_exact(&sandbox, "in.csv", &options, &["awk", "-F,", "NR > 1 { print $2 }"], &["4KiB"]);
    is_exact(&sandbox, "in.csv", &options, &["sh", "-c", "echo '# run'; cat"], &["4KiB"]);
    is_exact(&sandbox, "in.csv", &["--split", "lines", "--header"], &["cut", "-d,", "-f2"], &["4KiB"]);
    // A program that prints a header only where it has rows.
    let shy = ["awk", "NR == 1 { header = $0; next } NR == 2 { print header } { print }"];
    let cut = ["-i", "in.csv", "-o", "out", "--chunk-bytes", "4KiB", "--retries", "0"];
    sandbox
        .map(&[&cut[..], &options].concat(), &shy)
        .failed_with(4)
        .says(&["result_malformed", "\"header\""]);
}

#[test]
fn a_chunk_without_a_record_starts_no_process() {
    let sandbox = sandbox();
    let lines: String = (0..101).map(|line| format!("{line:09}\n")).collect();
    sandbox.write("in.txt", lines);
    is_exact(&sandbox, "in.txt", &[], &["wc", "-l"], &["1005"]);
    is_exact(&sandbox, "in.txt", &["--retries", "0"], &["grep", "-c", "1"], &["1005"]);
    sandbox.write("empty.txt", "");
    is_exact(&sandbox, "empty.txt", &[], &["wc", "-l"], &["1005"]);
}

#[test]
fn a_file_that_is_not_what_the_job_says_is_refused_before_the_work() {
    let utf16: Vec<u8> = "row 1\nrow 2\nrow 3\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let csv = &["--split", "csv", "--header"][..];
    for (bytes, options, words) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[][..], &["it is gzip", "--split none"][..]),
        (b"PAR1\x15\x04\x15", &[], &["it is Parquet", "--split none"]),
        (&utf16, &[], &["it is UTF-16", "--split none"]),
        (b"id,t\n1,\"5\\\" pipe\"\n", csv, &["byte 11", "--escape '\\'"]),
        (b"id;t\n1;5\" pipe\n", csv, &["byte 8", "--no-quote"]),
        (b"id,t\n1,\"a\" b\n", csv, &["byte 10", "--quote"]),
        (b"id,t\n1,a\\\nb\n", &["--split", "csv"], &["end with a backslash", "--escape"]),
        (b"1 a\\\nb\n2 a\\\nb\n", &[], &["end with a backslash", "sep:\\n"]),
        (b"sep=;\nid;t\n1;2\n", csv, &["--skip-lines 1"]),
        (b"# today\nid,t\n1,2\n", csv, &["--comment '#'"]),
        (b"Orders\nid,t\n1,2\n", csv, &["--skip-lines N"]),
    ] {
        let sandbox = sandbox();
        sandbox.write("in.csv", bytes);
        let place = ["-i", "in.csv", "-o", "out"];
        let ended = sandbox.map(&[&place[..], options].concat(), &["touch", "ran"]).failed_with(3);
        ended.says(&[&["input_format", "in.csv"], words].concat());
        sandbox.assert_clean(&["in.csv"]);
    }
}
