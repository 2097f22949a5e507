//! The marker of a job that runs: what a sweep must know of it without reading its plan, and what sweeps noted.

use std::collections::BTreeMap;

use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::partition::Grouping;
use fanfold_flow::plan::Plan;
use fanfold_flow::version::Version;
use fanfold_gather::Tried;
use serde::{Deserialize, Serialize};

/// The marker of a job that runs. It is written when the job starts, changed by sweeps alone, each over the very content
/// that it read, and deleted at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marker {
    version: Version,
    job_id: JobId,
    /// The job's name.
    pub(crate) name: String,
    /// How its partitions are gathered.
    pub(crate) grouping: Grouping,
    /// How many of its partitions may run at once: as many lanes there are.
    pub(crate) lanes: u64,
    /// When it started, in milliseconds since 1970 (UTC).
    pub(crate) started_ms: i64,
    /// What sweeps noted.
    pub(crate) watch: Watch,
    /// Drawn by lot by the sweep that wrote it, so that no two write the same.
    pub(crate) written_by: u64,
}

impl Marker {
    /// The marker of a job that starts at this moment.
    pub(crate) fn new(plan: &Plan, job: &Job, now_ms: i64) -> Self {
        let grouping = plan.grouping();
        let lanes = job.max_concurrency.map_or(grouping.partitions, u64::from);
        Self {
            version: Version,
            job_id: plan.job_id.clone(),
            name: job.name.clone(),
            grouping,
            lanes: lanes.min(grouping.partitions),
            started_ms: now_ms,
            written_by: 0,
            watch: Watch { moved_ms: now_ms, ..Watch::default() },
        }
    }
}

/// What sweeps noted of a job. A large job is looked at piece by piece, in rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// The first group of the next look; the round begins at 0.
    pub(crate) from_group: u64,
    /// What this round has counted so far.
    pub(crate) this_round: Tally,
    /// What the round before had counted at its end.
    pub(crate) last_round: Tally,
    /// When something of the job last moved or ran, as far as sweeps saw, in milliseconds since 1970 (UTC).
    pub(crate) moved_ms: i64,
    /// The partitions that stand still, by number.
    pub(crate) still: BTreeMap<u64, Note>,
    /// The reducer, if that stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reducing: Option<Note>,
    /// The nodes of the output whose reducers stand still, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) nodes: BTreeMap<u32, Note>,
}

/// What was counted. A job in which it stays the same has not moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Groups that are merged.
    pub(crate) groups: u64,
    /// Outcomes in the others.
    pub(crate) done: u64,
    /// Tries at those others' partitions.
    pub(crate) attempts: u64,
}

/// Something that stands still, and what was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Its last attempt, which is over.
    pub(crate) over: Tried,
    /// How often sweeps sent what should follow.
    pub(crate) sent: u32,
    /// When the next is due, in milliseconds since 1970 (UTC).
    pub(crate) due_ms: i64,
}
