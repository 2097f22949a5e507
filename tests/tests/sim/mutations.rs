//! Each guard of the protocol is one that the simulation would miss.

use std::sync::{Mutex, PoisonError};

use e2e::sim::{Go, Invariant, Mutation, run_all};

/// Most seeds among which one shows that a guard is broken.
const SEEDS: u64 = 400;

/// The first seed that shows this mutation, in any order, and what it breaks.
fn shown(mutation: Mutation) -> Option<(u64, Invariant)> {
    let found = Mutex::new(None);
    run_all(0..SEEDS, Some(mutation), |seed, ran| match ran.broken {
        None => Go::On,
        Some(broken) => {
            found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((seed, broken.invariant));
            Go::NoFurther
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_guard_is_missed_by_some_seed_when_it_is_broken() {
    let mut unseen = Vec::new();
    for mutation in Mutation::ALL {
        match shown(mutation) {
            Some((seed, invariant)) => println!("{mutation:?}: seed {seed} breaks {invariant:?}"),
            None => unseen.push(mutation),
        }
    }
    assert!(unseen.is_empty(), "no seed of {SEEDS} shows that these guards are broken: {unseen:?}");
}
