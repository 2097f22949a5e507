//! What a sweep sees of a job: a piece of its partitions, or how the reducer stands. It looks and changes nothing.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use fanfold_flow::keys::JobKeys;
use fanfold_gather::{
    Goal, Lease, Tried, done_in, is_done, last_attempts, merged_groups, nodes_made, read_attempt,
};
use fanfold_runtime::{Deps, Error};
use futures::{StreamExt, TryStreamExt, stream};

use super::decide::Graces;
use crate::marker::{Marker, Tally};

/// Most groups of a job that one sweep looks at, each with two list requests or little more. The largest job has 1,000.
const GROUPS_PER_LOOK: usize = 100;

/// After so many records were read of a job, a sweep begins with no further group. As many as workers run at once in an
/// account, by default.
const READS_PER_LOOK: usize = 1_000;

/// Most records of a job that are read at once.
const READS_IN_FLIGHT: usize = 16;

/// What a sweep saw of a job.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// Partitions are without an outcome, or groups are not merged.
    Piece(Piece),
    /// All groups are merged, and somebody reduces.
    Reducing,
    /// All groups are merged, nobody reduces, and this try at it was the last.
    Unreduced(Tried),
    /// The output is made of nodes, and waits for some of them.
    Nodes {
        /// How many reducers are at nodes.
        running: u64,
        /// Nodes at which nobody is: by number, with their last try.
        still: Vec<(u32, Tried)>,
    },
}

impl Seen {
    /// How many workers or reducers were seen at work.
    pub(super) fn running(&self) -> u64 {
        match self {
            Self::Piece(piece) => piece.running,
            Self::Reducing => 1,
            Self::Unreduced(_) => 0,
            Self::Nodes { running, .. } => *running,
        }
    }
}

/// Some groups of a job.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    /// Which groups these are; merged ones are among them.
    pub(super) groups: Range<u64>,
    /// What was counted in them. Of groups that are merged, it has the job's number.
    pub(super) tally: Tally,
    /// Groups in which every partition has its outcome, and which nobody has merged.
    pub(super) complete: Vec<u64>,
    /// How many workers are at partitions of the piece.
    pub(super) running: u64,
    /// Partitions whose turn it is and at which nobody is: by number, with their last try.
    pub(super) still: Vec<(u64, Tried)>,
}

/// Looks at a job, from the group on that its marker names.
///
/// # Errors
/// When the store fails.
pub(super) async fn look(
    deps: &Deps,
    keys: &JobKeys,
    marker: &Marker,
    graces: Graces,
) -> Result<Seen, Error> {
    let merged = merged_groups(deps, keys).await?;
    let groups = marker.grouping.groups();
    if merged.len() as u64 >= groups {
        return look_at_output(deps, keys, graces).await;
    }
    let from = marker.watch.from_group.min(groups);
    let tally = Tally { groups: merged.len() as u64, ..Tally::default() };
    let piece = Piece { groups: from..groups, tally, ..Piece::default() };
    let open: Vec<u64> = piece.groups.clone().filter(|group| !merged.contains(group)).collect();
    let mut eye = Eye { deps, keys, marker, graces, merged, lanes_met: HashSet::new(), reads: 0, piece };
    for (looks, group) in open.into_iter().enumerate() {
        if looks == GROUPS_PER_LOOK || eye.reads >= READS_PER_LOOK {
            eye.piece.groups.end = group;
            break;
        }
        eye.look_at(group).await?;
        // In each lane one partition after the other is run: behind those whose turn it is, nothing has happened.
        if eye.lanes_met.len() as u64 == marker.lanes {
            break;
        }
    }
    Ok(Seen::Piece(eye.piece))
}

async fn look_at_output(deps: &Deps, keys: &JobKeys, graces: Graces) -> Result<Seen, Error> {
    let Some(lease) = Lease::current(deps, &keys.lease()).await? else {
        return Ok(Seen::Unreduced(Tried::NEVER));
    };
    if !is_over(lease.expires_ms, graces, deps) {
        return Ok(Seen::Reducing);
    }
    match lease.nodes() {
        Some(nodes) => look_at_nodes(deps, keys, nodes, lease.tried(), graces).await,
        None => Ok(Seen::Unreduced(lease.tried())),
    }
}

/// An output of so many nodes, the last try at which was `over`.
async fn look_at_nodes(
    deps: &Deps,
    keys: &JobKeys,
    nodes: u32,
    over: Tried,
    graces: Graces,
) -> Result<Seen, Error> {
    let made = nodes_made(deps, keys).await?;
    let missing = (0..nodes).filter(|node| !made.contains(node));
    let reads: Vec<_> = missing
        .map(|node| async move {
            let lease = Lease::current(deps, &Goal::Node(node).lease(keys)).await?;
            Ok::<_, Error>((node, lease))
        })
        .collect();
    if reads.is_empty() {
        return Ok(Seen::Unreduced(over));
    }
    let leases: Vec<(u32, Option<Lease>)> =
        stream::iter(reads).buffered(READS_IN_FLIGHT).try_collect().await?;
    let (mut running, mut still) = (0, Vec::new());
    for (node, lease) in leases {
        match lease {
            Some(lease) if !is_over(lease.expires_ms, graces, deps) => running += 1,
            Some(lease) => still.push((node, lease.tried())),
            None => still.push((node, Tried::NEVER)),
        }
    }
    Ok(Seen::Nodes { running, still })
}

fn is_over(expires_ms: i64, graces: Graces, deps: &Deps) -> bool {
    expires_ms.saturating_add(graces.after_the_deadline_ms()) < deps.world.now_ms()
}

struct Eye<'a> {
    deps: &'a Deps,
    keys: &'a JobKeys,
    marker: &'a Marker,
    graces: Graces,
    merged: BTreeSet<u64>,
    /// The lanes of which a partition without an outcome was met. The first such is the one whose turn it is.
    lanes_met: HashSet<u64>,
    reads: usize,
    piece: Piece,
}

/// How a partition stands.
enum Standing {
    /// A worker is at it.
    Running,
    /// Nobody is; this was the last try.
    Still(Tried),
    /// It is not its turn.
    Waits,
}

/// What must be read to know it.
enum Question {
    /// It was begun: is its last try over?
    IsOver { partition: u64, tried: Tried },
    /// It was never begun: is the one before it in its lane done, which lies before this piece?
    IsDone { group: u64, partition: u64 },
    /// It was never begun, and it is its turn.
    Nothing,
}

impl Eye<'_> {
    async fn look_at(&mut self, group: u64) -> Result<(), Error> {
        let members = self.marker.grouping.members(group);
        let done = done_in(self.deps, self.keys, group).await?;
        self.piece.tally.done += done.len() as u64;
        if done.len() as u64 >= members.end - members.start {
            self.piece.complete.push(group);
            return Ok(());
        }
        let last = last_attempts(self.deps, self.keys, members.clone()).await?;
        self.piece.tally.attempts +=
            last.values().map(|tried| u64::from(tried.hop) + u64::from(tried.attempt)).sum::<u64>();
        let lanes = self.marker.lanes.max(1);
        let undone = members.filter(|partition| !done.contains(partition));
        let first: Vec<u64> = undone.filter(|partition| self.lanes_met.insert(partition % lanes)).collect();
        let questions: Vec<Question> =
            first.iter().map(|partition| self.question(*partition, last.get(partition).copied())).collect();
        self.reads += questions.iter().filter(|question| !matches!(question, Question::Nothing)).count();
        let standings: Vec<_> = questions.into_iter().map(|question| self.ask(question)).collect();
        let standings: Vec<Standing> =
            stream::iter(standings).buffered(READS_IN_FLIGHT).try_collect().await?;
        for (partition, standing) in first.into_iter().zip(standings) {
            match standing {
                Standing::Running => self.piece.running += 1,
                Standing::Still(over) => self.piece.still.push((partition, over)),
                Standing::Waits => {}
            }
        }
        Ok(())
    }

    /// What must be asked of the first partition of its lane without an outcome; of its lane in this piece, that is.
    fn question(&self, partition: u64, last: Option<Tried>) -> Question {
        if let Some(tried) = last {
            return Question::IsOver { partition, tried };
        }
        let Some(before) = partition.checked_sub(self.marker.lanes) else { return Question::Nothing };
        let group = self.marker.grouping.group_of(before);
        if group >= self.piece.groups.start || self.merged.contains(&group) {
            return Question::Nothing;
        }
        Question::IsDone { group, partition: before }
    }

    async fn ask(&self, question: Question) -> Result<Standing, Error> {
        Ok(match question {
            Question::IsOver { partition, tried } => {
                let record = read_attempt(self.deps, self.keys, partition, tried).await?;
                if is_over(record.expires_ms, self.graces, self.deps) {
                    Standing::Still(tried)
                } else {
                    Standing::Running
                }
            }
            Question::IsDone { group, partition } => {
                let done = is_done(self.deps, self.keys, group, partition).await?;
                if done { Standing::Still(Tried::NEVER) } else { Standing::Waits }
            }
            Question::Nothing => Standing::Still(Tried::NEVER),
        })
    }
}
