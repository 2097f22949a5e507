//! From an object's bytes to a chunk's records, as a stream.

use std::num::{NonZeroU64, NonZeroUsize};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fanfold_flow::chunk;
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_store::{Body, ETag, ObjectReader, ReadOptions, Store};
use futures::{Stream, StreamExt};

use super::align::Aligner;
use super::{InputError, Tally};

/// Bytes that one request asks for, and requests at once: a process has at most 8 MiB of input in memory, six of them 48.
const REQUEST_BYTES: NonZeroU64 = NonZeroU64::new(4 << 20).unwrap();
const REQUESTS_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How far past its nominal end a chunk looks at first for the end of its last record; each further look is twice as far.
const LOOK_AHEAD_BYTES_MIN: u64 = 64 << 10;
const LOOK_AHEAD_BYTES_MAX: u64 = 8 << 20;

/// The records of one chunk of an object.
pub(crate) struct Fetch {
    store: Arc<dyn Store>,
    range: chunk::Bytes,
    aligner: Aligner,
    body: Option<Body>,
    /// Up to where bytes are asked for now.
    until: u64,
    look_ahead_bytes: u64,
    done: bool,
}

impl Fetch {
    pub(super) fn new(
        range: &chunk::Bytes,
        split: &Split,
        header: Option<&Literal>,
        store: &Arc<dyn Store>,
    ) -> Self {
        let aligner = Aligner::new(range, split, header);
        let mut fetch = Self {
            store: Arc::clone(store),
            range: range.clone(),
            until: range.end,
            look_ahead_bytes: LOOK_AHEAD_BYTES_MIN,
            done: false,
            body: None,
            aligner,
        };
        fetch.body = fetch.body_from(fetch.aligner.first_byte());
        fetch
    }

    pub(super) fn tally(&self) -> Tally {
        self.aligner.tally()
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

    /// The bytes behind those that were asked for, of which the chunk's last record may need some.
    fn look_further(&mut self) {
        let from = self.until;
        self.until = self.range.object.bytes.min(from.saturating_add(self.look_ahead_bytes));
        self.look_ahead_bytes = LOOK_AHEAD_BYTES_MAX.min(self.look_ahead_bytes * 2);
        self.body = self.body_from(from);
        self.done = self.body.is_none();
    }

    fn failed(&mut self, error: InputError) -> Poll<Option<Result<Bytes, InputError>>> {
        self.done = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for Fetch {
    type Item = Result<Bytes, InputError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.done {
            let Some(body) = &mut this.body else {
                this.look_further();
                continue;
            };
            match ready!(body.poll_next_unpin(context)) {
                None => this.body = None,
                Some(Err(error)) => {
                    return this.failed(InputError::Store(this.range.object.uri.clone(), error));
                }
                Some(Ok(bytes)) => match this.aligner.feed(&bytes) {
                    Err(error) => {
                        return this.failed(InputError::Align(this.range.object.uri.clone(), error));
                    }
                    Ok(fed) => {
                        this.done = fed.complete;
                        if !fed.records.is_empty() {
                            return Poll::Ready(Some(Ok(fed.records)));
                        }
                    }
                },
            }
        }
        this.body = None;
        Poll::Ready(None)
    }
}
