//! The promises over the real binaries: real processes, the embedded Lambda and S3, files on this machine.
//!
//! One target for all themes, since each target links the whole program anew.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use e2e::program::Sandbox;

mod bulk_query;
mod chaos;
mod commands;
mod compressed;
mod contract;
mod deadlines;
mod edge;
mod flipped;
mod freeze;
mod functions;
mod joblog;
mod large_results;
mod many_results;
mod map;
mod memory;
mod misbehaving;
mod odd_inputs;
mod readme;
mod real_files;
mod redrive;
mod shared_memory;
mod signals;
mod stack;
mod stage;
mod tasks;
mod triggers;
mod verify;

/// A folder to run the program that ships in.
fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_e2e-fanfold"))
}

/// The path of a file in `data`.
fn data(name: &str) -> String {
    format!("{}/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The path of a Python program.
fn python(name: &str) -> String {
    format!("{}/python/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What the bare program prints over the whole file: what every output is held to.
fn bare(argv: &[&str], input: &str) -> Vec<u8> {
    let file = std::fs::File::open(input).unwrap();
    let output = Command::new(argv[0]).args(&argv[1..]).stdin(file).output().unwrap();
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
