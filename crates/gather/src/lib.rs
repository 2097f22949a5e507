//! How done records become a complete job without a coordinator.
//!
//! All state is in the store and nobody waits. Whoever commits a partition looks whether its group is complete; whoever
//! completes a group looks whether all groups are; whoever sees the last one starts the reducer. Lists are strongly
//! consistent, so the last to commit sees everything. Several may see it: every step writes with `If-None-Match: *`, and
//! to come second is no error. The price is a list request for each partition, and that a Lambda which dies between two
//! steps leaves them to the nets (the on-failure destination, the sweep).
//!
//! The worker commits what its processes left, the dispatcher what a dead worker did not; so this is a crate of its own.
#![forbid(unsafe_code)]

mod attempt;
mod commit;
mod finish;
mod lane;

pub use attempt::{Attempt, Claim, Sent, claim_attempt, last_attempt};
pub use commit::{Commit, advance, commit, is_done, read_groups, start_reducer};
pub use finish::finish;
pub use lane::Lane;
