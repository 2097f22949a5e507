//! What processes took of the machine.

use std::io;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::procfs;

/// What all processes took that this one has started and waited for since it began (getrusage(2), `RUSAGE_CHILDREN`).
/// A process that somebody else started counts as soon as its parent has waited for it and is waited for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user and in kernel mode, of all of them.
    pub cpu: Duration,
    /// The most memory that one of them has held, in bytes. Never less than this process held when it started one: until
    /// a child has its own program, the kernel counts the parent's pages as its.
    pub peak_memory_bytes: u64,
}

impl Usage {
    /// What these processes took and those.
    #[must_use]
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            cpu: self.cpu + other.cpu,
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
        }
    }
}

/// Reads the counters. Two readings tell the processor time of the processes that ended in between, whoever's they were; a
/// peak belongs to the whole time.
///
/// # Errors
/// When the kernel refuses, which it never should.
pub fn usage() -> io::Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Usage {
        cpu: Duration::from_micros(u64::try_from(microseconds).unwrap_or(0)),
        peak_memory_bytes: kib(usage.max_rss()),
    })
}

/// How much memory this process takes now, in bytes, where a page that it shares with others counts in part; none where the kernel
/// does not tell.
pub fn own_memory_bytes() -> Option<u64> {
    procfs::proportional_bytes(rustix::process::getpid())
}

/// The kernel's count of KiB, in bytes.
fn kib(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0) << 10
}
