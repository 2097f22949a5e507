//! Reading objects that are too large for memory: ranged requests ahead of the reader, resumed where a body breaks.

use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use futures::{StreamExt, TryStreamExt};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::{Body, ETag, GetOptions, ObjectInfo};
use crate::store::Store;
use crate::surely::{ATTEMPTS, backoff};

/// How far a reader reads ahead. Memory is bounded by the product of the two.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Bytes that one request asks for. 8 MiB by default: large enough that the round trip does not show.
    pub request_bytes: NonZeroU64,
    /// Requests under way or waiting to be read. 4 by default: some connections are needed to fill the network.
    pub requests_in_flight: NonZeroUsize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            request_bytes: NonZeroU64::new(8 << 20).unwrap_or(NonZeroU64::MIN),
            requests_in_flight: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Reads one content of an object, or a range of it, as a stream.
///
/// It answers for the length and for the content's mark, not for the checksum: the service says none for ranges. Who
/// has one takes it on the way ([`RunningCrc`](fanfold_flow::crc::RunningCrc)) and compares.
#[derive(Debug)]
pub struct ObjectReader {
    store: Arc<dyn Store>,
    at: ObjectUri,
    etag: ETag,
    range: Range<u64>,
    options: ReadOptions,
}

impl ObjectReader {
    /// A reader of these bytes of this very content, both known already. No request is made before the stream is read.
    pub fn new(
        store: Arc<dyn Store>,
        at: ObjectUri,
        etag: ETag,
        range: Range<u64>,
        options: ReadOptions,
    ) -> Self {
        Self { store, at, etag, range, options }
    }

    /// A reader of a whole object as it is now, and what is known of it.
    ///
    /// # Errors
    /// Those of [`Store::head`].
    pub async fn open(
        store: Arc<dyn Store>,
        at: ObjectUri,
        options: ReadOptions,
    ) -> Result<(ObjectInfo, Self), StoreError> {
        let info = store.head(&at).await?;
        let reader = Self::new(store, at, info.etag.clone(), 0..info.size, options);
        Ok((info, reader))
    }

    /// The bytes, in order: all of them, or an error that ends the stream. `PreconditionFailed` says that the object's
    /// content changed meanwhile, `Invalid` that it is shorter than the range.
    ///
    /// # Cancellation
    /// Dropping the stream stops the requests under way. The stream must be made and read inside a Tokio runtime.
    pub fn into_stream(self) -> Body {
        let Self { store, at, etag, range, options } = self;
        let step = options.request_bytes.get();
        let starts = std::iter::successors(Some(range.start), move |start| start.checked_add(step));
        let end = range.end;
        let requests = starts.take_while(move |start| *start < end).map(move |start| {
            let range = start..start.saturating_add(step).min(end);
            let (store, at, etag) = (Arc::clone(&store), at.clone(), etag.clone());
            async move {
                // A task, so that it runs while the reader is busy elsewhere; the handle stops it with the stream.
                let task = tokio::spawn({
                    let at = at.clone();
                    async move { read_exactly(&*store, &at, &etag, range, None).await }
                });
                let pieces = AbortOnDropHandle::new(task).await.map_err(|problem| {
                    StoreError::new(ErrorKind::Other, Operation::Get, &at, "the reading task ended")
                        .with_source(problem)
                })??;
                Ok(futures::stream::iter(pieces.into_iter().map(Ok)))
            }
        });
        futures::stream::iter(requests).buffered(options.requests_in_flight.get()).try_flatten().boxed()
    }
}

/// All bytes of the range, from the body of a request already made if there is one, and from further requests where a
/// body breaks off. Gives up after [`ATTEMPTS`] failures in a row without a byte in between.
pub(crate) async fn read_exactly<S: Store + ?Sized>(
    store: &S,
    at: &ObjectUri,
    etag: &ETag,
    range: Range<u64>,
    mut begun: Option<Body>,
) -> Result<Vec<Bytes>, StoreError> {
    let mut pieces = Vec::new();
    let mut next = range.start;
    let mut failures = 0;
    while next < range.end {
        let before = next;
        let ended = match begun.take() {
            Some(body) => drain(body, at, &mut next, range.end, &mut pieces).await,
            None => match request(store, at, etag, next..range.end).await {
                Ok(body) => drain(body, at, &mut next, range.end, &mut pieces).await,
                Err(error) => Err(error),
            },
        };
        let Err(error) = ended else { continue };
        failures = if next > before { 1 } else { failures + 1 };
        // An error behind the last byte leaves nothing to resume; it may well be the verdict on the checksum.
        if !error.is_transient() || failures == ATTEMPTS || next == range.end {
            return Err(error);
        }
        tokio::time::sleep(backoff(failures)).await;
    }
    Ok(pieces)
}

async fn request<S: Store + ?Sized>(
    store: &S,
    at: &ObjectUri,
    etag: &ETag,
    range: Range<u64>,
) -> Result<Body, StoreError> {
    let got = store.get(at, GetOptions::range_of(range.clone(), etag.clone())).await?;
    if got.range != range {
        let message = format!("bytes {range:?} were asked for, the object gives {:?}", got.range);
        return Err(StoreError::new(ErrorKind::Invalid, Operation::Get, at, message));
    }
    Ok(got.body)
}

/// Takes a body in, and moves `next` on by what came. A body that ends early is an error even if it does not say so.
async fn drain(
    mut body: Body,
    at: &ObjectUri,
    next: &mut u64,
    end: u64,
    pieces: &mut Vec<Bytes>,
) -> Result<(), StoreError> {
    while let Some(piece) = body.try_next().await? {
        let after = *next + piece.len() as u64;
        if after > end {
            let message = format!("the body goes on past byte {end}, where it should end");
            return Err(StoreError::new(ErrorKind::Other, Operation::Get, at, message));
        }
        *next = after;
        pieces.push(piece);
    }
    if *next < end {
        let message = format!("the body ended at byte {next}, {} bytes early", end - *next);
        return Err(StoreError::new(ErrorKind::Unavailable, Operation::Get, at, message));
    }
    Ok(())
}
