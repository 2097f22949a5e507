//! The conformance suite over the functions in memory and over every wrapper. The adapter to Lambda is held to it by
//! the end-to-end tests, which have an emulator to run it against.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_invoke::conformance::{self, FAILED, ON_PURPOSE, World};
use fanfold_invoke::counting::Counting;
use fanfold_invoke::faults::{Call, Decision, Fault, Faulty};
use fanfold_invoke::memory::{Failure, MemoryInvoke};
use fanfold_invoke::paced::{PacedInvoke, Pacing};
use fanfold_invoke::{Invoke, Mode};

fn functions() -> Arc<MemoryInvoke> {
    let functions = MemoryInvoke::new();
    functions.register("echo", async |invocation| Ok(invocation.payload));
    functions.register("failing", async |_| Err::<Bytes, _>(Failure::new(FAILED, ON_PURPOSE)));
    Arc::new(functions)
}

fn world(invoke: Arc<dyn Invoke>) -> World {
    World { invoke, echo: "echo".into(), failing: "failing".into(), missing: "nobody".into() }
}

async fn holds(invoke: Arc<dyn Invoke>) {
    if let Err(broken) = conformance::run(&world(invoke)).await {
        panic!("{broken}");
    }
}

#[tokio::test]
async fn the_functions_in_memory_conform() {
    holds(functions()).await;
}

#[tokio::test]
async fn a_wrapper_without_faults_conforms() {
    holds(Arc::new(Faulty::new(functions(), |_: &Call<'_>| Decision::Pass))).await;
}

#[tokio::test]
async fn a_counting_wrapper_conforms_and_counts() {
    let counting = Arc::new(Counting::new(functions()));
    holds(counting.clone()).await;
    let counts = counting.counts();
    assert!(counts.calls > 0 && counts.sends > 0 && counts.failures > 0, "{counts:?}");
    assert!(counts.bytes_received > 4_000_000, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paced_wrapper_conforms_over_a_port_that_fails_every_other_time() {
    let every_other = |call: &Call<'_>| match call.number % 4 {
        0 => Decision::Fail(Fault::Throttled),
        2 => Decision::Fail(Fault::Conflict),
        _ => Decision::Pass,
    };
    let faulty = Faulty::new(functions(), every_other);
    holds(Arc::new(PacedInvoke::new(Arc::new(faulty), Pacing::default(), 7))).await;
}

/// A suite that cannot fail proves nothing.
#[tokio::test]
async fn a_port_that_drops_calls_is_found_out() {
    let drop_calls = |call: &Call<'_>| match call.mode {
        Mode::Call => Decision::Drop,
        Mode::Send => Decision::Pass,
    };
    let faulty = Faulty::new(functions(), drop_calls);
    let broken = conformance::run(&world(Arc::new(faulty))).await.unwrap_err();
    let names: Vec<_> = broken.names().collect();
    assert!(names.contains(&"a_call_gives_the_functions_answer"), "{names:?}");
    assert!(!names.contains(&"an_event_is_taken_and_named"), "{names:?}");
}
