//! The records of a chunk that is a range of an object's bytes.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::chunk;
use fanfold_flow::partition::Partition;
use fanfold_flow::result::Aligned;
use fanfold_records::{Cutter, Piece, Range};
use fanfold_store::Store;

use super::InputError;
use super::fetch::Fetch;

/// Bytes as they are fetched, cut to records.
pub(super) struct Object {
    range: chunk::Bytes,
    fetch: Fetch,
    cutter: Cutter,
    may_guess: bool,
}

impl Object {
    pub(super) fn new(range: &chunk::Bytes, partition: &Partition, store: &Arc<dyn Store>) -> Self {
        let nominal = Range {
            start: range.start,
            end: range.end,
            step: partition.step,
            starts_at_border: range.at_border,
            object_bytes: range.object.bytes,
        };
        let cutter = Cutter::new(&partition.rule, nominal);
        let fetch = Fetch::new(range, cutter.position(), store);
        Self { range: range.clone(), fetch, cutter, may_guess: partition.rule.may_guess() }
    }

    /// Whether the chunk's end is right only if the records before it say so: then they must be read, whoever wants them.
    pub(super) fn must_be_read(&self) -> bool {
        self.may_guess
    }

    /// What comes next of the chunk; none at the object's end.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancellation
    /// Loses nothing when dropped.
    pub(super) async fn next(&mut self) -> Option<Result<Piece, InputError>> {
        let bytes: Result<Bytes, _> = self.fetch.next().await?;
        Some(match bytes {
            Ok(bytes) => Ok(self.cutter.feed(bytes)),
            Err(error) => Err(InputError::Store(self.range.object.uri.clone(), error)),
        })
    }

    /// What lies behind an end that was guessed, where the records before it have not ended there; none where all was read.
    pub(super) fn extend(&mut self) -> Option<Piece> {
        self.cutter.extend()
    }

    /// The bytes that the chunk's records take; known only when all of them were read.
    pub(super) fn aligned(&self) -> Option<Aligned> {
        let (start, end) = self.cutter.begin().zip(self.cutter.end())?;
        (self.cutter.position() >= end).then_some(Aligned { start, end })
    }

    /// The bytes that those of the chunk's records take which end at this border.
    pub(super) fn aligned_until(&self, end: u64) -> Option<Aligned> {
        self.cutter.begin().map(|start| Aligned { start, end })
    }

    /// What is left of the chunk behind a border.
    pub(super) fn rest(&self, border: u64) -> chunk::Bytes {
        chunk::Bytes { start: border, end: self.cutter.nominal_end(), at_border: true, ..self.range.clone() }
    }

    /// A quote that was opened `ago` bytes before the object's end, and never closed.
    pub(super) fn unclosed(&self, ago: u64) -> InputError {
        let byte = self.range.object.bytes.saturating_sub(ago);
        let end = self.range.object.bytes;
        let read = self.cutter.begin().map(|start| Aligned { start, end });
        InputError::Unclosed { uri: self.range.object.uri.clone(), byte, read }
    }
}
