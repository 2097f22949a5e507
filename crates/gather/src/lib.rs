//! How done records become a complete job without a coordinator.
//!
//! All state is in the store and nobody waits. Whoever commits a partition looks whether its group is complete; whoever
//! completes a group looks whether all groups are; whoever sees the last one starts the reducer. Lists are strongly
//! consistent, so the last to commit sees everything. Several may see it: every step writes with `If-None-Match: *`, and
//! to come second is no error. The price is a list request for each partition, and that a Lambda which dies between two
//! steps leaves them to the nets (the on-failure destination, the sweep).
//!
//! The worker commits what its processes left, the dispatcher what a dead worker did not; the reducer ends a job, and the
//! dispatcher one that no reducer could end. So this is a crate of its own.
#![forbid(unsafe_code)]

mod account;
mod attempt;
mod close;
mod commit;
mod earlier;
mod finish;
mod goal;
mod hop;
mod joblog;
mod lane;
mod lease;
mod node;
mod progress;

pub use account::{Account, NoOutput, output_of};
pub use attempt::{
    Attempt, Claim, Sent, Tried, claim_attempt, is_superseded, last_attempt, last_attempts, read_attempt,
};
pub use close::close_groups;
pub use commit::{Commit, advance, advance_group, commit, commit_hop, start_reducer};
pub use earlier::{Left, read_account, read_left};
pub use finish::{clean_up, clean_up_for_good, finish, report_of};
pub use goal::Goal;
pub use hop::{at_its_hop, left_unread};
pub use joblog::write_joblog;
pub use lane::Lane;
pub use lease::{Lease, drop_uploads_to};
pub use node::{advance_nodes, nodes_made, read_nodes};
pub use progress::{done_in, is_cancelled, is_done, merged_groups};
