//! The contract with a program: whatever it does with its three streams, the run ends, and says how.

mod harness;

use std::time::Duration;

use fanfold_pool::{Exit, InputEnd};
use harness::{input, no_input, pattern, pool, pool_of, run, run_with, shell};

#[tokio::test]
async fn what_goes_in_comes_out_of_a_filter() {
    let bytes = pattern(3_000_000);
    let (ended, output, lines) =
        run_with(&pool(), &harness::program(["cat"]), input(bytes.clone(), 70_001)).await;
    let ended = ended.unwrap();
    assert_eq!((ended.exit, ended.input), (Exit::Code(0), InputEnd::AllFed));
    assert_eq!((ended.bytes_in, ended.bytes_out, ended.bytes_err), (3_000_000, 3_000_000, 0));
    assert!(output == bytes && lines.is_empty() && ended.leftovers.is_empty());
}

#[tokio::test]
async fn a_descendant_that_holds_the_output_is_killed_and_the_result_is_refused() {
    let (ended, ..) = run(&pool_of(1, Duration::from_millis(50)), &shell("sleep 1000 & echo hi")).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("(sleep)") && error.contains("still open"), "{error}");
}
