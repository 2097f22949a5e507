//! Signals: the program ends soon, says so by its exit status, and leaves nothing behind.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::sandbox;
use e2e::processes::Process;
use e2e::program::{Running, Sandbox};

/// The longest that a user waits after Ctrl-C.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// The longest that a worker tries to reach a store that is gone.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(60);

fn prepared() -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("in", "line\n".repeat(1_000));
    sandbox.write("out", "from before");
    sandbox
}

/// A job in the midst of its chunks: two workers with two processes each.
fn slow<'s>(sandbox: &'s Sandbox, script: &str) -> Running<'s> {
    let options = [
        "map",
        "-i",
        "in",
        "-o",
        "out",
        "--chunk-bytes",
        "500",
        "--workers",
        "2",
        "--processes",
        "2",
        "--retries",
        "0",
    ];
    let mut running =
        sandbox.start(&mut sandbox.command([&options[..], &["--", "sh", "-c", script]].concat()));
    // The sleeps themselves, not the shells whose scripts speak of them.
    let sleeping = |it: &Process| it.command.starts_with("sleep");
    running.until("four processes at once", |sandbox| {
        sandbox.processes("sleep").iter().filter(|it| sleeping(it)).count() == 4
    });
    running
}

fn stops_at(signal: Signal, status: i32) {
    let sandbox = prepared();
    let running = slow(&sandbox, "cat; sleep 1000");
    running.signal(signal);
    let ended = running.ended_within(STOPS_WITHIN).failed_with(status);
    // So that a shell's loop over files stops too.
    assert_eq!(ended.status.signal(), Some(signal.as_raw()), "it dies by the signal itself");
    ended.says(&["cancelled by", "nothing of the run is kept"]);
    sandbox.assert_clean(&["in", "out"]);
    assert_eq!(sandbox.read("out"), b"from before");
}

#[test]
fn ctrl_c_stops_all_and_leaves_nothing() {
    stops_at(Signal::INT, 130);
}

#[test]
fn sigterm_stops_all_and_leaves_nothing() {
    stops_at(Signal::TERM, 143);
}

#[test]
fn a_closed_terminal_stops_all_and_leaves_nothing() {
    stops_at(Signal::HUP, 129);
}

#[test]
fn sigquit_stops_all_and_leaves_nothing() {
    stops_at(Signal::QUIT, 131);
}

/// Nobody can clean up after SIGKILL. What is seen: the functions that wait for an event end at once, since the emulator
/// that they ask is gone. A worker lets the programs that it runs come to their end, then ends when it has given up on its
/// store, after some 20 s. The temporary folder stays, until the next run sweeps it.
#[test]
fn after_sigkill_the_functions_end_by_themselves() {
    let sandbox = prepared();
    let running = slow(&sandbox, "until [ -e go ]; do sleep 0.1; done; cat");
    running.signal(Signal::KILL);
    assert!(running.ended().status.code().is_none());
    let idle = || sandbox.processes("bootstrap dispatcher");
    assert!(e2e::processes::within(STOPS_WITHIN, || idle().is_empty()), "{:?}", idle());
    sandbox.write("go", "");
    sandbox.assert_no_process_after(GIVES_UP_WITHIN);
    fs::remove_file(sandbox.path("go")).unwrap();
    assert_eq!(sandbox.read("out"), b"from before");
    sandbox.map(&["-i", "in", "-o", "out"], &["cat"]).succeeded();
    sandbox.assert_clean(&["in", "out"]);
}
