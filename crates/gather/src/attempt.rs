//! Attempts: who tries a partition, so that what never started can be told from what died.

use std::collections::BTreeMap;
use std::ops::Range;

use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::version::Version;
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{Created, StoreExt};
use serde::{Deserialize, Serialize};

/// The event that a worker was sent, and the invocation that it led to. They name the worker: from there it goes on by itself,
/// to later attempts at the partition and to later partitions of its lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The partition of the event.
    pub partition: u64,
    /// The hop of the event.
    pub hop: u32,
    /// The attempt of the event.
    pub attempt: u32,
    /// The id of the invocation.
    pub request_id: String,
}

/// A try at a partition: which one, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tried {
    /// The hop, from 0.
    #[serde(default)]
    pub hop: u32,
    /// Which try at that hop, from 1; 0 where none was made yet.
    pub attempt: u32,
}

impl Sent {
    /// The event with this payload, in the invocation with this id.
    pub fn of(payload: &Partition, request_id: &str) -> Self {
        let Partition { number: partition, hop, attempt, .. } = *payload;
        Self { partition, hop, attempt, request_id: request_id.to_owned() }
    }
}

impl Tried {
    /// What was never tried.
    pub const NEVER: Self = Self { hop: 0, attempt: 0 };

    /// The first of all tries.
    pub const FIRST: Self = Self { hop: 0, attempt: 1 };

    /// The try that follows this one, which is over, at the same hop.
    #[must_use]
    pub fn next(self) -> Self {
        Self { attempt: self.attempt.saturating_add(1), ..self }
    }
}

/// Whether an attempt is ours to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody made it before.
    Ours,
    /// The same event came twice, and somebody else is at it.
    Taken,
}

/// The record that an attempt was started.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    version: Version,
    partition: u64,
    /// Which try at the partition it is.
    #[serde(flatten)]
    pub tried: Tried,
    /// Why it is made: how the one before it ended, if that left no outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// Whose it is: that of the worker that was sent this.
    pub by: Sent,
    started_ms: i64,
    /// When its invocation ends at the latest, in milliseconds since 1970 (UTC). An attempt that has left no outcome by then
    /// is over: Lambda has ended it.
    pub expires_ms: i64,
    /// Drawn by lot: tells us whether a record that is there already is our own, written by a request whose answer was lost.
    claimant: u64,
}

/// Records that an attempt at a partition's hop starts, in an invocation with this budget, unless it was started before.
///
/// # Errors
/// When the store fails.
pub async fn claim_attempt(
    deps: &Deps,
    partition: &Partition,
    attempt: u32,
    by: &Sent,
    budget: Budget,
) -> Result<Claim, Error> {
    let at = deps.keys(&partition.job_id).attempt(partition.number, partition.hop, attempt);
    let record = Attempt {
        version: Version,
        partition: partition.number,
        tried: Tried { hop: partition.hop, attempt },
        because: partition.deaths.last().map(|death| death.reason.clone()),
        by: by.clone(),
        started_ms: deps.world.now_ms(),
        expires_ms: budget.deadline_ms(),
        claimant: deps.world.random(),
    };
    match deps.store.create_json(&at, &record).await? {
        Created::New => Ok(Claim::Ours),
        Created::Existed => {
            let winner: Attempt = deps.store.get_json(&at).await?;
            Ok(if winner.claimant == record.claimant { Claim::Ours } else { Claim::Taken })
        }
    }
}

/// Whether a later attempt than this one at a partition's hop was started, at this hop or a later one: then this one was taken
/// for dead, or for lost.
///
/// # Errors
/// When the store fails.
pub async fn is_superseded(deps: &Deps, partition: &Partition, attempt: u32) -> Result<bool, Error> {
    let Partition { ref job_id, number, hop, .. } = *partition;
    let last = last_attempts(deps, &deps.keys(job_id), number..number + 1).await?;
    Ok(last.get(&number).is_some_and(|last| *last > Tried { hop, attempt }))
}

/// The last attempt at a partition that was started; none when none was.
///
/// # Errors
/// When the store fails.
pub async fn last_attempt(deps: &Deps, keys: &JobKeys, partition: u64) -> Result<Option<Attempt>, Error> {
    match last_attempts(deps, keys, partition..partition + 1).await?.get(&partition) {
        Some(last) => Ok(Some(read_attempt(deps, keys, partition, *last).await?)),
        None => Ok(None),
    }
}

/// Which attempt was the last that was started at each of these partitions; those at which none was are left out. A list
/// request for every 1,000 attempts.
///
/// # Errors
/// When the store fails.
pub async fn last_attempts(
    deps: &Deps,
    keys: &JobKeys,
    partitions: Range<u64>,
) -> Result<BTreeMap<u64, Tried>, Error> {
    let mut last = BTreeMap::new();
    let prefix = keys.all_attempts();
    let mut after = Some(keys.attempts_at(partitions.start).key);
    while let Some(position) = after {
        let page = deps.store.list(&prefix.bucket, &prefix.key, Some(&position)).await?;
        let numbers = page.objects.iter().filter_map(|object| numbers(object.key.strip_prefix(&prefix.key)?));
        for (partition, tried) in numbers {
            if partition >= partitions.end {
                return Ok(last);
            }
            // In the order of their numbers.
            last.insert(partition, tried);
        }
        after = page.next;
    }
    Ok(last)
}

/// The record of an attempt that was started.
///
/// # Errors
/// When the store fails.
pub async fn read_attempt(
    deps: &Deps,
    keys: &JobKeys,
    partition: u64,
    Tried { hop, attempt }: Tried,
) -> Result<Attempt, Error> {
    Ok(deps.store.get_json(&keys.attempt(partition, hop, attempt)).await?)
}

/// The partition and the try of `000012/0000/003.json`.
fn numbers(rest: &str) -> Option<(u64, Tried)> {
    let (partition, tried) = rest.split_once('/')?;
    let (hop, attempt) = tried.strip_suffix(".json")?.split_once('/')?;
    Some((partition.parse().ok()?, Tried { hop: hop.parse().ok()?, attempt: attempt.parse().ok()? }))
}
