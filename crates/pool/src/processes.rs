//! What the runs of a pool of processes share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::admission::{Admission, Bounds};
use crate::leftovers::{self, Leftover};
use crate::mark::PoolMark;
use crate::oom::{OomCounters, OomCounts};
use crate::run::Exit;

/// SIGKILL, and the exit code by which a shell says that its command was ended by it.
const SIGKILL: i32 = 9;
const SIGKILL_AS_CODE: i32 = 128 + SIGKILL;

/// What the runs of a pool of processes share.
#[derive(Debug)]
pub(crate) struct Processes {
    /// Most bytes read from standard output at once.
    pub(crate) piece_bytes: usize,
    /// How long standard output may stay open after the process has ended.
    pub(crate) grace: Duration,
    pub(crate) mark: PoolMark,
    pub(crate) admission: Arc<Admission>,
    oom_counters: OomCounters,
    /// How often the leftovers were killed, runs under way among them.
    killings: AtomicU64,
}

/// What was so when a run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    oom_counts: OomCounts,
    killings: u64,
}

impl Processes {
    pub(crate) fn new(piece_bytes: usize, grace: Duration, memory: Bounds) -> Processes {
        Processes {
            piece_bytes,
            grace,
            mark: PoolMark::new(),
            admission: Admission::new(memory),
            oom_counters: OomCounters::find(),
            killings: AtomicU64::new(0),
        }
    }

    /// Kills all that carries this pool's mark.
    pub(crate) fn kill_leftovers(&self) -> io::Result<Vec<Leftover>> {
        // Counted first: whoever sees its process killed then knows by whom.
        self.killings.fetch_add(1, Ordering::SeqCst);
        leftovers::sweep(&self.mark.all_runs(), Vec::new())
    }

    /// To be called before a process is started.
    pub(crate) fn before(&self) -> Before {
        Before { oom_counts: self.oom_counters.recent(), killings: self.killings.load(Ordering::SeqCst) }
    }

    /// Whether a process that ended so was killed for lack of memory, as far as can be known.
    pub(crate) fn ran_out_of_memory(&self, exit: Exit, before: Before) -> bool {
        matches!(exit, Exit::Signal(SIGKILL) | Exit::Code(SIGKILL_AS_CODE))
            && self.killings.load(Ordering::SeqCst) == before.killings
            && self.oom_counters.read().rose_since(before.oom_counts)
    }
}
