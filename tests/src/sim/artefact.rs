//! What an object of a world is, told by its key.

use std::fmt;

use super::scenario::RUN;

/// An object's place in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Artefact {
    Job,
    Plan,
    Attempt(Try),
    Hop,
    ChunkResult,
    Done,
    Group,
    Lease,
    Concat,
    NodePlan,
    NodeMade,
    Node,
    Cancel,
    Joblog,
    Result,
    Redrive,
    Marker,
    /// No object of Fanfold's own: an input or the output.
    Users,
}

/// An attempt at a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Try {
    /// Of which run: 0, or which redrive of it.
    pub(crate) run: u32,
    pub(crate) partition: u64,
    pub(crate) hop: u32,
    pub(crate) attempt: u32,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.run > 0 {
            write!(f, "r{}.", self.run)?;
        }
        write!(f, "p{}.h{}.a{}", self.partition, self.hop, self.attempt)
    }
}

impl Artefact {
    /// What has this key, where artefacts lie below `work/`.
    ///
    /// # Panics
    /// For a key below `work/` that nobody knows: a new artefact must be placed here.
    pub(crate) fn of(key: &str) -> Self {
        let Some(kept) = key.strip_prefix("work/") else { return Self::Users };
        if kept.starts_with("active/") {
            return Self::Marker;
        }
        let (run, rest) = run_and_rest(kept).unwrap_or_else(|| unknown(key));
        let (folder, name) = rest.split_once('/').unwrap_or(("", rest));
        match (folder, name) {
            ("", "job.json") => Self::Job,
            ("", "plan.json") => Self::Plan,
            ("", "lease.json") => Self::Lease,
            ("", "concat.json") => Self::Concat,
            ("", "cancel.json") => Self::Cancel,
            ("concat", name) if name.starts_with("leases/") => Self::Lease,
            ("concat", name) if name.starts_with("made/") => Self::NodeMade,
            ("concat", _) => Self::NodePlan,
            ("nodes", _) => Self::Node,
            ("", "joblog.tsv") => Self::Joblog,
            ("", "result.json") => Self::Result,
            ("", "redrive.json") => Self::Redrive,
            ("hops", _) => Self::Hop,
            ("chunks", _) => Self::ChunkResult,
            ("done", _) => Self::Done,
            ("groups", _) => Self::Group,
            ("attempts", name) => Self::Attempt(attempt(run, name).unwrap_or_else(|| unknown(key))),
            _ => unknown(key),
        }
    }

    /// Whether it is written once, and what is in it stands for ever.
    pub(crate) fn is_written_once(self) -> bool {
        match self {
            Self::Job
            | Self::Plan
            | Self::Attempt(_)
            | Self::Hop
            | Self::Done
            | Self::Group
            | Self::Concat
            | Self::NodePlan
            | Self::NodeMade
            | Self::Cancel
            | Self::Result
            | Self::Redrive => true,
            Self::ChunkResult | Self::Lease | Self::Node | Self::Joblog | Self::Marker | Self::Users => false,
        }
    }
}

/// Which run of the chain it belongs to, and its key in the run's folder: of `jobs/run-r1/done/…`, 1 and `done/…`.
fn run_and_rest(kept: &str) -> Option<(u32, &str)> {
    let (id, rest) = kept.strip_prefix("jobs/")?.split_once('/')?;
    let run = match id.strip_prefix(RUN)? {
        "" => 0,
        redrive => redrive.strip_prefix("-r")?.parse().ok()?,
    };
    Some((run, rest))
}

fn unknown(key: &str) -> ! {
    panic!("the simulation does not know what {key} is; place it in sim/artefact.rs")
}

/// The attempt whose record is `000012/0000/003.json`.
fn attempt(run: u32, name: &str) -> Option<Try> {
    let mut numbers = name.strip_suffix(".json")?.split('/');
    let partition = numbers.next()?.parse().ok()?;
    let hop = numbers.next()?.parse().ok()?;
    let attempt = numbers.next()?.parse().ok()?;
    Some(Try { run, partition, hop, attempt })
}
