//! The worker function's bootstrap.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use fanfold_worker::Tasks;

fn main() -> ExitCode {
    fanfold_worker::main(Tasks::none())
}
