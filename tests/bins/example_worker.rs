//! The example of a worker with tasks of its own, for the tests of this package.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfold_example_worker::main()
}
