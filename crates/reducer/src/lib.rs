//! The reducer: chunk results become a concat plan and one output.
//!
//! ```text
//! groups -> account: every index once -> elements -> concat plan -> checked -> executed -> report
//! ```
//! The output appears whole or not at all, and S3 itself compares it with the checksum that follows from what the workers
//! took: so a fault anywhere on the way is a failure that says so, never a wrong output. The price is that nothing of a
//! job can be seen in its output before all of it is there.
//!
//! An output may take more time than an invocation has, and any invocation may die. The upload that is under way is noted
//! in the lease; whoever reduces next goes on with it, and makes only the parts that are not there.
//!
//! Memory does not grow with bytes, only with the number of results. While the plan is made, each takes 200 bytes, and 300 to
//! 400 more where it stands in an object of its own, since key and ETag are text; while bytes move, what is left of it is 32
//! bytes of the plan, and its object. So with the parts that are on their way, which are most, 128 MiB suffice for some
//! 100,000 results in objects of their own, or 500,000 that share objects, as workers pack small ones. (Measured: 10,000 of
//! 64 KiB, each in an object of its own, take 102 MiB; the plan of a million takes 46 to 200 MiB beside its pieces, which
//! take 30 MiB, and 335 in objects of their own.) Of more, the reducer must be larger: the largest job there can be takes
//! some 600 MiB.
#![forbid(unsafe_code)]

mod account;
mod damage;
mod execute;
mod handle;
mod nodes;
mod output;
mod time;
mod verdict;

use std::process::ExitCode;

use fanfold_flow::concat::Limits;
use fanfold_runtime::Variable;
use serde_json::json;

pub use handle::handle;

/// What the function reads of its environment: what all three read, and nothing of its own.
pub fn variables() -> Vec<Variable> {
    fanfold_runtime::variables_of(|_| Some(()))
}

/// The function's whole program.
pub fn main() -> ExitCode {
    fanfold_runtime::serve(
        |_| Some(()),
        async |event, deps, (): &(), budget, _request_id| {
            handle(event, deps, &Limits::S3, budget).await.map(|()| json!({}))
        },
    )
}
