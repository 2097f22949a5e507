//! The port to functions: a small trait, its adapters, wrappers, and one conformance suite.
//!
//! Everything that Fanfold asks of AWS Lambda at run time goes through [`Invoke`]: call a function and wait, or hand it
//! an event. A failure inside the function is an error here, although the service answers it with 200, so that nobody
//! can take it for an answer. The price is a second vocabulary beside the SDK's; what it buys is that the same scenario
//! runs in memory, with faults, on the emulator and in the cloud.
//!
//! - [`Invoke`]: the two ways to invoke.
//! - [`aws::LambdaInvoke`] and [`memory::MemoryInvoke`]: the adapters.
//! - [`paced::PacedInvoke`]: tries again, at a pace that the service bears. The adapters themselves try once.
//! - [`faults::Faulty`] and [`counting::Counting`]: wrappers for tests and reports.
//! - [`conformance`]: what every adapter and every wrapper is held to.

#![forbid(unsafe_code)]

mod error;
mod invoke;

pub mod aws;
pub mod conformance;
pub mod counting;
pub mod faults;
pub mod memory;
pub mod paced;

pub use error::{Cause, FunctionError, InvokeError, ThrottleReason};
pub use invoke::{Answer, Invoke, Mode, RequestId};
