//! Where chunks end, in objects in which that cannot be seen without reading all that stands before.

use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::plan::Listed;
use fanfold_records::Rule;
use fanfold_store::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};

use super::bytes_of;

/// Objects that are read at once: each takes some megabytes of memory.
const SCANS_IN_FLIGHT: usize = 4;

/// The objects with where their chunks begin and end, of about so many bytes each, if that must be read to know.
pub(super) async fn with_borders(
    rule: &Rule,
    objects: Vec<Listed>,
    chunk_bytes: u64,
    store: &Arc<dyn Store>,
) -> Result<Vec<Listed>, StoreError> {
    let Rule::Lines(lines @ 2..) = *rule else { return Ok(objects) };
    let scans = stream::iter(objects).map(async |listed| {
        let borders = every(lines, &listed.object, listed.head_bytes, chunk_bytes, store).await?;
        Ok(Listed { borders, ..listed })
    });
    scans.buffered(SCANS_IN_FLIGHT).try_collect().await
}

/// Where every so many lines end, first behind each chunk's worth of bytes.
async fn every(
    lines: u64,
    object: &ObjectVersion,
    head_bytes: u64,
    chunk_bytes: u64,
    store: &Arc<dyn Store>,
) -> Result<Vec<u64>, StoreError> {
    let mut body = bytes_of(store, object, head_bytes..object.bytes);
    let (mut borders, mut left, mut position) = (vec![head_bytes], lines, head_bytes);
    let mut wanted = head_bytes.saturating_add(chunk_bytes);
    while let Some(bytes) = body.next().await.transpose()? {
        for place in memchr::memchr_iter(b'\n', &bytes) {
            left -= 1;
            let end = position + place as u64 + 1;
            if left == 0 && end >= wanted && end < object.bytes {
                borders.push(end);
                wanted = end.saturating_add(chunk_bytes);
            }
            left = if left == 0 { lines } else { left };
        }
        position += bytes.len() as u64;
    }
    borders.push(object.bytes);
    Ok(borders)
}
