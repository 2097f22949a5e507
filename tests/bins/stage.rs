//! Puts programs on the stage that `e2e::stage` describes: any command, or the functions of the very program that ships.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    e2e::stage::main(fanfold_cli::main)
}
