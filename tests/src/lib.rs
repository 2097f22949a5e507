//! Scenarios over the three functions, and the worlds in which they run.
//!
//! - [`memory`]: the real handlers over ports in memory, with real processes. Thousands of jobs a minute.
//! - [`mortal`]: the same, where functions die in the middle of what they do.
//! - [`sim`]: the same on simulated time, without processes, where everything goes wrong that can, from a seed.
//! - [`cloud`]: the services that only the command line asks, with recorded answers.
//! - [`decoders`]: what usual decoders make of a compressed output.
//! - [`deployment`]: the three functions' own bootstraps, on the emulator.
//! - [`gathered`]: what workers leave, without workers.
//! - [`files`]: what a store keeps on disk, changed behind its back.
//! - [`program`]: the program `fanfold` itself, in a folder of its own.
//! - [`processes`]: what runs on this machine on behalf of a test.
//! - [`stage`]: what a process finds on Lambda, as far as this machine lets it be made.
//! - [`cgroup`]: processes with limits of their own.
//! - [`python`]: the Python environments of tests that call a stranger's client.
//! - [`localstack`]: a second S3 server, which is not ours.
//!
//! Tests over the real binaries stand in `tests/binaries`, beside the architecture's own test.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a harness panics to fail the test")]

pub mod cgroup;
pub mod cloud;
pub mod decoders;
pub mod deployment;
pub mod files;
pub mod gathered;
pub mod localstack;
pub mod memory;
pub mod mortal;
pub mod processes;
pub mod program;
pub mod python;
pub mod sim;
pub mod stage;
