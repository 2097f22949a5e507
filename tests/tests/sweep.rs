//! Whatever dies, the job ends: the sweep alone, without any other net, brings every job to its end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use e2e::memory::BUCKET;
use e2e::mortal::{Fate, MortalWorld};
use fanfold_flow::report::Status;
use proptest::prelude::*;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// How many sweeps a job may take to its end: three days of them.
const SWEEPS_MAX: usize = 3 * 24 * 60;

fn job(chunks: u64, max_concurrency: Option<u32>) -> Value {
    json!({
        "version": 1,
        "name": "mortal",
        "source": { "range": { "end": chunks, "chunk": 1 } },
        "task": { "command": ["sh", "-c", "echo $FANFOLD_INDEX"] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
        "max_concurrency": max_concurrency,
        "retries": 10,
        "token": "run"
    })
}

fn whole(chunks: u64) -> String {
    (0..chunks).map(|index| format!("{index}\n")).collect()
}

fn fate() -> impl Strategy<Value = Option<Fate>> {
    prop::option::of(
        (0..24_u32, any::<bool>()).prop_map(|(requests, last_is_done)| Fate { requests, last_is_done }),
    )
}

async fn sweep_to_the_end(world: &MortalWorld) -> usize {
    for sweeps in 0..SWEEPS_MAX {
        if world.keys("work/active/").await.is_empty() {
            return sweeps;
        }
        world.sweep_after(MINUTE).await;
    }
    panic!("the job did not end: {world:?}; there are {:#?}", world.keys("work/").await);
}

async fn any_job_ends(fates: Vec<Option<Fate>>, lost: Vec<u64>, chunks: u64, max_concurrency: Option<u32>) {
    let deaths = fates.iter().flatten().count();
    let losses = lost.len();
    let world = MortalWorld::new(fates, lost);
    world.submit(&job(chunks, max_concurrency)).await;
    sweep_to_the_end(&world).await;
    let report = world.report("run").await.unwrap();
    assert!(report.chunks.add_up(), "{}", report.chunks);
    assert_eq!(world.uploads().await, 0);
    match report.status {
        Status::Succeeded => {
            assert_eq!(String::from_utf8(world.get("out").await).unwrap(), whole(chunks));
            assert_eq!(world.keys("work/jobs/run/chunks/").await, Vec::<String>::new());
        }
        status => assert!(deaths > 2, "{status:?} after {deaths} deaths: {}", report.message),
    }
    // The dispatcher sent each partition once for each time that it was submitted, and a lane goes on by itself; the rest are
    // sweeps'. A death costs an attempt, and each is doubled twice at most before it begins.
    let bound = (chunks as usize + 1) * (1 + deaths) + 3 * (deaths + losses);
    assert!(world.invocations("worker") <= bound, "{} workers, {bound} at most", world.invocations("worker"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_dies_and_whatever_is_lost_the_job_ends(
        fates in prop::collection::vec(fate(), 0..16),
        lost in prop::collection::vec(0..30_u64, 0..4),
        chunks in 0..14_u64,
        max_concurrency in prop::option::of(1..5_u32),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(any_job_ends(fates, lost, chunks, max_concurrency));
    }
}

#[tokio::test]
async fn a_job_in_which_nothing_dies_needs_no_sweep() {
    let world = MortalWorld::new([], Vec::new());
    world.submit(&job(12, Some(3))).await;
    assert_eq!(sweep_to_the_end(&world).await, 0);
    assert_eq!((world.invocations("worker"), world.invocations("reducer")), (3, 1));
}

#[tokio::test]
async fn wherever_one_function_dies_once_the_output_is_exact() {
    // As many requests as the longest of them makes; the death after the last one is none.
    for requests in 0..30 {
        for last_is_done in [false, true] {
            // The dispatcher, either worker, the reducer.
            for dying in 0..4 {
                let fate = Some(Fate { requests, last_is_done });
                let fates = (0..4).map(|place| fate.filter(|_| place == dying));
                any_job_ends(fates.collect(), Vec::new(), 11, Some(2)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_job_that_comes_again_after_its_reducer_died_leaves_nothing_behind() {
    for requests in 0..30 {
        for last_is_done in [false, true] {
            // The dispatcher, the worker of the only lane, the reducer.
            let world = MortalWorld::new([None, None, Some(Fate { requests, last_is_done })], Vec::new());
            let job = job(3, Some(1));
            world.submit(&job).await;
            world.submit(&job).await;
            sweep_to_the_end(&world).await;
            assert_eq!(
                world.keys("work/jobs/run/chunks/").await,
                Vec::<String>::new(),
                "{requests} {last_is_done}"
            );
        }
    }
}
