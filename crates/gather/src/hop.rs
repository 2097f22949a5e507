//! Hops: a partition that takes longer than one invocation, and where it goes on.

use fanfold_flow::done::Hop;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
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
