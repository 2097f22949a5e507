//! The shell that the three functions share.
//!
//! A function is `async fn handle(event, &deps, budget) -> Result<answer, Error>`: idempotent, with the world handed in.
//! This crate is everything around it: the environment read once ([`Variables`]), the world ([`Deps`]), the time that is
//! left ([`Budget`]), failures as Lambda wants them ([`Error`]), logs, numbers ([`Metrics`]), and the runtime itself
//! ([`serve`]). It is the only crate that names `lambda_runtime`; the price is that a handler sees only what [`Deps`] and
//! [`Budget`] pass on.
#![forbid(unsafe_code)]

mod backoff;
mod budget;
mod deps;
mod error;
mod logs;
mod metrics;
mod serve;
mod variables;

pub use backoff::backoff;
pub use budget::Budget;
pub use deps::{Deps, Functions, SystemWorld, World};
pub use error::Error;
pub use metrics::{InvalidName, Metric, Metrics, Of};
pub use serve::{serve, variables_of};
pub use variables::{InvalidConfig, Variable, Variables};
