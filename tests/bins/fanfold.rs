//! The very program that ships, for the tests of this package.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfold_cli::main()
}
