//! EventBridge's rules and schedules, as values: which event goes where, and as what. Nothing here runs, waits or sends.
//!
//! # Not true here
//! - No schedule fires by itself: each is fired by hand. Expressions, time zones and flexible windows are kept for show.
//! - An event is delivered once, at once: so EventBridge has nothing to retry, and its own dead-letter queues get nothing.
//!   There are no archives, replays or pipes.
//! - Patterns know exact values, `prefix`, `suffix`, `wildcard`, `anything-but` and `exists`. A rule with another operator
//!   is refused when it is read, since one that silently never matches would look like a pipeline that does not work.

mod input;
mod path;
mod pattern;
mod rule;
mod schedule;

pub use input::{Input, InputError, TemplateError};
pub use path::{Path, PathError};
pub(crate) use pattern::wildcard_matches;
pub use pattern::{Pattern, PatternError};
pub use rule::{DEFAULT_BUS, Receiver, Rule, Target};
pub use schedule::Schedule;
pub(crate) use schedule::timestamp;
