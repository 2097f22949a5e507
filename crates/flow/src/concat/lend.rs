//! Which stretches are copied, and what they lend to the gaps beside them.
//!
//! A row is stretches, which can be copied, with gaps between them, which cannot and are streamed. Only the last part of
//! an upload may have less than `m` bytes (`part_bytes_min`), so a gap of `c < m` bytes that is not the last one **lacks**
//! `m - c`. The stretches at its sides lend them: a stretch's end or beginning is streamed with the gap, and of the
//! stretch a part of `m` bytes must remain. Or a stretch is streamed as a whole, and joins the gaps beside it to one.
//! The planner minimises streamed bytes, then requests, over all such choices. (Nothing else can help: to lend more than
//! is lacking streams more, and a stretch that lends from its middle could lend nothing.)
//!
//! **How.** Walk over the stretches. What matters for the rest of the row, once a stretch is to be copied, is what it
//! has cost so far and how much the stretch has lent to its left; so at each stretch stands a frontier of states (cost,
//! lent) of which none is better in both.
//!
//! **Why that is exact and quick:**
//! - Only a needy stretch is streamed as a whole: one that cannot lend what the gaps beside it lack. Another is better
//!   copied, whatever the rest does. And of three stretches in a row the middle one is better copied than streamed
//!   with the others, since those are gap enough on either side. So a state comes from one of the last three stretches.
//! - A gap with a streamed stretch in it has `m` bytes and lacks nothing: the stretch behind it has lent nothing, and
//!   the cheapest state before it is all that counts.
//! - A gap that lacks something costs the same bytes whoever lends them. Lent from the left alone or from the right
//!   alone it takes one read, from both two. So there are three ways: all from the left, where of the states that can the
//!   cheapest is best; all from the right, where the cheapest of all is; and from both, then all that the left one still
//!   has, since it has no other use for it. The third way adds the same to all states of the frontier, which so is moved
//!   as a whole, and each state is made once and dropped once: the walk takes time in proportion to the row.
//! - What is lent can also save a copy, where a stretch is longer than some copies (`copy_bytes`) by less than that: one
//!   copy at most. Such a stretch is rich: it can lend to both sides whatever they lack. There one state is enough, the
//!   cheapest, of equal ones the one that has lent most: any other costs at least the one request more that it could
//!   save. For the same reason to lend from both sides of a gap is no better beside a rich stretch than to let that one
//!   lend all.

use std::collections::VecDeque;
use std::ops;

use super::gap::cuts;
use super::{Limits, row::Row};

/// A stretch that is copied, but for what it lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// Its span.
    pub(super) span: usize,
    /// How many bytes at its beginning are streamed with the gap before it.
    pub(super) lent_before: u64,
    /// How many bytes at its end are streamed with the gap behind it.
    pub(super) lent_behind: u64,
}

/// What is copied of a row, in order, so that as few bytes as can be are streamed, in as few requests as can be.
pub(super) fn copied(row: &Row<'_>, limits: &Limits) -> Vec<Copied> {
    let stretches = (0..row.len()).filter(|span| row.is_stretch(*span, limits)).collect();
    Walk { row, limits, stretches, arrivals: Vec::new() }.walk()
}

/// Streamed bytes, then requests. Signed, since states of a [`Frontier`] are kept relative to its own cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    streamed: i64,
    requests: i64,
}

impl ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { streamed: self.streamed + other.streamed, requests: self.requests + other.requests }
    }
}

impl ops::Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { streamed: self.streamed - other.streamed, requests: self.requests - other.requests }
    }
}

/// A way to have come to a stretch that is copied.
#[derive(Clone, Copy, Debug)]
struct State {
    cost: Cost,
    /// What the stretch has lent to the gap before it.
    lent: i64,
    /// The arrival that it goes back to: at this stretch, or at an earlier one from which on each gap has taken all that
    /// was left on its left.
    arrival: usize,
}

/// A step to a stretch, kept for the way back. Stretches are numbered from 1; 0 is the beginning of the row.
struct Arrival {
    stretch: usize,
    /// What it has lent to the gap before it.
    lent: i64,
    /// The stretch copied before that gap.
    from: usize,
    /// The arrival that the state there went back to.
    arrival: usize,
}

/// A way to have copied a stretch and to go on from it, with what it lends to the gap behind it.
#[derive(Clone, Copy)]
struct Departure {
    cost: Cost,
    stretch: usize,
    arrival: usize,
}

struct Walk<'a> {
    row: &'a Row<'a>,
    limits: &'a Limits,
    /// The spans that are stretches.
    stretches: Vec<usize>,
    arrivals: Vec<Arrival>,
}

impl Walk<'_> {
    fn walk(mut self) -> Vec<Copied> {
        let mut frontier = Frontier::default();
        frontier.be(Some(self.arrive(Departure { cost: Cost::default(), stretch: 0, arrival: 0 }, 0, 0)));
        // From the last stretch, the one before it, and the third, without lending.
        let mut departures = [self.departure(&frontier, 0), None, None];
        for stretch in 1..=self.stretches.len() {
            self.step(&mut frontier, departures, stretch);
            departures = [self.departure(&frontier, stretch), departures[0], departures[1]];
        }
        // The last gap lacks nothing. To stream two stretches in it would be worse than to copy the second.
        let last = self.over_gap(&departures[..2], self.stretches.len() + 1);
        last.map_or_else(Vec::new, |last| self.way_to(last))
    }

    /// Moves the frontier from the stretch before to `stretch`.
    fn step(&mut self, frontier: &mut Frontier, departures: [Option<Departure>; 3], stretch: usize) {
        let lacking = self.lacking(stretch - 1, stretch);
        if lacking == 0 {
            let free = self.over_gap(&departures, stretch);
            return frontier.be(free.map(|free| self.arrive(free, stretch, 0)));
        }
        let (left, right) = (self.lendable(stretch - 1), self.lendable(stretch));
        let one_lends = self.cost_of_lending(stretch, 1);
        let left_lends = frontier.pop_lent_up_to(left - lacking).map(|state| {
            let copies = self.copies(stretch - 1, state.lent + lacking);
            Departure { cost: state.cost + copies + one_lends, stretch: stretch - 1, arrival: state.arrival }
        });
        let free = [left_lends, self.over_gap(&departures[1..], stretch)];
        let free = free.into_iter().flatten().min_by_key(|free| free.cost);
        let right_lends = departures[0].filter(|_| lacking <= right);
        let right_lends = right_lends.map(|from| Departure { cost: from.cost + one_lends, ..from });
        if self.is_rich(stretch) {
            // It can lend, so there is at least that way.
            let lends = right_lends.filter(|lends| free.is_none_or(|free| lends.cost <= free.cost));
            let best = lends.map(|lends| (lends, lacking)).or(free.map(|free| (free, 0)));
            return frontier.be(best.map(|(best, lent)| self.arrive(best, stretch, lent)));
        }
        frontier.shift(self.copies(stretch - 1, 0) + self.cost_of_lending(stretch, 2), lacking - left);
        frontier.drop_lent_over(right);
        if let Some(free) = free {
            frontier.add_free(self.arrive(free, stretch, 0));
        }
        if let Some(lends) = right_lends.filter(|lends| free.is_none_or(|free| lends.cost < free.cost)) {
            frontier.add_most_lent(self.arrive(lends, stretch, lacking));
        }
    }

    fn arrive(&mut self, from: Departure, stretch: usize, lent: i64) -> State {
        self.arrivals.push(Arrival { stretch, lent, from: from.stretch, arrival: from.arrival });
        State { cost: from.cost, lent, arrival: self.arrivals.len() - 1 }
    }

    fn departure(&self, frontier: &Frontier, stretch: usize) -> Option<Departure> {
        let State { cost, lent, arrival } = frontier.cheapest()?;
        Some(Departure { cost: cost + self.copies(stretch, lent), stretch, arrival })
    }

    /// The cheapest of these ways to come to `stretch` over a gap that lacks nothing. The stretches between are streamed.
    fn over_gap(&self, departures: &[Option<Departure>], stretch: usize) -> Option<Departure> {
        let departures = departures.iter().flatten();
        let arrivals =
            departures.filter(|from| (from.stretch + 1..stretch).all(|between| self.is_needy(between)));
        let arrivals = arrivals
            .map(|from| Departure { cost: from.cost + self.cost_of_gap(from.stretch, stretch), ..*from });
        arrivals.min_by_key(|arrival| arrival.cost)
    }

    /// What was copied on the way to the end.
    fn way_to(&self, last: Departure) -> Vec<Copied> {
        let mut copied = Vec::new();
        let Departure { mut stretch, mut arrival, .. } = last;
        let mut lent_behind = 0;
        while stretch > 0 {
            let first = &self.arrivals[arrival];
            let (known, mut lent) = (copied.len(), first.lent);
            for at in first.stretch..stretch {
                let left = self.lendable(at) - lent;
                copied.push(self.copied(at, lent, left));
                lent = self.lacking(at, at + 1) - left;
            }
            copied.push(self.copied(stretch, lent, lent_behind));
            copied[known..].reverse();
            lent_behind = self.lacking(first.from, first.stretch) - first.lent;
            (stretch, arrival) = (first.from, first.arrival);
        }
        copied.reverse();
        copied
    }

    fn copied(&self, stretch: usize, lent_before: i64, lent_behind: i64) -> Copied {
        let (lent_before, lent_behind) = (lent_before as u64, lent_behind as u64);
        Copied { span: self.stretches[stretch - 1], lent_before, lent_behind }
    }

    /// The spans between two stretches, of which the second may be the end of the row.
    fn gap(&self, from: usize, to: usize) -> ops::Range<usize> {
        let start = if from == 0 { 0 } else { self.stretches[from - 1] + 1 };
        start..self.stretches.get(to - 1).copied().unwrap_or(self.row.len())
    }

    fn lacking(&self, from: usize, to: usize) -> i64 {
        match self.row.bytes(self.gap(from, to)) {
            0 => 0,
            _ if self.is_end(to) => 0,
            bytes => self.limits.part_bytes_min.saturating_sub(bytes) as i64,
        }
    }

    fn is_end(&self, to: usize) -> bool {
        to > self.stretches.len()
    }

    fn lendable(&self, stretch: usize) -> i64 {
        if stretch == 0 { 0 } else { self.row.lendable(self.stretches[stretch - 1], self.limits) as i64 }
    }

    /// Whether a stretch cannot lend all that the gaps beside it lack.
    fn is_needy(&self, stretch: usize) -> bool {
        self.lendable(stretch) < self.lacking(stretch - 1, stretch) + self.lacking(stretch, stretch + 1)
    }

    fn is_rich(&self, stretch: usize) -> bool {
        self.lendable(stretch) >= 2 * (self.limits.part_bytes_min as i64 - 1)
    }

    /// What it costs to copy a stretch that has lent so much.
    fn copies(&self, stretch: usize, lent: i64) -> Cost {
        let bytes = if stretch == 0 { 0 } else { self.row.span_bytes(self.stretches[stretch - 1]) };
        Cost { streamed: 0, requests: (bytes - lent as u64).div_ceil(self.limits.copy_bytes) as i64 }
    }

    /// What it costs to stream a gap that lacks nothing.
    fn cost_of_gap(&self, from: usize, to: usize) -> Cost {
        let gap = self.gap(from, to);
        let streamed = self.row.bytes(gap.clone()) as i64;
        if streamed == 0 {
            return Cost::default();
        }
        let parts = cuts(self.row, gap.clone(), self.is_end(to), self.limits).len() as i64 + 1;
        Cost { streamed, requests: parts + self.row.ranges(gap) as i64 }
    }

    /// What it costs to stream the gap before a stretch and what so many stretches lend to it: one part.
    fn cost_of_lending(&self, stretch: usize, lenders: i64) -> Cost {
        let reads = self.row.ranges(self.gap(stretch - 1, stretch)) as i64 + lenders;
        Cost { streamed: self.limits.part_bytes_min as i64, requests: reads + 1 }
    }
}

/// The ways to have come to a stretch of which none is better than another in cost and in what was lent: in order of
/// that, and so from the dearest to the cheapest.
#[derive(Default)]
struct Frontier {
    /// Relative to `cost` and `lent`.
    states: VecDeque<State>,
    cost: Cost,
    lent: i64,
}

impl Frontier {
    fn be(&mut self, state: Option<State>) {
        self.states.clear();
        (self.cost, self.lent) = (Cost::default(), 0);
        self.states.extend(state);
    }

    fn absolute(&self, state: &State) -> State {
        State { cost: state.cost + self.cost, lent: state.lent + self.lent, ..*state }
    }

    fn relative(&self, state: State) -> State {
        State { cost: state.cost - self.cost, lent: state.lent - self.lent, ..state }
    }

    fn least_lent(&self) -> Option<State> {
        self.states.front().map(|state| self.absolute(state))
    }

    fn cheapest(&self) -> Option<State> {
        self.states.back().map(|state| self.absolute(state))
    }

    fn shift(&mut self, cost: Cost, lent: i64) {
        self.cost = self.cost + cost;
        self.lent += lent;
    }

    /// Takes the states out that have lent so much at most, and gives back the cheapest of them.
    fn pop_lent_up_to(&mut self, lent: i64) -> Option<State> {
        let mut cheapest = None;
        while let Some(state) = self.least_lent().filter(|state| state.lent <= lent) {
            self.states.pop_front();
            cheapest = Some(state);
        }
        cheapest
    }

    fn drop_lent_over(&mut self, lent: i64) {
        while self.cheapest().is_some_and(|state| state.lent > lent) {
            self.states.pop_back();
        }
    }

    /// Adds a state that has lent nothing, and drops those that are no cheaper.
    fn add_free(&mut self, state: State) {
        while self.least_lent().is_some_and(|other| other.cost >= state.cost) {
            self.states.pop_front();
        }
        self.states.push_front(self.relative(state));
    }

    /// Adds a state that is cheaper than all others, and drops those that have lent no less.
    fn add_most_lent(&mut self, state: State) {
        while self.cheapest().is_some_and(|other| other.lent >= state.lent) {
            self.states.pop_back();
        }
        self.states.push_back(self.relative(state));
    }
}
