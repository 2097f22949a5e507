//! CloudWatch Logs' place for what functions print: kept in memory, read by filter and time.
//!
//! # Not true here
//! - The newest [`EVENTS_KEPT`] lines of a log group are kept, and none of them outlives the emulator; the files in the
//!   data folder have everything.
//! - Filters know words, quoted texts, and `{ $.field = value }` with `=` and `!=`, joined by `&&`. Others are refused.
//! - START, END and REPORT are text, also for a function that logs JSON.

mod filter;
mod store;

pub(crate) use filter::Filter;
pub use store::EVENTS_KEPT;
pub(crate) use store::{LogStore, Selection};
