//! What processes took. Alone in its test binary, because the counters are those of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::time::Duration;

use fanfold_pool::usage;
use harness::{pool, run, shell};

#[tokio::test]
async fn processor_time_and_peak_memory_are_those_of_the_programs_and_what_they_waited_for() {
    let before = usage().unwrap();
    // A loop of 300,000 rounds in a shell of the shell's, beside one that holds 64 MiB in a variable.
    let busy = shell("(i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done)");
    let large = shell("text=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#text}");
    for program in [&busy, &large] {
        let (ended, ..) = run(&pool(), program).await;
        assert!(ended.unwrap().exit.success());
    }
    let after = usage().unwrap();
    assert!(after.cpu > before.cpu + Duration::from_millis(20), "{before:?} {after:?}");
    assert!(after.peak_memory_bytes > 64 << 20, "{after:?}");
}
