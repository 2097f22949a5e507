//! Whose bytes are not those that were written, once the store has found that some are not.
//!
//! Only the whole has a checksum that the store compares; which piece it is that differs, only reading can tell. That is done
//! at once, since a job that fails for good may leave its results to be taken away.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::pin::pin;
use std::sync::Arc;

use fanfold_flow::crc::{Crc64, RunningCrc};
use fanfold_flow::result::{ChunkResult, Stored};
use fanfold_runtime::Deps;
use fanfold_store::{ETag, ObjectReader, ReadOptions, StoreError};
use futures::{StreamExt, TryStreamExt, stream};

use crate::time::Times;

/// Most results read at once, and what of each is in memory: 64 MiB of all.
const READS_IN_FLIGHT: usize = 8;
const REQUEST_BYTES: NonZeroU64 = NonZeroU64::new(4 << 20).unwrap();
const REQUESTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// A result that is not what its worker wrote.
#[derive(Debug)]
pub(crate) struct Damage<'a> {
    index: u64,
    stored: &'a Stored,
    found: Crc64,
}

/// The first result whose bytes have another CRC than its worker took, of as many as there is time to read. One that cannot be
/// read accuses nobody.
pub(crate) async fn find<'a>(deps: &Deps, results: &[&'a ChunkResult], times: Times) -> Option<Damage<'a>> {
    let stored = results.iter().filter_map(|result| Some((result.index, result.stored.as_ref()?)));
    let reads = stored.map(|(index, stored)| async move {
        let found = read(deps, stored).await;
        found.ok().filter(|found| *found != stored.crc).map(|found| Damage { index, stored, found })
    });
    let reads: Vec<_> = reads.collect();
    let mut damaged = pin!(stream::iter(reads).buffered(READS_IN_FLIGHT).filter_map(std::future::ready));
    let time = times.until_stop(deps.world.as_ref());
    tokio::time::timeout(time, damaged.next()).await.unwrap_or_default()
}

async fn read(deps: &Deps, stored: &Stored) -> Result<Crc64, StoreError> {
    let options = ReadOptions { request_bytes: REQUEST_BYTES, requests_in_flight: REQUESTS_IN_FLIGHT };
    let (at, mark) = (stored.object.uri.clone(), ETag::new(&stored.object.etag));
    let range = stored.offset..stored.offset + stored.bytes;
    let mut pieces = ObjectReader::new(Arc::clone(&deps.store), at, mark, range, options).into_stream();
    let mut crc = RunningCrc::new();
    while let Some(piece) = pieces.try_next().await? {
        crc.update(&piece);
    }
    Ok(crc.crc())
}

impl fmt::Display for Damage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, stored: Stored { object, offset, bytes, crc, .. }, found } = self;
        let (uri, end) = (&object.uri, offset + bytes);
        write!(
            f,
            "the result of index {index} is not what was written: bytes {offset}..{end} of {uri} have CRC64NVME {found}, \
             and not {crc}"
        )
    }
}
