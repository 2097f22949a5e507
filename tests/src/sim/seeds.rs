//! Many runs, on all processors, and what to say of one that is broken.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfold_store::Operation;
use fanfold_store::counting::Counts;

use super::faults::PerFault;
use super::invariants;
use super::judge::Broken;
use super::mutation::Mutation;
use super::scenario::Scenario;
use super::world::{World, live};

/// How a run went.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The first invariant that did not hold, if one did not.
    pub broken: Option<Broken>,
    /// What happened, line by line, where that was asked for.
    pub trace: String,
    /// What went wrong.
    pub faults: PerFault<u64>,
    /// What was asked of the store.
    pub calls: Counts,
    /// How many invocations there were.
    pub invocations: u64,
    /// The last hop that a partition came to.
    pub hops: u32,
    /// The last cut that a chunk came to.
    pub cuts: u32,
    /// How many nodes of outputs were made.
    pub nodes: u64,
    /// How the job ended: `succeeded`, or the code of its report.
    pub ended: String,
    /// How much time passed in the run.
    pub took: Duration,
}

/// Lives the run of a scenario, on simulated time: the same one each time.
///
/// # Panics
/// When there is no runtime to be had.
pub fn run(scenario: &Scenario, mutation: Option<Mutation>, traced: bool) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap_or_else(|error| panic!("a runtime: {error}"));
    runtime.block_on(async {
        let world = World::new(scenario.clone(), mutation, traced);
        live(&world).await;
        if world.judge.broken().is_none() {
            invariants::check(&world).await;
        }
        let ended = invariants::ended(&world).await;
        let seen = world.judge.seen();
        Ran {
            broken: seen.broken(),
            trace: world.trace.text(),
            faults: world.faults(),
            calls: world.counted.counts(),
            invocations: seen.all_invocations(),
            hops: seen.hops,
            cuts: seen.cuts,
            nodes: seen.nodes,
            ended,
            took: world.clock.elapsed(),
        }
    })
}

/// Lives the runs of these seeds, each in a runtime of its own, on all processors; each is looked at as it ends, in any
/// order. Stops early where `look` says so.
pub fn run_all(seeds: Range<u64>, mutation: Option<Mutation>, look: impl Fn(u64, Ran) -> Go + Sync) {
    let next = AtomicU64::new(seeds.start);
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if look(seed, run(&Scenario::draw(seed), mutation, false)) == Go::NoFurther {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

/// Whether to live more runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Do.
    On,
    /// It is enough.
    NoFurther,
}

/// What was met in many runs.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// What went wrong.
    pub faults: PerFault<u64>,
    /// How the jobs ended, and how many so.
    pub ended: BTreeMap<String, u64>,
    /// How many came to a second hop.
    pub hopped: u64,
    /// How many cut a chunk.
    pub cut: u64,
    /// In how many the store copied parts of an output by itself.
    pub copied: u64,
    /// How many outputs were made of nodes.
    pub of_nodes: u64,
}

/// Lives the runs of these seeds, and gives what was met in them.
///
/// # Panics
/// When an invariant did not hold in one of them, with all that is to be known of the first such seed.
pub fn hold(seeds: Range<u64>) -> Met {
    let met = Mutex::new(Met::default());
    let first_broken = Mutex::new(None::<u64>);
    run_all(seeds, None, |seed, ran| {
        let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
        met.faults.add(&ran.faults);
        *met.ended.entry(ran.ended).or_default() += 1;
        met.hopped += u64::from(ran.hops > 0);
        met.cut += u64::from(ran.cuts > 0);
        met.copied += u64::from(ran.calls.of(Operation::CopyPart) > 0);
        met.of_nodes += u64::from(ran.nodes > 0);
        if ran.broken.is_none() {
            return Go::On;
        }
        let mut first = first_broken.lock().unwrap_or_else(PoisonError::into_inner);
        *first = Some(first.map_or(seed, |first| first.min(seed)));
        Go::NoFurther
    });
    if let Some(seed) = first_broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        panic!("{}", story(seed, None));
    }
    met.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// All that is to be known of a seed: it is lived once more, and told line by line.
pub fn story(seed: u64, mutation: Option<Mutation>) -> String {
    let scenario = Scenario::draw(seed);
    let ran = run(&scenario, mutation, true);
    let mut story = match &ran.broken {
        Some(broken) => format!("seed {seed} is broken: {broken}\n"),
        None => format!("seed {seed} holds: the job ended as {} after {:?}\n", ran.ended, ran.took),
    };
    if let Some(mutation) = mutation {
        // Writing to a String cannot fail.
        let _infallible = writeln!(story, "with a guard broken: {mutation:?}");
    }
    let _infallible = write!(
        story,
        "\n{scenario}\n\nwhat happened:\n{}\n\nto see it again: FANFOLD_SIM_SEED={seed} cargo test -p e2e --test sim -- --nocapture one_seed\n",
        ran.trace
    );
    story
}
