//! What the faults of both halves have in common: a switch that can be turned while they run, dice that a seed
//! repeats, counts of what happened, and who is spared.
//!
//! What it owes its neighbours: while the switch is off, which it is until somebody turns it, nothing is drawn; and what
//! is drawn depends on the seed, on the kind of the decision, and on how many of that kind there were since the switch
//! was turned, never on the time or on other kinds. So a seed is as repeatable as the order of the requests.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng as Dice;
use tokio::sync::watch;

/// Faults that cannot be made: everything that is wrong with them, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the faults are wrong: {}", .0.join("; "))]
pub struct WrongFaults(pub Vec<String>);

impl WrongFaults {
    /// Nothing, where there are no problems.
    ///
    /// # Errors
    /// The problems.
    pub(crate) fn unless_none(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
}

/// Alternatives of which at most one happens, each with its name and its probability. What is left over is that none does.
pub(crate) type Rates<Fault> = [(&'static str, f64, Fault)];

/// What is wrong with alternatives that `of` has.
pub(crate) fn problems<Fault>(of: &str, rates: &Rates<Fault>) -> Vec<String> {
    let mut problems: Vec<String> = rates
        .iter()
        .filter(|(_, rate, _)| !(0.0..=1.0).contains(rate))
        .map(|(name, rate, _)| format!("{of}: `{name}` is {rate}, no probability from 0 to 1"))
        .collect();
    let sum: f64 = rates.iter().map(|(_, rate, _)| rate).sum();
    // Room for tenths that have no exact value.
    if problems.is_empty() && sum > 1.0 + 1e-9 {
        let names: Vec<&str> = rates.iter().map(|(name, ..)| *name).collect();
        problems.push(format!("{of}: {} are {sum} in all, and only one of them happens", names.join(" + ")));
    }
    problems
}

/// Draws one of the alternatives, or none.
pub(crate) fn pick<Fault: Copy>(random: &mut Dice, rates: &Rates<Fault>) -> Option<Fault> {
    let mut drawn = random.f64();
    let fallen = rates.iter().find(|(_, rate, _)| {
        drawn -= rate;
        drawn < 0.0
    });
    fallen.map(|(_, _, fault)| *fault)
}

/// A delay of at most `longest`.
pub(crate) fn delay(random: &mut Dice, longest: Duration) -> Duration {
    longest.mul_f64(random.f64())
}

/// Faults that are switched on.
#[derive(Debug)]
pub(crate) struct Active<Faults> {
    pub(crate) faults: Faults,
    seed: u64,
    drawn: Mutex<BTreeMap<&'static str, u64>>,
}

impl<Faults> Active<Faults> {
    /// The dice for the next decision of this kind.
    pub(crate) fn dice(&self, kind: &'static str) -> Dice {
        let mut drawn = lock(&self.drawn);
        let number = drawn.entry(kind).or_default();
        // Two hashers made like this agree within a build, which is as long as a seed has to mean the same.
        let mut hasher = DefaultHasher::new();
        (self.seed, kind, *number).hash(&mut hasher);
        *number += 1;
        Dice::with_seed(hasher.finish())
    }
}

/// One half's faults, the counts of those that happened, and the access keys that are spared.
#[derive(Debug)]
pub(crate) struct Switch<Faults, Counts> {
    active: watch::Sender<Option<Arc<Active<Faults>>>>,
    counts: Mutex<Counts>,
    /// Secrets by access key id.
    spared: Mutex<BTreeMap<String, String>>,
}

impl<Faults, Counts: Default> Default for Switch<Faults, Counts> {
    fn default() -> Self {
        Self { active: watch::Sender::new(None), counts: Mutex::default(), spared: Mutex::default() }
    }
}

impl<Faults, Counts: Clone> Switch<Faults, Counts> {
    /// Turns the faults on, from the first draw of each kind; or off.
    pub(crate) fn turn(&self, faults: Option<(u64, Faults)>) {
        let active = faults.map(|(seed, faults)| Arc::new(Active { faults, seed, drawn: Mutex::default() }));
        self.active.send_replace(active);
    }

    /// The faults that are on now.
    pub(crate) fn active(&self) -> Option<Arc<Active<Faults>>> {
        self.active.borrow().clone()
    }

    /// Hears of every turn of the switch.
    pub(crate) fn turns(&self) -> watch::Receiver<Option<Arc<Active<Faults>>>> {
        self.active.subscribe()
    }

    /// Notes that something happened.
    pub(crate) fn count<T>(&self, note: impl FnOnce(&mut Counts) -> T) -> T {
        note(&mut lock(&self.counts))
    }

    /// What has happened since the start, however often the switch was turned.
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// Lets another access key in, whose requests are spared.
    pub(crate) fn spare(&self, access_key_id: String, secret_access_key: String) {
        lock(&self.spared).insert(access_key_id, secret_access_key);
    }

    /// The secret of an access key, if it is one that is spared.
    pub(crate) fn spared(&self, access_key_id: &str) -> Option<String> {
        lock(&self.spared).get(access_key_id).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn active(seed: u64) -> Active<()> {
        Active { faults: (), seed, drawn: Mutex::default() }
    }

    proptest! {
        #[test]
        fn what_is_drawn_depends_on_seed_kind_and_number_alone(seed: u64, others in 0..5_usize) {
            let (one, other) = (active(seed), active(seed));
            for _ in 0..10 {
                for _ in 0..others {
                    other.dice("another kind");
                }
                prop_assert_eq!(one.dice("kind").u64(..), other.dice("kind").u64(..));
            }
        }

        #[test]
        fn a_rate_of_0_never_falls_and_rates_of_1_in_all_always_do(seed: u64) {
            let mut random = Dice::with_seed(seed);
            prop_assert_eq!(pick(&mut random, &[("never", 0.0, 'n')]), None);
            prop_assert_eq!(pick(&mut random, &[("never", 0.0, 'n'), ("always", 1.0, 'a')]), Some('a'));
            prop_assert!(pick(&mut random, &[("half", 0.5, 'a'), ("other half", 0.5, 'b')]).is_some());
            prop_assert!(delay(&mut random, Duration::from_secs(1)) < Duration::from_secs(1));
        }
    }

    #[test]
    fn each_fault_comes_about_as_often_as_its_rate_says() {
        let active = active(7);
        let rates = [("rare", 0.05, 0_usize), ("common", 0.25, 1)];
        let mut fallen = [0; 2];
        for _ in 0..10_000 {
            if let Some(fault) = pick(&mut active.dice("kind"), &rates) {
                fallen[fault] += 1;
            }
        }
        assert!((400..600).contains(&fallen[0]) && (2_300..2_700).contains(&fallen[1]), "{fallen:?}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(problems("x", &[("a", 0.7, ()), ("b", 0.3, ())]), Vec::<String>::new());
        let wrong = problems("x", &[("a", f64::NAN, ()), ("b", -0.1, ()), ("c", 1.5, ())]);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        let wrong = problems("x", &[("a", 0.7, ()), ("b", 0.5, ())]);
        assert!(wrong[0].starts_with("x: a + b are 1.2 in all"), "{wrong:?}");
    }
}
