//! Hops: a partition that takes longer than one invocation, and where it goes on.

use std::collections::BTreeSet;

use fanfold_flow::done::{Done, Hop};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::ChunkResult;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

use crate::commit::read_all;

/// What the hops before this one left, in their order.
///
/// # Errors
/// When the store fails.
pub(crate) async fn hops_before(
    deps: &Deps,
    keys: &JobKeys,
    partition: &Partition,
) -> Result<Vec<Hop>, Error> {
    read_all(deps, (0..partition.hop).map(|hop| keys.hop(partition.number, hop))).await
}

/// A partition as it was planned, at the hop at which it is: behind the last one that has ended. A list request, and a read
/// where a hop has ended.
///
/// # Errors
/// When the store fails.
pub async fn at_its_hop(deps: &Deps, keys: &JobKeys, planned: Partition) -> Result<Partition, Error> {
    let prefix = keys.hops_of(planned.number);
    let ended = deps.store.list_all(&prefix.bucket, &prefix.key).await?.len();
    let Some(last) = u32::try_from(ended).ok().and_then(|ended| ended.checked_sub(1)) else {
        return Ok(planned);
    };
    let hop: Hop = deps.store.get_json(&keys.hop(planned.number, last)).await?;
    Ok(planned.after(&hop))
}

/// The results that the hops before this one left, of a partition that is done, and that its outcome does not have. Nobody reads
/// them: their worker was taken for dead and went on, and another attempt brought the partition to its end without them.
///
/// # Errors
/// When the store fails, or the partition has no outcome.
pub async fn left_unread(deps: &Deps, partition: &Partition) -> Result<Vec<ChunkResult>, Error> {
    let keys = deps.keys(&partition.job_id);
    let before = hops_before(deps, &keys, partition).await?;
    if before.is_empty() {
        return Ok(Vec::new());
    }
    let outcome: Done = deps.store.get_json(&keys.done(partition.group(), partition.number)).await?;
    let object = |result: &ChunkResult| result.stored.as_ref().map(|stored| stored.object.uri.key.clone());
    let read: BTreeSet<String> = outcome.results.iter().filter_map(object).collect();
    let left = before.into_iter().flat_map(|hop| hop.done.results);
    Ok(left.filter(|result| object(result).is_some_and(|key| !read.contains(&key))).collect())
}
