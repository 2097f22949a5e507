//! What a process took is told by the kernel when it has ended. Alone in its test binary, because the kernel tells it of the largest of
//! all that this process has waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod harness;

use fanfold_pool::{Pool, Settings};
use harness::holding::{MEMORY_BYTES, TOUCHED_MIB, never_more_than_two};
use harness::{run, scripted, settings};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_took_is_expected_of_the_next() {
    let pool = Pool::new(Settings { memory_bytes: Some(MEMORY_BYTES), ..settings(6) });
    // Of one that has ended, the kernel tells; nobody looked at it.
    let alone = scripted([&format!("touch-mb={TOUCHED_MIB}")]);
    assert!(run(&pool, &alone).await.0.unwrap().exit.success());
    never_more_than_two(&pool, "learned").await;
}
