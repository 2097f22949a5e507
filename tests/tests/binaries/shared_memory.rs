//! `/dev/shm` hidden, as on Lambda: nothing of Fanfold needs it.

use std::io::Write;
use std::process::Command;

use crate::{bare, data, sandbox};

/// Hides `/dev/shm` in a mount namespace of its own, then becomes the program of its arguments.
const HIDDEN: &str = "mount -t tmpfs -o ro,size=4k tmpfs /dev/shm && exec \"$@\"";

/// Fails wherever `/dev/shm` can be written to, so that the test cannot pass without having hidden it.
const UPPER_WITHOUT_SHM: &str =
    "if touch /dev/shm/e2e 2>/dev/null; then rm /dev/shm/e2e; exit 9; fi; tr a-z A-Z";

#[test]
fn the_main_job_runs_where_there_is_no_shared_memory() {
    let sandbox = sandbox();
    let may = Command::new("unshare").args(["-m", "sh", "-c", HIDDEN, "sh", "true"]).output();
    if !may.is_ok_and(|tried| tried.status.success()) {
        // Not by `println!`, which the test runner keeps to itself where a test passes.
        let skipped = "skipped: mount namespaces are refused here (they need root and unshare)";
        writeln!(std::io::stderr(), "{skipped}").unwrap();
        return;
    }
    let input = data("birdstrikes.csv");
    let mut command = sandbox.any("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        HIDDEN,
        "sh",
        env!("CARGO_BIN_EXE_e2e-fanfold"),
        "map",
        "-i",
        &input,
        "-o",
        "out",
    ]);
    command.args([
        "--chunk-bytes",
        "100kB",
        "--processes",
        "3",
        "--retries",
        "0",
        "--",
        "sh",
        "-c",
        UPPER_WITHOUT_SHM,
    ]);
    sandbox.start(&mut command).ended().succeeded();
    assert!(sandbox.read("out") == bare(&["tr", "a-z", "A-Z"], &input));
    sandbox.assert_clean(&["out"]);
}
