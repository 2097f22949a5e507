//! Scenarios over the three functions, and the worlds in which they run.
//!
//! - [`memory`]: the real handlers over ports in memory, with real processes. Thousands of jobs a minute.
//!
//! Tests over the real binaries stand in `tests/`, beside the architecture's own test.
#![forbid(unsafe_code)]

pub mod memory;
