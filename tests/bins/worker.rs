//! The worker's own bootstrap, for the tests of this package.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use fanfold_worker::Tasks;

fn main() -> ExitCode {
    fanfold_worker::main(Tasks::none())
}
