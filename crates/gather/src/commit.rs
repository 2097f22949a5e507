//! From one done record to a complete job.

use fanfold_flow::done::{Done, Group};
use fanfold_flow::event::Reduce;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::partition::Partition;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::version::Version;
use fanfold_runtime::{Deps, Error};
use fanfold_store::{Created, ErrorKind, StoreExt};
use futures::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;

/// Whether a done record is the partition's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is.
    First,
    /// Another attempt was first; what this one made does not count.
    Lost,
}

/// Most objects read at once.
const READS_IN_FLIGHT: usize = 16;

/// Commits a partition's outcome: the first record counts.
///
/// # Errors
/// When the store fails. Whether the record was written is then unknown; committing the same again is safe.
pub async fn commit(deps: &Deps, partition: &Partition, done: &Done) -> Result<Commit, Error> {
    let at = deps.keys(&partition.job_id).done(partition.group(), partition.number);
    match deps.store.create_json(&at, done).await? {
        Created::New => Ok(Commit::First),
        Created::Existed => {
            let winner: Done = deps.store.get_json(&at).await?;
            Ok(if winner == *done { Commit::First } else { Commit::Lost })
        }
    }
}

/// Whether a partition has an outcome.
///
/// # Errors
/// When the store fails.
pub async fn is_done(deps: &Deps, partition: &Partition) -> Result<bool, Error> {
    let at = deps.keys(&partition.job_id).done(partition.group(), partition.number);
    match deps.store.head(&at).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes the gather as far as it goes after a partition's commit: its group, then all groups, then the reducer.
///
/// # Errors
/// When store or invoke fail. Calling it again is safe.
pub async fn advance(deps: &Deps, partition: &Partition) -> Result<(), Error> {
    let keys = deps.keys(&partition.job_id);
    let group = partition.group();
    let prefix = keys.done_of(group);
    let records = deps.store.list_all(&prefix.bucket, &prefix.key).await?;
    if (records.len() as u64) < partition.partitions_in_group() {
        return Ok(());
    }
    let done =
        read_done(deps, &prefix.bucket, records.into_iter().map(|record| record.key).collect()).await?;
    deps.store.create_json(&keys.group(group), &Group { version: Version, number: group, done }).await?;
    let groups = keys.groups();
    let complete = deps.store.list_all(&groups.bucket, &groups.key).await?;
    if (complete.len() as u64) < partition.groups() {
        return Ok(());
    }
    tracing::info!(job = %partition.job_id, groups = complete.len(), "all partitions are done");
    start_reducer(deps, &partition.job_id, 1).await
}

async fn read_done(deps: &Deps, bucket: &str, keys: Vec<String>) -> Result<Vec<Done>, Error> {
    let places = keys.into_iter().map(|key| ObjectUri::new(bucket, key));
    read_all(deps, places).await
}

/// All groups of a job, in order.
///
/// # Errors
/// When the store fails, or a group is missing.
pub async fn read_groups(deps: &Deps, keys: &JobKeys, groups: u64) -> Result<Vec<Group>, Error> {
    read_all(deps, (0..groups).map(|group| keys.group(group))).await
}

async fn read_all<T>(deps: &Deps, places: impl Iterator<Item = ObjectUri>) -> Result<Vec<T>, Error>
where
    T: DeserializeOwned + Send,
{
    let reads: Vec<_> = places.map(|at| async move { deps.store.get_json::<T>(&at).await }).collect();
    Ok(stream::iter(reads).buffered(READS_IN_FLIGHT).try_collect().await?)
}

/// Invokes the reducer.
///
/// # Errors
/// When it cannot be invoked.
pub async fn start_reducer(deps: &Deps, job_id: &JobId, attempt: u32) -> Result<(), Error> {
    let payload = Reduce { version: Version, reduce: job_id.clone(), attempt };
    deps.send(&deps.functions.reducer, &payload).await
}
