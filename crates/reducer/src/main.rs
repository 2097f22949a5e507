//! The reducer function's bootstrap.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    fanfold_reducer::main()
}
