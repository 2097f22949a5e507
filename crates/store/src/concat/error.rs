//! Why an object could not be put together.

use fanfold_flow::concat::Range;
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;

use crate::error::{ErrorKind, StoreError};

/// Why an object could not be put together. All but [`Store`](Self::Store) is about what was stored before, and trying again
/// does not mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConcatError {
    /// A source is not what it was when it was written: caught when it was copied or read.
    #[error(
        "make part {part} from bytes {}..{} of {}: the object was changed after it was written, as its ETag shows, which \
         was {}", range.start, range.end, range.object.uri, range.object.etag
    )]
    SourceChanged {
        /// The part, from 1.
        part: u32,
        /// What was to be copied or read.
        range: Box<Range>,
        /// What the store said.
        #[source]
        cause: StoreError,
    },
    /// A source is not there any more.
    #[error("make part {part} from bytes {}..{} of {}: the object is gone", range.start, range.end, range.object.uri)]
    SourceGone {
        /// The part, from 1.
        part: u32,
        /// What was to be copied or read.
        range: Box<Range>,
        /// What the store said.
        #[source]
        cause: StoreError,
    },
    /// All sources had the ETags that they should have, and the whole has not the checksum that follows from what was
    /// written: caught by the store, when it was to complete the object.
    #[error(
        "complete {at}: the store finds that its parts, one after the other, are not the {bytes} bytes with CRC64NVME {crc} \
         that were written; each source still has the ETag that it was written with"
    )]
    Corrupt {
        /// The object.
        at: ObjectUri,
        /// How long it should be.
        bytes: u64,
        /// The checksum that it should have.
        crc: Crc64,
        /// What the store said.
        #[source]
        cause: StoreError,
    },
    /// The same of what was read to be written in one request: caught after it was read.
    #[error(
        "put {at} together: its pieces, as they were read, have {found_bytes} bytes with CRC64NVME {found_crc}, and \
         {wanted_bytes} with CRC64NVME {wanted_crc} were written"
    )]
    Misread {
        /// The object.
        at: ObjectUri,
        /// How long it should be.
        wanted_bytes: u64,
        /// The checksum that it should have.
        wanted_crc: Crc64,
        /// How many bytes were read.
        found_bytes: u64,
        /// Their checksum.
        found_crc: Crc64,
    },
    /// The store failed, or refused the object itself: its kind says whether it is any use to try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ConcatError {
    /// A failure to copy or read a source.
    pub(super) fn of_source(part: u32, range: &Range, cause: StoreError) -> Self {
        let range = Box::new(range.clone());
        match cause.kind() {
            ErrorKind::PreconditionFailed => Self::SourceChanged { part, range, cause },
            ErrorKind::NotFound => Self::SourceGone { part, range, cause },
            _ => Self::Store(cause),
        }
    }
}
