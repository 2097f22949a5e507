//! Attempts: who tries a partition, so that what never started can be told from what died.

use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::version::Version;
use fanfold_runtime::{Deps, Error};
use fanfold_store::{Created, StoreExt};
use serde::{Deserialize, Serialize};

/// The event that a worker was sent. It names the worker: from there it goes on by itself, to later attempts at the
/// partition and to later partitions of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The partition of the event.
    pub partition: u64,
    /// The attempt of the event.
    pub attempt: u32,
}

impl Sent {
    /// The event with this payload.
    pub fn of(payload: &Partition) -> Self {
        Self { partition: payload.number, attempt: payload.attempt }
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
    /// Which try at the partition it is, from 1.
    pub attempt: u32,
    /// Whose it is: that of the worker that was sent this.
    pub by: Sent,
    started_ms: i64,
    /// Drawn by lot: tells us whether a record that is there already is our own, written by a request whose answer was lost.
    claimant: u64,
}

/// Records that an attempt starts, unless it was started before.
///
/// # Errors
/// When the store fails.
pub async fn claim_attempt(
    deps: &Deps,
    keys: &JobKeys,
    partition: u64,
    attempt: u32,
    by: Sent,
) -> Result<Claim, Error> {
    let at = keys.attempt(partition, attempt);
    let record = Attempt {
        version: Version,
        partition,
        attempt,
        by,
        started_ms: deps.world.now_ms(),
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

/// The last attempt at a partition that was started; none when none was.
///
/// # Errors
/// When the store fails.
pub async fn last_attempt(deps: &Deps, keys: &JobKeys, partition: u64) -> Result<Option<Attempt>, Error> {
    let first = keys.attempt(partition, 0);
    let prefix = &first.key[..first.key.rfind('/').map_or(0, |slash| slash + 1)];
    let attempts = deps.store.list_all(&first.bucket, prefix).await?;
    let Some(last) = attempts.iter().filter_map(|object| number(&object.key)).max() else { return Ok(None) };
    Ok(Some(deps.store.get_json(&keys.attempt(partition, last)).await?))
}

fn number(key: &str) -> Option<u32> {
    key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}
