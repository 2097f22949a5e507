//! From one done record to a complete job.

use fanfold_flow::done::{Done, Group, Hop};
use fanfold_flow::event::Reduce;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::partition::{Grouping, Partition};
use fanfold_flow::result::ChunkResult;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::version::Version;
use fanfold_runtime::{Deps, Error, Metric, Of};
use fanfold_store::{Created, StoreExt};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::attempt::Tried;
use crate::goal::Goal;
use crate::hop::hops_before;

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

/// Commits a partition's outcome, of which `last` is what its last hop came to: the first record counts, and is measured.
///
/// # Errors
/// When the store fails. Whether the record was written is then unknown; committing the same again is safe.
pub async fn commit(deps: &Deps, job: &Job, partition: &Partition, last: Done) -> Result<Commit, Error> {
    let keys = deps.keys(&partition.job_id);
    let done = last.after(hops_before(deps, &keys, partition).await?);
    let written = write_once(deps, &keys.done(partition.group(), partition.number), &done).await?;
    // A worker's record names its attempt, which no other has: one that says the same is its own. What is given up in the place
    // of workers that died can be said twice in the same words, by two who were told of it in the same millisecond. Then it is
    // measured by the one whose write was done, and by neither where the answer to that was lost.
    let is_by_a_worker = done.environments.last().is_some_and(Option::is_some);
    if written == Written::New || written == Written::Same && is_by_a_worker {
        measure(deps, job, partition, &done);
    }
    Ok(written.into())
}

/// Ends a hop whose time was up: the first record counts.
///
/// # Errors
/// As for [`commit`].
pub async fn commit_hop(deps: &Deps, partition: &Partition, hop: &Hop) -> Result<Commit, Error> {
    let at = deps.keys(&partition.job_id).hop(partition.number, hop.hop);
    Ok(write_once(deps, &at, hop).await?.into())
}

/// What became of a record of which the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It was the first.
    New,
    /// One that says the same was there: ours, since the answer to a write may be lost.
    Same,
    /// Another one was there.
    Lost,
}

impl From<Written> for Commit {
    fn from(written: Written) -> Self {
        match written {
            Written::New | Written::Same => Self::First,
            Written::Lost => Self::Lost,
        }
    }
}

/// Writes a record of which the first counts.
async fn write_once<T>(deps: &Deps, at: &ObjectUri, record: &T) -> Result<Written, Error>
where
    T: Serialize + DeserializeOwned + PartialEq + Send + Sync,
{
    if deps.store.create_json(at, record).await? == Created::New {
        return Ok(Written::New);
    }
    let winner: T = deps.store.get_json(at).await?;
    Ok(if winner == *record { Written::Same } else { Written::Lost })
}

fn measure(deps: &Deps, job: &Job, partition: &Partition, done: &Done) {
    let sum = |of: fn(&ChunkResult) -> u64| done.results.iter().map(of).sum::<u64>() as f64;
    let numbers = [
        (Metric::Chunks, done.results.len() as f64),
        (Metric::ChunksFailed, done.failures.len() as f64),
        (Metric::BytesIn, sum(|result| result.bytes_in)),
        (Metric::BytesOut, sum(ChunkResult::bytes)),
        (Metric::Records, sum(|result| result.records)),
        (Metric::Attempts, f64::from(done.attempts)),
    ];
    deps.measure(Of::Job(&job.name, &partition.job_id), &numbers);
}

/// Takes the gather as far as it goes after a partition's commit: its group, then all groups, then the reducer.
///
/// # Errors
/// When store or invoke fail. Calling it again is safe.
pub async fn advance(deps: &Deps, partition: &Partition) -> Result<(), Error> {
    advance_group(deps, &partition.job_id, partition.grouping(), partition.group()).await
}

/// The same for any group of a job, whoever committed last.
///
/// # Errors
/// When store or invoke fail. Calling it again is safe.
pub async fn advance_group(deps: &Deps, job_id: &JobId, grouping: Grouping, group: u64) -> Result<(), Error> {
    let keys = deps.keys(job_id);
    let prefix = keys.done_of(group);
    let records = deps.store.list_all(&prefix.bucket, &prefix.key).await?;
    let members = grouping.members(group);
    if (records.len() as u64) < members.end - members.start {
        return Ok(());
    }
    let done =
        read_done(deps, &prefix.bucket, records.into_iter().map(|record| record.key).collect()).await?;
    deps.store.create_json(&keys.group(group), &Group { version: Version, number: group, done }).await?;
    let groups = keys.groups();
    let complete = deps.store.list_all(&groups.bucket, &groups.key).await?;
    if (complete.len() as u64) < grouping.groups() {
        return Ok(());
    }
    tracing::info!(job = %job_id, groups = complete.len(), "all partitions are done");
    start_reducer(deps, job_id, Goal::Output, Tried::FIRST).await
}

async fn read_done(deps: &Deps, bucket: &str, keys: Vec<String>) -> Result<Vec<Done>, Error> {
    let places = keys.into_iter().map(|key| ObjectUri::new(bucket, key));
    read_all(deps, places).await
}

pub(crate) async fn read_all<T>(deps: &Deps, places: impl Iterator<Item = ObjectUri>) -> Result<Vec<T>, Error>
where
    T: DeserializeOwned + Send,
{
    read_each(deps, places, READS_IN_FLIGHT).try_collect().await
}

/// The documents at these places, in order, so many of them read at once.
pub(crate) fn read_each<T>(
    deps: &Deps,
    places: impl Iterator<Item = ObjectUri>,
    in_flight: usize,
) -> impl Stream<Item = Result<T, Error>>
where
    T: DeserializeOwned + Send,
{
    let reads: Vec<_> = places.map(|at| async move { Ok(deps.store.get_json::<T>(&at).await?) }).collect();
    stream::iter(reads).buffered(in_flight)
}

/// Invokes the reducer, for this try at putting together a job's output or a node of it.
///
/// # Errors
/// When it cannot be invoked.
pub async fn start_reducer(deps: &Deps, job_id: &JobId, goal: Goal, tried: Tried) -> Result<(), Error> {
    let (node, Tried { hop, attempt }) = (goal.node(), tried);
    let payload = Reduce { version: Version, reduce: job_id.clone(), node, hop, attempt };
    deps.send(&deps.functions.reducer, &payload).await
}
