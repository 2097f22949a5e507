//! CloudWatch Logs' place for what functions print: kept in memory, read by filter and time.
//!
//! # Not true here
//! - The newest lines of a log group are kept, at most [`EVENTS_KEPT`] and [`BYTES_KEPT`], and none of them outlives the
//!   emulator; the files in the data folder have everything.
//! - Filters know words, quoted texts, and `{ $.field = value }` with `=` and `!=`, joined by `&&`. Others are refused.
//! - START, END and REPORT are text, also for a function that logs JSON.

mod filter;
mod store;

pub(crate) use filter::Filter;
pub use store::{BYTES_KEPT, EVENTS_KEPT};
pub(crate) use store::{LogStore, Selection};
