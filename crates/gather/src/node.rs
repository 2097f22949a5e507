//! How far the nodes of an output are, and what follows once all are made.

use std::collections::BTreeSet;

use fanfold_flow::keys::JobKeys;
use fanfold_flow::node::Node;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

use crate::attempt::Tried;
use crate::commit::{read_all, start_reducer};
use crate::goal::Goal;
use crate::lease::Lease;

/// Which nodes are made, by number.
///
/// # Errors
/// When the store fails.
pub async fn nodes_made(deps: &Deps, keys: &JobKeys) -> Result<BTreeSet<u32>, Error> {
    let prefix = keys.nodes_made();
    let listed = deps.store.list_all(&prefix.bucket, &prefix.key).await?;
    let number = |key: &str| key.strip_prefix(&prefix.key)?.strip_suffix(".json")?.parse().ok();
    Ok(listed.iter().filter_map(|record| number(&record.key)).collect())
}

/// The records of the first so many nodes, all of which are made.
///
/// # Errors
/// When the store fails, or one is not made.
pub async fn read_nodes(deps: &Deps, keys: &JobKeys, nodes: u32) -> Result<Vec<Node>, Error> {
    read_all(deps, (0..nodes).map(|number| keys.node_made(number))).await
}

/// Once all nodes are made, has the output put together of them. Whoever makes the last one sees that it is the last; several
/// may, which is harmless.
///
/// # Errors
/// When store or invoke fail. Calling it again is safe.
pub async fn advance_nodes(deps: &Deps, keys: &JobKeys) -> Result<(), Error> {
    let made = nodes_made(deps, keys).await?;
    let Some(lease) = Lease::current(deps, &keys.lease()).await? else { return Ok(()) };
    let are_all_made = lease.nodes().is_some_and(|nodes| made.len() as u64 >= u64::from(nodes));
    if !are_all_made {
        return Ok(());
    }
    tracing::info!(job = %keys.job_id(), nodes = made.len(), "all nodes of the output are made");
    let Tried { hop, attempt } = lease.tried();
    start_reducer(deps, keys.job_id(), Goal::Output, Tried { hop, attempt: attempt.max(1) }).await
}
