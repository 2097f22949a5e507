//! The runs of many seeds, in which everything that goes wrong in the cloud goes wrong.

use std::ops::Range;

use e2e::sim::{Fault, Scenario, hold, run, story};

/// How many seeds are lived through, unless `FANFOLD_SIM_SEEDS` says another number.
const SEEDS: u64 = 2_500;

/// A number that is set for a run of tests.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name} must be a number, not '{text}': {error}")))
}

fn seeds() -> Range<u64> {
    0..number("FANFOLD_SIM_SEEDS").unwrap_or(SEEDS)
}

#[test]
fn whatever_goes_wrong_every_invariant_holds() {
    let met = hold(seeds());
    // What the seeds do not come to, they do not show.
    for (fault, times) in met.faults.iter() {
        assert!(times >= 100, "{fault:?} happened {times} times in {:?}", seeds());
    }
    for ended in [
        "succeeded",
        "program_failed",
        "out_of_memory",
        "out_of_time",
        "worker_died",
        "output_exists",
        "input_changed",
    ] {
        assert!(met.ended.contains_key(ended), "no job ended as {ended}: {:?}", met.ended);
    }
    assert!(met.ended["succeeded"] * 2 > seeds().end, "most jobs succeed: {:?}", met.ended);
    assert!(
        met.hopped > 100 && met.cut > 100,
        "{} jobs came to a second hop, {} cut a chunk",
        met.hopped,
        met.cut
    );
    let (copied, of_nodes) = (met.copied, met.of_nodes);
    println!("{copied} outputs have copied parts, {of_nodes} were made of nodes");
    assert!(copied > 500 && of_nodes > 40, "{copied} outputs have copied parts, {of_nodes} nodes");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        let [first, second] = [(), ()].map(|()| run(&Scenario::draw(seed), None, true));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.calls, second.calls, "seed {seed}");
    }
}

#[test]
fn a_world_without_faults_needs_no_second_try() {
    let (mut calm, mut seed) = (0, 0);
    while calm < 50 {
        let scenario =
            Scenario { rates: e2e::sim::Rates::none(), surprises: Vec::new(), ..Scenario::draw(seed) };
        seed += 1;
        if scenario.program.failing.is_empty() {
            let ran = run(&scenario, None, false);
            assert_eq!(ran.faults.sum(), 0);
            assert_eq!(ran.broken, None, "seed {}", scenario.seed);
            calm += 1;
        }
    }
}

/// `FANFOLD_SIM_SEED=n cargo test -p e2e --test sim -- --nocapture one_seed`
#[test]
fn one_seed_is_told_line_by_line() {
    let asked = number("FANFOLD_SIM_SEED");
    let seed = asked.unwrap_or(0);
    let story = story(seed, None);
    if asked.is_some() {
        println!("{story}");
    }
    assert!(story.starts_with(&format!("seed {seed} holds")), "{story}");
    assert!(story.contains(&format!("FANFOLD_SIM_SEED={seed}")) && story.contains("dispatcher#1"), "{story}");
    assert!(Fault::ALL.len() > 10);
}
