//! Small results of neighbouring chunks, in one object together.
//!
//! A result that stayed small is held in memory when its process has ended, and counts as done only when it is stored, with
//! others, in the output's order: touching, so that the reducer meets one range where there were many results. What decides
//! which go together, and when, is the [`packer`]. All that is held is stored before the partition's hop is at its end.
//!
//! What that costs is memory: [`Room`] bounds it. What it saves is a request for each result to put it, and one to read it.

mod object;
mod packer;

use std::sync::Arc;

use fanfold_flow::chunk::Chunk;
use fanfold_flow::result::{ChunkResult, Stored};
use fanfold_store::{PutOptions, StoreError, StoreExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::{JoinError, JoinSet};

use crate::output::{HELD_BYTES_MAX, Held};
use crate::shared::Shared;
use object::Object;
use packer::{Bounds, Packer};

pub(crate) use object::Kind;

/// What makes a pack worth an object: enough for S3 to copy it (5 MiB), also when what comes next to it has to borrow a few of its
/// bytes.
const PACK_BYTES: u64 = 8 << 20;

/// Results that are in memory at once, ended or not, for each process that runs at once: while one is on its way to the
/// store, the next is made. Each has at most 15 MiB there, being a large one.
const RESULTS_PER_PROCESS: u32 = 2;

/// How much memory the results of a partition may take.
#[derive(Debug)]
pub(crate) struct Room {
    /// A permit for each result that is being printed, or that is large and on its way to the store, or waits to be held.
    results: Semaphore,
    /// A permit for each byte that is held.
    bytes: Arc<Semaphore>,
    bounds: Bounds,
}

impl Room {
    /// For so many processes at once: a run that is about to become two packs, and one small result more for each process,
    /// since each may be the one for which its neighbours wait.
    pub(crate) fn new(processes: u32) -> Self {
        let held = 2 * PACK_BYTES + (u64::from(processes) + 1) * HELD_BYTES_MAX;
        Self {
            results: Semaphore::new((processes * RESULTS_PER_PROCESS) as usize),
            bytes: Arc::new(Semaphore::new(usize::try_from(held).unwrap_or(usize::MAX))),
            bounds: Bounds { pack: PACK_BYTES, result: HELD_BYTES_MAX, held },
        }
    }

    /// Waits until one more result may be in memory.
    ///
    /// # Cancellation
    /// Dropping the future gives up the place in the queue.
    pub(crate) async fn for_a_result(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so never refused.
        self.results.acquire().await.ok()
    }

    /// Waits until so many bytes may be held.
    ///
    /// # Cancellation
    /// Dropping the future gives up the place in the queue.
    async fn for_bytes(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.bytes).acquire_many_owned(bytes).await.ok()
    }
}

/// A result that is done but for being stored.
#[derive(Debug)]
pub(crate) struct Unstored {
    /// What is to be done again, should it get lost.
    chunk: Chunk,
    pub(crate) result: ChunkResult,
    held: Held,
    /// Given back when it is stored.
    room: Option<OwnedSemaphorePermit>,
}

impl Unstored {
    /// A result to be packed, when there is room for it.
    ///
    /// # Cancellation
    /// The result is lost.
    pub(crate) async fn wait(room: &Room, chunk: Chunk, result: ChunkResult, held: Held) -> Self {
        let room = room.for_bytes(held.bytes.len()).await;
        Self { chunk, result, held, room }
    }
}

/// A pack, stored or not.
pub(crate) type Ended = Result<Vec<ChunkResult>, Lost>;

/// Results that could not be stored, and why.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) results: Vec<(Chunk, ChunkResult)>,
    pub(crate) error: StoreError,
}

/// The packs of a partition.
pub(crate) struct Packs {
    shared: Arc<Shared>,
    packer: Packer<Unstored>,
    storing: JoinSet<Ended>,
}

impl Packs {
    /// For results of these chunks.
    pub(crate) fn new(shared: &Arc<Shared>, chunks: &[Chunk]) -> Self {
        let places = chunks.iter().map(|chunk| (chunk.index, chunk.cut));
        let packer = Packer::new(shared.room.bounds, places);
        Self { shared: Arc::clone(shared), packer, storing: JoinSet::new() }
    }

    /// A result that needs no pack, and the rest of its chunk, where it is of a piece.
    pub(crate) fn pass(&mut self, result: &ChunkResult, rest: Option<&Chunk>) {
        let place = (result.index, result.cut);
        match result.stored {
            Some(_) => self.packer.is_stored_at(place),
            None => self.packer.is_empty_at(place),
        }
        if let Some(rest) = rest {
            self.packer.expect((rest.index, rest.cut));
        }
    }

    /// Takes a result, and begins to store what makes a pack now.
    pub(crate) fn add(&mut self, unstored: Unstored) {
        let place = (unstored.result.index, unstored.result.cut);
        self.packer.hold(place, unstored.held.bytes.len() as u64, unstored);
        for pack in self.packer.take_full() {
            self.storing.spawn(store(Arc::clone(&self.shared), pack));
        }
    }

    /// Begins to store all that is held.
    pub(crate) fn store_all(&mut self) {
        for pack in self.packer.take_all() {
            self.storing.spawn(store(Arc::clone(&self.shared), pack));
        }
    }

    /// Waits for the next pack that is stored, or lost; none, if none is on its way.
    ///
    /// # Cancellation
    /// It goes on being stored.
    pub(crate) async fn next(&mut self) -> Option<Result<Ended, JoinError>> {
        let ended = self.storing.join_next().await?;
        if let Ok(Err(lost)) = &ended {
            for (chunk, _) in &lost.results {
                self.packer.expect((chunk.index, chunk.cut));
            }
        }
        Some(ended)
    }

    /// Stops whatever is on its way.
    pub(crate) async fn stop(&mut self) {
        self.storing.shutdown().await;
    }
}

/// Stores results in one object, in their order.
///
/// # Cancellation
/// The object may or may not appear.
async fn store(shared: Arc<Shared>, pack: Vec<Unstored>) -> Ended {
    let (mut results, mut held, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for unstored in pack {
        results.push((unstored.chunk, unstored.result));
        held.push(unstored.held);
        rooms.push(unstored.room);
    }
    let in_order: Vec<&ChunkResult> = results.iter().map(|(_, result)| result).collect();
    match put(&shared, &in_order, held).await {
        Ok(stored) => {
            let results = results.into_iter().zip(stored.into_iter().map(Some));
            Ok(results.map(|((_, result), stored)| ChunkResult { stored, ..result }).collect())
        }
        Err(error) => Err(Lost { results, error }),
    }
}

/// Stores a small result alone, behind which its chunk goes on: what comes next rests on it.
///
/// # Errors
/// When the store fails.
///
/// # Cancellation
/// The object may or may not appear.
pub(crate) async fn store_alone(
    shared: &Shared,
    result: &ChunkResult,
    held: Held,
) -> Result<Option<Stored>, StoreError> {
    Ok(put(shared, &[result], vec![held]).await?.pop())
}

/// Puts results into one object, and says where each is. The object has the key that the first of them would have alone, which
/// no other attempt uses.
async fn put(shared: &Shared, results: &[&ChunkResult], held: Vec<Held>) -> Result<Vec<Stored>, StoreError> {
    let Some(first) = results.first() else { return Ok(Vec::new()) };
    let at = shared.keys.chunk_result(first.index, first.cut, first.hop, first.attempt);
    let object = Object::of(shared.kind, results, held);
    let etag = shared.deps.store.put_surely(&at, object.bytes.clone(), PutOptions::default()).await?;
    Ok(object.stored(&at, &etag.to_string()).collect())
}

#[cfg(test)]
mod tests;
