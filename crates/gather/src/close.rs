//! The end of the gathering of a job that is to stop.
//!
//! Whatever has no outcome yet gets one: cancelled. It stands in its group's record, which is written in place of the one
//! that the last worker of the group would have written, with the same condition, so that of both one counts. What a worker
//! commits behind that counts for nothing. The price of deciding by groups is that a group of which one partition ended and
//! others did not is read by the one who stops the job; there are only as many of them as workers ran.
//!
//! What a stopped worker had done is kept, if its hop's record is there when its group is closed: whoever stops a job gives
//! its workers their time first.

use std::collections::BTreeMap;
use std::ops::Range;

use fanfold_flow::code::Code;
use fanfold_flow::done::{Done, Failure, Group};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::Plan;
use fanfold_flow::version::Version;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;
use futures::{StreamExt, TryStreamExt, stream};

use crate::attempt::{Tried, last_attempts};
use crate::commit::read_all;
use crate::hop::hops_before;
use crate::progress::{done_in, merged_groups};

/// Most groups that are closed at once; of each, a few records are in flight at once.
const GROUPS_IN_FLIGHT: usize = 4;

/// Merges every group of a job that is not merged, whatever has no outcome in it as cancelled, and says how many those were.
/// Afterwards all groups are there, and the job can be reduced. What the hops of a partition did that have ended is kept.
///
/// # Errors
/// When the store fails. Calling it again goes on where this ended.
pub async fn close_groups(deps: &Deps, plan: &Plan) -> Result<u64, Error> {
    let keys = deps.keys(&plan.job_id);
    let merged = merged_groups(deps, &keys).await?;
    let open = (0..plan.grouping().groups()).filter(|group| !merged.contains(group));
    let open: Vec<u64> = open.collect();
    let closing = Closing { deps, keys: &keys, plan };
    let closed: Vec<_> = open.iter().map(|group| closing.close(*group)).collect();
    stream::iter(closed).buffer_unordered(GROUPS_IN_FLIGHT).try_collect::<()>().await?;
    Ok(open.len() as u64)
}

/// How many hops have ended of each of these partitions of which one has. A list request for every 1,000.
async fn hops_ended(
    deps: &Deps,
    keys: &JobKeys,
    partitions: Range<u64>,
) -> Result<BTreeMap<u64, u32>, Error> {
    let prefix = keys.all_hops();
    let mut ended = BTreeMap::new();
    let mut after = Some(keys.hops_of(partitions.start).key);
    while let Some(position) = after {
        let page = deps.store.list(&prefix.bucket, &prefix.key, Some(&position)).await?;
        for record in &page.objects {
            let number = record.key.strip_prefix(&prefix.key).and_then(|rest| rest.split_once('/'));
            let Some(partition) = number.and_then(|(number, _)| number.parse().ok()) else { continue };
            // In the order of their numbers.
            if partition >= partitions.end {
                return Ok(ended);
            }
            *ended.entry(partition).or_insert(0) += 1;
        }
        after = page.next;
    }
    Ok(ended)
}

struct Closing<'a> {
    deps: &'a Deps,
    keys: &'a JobKeys,
    plan: &'a Plan,
}

impl Closing<'_> {
    async fn close(&self, group: u64) -> Result<(), Error> {
        let Self { deps, keys, plan } = *self;
        let members = plan.grouping().members(group);
        let outcomes = done_in(deps, keys, group).await?;
        let mut done: Vec<Done> =
            read_all(deps, outcomes.iter().map(|partition| keys.done(group, *partition))).await?;
        let tried = last_attempts(deps, keys, members.clone()).await?;
        // After the outcomes, and just before they are read: a worker that is only now stopped ends its hop meanwhile.
        let hops = hops_ended(deps, keys, members.clone()).await?;
        for number in members.filter(|number| !outcomes.contains(number)) {
            let Some(partition) = plan.partition(number, 1) else { continue };
            let hop = hops.get(&number).copied().unwrap_or(0);
            done.push(self.cancelled(Partition { hop, ..partition }, tried.get(&number).copied()).await?);
        }
        done.sort_by_key(|done| done.partition);
        deps.store.create_json(&keys.group(group), &Group { version: Version, number: group, done }).await?;
        Ok(())
    }

    /// The outcome of a partition that has none, is at this hop, and was last tried so.
    async fn cancelled(&self, partition: Partition, tried: Option<Tried>) -> Result<Done, Error> {
        let before = hops_before(self.deps, self.keys, &partition).await?;
        let left = before.last().map_or(&partition.chunks, |hop| &hop.rest);
        let attempts = tried.filter(|tried| tried.hop == partition.hop).map_or(0, |tried| tried.attempt);
        let message = "the job was stopped before this was done";
        let failure = |chunk| Failure::of(chunk, partition.number, attempts, Code::Cancelled, message);
        let failures = left.iter().map(failure);
        let last = Done {
            version: Version,
            partition: partition.number,
            attempts,
            results: Vec::new(),
            failures: failures.collect(),
            tries: Vec::new(),
            deaths: Vec::new(),
            environments: vec![None],
        };
        Ok(last.after(before))
    }
}
