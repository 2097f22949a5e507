//! What a sweep does about what it saw, and what it notes for the next one. Pure.
//!
//! An event that was sent may wait in Lambda's queue for hours, and nobody can ask the queue. So what stands still is not at
//! once taken for lost, and not sent again at every sweep: the first time when a sweep meets it, unless the job has only just
//! started, then after pauses that double. A duplicate is harmless, since attempts are claimed; but it costs an invocation, and this bounds how many there are: the
//! pauses grow, and in a job of which nothing moves any more what stands still is given up at last. While other partitions
//! of the job run or end, none is: its event may only be far behind theirs, where few workers may run at once.

use std::time::Duration;

use fanfold_flow::partition::Grouping;
use fanfold_gather::{Goal, Tried};

use super::look::{Piece, Seen};
use crate::marker::{Marker, Note, Tally, Watch};

const MINUTE_MS: i64 = 60_000;

/// How long things may take before a sweep takes them for lost: all of it follows from the time that a job's first events
/// may take to start, a minute by default. Without throttling they start within seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Graces {
    start_ms: i64,
}

impl Graces {
    /// The graces of a job whose first events may take so long to start.
    pub(super) fn new(start: Duration) -> Self {
        Self { start_ms: i64::try_from(start.as_millis()).unwrap_or(i64::MAX) }
    }

    /// How long after its deadline an attempt counts as over: clocks differ, and the on-failure record, which comes within
    /// seconds, has its time.
    pub(super) fn after_the_deadline_ms(self) -> i64 {
        self.start_ms / 2
    }

    /// The pause after something was sent again for the n-th time, from 1: each is twice as long as the one before.
    fn pause_ms(self, sent: u32) -> i64 {
        let first_ms = self.start_ms.saturating_mul(5);
        first_ms.saturating_mul(1 << sent.saturating_sub(1).min(16)).min(self.pause_max_ms())
    }

    /// The longest pause: two hours by default.
    pub(super) fn pause_max_ms(self) -> i64 {
        self.start_ms.saturating_mul(120)
    }
}

/// How often the same is sent again before it may be given up: over the pauses, more than 12 hours, twice as long as Lambda
/// keeps an event (6 hours; Lambda API reference, MaximumEventAgeInSeconds). As long as the job moves it is sent again all
/// the same, after the longest pause each time.
pub(super) const SENDS_MAX: u32 = 10;

/// Most partitions of a job about which notes are kept, and so most that are sent again at once. The others' turn comes when
/// these have moved.
pub(super) const NOTES_MAX: usize = 1_000;

/// A job is stuck when nothing of it has moved or run for so long: twice what a worker may take, and until then what stood
/// still was sent again three times. Before that, none of its partitions is given up for never having started.
pub(super) const STUCK_AFTER_MS: i64 = 30 * MINUTE_MS;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Merge this group.
    Merge(u64),
    /// Try this partition again; attempt `over` was the last.
    TryAgain { partition: u64, over: Tried },
    /// Record it as failed: what should follow never started.
    GiveUp { partition: u64, over: Tried },
    /// Have the output or a node of it put together again; this try was the last.
    Reduce { goal: Goal, over: Tried },
    /// End the job: what should do so never started.
    EndUnreduced { goal: Goal, over: Tried },
}

/// What follows from what was seen: the notes for the next sweep, and what to do now. The notes are to be kept first, so
/// that two sweeps at once do not both act.
pub(super) fn decide(marker: &Marker, seen: &Seen, graces: Graces, now_ms: i64) -> (Watch, Vec<Action>) {
    let watch = &marker.watch;
    match seen {
        Seen::Piece(piece) => about_piece(marker, piece, graces, now_ms),
        Seen::Reducing => (Watch { moved_ms: now_ms, ..at_the_end(watch) }, Vec::new()),
        Seen::Unreduced(over) => about_reducer(watch, *over, graces, now_ms),
        Seen::Nodes { running, still } => about_nodes(watch, *running, still, graces, now_ms),
    }
}

/// Whether nothing of a job has moved or run for long.
pub(super) fn is_stuck(watch: &Watch, now_ms: i64) -> bool {
    now_ms.saturating_sub(watch.moved_ms) > STUCK_AFTER_MS
}

/// Of what sweeps noted of partitions nothing counts any more.
fn at_the_end(watch: &Watch) -> Watch {
    Watch { moved_ms: watch.moved_ms, ..Watch::default() }
}

fn about_reducer(watch: &Watch, over: Tried, graces: Graces, now_ms: i64) -> (Watch, Vec<Action>) {
    let known = watch.reducing.filter(|note| note.over == over);
    let (note, step) = next(known, over, now_ms, graces, now_ms);
    let action = about_goal(Goal::Output, over, &step);
    // It came this far, or another attempt was made and is over.
    let moved_ms = if known.is_none() { now_ms } else { watch.moved_ms };
    (Watch { reducing: Some(note), moved_ms, ..at_the_end(watch) }, action.into_iter().collect())
}

/// Each node is like an output of its own; but as long as others move, none is given up for never having started.
fn about_nodes(
    watch: &Watch,
    running: u64,
    still: &[(u32, Tried)],
    graces: Graces,
    now_ms: i64,
) -> (Watch, Vec<Action>) {
    let mut next_watch = at_the_end(watch);
    let mut actions = Vec::new();
    let is_known = |(node, over): &(u32, Tried)| watch.nodes.get(node).is_some_and(|note| note.over == *over);
    if running > 0 || !still.iter().all(is_known) {
        next_watch.moved_ms = now_ms;
    }
    for (node, over) in still.iter().copied().take(NOTES_MAX) {
        let known = watch.nodes.get(&node).copied().filter(|note| note.over == over);
        let (note, step) = next(known, over, now_ms, graces, now_ms);
        next_watch.nodes.insert(node, note);
        let step = match step {
            Step::GiveUp if !is_stuck(&next_watch, now_ms) => Step::Send,
            step => step,
        };
        actions.extend(about_goal(Goal::Node(node), over, &step));
    }
    (next_watch, actions)
}

fn about_goal(goal: Goal, over: Tried, step: &Step) -> Option<Action> {
    match step {
        Step::Wait => None,
        Step::Send => Some(Action::Reduce { goal, over }),
        Step::GiveUp => Some(Action::EndUnreduced { goal, over }),
    }
}

fn about_piece(marker: &Marker, piece: &Piece, graces: Graces, now_ms: i64) -> (Watch, Vec<Action>) {
    let Marker { watch, grouping, started_ms, .. } = marker;
    let grouping = *grouping;
    // The first events are on their way for a while.
    let may_be_lost_ms = started_ms.saturating_add(graces.start_ms);
    let mut next_watch = counted(watch, piece, grouping, now_ms);
    let mut actions: Vec<Action> = piece.complete.iter().map(|group| Action::Merge(*group)).collect();
    next_watch.still.retain(|partition, _| !piece.groups.contains(&grouping.group_of(*partition)));
    for (partition, over) in piece.still.iter().copied() {
        if next_watch.still.len() >= NOTES_MAX {
            break;
        }
        let known = watch.still.get(&partition).copied().filter(|note| note.over == over);
        let due_ms = if over == Tried::NEVER { may_be_lost_ms } else { now_ms };
        let (note, step) = next(known, over, due_ms, graces, now_ms);
        next_watch.still.insert(partition, note);
        match step {
            Step::Wait => {}
            Step::GiveUp if is_stuck(&next_watch, now_ms) => actions.push(Action::GiveUp { partition, over }),
            Step::Send | Step::GiveUp => actions.push(Action::TryAgain { partition, over }),
        }
    }
    (next_watch, actions)
}

/// The round with this piece counted in, and whether anything moved.
fn counted(watch: &Watch, piece: &Piece, grouping: Grouping, now_ms: i64) -> Watch {
    let mut next_watch = Watch { reducing: None, ..watch.clone() };
    let Tally { groups, done, attempts } = piece.tally;
    next_watch.this_round.groups = groups;
    next_watch.this_round.done += done;
    next_watch.this_round.attempts += attempts;
    next_watch.from_group = piece.groups.end;
    let mut moves = piece.running > 0 || !piece.complete.is_empty();
    if piece.groups.end >= grouping.groups() {
        moves |= next_watch.this_round != watch.last_round;
        next_watch.last_round = std::mem::take(&mut next_watch.this_round);
        next_watch.from_group = 0;
    }
    if moves {
        next_watch.moved_ms = now_ms;
    }
    next_watch
}

enum Step {
    Wait,
    Send,
    GiveUp,
}

/// What to do about something that stands still, and what to note of it. What is not known yet is due at `first_due_ms`.
fn next(known: Option<Note>, over: Tried, first_due_ms: i64, graces: Graces, now_ms: i64) -> (Note, Step) {
    let note = known.unwrap_or(Note { over, sent: 0, due_ms: first_due_ms });
    if note.due_ms > now_ms {
        return (note, Step::Wait);
    }
    let due_ms = now_ms.saturating_add(graces.pause_ms(note.sent + 1));
    if note.sent >= SENDS_MAX {
        return (Note { due_ms, ..note }, Step::GiveUp);
    }
    (Note { over, sent: note.sent + 1, due_ms }, Step::Send)
}
