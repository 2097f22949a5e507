//! The records of a chunk that is a range of an object's bytes.

use std::sync::Arc;

use fanfold_flow::chunk;
use fanfold_flow::job::Split;
use fanfold_flow::literal::Literal;
use fanfold_flow::result::Aligned;
use fanfold_store::Store;

use super::InputError;
use super::align::{AlignError, Aligner, Fed};
use super::fetch::Fetch;
use super::portions::Portions;

/// Bytes as they are fetched, aligned to records.
pub(super) struct Object {
    range: chunk::Bytes,
    fetch: Fetch,
    aligner: Aligner,
    /// Whether the chunk's end is right only if the records before it say so.
    proves_its_end: bool,
}

impl Object {
    pub(super) fn new(
        range: &chunk::Bytes,
        split: &Split,
        header: Option<&Literal>,
        store: &Arc<dyn Store>,
    ) -> Self {
        let aligner = Aligner::new(range, split, header);
        let fetch = Fetch::new(range, aligner.first_byte(), store);
        Self { range: range.clone(), fetch, aligner, proves_its_end: *split == Split::Csv }
    }

    /// Whether the chunk's first record is its object's header.
    pub(super) fn has_header(&self) -> bool {
        self.aligner.has_header()
    }

    /// Whether the chunk's end is right only if the records before it say so: then they must be read, whoever wants them.
    pub(super) fn proves_its_end(&self) -> bool {
        self.proves_its_end
    }

    /// What comes next of the chunk; none at the object's end.
    ///
    /// # Errors
    /// When the store fails, or the header is another.
    ///
    /// # Cancellation
    /// Loses nothing when dropped.
    pub(super) async fn next(&mut self) -> Option<Result<Fed, InputError>> {
        let fed = match self.fetch.next().await? {
            Ok(bytes) => self.aligner.feed(&bytes).map_err(|error| self.misaligned(error)),
            Err(error) => Err(InputError::Store(self.range.object.uri.clone(), error)),
        };
        Some(fed)
    }

    /// Fails where these are all the chunk's records, and end within quotes.
    ///
    /// # Errors
    /// [`AlignError::RecordCut`].
    pub(super) fn check_end(&self, portions: &Portions) -> Result<(), InputError> {
        portions.check_end(self.range.object.bytes).map_err(|error| self.misaligned(error))
    }

    fn misaligned(&self, error: AlignError) -> InputError {
        InputError::Align(self.range.object.uri.clone(), error)
    }

    /// The bytes that the chunk's records take; known only when all of them were read.
    pub(super) fn aligned(&self) -> Option<Aligned> {
        self.aligner.aligned()
    }

    /// The bytes that those of the chunk's records take which end at this border.
    pub(super) fn aligned_until(&self, end: u64) -> Option<Aligned> {
        self.aligner.begin().map(|start| Aligned { start, end })
    }
}
