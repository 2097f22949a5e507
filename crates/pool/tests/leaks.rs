//! Runs use up nothing: no descriptor and no entry in the process table. Alone in its test binary, because
//! both are counted for the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use std::fs;
use std::time::Duration;

use harness::{children_of_this_process, input, no_input, pattern, pool_of, program, run, run_with, shell};

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn one_of_each(pool: &fanfold_pool::Pool, impatient: &fanfold_pool::Pool) {
    run_with(pool, &program(["cat"]), input(pattern(100_000), 999)).await.0.unwrap();
    run_with(pool, &program(["true"]), input(pattern(3_000_000), 9999)).await.0.unwrap();
    run(pool, &shell("kill -9 $$")).await.0.unwrap();
    run(pool, &shell("sleep 1000 >/dev/null 2>&1 &")).await.0.unwrap();
    run(impatient, &shell("sleep 1000 &")).await.0.unwrap_err();
    run(pool, &program(["no-such-program"])).await.0.unwrap_err();
    run(pool, &program(["/dev/null"])).await.0.unwrap_err();
    let (yes, mut input, mut output, mut log) = (program(["yes"]), no_input(), Vec::new(), |_: &[u8]| ());
    let dropped = pool.run(&yes, &mut input, &mut output, &mut log);
    assert!(tokio::time::timeout(Duration::ZERO, dropped).await.is_err());
}

#[tokio::test]
async fn two_hundred_runs_leave_no_descriptor_and_no_zombie() {
    let pool = pool_of(1, Duration::from_secs(20));
    let impatient = pool_of(1, Duration::from_millis(1));
    one_of_each(&pool, &impatient).await;
    let before = open_descriptors();
    for _ in 0..25 {
        one_of_each(&pool, &impatient).await;
    }
    assert_eq!(open_descriptors(), before);
    assert_eq!(children_of_this_process(), Vec::<String>::new());
}
