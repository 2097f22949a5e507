//! A job of 10,000 partitions, and what it asks of store and functions: the numbers follow from those of partitions, groups
//! and branches of the fan-out, and from nothing else.

use e2e::sim::{Ran, Scenario, run};
use fanfold_store::Operation;

/// Partitions, of one chunk each.
const PARTITIONS: u64 = 10_000;

/// Their groups, of about the square root of that.
const GROUPS: u64 = 100;

/// Invocations of the dispatcher that send 500 partitions each.
const BRANCHES: u64 = 20;

/// Pages of a list of the chunk results.
const PAGES: u64 = 10;

fn calls(ran: &Ran, operation: Operation) -> u64 {
    ran.calls.calls.get(&operation).copied().unwrap_or_default()
}

#[test]
fn what_ten_thousand_partitions_ask_of_the_store_follows_from_how_they_are_gathered() {
    let ran = run(&Scenario::plain(PARTITIONS, None), None, false);
    assert_eq!((ran.broken.clone(), ran.ended.as_str()), (None, "succeeded"));
    // Each worker reads the job; whoever completes a group reads its done records; the reducer reads the groups, before it puts
    // the output together and behind that, and the results, which are small. Each branch reads job and plan. Besides, the
    // dispatcher looks for plan and report, and reads the job back; the reducer looks for the report, reads job and plan,
    // whether the lease is still its own and, to clean up, the lease.
    assert_eq!(calls(&ran, Operation::Get), 3 * PARTITIONS + 2 * GROUPS + 2 * BRANCHES + 8);
    // A worker claims its attempt, puts its result and its done record. Job, plan and marker; lease, concat plan, output,
    // joblog and report.
    assert_eq!(calls(&ran, Operation::Put), 3 * PARTITIONS + GROUPS + 8);
    // A worker looks whether its partition is done, and whether the job is cancelled; a branch whether it is cancelled or
    // has ended. Whether something is in the output's way, and whether the job is cancelled.
    assert_eq!(calls(&ran, Operation::Head), 2 * PARTITIONS + 2 * BRANCHES + 2);
    // A worker lists its group's done records, whoever completes a group lists the groups. The reducer lists the chunk
    // results, and deletes them page by page, and then the marker. What the world itself lists is in the rest.
    let lists = calls(&ran, Operation::List) - PARTITIONS - GROUPS;
    assert!((PAGES..=PAGES + 5).contains(&lists), "{lists}");
    assert_eq!(calls(&ran, Operation::Delete), PAGES + 1);
    for operation in [Operation::CreateUpload, Operation::UploadPart, Operation::CopyPart] {
        assert_eq!(calls(&ran, operation), 0, "{operation:?}");
    }
    // The dispatcher and its branches, a worker for each partition, the reducer; and sweeps, by the minute.
    let others = ran.invocations - PARTITIONS - BRANCHES - 2;
    assert!(others <= 5, "{others}");
}

#[test]
fn lanes_take_no_more_workers_than_they_are() {
    let ran = run(&Scenario::plain(1_000, Some(8)), None, false);
    assert_eq!((ran.broken.clone(), ran.ended.as_str()), (None, "succeeded"));
    // The first of each lane is sent; the others are gone on to. Before and behind each goes a look whether a later attempt
    // was made, beside the list of its group's done records.
    assert!(ran.invocations <= 8 + 2 + 5, "{}", ran.invocations);
    assert_eq!(calls(&ran, Operation::Head), 2 * 1_000 + 2);
    let groups = 32;
    let lists = calls(&ran, Operation::List) - 3 * 1_000 - groups;
    assert!(lists <= 10, "{lists}");
}
