//! The worker function's bootstrap.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfold_worker::main()
}
