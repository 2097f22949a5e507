//! Histories in which several things must come together, which lots drawn each for itself hardly ever bring: what is rare of
//! each is made likely in one scenario.

use std::time::Duration;

use fastrand::Rng;

use super::{Failing, How, Input, MINUTE, Program, Rates, Scenario, Surprise};
use crate::sim::faults::Fault;
use crate::sim::lambda::Role;

/// What comes together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coincidence {
    /// Of an event's two copies one dies, and the other goes on for long: told dead, while it lives.
    WorkersToldDead,
    /// The same of reducers, at any of their requests.
    ReducersToldDead,
    /// A job is stopped while an outcome is under way to the store, for so long that its group is closed without it.
    StoppedAtTheLastStep,
    /// A try at a hop begins so late that the hop ends without it, and is at work beside the try of the same number at the
    /// next hop, which begins with the same chunk.
    TriedBesideTheNextHop,
    /// The same in a job's only lane, where whoever is first goes on with the next partition.
    TriedLateInALane,
}

impl Coincidence {
    /// One of them, or none.
    pub(super) fn draw(random: &mut Rng) -> Option<Self> {
        match random.u32(..24) {
            0..4 => Some(Self::WorkersToldDead),
            4..8 => Some(Self::ReducersToldDead),
            8..10 => Some(Self::StoppedAtTheLastStep),
            10..12 => Some(Self::TriedBesideTheNextHop),
            12..14 => Some(Self::TriedLateInALane),
            _ => None,
        }
    }

    /// Makes it likely in this scenario.
    pub(super) fn bring(self, scenario: &mut Scenario, random: &mut Rng) {
        match self {
            Self::WorkersToldDead => {
                let rates = [(Fault::EventTwice, 0.5), (Fault::StartFails, 0.25), (Fault::SlowMachine, 0.3)];
                scenario.rates.set(&rates);
            }
            Self::ReducersToldDead => {
                let rates = [(Fault::EventTwice, 0.5), (Fault::StartFails, 0.06), (Fault::Death, 0.005)];
                scenario.rates.set(&rates);
                scenario.rates.weakest = Some(Role::Reducer);
            }
            Self::StoppedAtTheLastStep => stopped_at_the_last_step(scenario, random),
            Self::TriedBesideTheNextHop => tried_beside_the_next_hop(scenario, random),
            Self::TriedLateInALane => {
                tried_beside_the_next_hop(scenario, random);
                scenario.max_concurrency = Some(1);
            }
        }
    }
}

/// Few partitions, whose programs take no time, so that what a worker is at is most often its outcome.
fn stopped_at_the_last_step(scenario: &mut Scenario, random: &mut Rng) {
    scenario.rates.set(&[(Fault::Late, 0.03)]);
    scenario.rates.late_below = Some("/done/");
    scenario.input = Input::range(0, random.u64(2..=8), 1);
    scenario.format = super::format(&scenario.input, random);
    scenario.program = Program::default();
    scenario.machines.worker_time = MINUTE * 5;
    scenario.surprises = vec![(Duration::from_millis(random.u64(..15_000)), Surprise::Cancelled)];
}

/// What a partition takes is about what a worker has, and the first try at each chunk fails when it has taken its time: so
/// the next hop begins where the one before it began. Of the faults, those that make for many tries, some of them late.
fn tried_beside_the_next_hop(scenario: &mut Scenario, random: &mut Rng) {
    scenario.rates = Rates::none();
    scenario.rates.until = MINUTE * 120;
    scenario.rates.set(&[(Fault::EventTwice, 0.7), (Fault::StartFails, 0.3), (Fault::EventLate, 0.5)]);
    scenario.input = Input::small_objects(random);
    scenario.format = super::format(&scenario.input, random);
    scenario.machines.cores = 1;
    scenario.machines.workers = 1_000;
    scenario.machines.worker_time = MINUTE * 2;
    let once = Failing { how: How::Exits(1), tries: Some(1), early: false };
    scenario.program = Program {
        record: scenario.machines.worker_time.mul_f64(0.3 + 0.06 * random.f64()),
        failing: (0..scenario.input.chunks).map(|chunk| (chunk, once)).collect(),
        ..Program::default()
    };
    (scenario.max_concurrency, scenario.cut, scenario.retries) = (None, true, 3);
    scenario.redrives = 0;
    scenario.surprises.clear();
}
