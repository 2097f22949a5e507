//! How far a job is, by what is there. Lists only: nothing is read.

use std::collections::BTreeSet;

use fanfold_flow::keys::JobKeys;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;

/// The groups of a job that are merged, by number. At most a list request for every 1,000.
///
/// # Errors
/// When the store fails.
pub async fn merged_groups(deps: &Deps, keys: &JobKeys) -> Result<BTreeSet<u64>, Error> {
    numbers_below(deps, &keys.groups()).await
}

/// The partitions of a group that have an outcome, by number. Likewise.
///
/// # Errors
/// When the store fails.
pub async fn done_in(deps: &Deps, keys: &JobKeys, group: u64) -> Result<BTreeSet<u64>, Error> {
    numbers_below(deps, &keys.done_of(group)).await
}

/// Whether a partition has an outcome.
///
/// # Errors
/// When the store fails.
pub async fn is_done(deps: &Deps, keys: &JobKeys, group: u64, partition: u64) -> Result<bool, Error> {
    Ok(deps.store.exists(&keys.done(group, partition)).await?)
}

/// Whether a job is to stop.
///
/// # Errors
/// When the store fails.
pub async fn is_cancelled(deps: &Deps, keys: &JobKeys) -> Result<bool, Error> {
    Ok(deps.store.exists(&keys.cancel()).await?)
}

async fn numbers_below(deps: &Deps, prefix: &ObjectUri) -> Result<BTreeSet<u64>, Error> {
    let listed = deps.store.list_all(&prefix.bucket, &prefix.key).await?;
    let number =
        |key: &str| key.strip_prefix(prefix.key.as_str())?.strip_suffix(".json")?.parse::<u64>().ok();
    Ok(listed.iter().filter_map(|object| number(&object.key)).collect())
}
