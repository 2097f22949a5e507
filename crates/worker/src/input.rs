//! What a process is fed: the records of its chunk.
//!
//! [`align`] is pure: it is given bytes and says which of them are the chunk's records. [`fetch`] gets those bytes.

mod align;
mod fetch;
mod quotes;
mod separator;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fanfold_flow::chunk::{self, Chunk};
use fanfold_flow::code::Code;
use fanfold_flow::job::{Job, Source, Split};
use fanfold_flow::partition::Partition;
use fanfold_flow::result::Aligned;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{ErrorKind, Store, StoreError};
use futures::{Stream, StreamExt};

use align::AlignError;
use fetch::Fetch;

/// Why a chunk could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The store failed, or has the object no more as it was.
    #[error("read {0}")]
    Store(ObjectUri, #[source] StoreError),
    /// The bytes cannot be cut into records where they have to be.
    #[error("read {0}: {1}")]
    Align(ObjectUri, AlignError),
    /// An item cannot be written as JSON.
    #[error("write an item as a line")]
    Item(#[from] serde_json::Error),
}

impl InputError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Store(_, error) => match error.kind() {
                ErrorKind::PreconditionFailed => Code::InputChanged,
                ErrorKind::NotFound => Code::InputMissing,
                _ => Code::Store,
            },
            Self::Align(_, AlignError::RecordCut { .. }) => Code::RecordCut,
            Self::Align(_, AlignError::HeaderDiffers { .. }) => Code::HeaderDiffers,
            Self::Item(_) => Code::Internal,
        }
    }
}

/// What a process was fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many records, a header aside.
    pub(crate) records: u64,
    /// Which bytes of the object they took; known only when all of them were read.
    pub(crate) aligned: Option<Aligned>,
}

/// A chunk's input as a stream, which can be asked afterwards what it was.
pub(crate) enum Input {
    /// From an object: the header of the whole job first, where there is one.
    Object { header: Option<Bytes>, fetch: Box<Fetch>, checks_its_border: bool },
    /// From the job itself: at most one piece.
    Own { lines: Option<Result<Bytes, InputError>>, records: u64 },
}

impl Input {
    pub(crate) fn new(chunk: &Chunk, partition: &Partition, job: &Job, store: &Arc<dyn Store>) -> Self {
        match &chunk.input {
            chunk::Input::Bytes(bytes) => Self::Object {
                header: partition.header.as_ref().map(|header| Bytes::copy_from_slice(&header.0)),
                fetch: Box::new(Fetch::new(bytes, &partition.split, partition.header.as_ref(), store)),
                checks_its_border: partition.split == Split::Csv,
            },
            chunk::Input::Items { first, count } => {
                Self::Own { lines: Some(item_lines(job, *first, *count)), records: *count }
            }
            chunk::Input::Range { limit, .. } => Self::Own { lines: None, records: *limit },
        }
    }

    /// What was read. A program that stopped reading early leaves the rest unread; where the chunk must prove that it did
    /// not cut a record in two, the rest is read now.
    ///
    /// # Errors
    /// As reading itself.
    pub(crate) async fn finish(self) -> Result<Tally, InputError> {
        match self {
            Self::Object { mut fetch, checks_its_border, .. } => {
                let tally = fetch.tally();
                if !checks_its_border || tally.aligned.is_some() {
                    return Ok(tally);
                }
                while fetch.next().await.transpose()?.is_some() {}
                Ok(Tally { aligned: fetch.tally().aligned, ..tally })
            }
            Self::Own { records, .. } => Ok(Tally { records, aligned: None }),
        }
    }
}

impl Stream for Input {
    type Item = Result<Bytes, InputError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Object { header, fetch, .. } => match header.take() {
                Some(header) => Poll::Ready(Some(Ok(header))),
                None => fetch.poll_next_unpin(context),
            },
            Self::Own { lines, .. } => Poll::Ready(lines.take()),
        }
    }
}

/// The job's own items, a JSON line each.
fn item_lines(job: &Job, first: u64, count: u64) -> Result<Bytes, InputError> {
    let Source::Items(items) = &job.source else { return Ok(Bytes::new()) };
    let values = items.values.as_deref().unwrap_or_default();
    let mut lines = Vec::new();
    let (first, count) =
        (usize::try_from(first).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX));
    for value in values.iter().skip(first).take(count) {
        serde_json::to_writer(&mut lines, value)?;
        lines.push(b'\n');
    }
    Ok(Bytes::from(lines))
}
