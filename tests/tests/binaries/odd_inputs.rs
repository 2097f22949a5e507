//! Inputs at the edges: sizes, line ends, names. The world in memory tries many more.

use crate::sandbox;

#[test]
fn files_of_all_sizes_come_through_exactly() {
    let long = "long ".repeat(4 << 20);
    let inputs =
        ["", "1", "\n", "\n\n\n", "a\r\nb\r\n\r\nc", "no final newline", &format!("a\n{long}\nb\n{long}")];
    for input in inputs {
        let sandbox = sandbox();
        sandbox.write("in", input);
        // Borders within the line ends of the short ones, and within the lines of 20 MiB.
        let chunk_bytes = if input.len() < 100 { "2" } else { "7MiB" };
        let ended = sandbox.map(&["-i", "in", "-o", "out", "--chunk-bytes", chunk_bytes, "--json"], &["cat"]);
        let report = ended.succeeded().report();
        assert!(sandbox.read("out") == input.as_bytes(), "{} bytes", input.len());
        assert_eq!(report.records, input.split_inclusive('\n').count() as u64);
        sandbox.assert_clean(&["in", "out"]);
    }
}

#[test]
fn a_folder_comes_in_byte_order_whatever_its_files_are_called() {
    let sandbox = sandbox();
    let names =
        ["B", "a b.txt", "a+b%20.txt", "sub/x", "z*?.txt", "한글 파일.txt", "😀.txt", "'quoted\".txt"];
    for name in names {
        sandbox.write(&format!("in/{name}"), format!("{name}\n"));
    }
    let mut sorted = names;
    sorted.sort_unstable();
    let whole: String = sorted.iter().map(|name| format!("{name}\n")).collect();
    sandbox.map(&["--input", "in/", "--output", "모두.txt"], &["cat"]).succeeded();
    assert_eq!(String::from_utf8(sandbox.read("모두.txt")).unwrap(), whole);
    sandbox.assert_clean(&["in", "모두.txt"]);
}

#[test]
fn ten_thousand_empty_files_cost_no_output_and_lose_no_neighbour() {
    let sandbox = sandbox();
    for number in 0..10_000 {
        sandbox.write(&format!("in/{number:05}"), "");
    }
    sandbox.write("in/05000x", "the only line\n");
    let ended = sandbox.map(&["-i", "in/", "-o", "out", "--json"], &["cat"]).succeeded();
    assert_eq!(ended.report().chunks.total, 10_001);
    assert_eq!(sandbox.read("out"), b"the only line\n");
    sandbox.assert_clean(&["in", "out"]);
}
