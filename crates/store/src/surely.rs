//! Writes whose outcome is found out: tried again when the service fails, and looked up when an answer was lost.

use std::time::Duration;

use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use futures::future::BoxFuture;

use crate::error::{ErrorKind, StoreError};
use crate::object::ETag;
use crate::store::Store;

/// How often a request is tried in all. The adapter to S3 has tried three times itself before one of ours fails.
pub(crate) const ATTEMPTS: u32 = 5;

/// The wait after the n-th failed try, from 1: 50 ms doubling to 800 ms. Without jitter, since the adapter's own
/// tries, which come first, have theirs.
pub(crate) fn backoff(failures: u32) -> Duration {
    Duration::from_millis(50 << failures.saturating_sub(1).min(4))
}

/// Tries again while the failure is transient. For requests that may be made twice without harm.
pub(crate) async fn again<'a, T>(
    mut request: impl FnMut() -> BoxFuture<'a, Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    let mut failures = 0;
    loop {
        match request().await {
            Err(error) if error.is_transient() && failures + 1 < ATTEMPTS => failures += 1,
            decided => return decided,
        }
        tokio::time::sleep(backoff(failures)).await;
    }
}

/// What an object must have for a write to count as done. Both must be known, else nothing is ever found done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) size: Option<u64>,
    pub(crate) crc: Option<Crc64>,
}

/// Writes until the outcome is known. After a failure that leaves it open, the object itself is asked: one with the
/// wanted size and checksum is what this write, or one just like it, has left.
pub(crate) async fn surely<'a, S: Store + ?Sized>(
    store: &S,
    at: &ObjectUri,
    wanted: Wanted,
    try_conflict_again: bool,
    mut write: impl FnMut() -> BoxFuture<'a, Result<ETag, StoreError>> + Send,
) -> Result<ETag, StoreError> {
    let mut failures = 0;
    loop {
        let error = match write().await {
            Ok(etag) => return Ok(etag),
            Err(error) => error,
        };
        failures += 1;
        let kind = error.kind();
        let open =
            kind.is_transient() || matches!(kind, ErrorKind::NoSuchUpload | ErrorKind::PreconditionFailed);
        // That the object cannot be asked counts as not found: the error of the write is the one to tell.
        if open && let Ok(Some(etag)) = find(store, at, wanted).await {
            return Ok(etag);
        }
        let again = kind.is_transient() || (try_conflict_again && kind == ErrorKind::Conflict);
        if !again || failures == ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(backoff(failures)).await;
    }
}

/// The object's tag, if it is what is wanted.
pub(crate) async fn find<S: Store + ?Sized>(
    store: &S,
    at: &ObjectUri,
    wanted: Wanted,
) -> Result<Option<ETag>, StoreError> {
    let (Some(size), Some(crc)) = (wanted.size, wanted.crc) else { return Ok(None) };
    let info = store.head(at).await?;
    Ok((info.size == size && info.crc64 == Some(crc)).then_some(info.etag))
}
