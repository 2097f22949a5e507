//! Getting the bytes that a chunk's records are among.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::chunk;
use fanfold_store::{Body, ETag, ObjectReader, ReadOptions, Store, StoreError};
use futures::StreamExt;

/// Bytes that one request asks for, and requests at once: a process has at most 8 MiB of input in memory, six of them 48.
const REQUEST_BYTES: NonZeroU64 = NonZeroU64::new(4 << 20).unwrap();
const REQUESTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How far past its nominal end a chunk looks at first for the end of its last record; each further look is twice as far.
const LOOK_AHEAD_BYTES_MIN: u64 = 64 << 10;
const LOOK_AHEAD_BYTES_MAX: u64 = 8 << 20;

/// Reads an object from some byte on: to the nominal end of a chunk, and from there as far as it is asked to.
pub(super) struct Fetch {
    store: Arc<dyn Store>,
    range: chunk::Bytes,
    body: Option<Body>,
    /// Up to where bytes are asked for now.
    until: u64,
    look_ahead_bytes: u64,
}

impl Fetch {
    pub(super) fn new(range: &chunk::Bytes, from: u64, store: &Arc<dyn Store>) -> Self {
        let mut fetch = Self {
            store: Arc::clone(store),
            range: range.clone(),
            until: range.end,
            look_ahead_bytes: LOOK_AHEAD_BYTES_MIN,
            body: None,
        };
        fetch.body = fetch.body_from(from);
        fetch
    }

    /// The next bytes; none at the object's end, and after an error.
    ///
    /// # Cancellation
    /// Loses nothing when dropped.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            let Some(body) = &mut self.body else {
                self.look_further()?;
                continue;
            };
            match body.next().await {
                Some(Ok(bytes)) => return Some(Ok(bytes)),
                Some(Err(error)) => {
                    // What lies behind what could not be read is of no use.
                    self.until = self.range.object.bytes;
                    self.body = None;
                    return Some(Err(error));
                }
                None => self.body = None,
            }
        }
    }

    /// Asks for the bytes behind those that were asked for, of which the chunk's last record may need some; if there are any.
    fn look_further(&mut self) -> Option<()> {
        let from = self.until;
        self.until = self.range.object.bytes.min(from.saturating_add(self.look_ahead_bytes));
        self.look_ahead_bytes = LOOK_AHEAD_BYTES_MAX.min(self.look_ahead_bytes * 2);
        self.body = Some(self.body_from(from)?);
        Some(())
    }

    fn body_from(&self, from: u64) -> Option<Body> {
        if from >= self.until {
            return None;
        }
        let options = ReadOptions { request_bytes: REQUEST_BYTES, requests_in_flight: REQUESTS_IN_FLIGHT };
        let object = &self.range.object;
        let (store, etag) = (Arc::clone(&self.store), ETag::new(&object.etag));
        Some(ObjectReader::new(store, object.uri.clone(), etag, from..self.until, options).into_stream())
    }
}
