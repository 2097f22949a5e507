//! Where chunks end, in objects in which that cannot be seen without reading all that stands before.

use std::sync::Arc;

use fanfold_flow::chunk::ObjectVersion;
use fanfold_records::Rule;
use fanfold_store::{Store, StoreError};
use futures::StreamExt;

use super::stream;

/// Where the chunks of an object begin and end that have about so many bytes each; nothing where readers find out for themselves.
pub(super) async fn borders(
    rule: &Rule,
    object: &ObjectVersion,
    head_bytes: u64,
    chunk_bytes: u64,
    store: &Arc<dyn Store>,
) -> Result<Vec<u64>, StoreError> {
    match rule {
        Rule::Lines(lines) if *lines > 1 => every(*lines, object, head_bytes, chunk_bytes, store).await,
        _ => Ok(Vec::new()),
    }
}

/// Where every so many lines end, first behind each chunk's worth of bytes.
async fn every(
    lines: u64,
    object: &ObjectVersion,
    head_bytes: u64,
    chunk_bytes: u64,
    store: &Arc<dyn Store>,
) -> Result<Vec<u64>, StoreError> {
    let mut body = stream(store, object, head_bytes..object.bytes);
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
