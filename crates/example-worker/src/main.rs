//! The bootstrap of a worker with tasks of its own.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfold_example_worker::main()
}
