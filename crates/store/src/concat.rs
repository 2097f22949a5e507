//! A concat plan, executed: S3 copies what it can copy by itself, the rest is read and uploaded.
//!
//! An [`Assembly`] is taken in steps, so that whoever owns the upload decides between them: [`parts`](Assembly::parts) makes
//! what an upload still lacks, [`complete`](Assembly::complete) turns it into the object, and [`put`](Assembly::put) writes
//! what is too small for an upload. What this module owes its callers:
//!
//! - an object appears whole and right or not at all: the store itself compares it with the size and the CRC64NVME that
//!   follow from what the workers wrote, and every source is held to its ETag;
//! - memory does not grow with the number or the size of the pieces, but for a list entry a part;
//! - whatever ends half way, an error, a deadline, a death, leaves an upload that the next one goes on with: a part that is
//!   there is not made again. Nothing here aborts an upload.
//!
//! The price of going on is that nobody but the one who ends the job for good may abort its upload, and has to.

mod error;
mod parts;
mod queue;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanfold_flow::concat::{self as flow, ConcatPlan, Limits, Segment};
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use futures::TryStreamExt;
use futures::stream::FuturesOrdered;
use tokio::sync::Semaphore;

pub use self::error::ConcatError;
pub use self::parts::Progress;
use crate::error::{ErrorKind, StoreError};
use crate::ext::StoreExt;
use crate::object::{Condition, ETag, PutOptions};
use crate::read::read_exactly;
use crate::store::Store;
use crate::surely::{Wanted, find};
use crate::upload::{CompleteOptions, Part, Upload};

/// How much is under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Parts that the store copies by itself: requests.
    pub copies_in_flight: usize,
    /// Parts that are read and uploaded: their bytes, of which some may be in memory twice. A part that is larger goes alone.
    pub streamed_bytes_in_flight: u64,
    /// Ranges that are read for such parts, over all of them: requests.
    pub reads_in_flight: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // A copy is a round trip of some 100 ms and then work of the service's own; 24 of them at 8 MiB or more keep
            // S3 as busy as one client can, and stay below what makes it answer 503.
            copies_in_flight: 24,
            // Two of the largest parts that plans have: with what is in memory twice while it is put in order, this stays well
            // below the 128 MiB that the smallest function has.
            streamed_bytes_in_flight: 2 * Limits::S3.streamed_bytes,
            // Small pieces take a round trip each, whatever their size.
            reads_in_flight: 48,
        }
    }
}

/// A plan, and the object that is to come of it. See the [module](self).
#[derive(Debug)]
pub struct Assembly<'a> {
    store: &'a Arc<dyn Store>,
    plan: &'a ConcatPlan,
    at: &'a ObjectUri,
    bounds: Bounds,
    reads: Semaphore,
}

impl<'a> Assembly<'a> {
    /// The object at `at`, put together by this plan.
    pub fn new(store: &'a Arc<dyn Store>, plan: &'a ConcatPlan, at: &'a ObjectUri, bounds: Bounds) -> Self {
        Self { store, plan, at, bounds, reads: Semaphore::new(bounds.reads_in_flight) }
    }

    /// Whether it is so small that it is written by [`put`](Self::put), and needs no upload.
    pub fn is_one_put(&self) -> bool {
        matches!(self.plan.parts.as_slice(), [] | [flow::Part::Stream(_)])
    }

    /// Reads the only part, and writes it as the object.
    ///
    /// # Errors
    /// [`ConcatError::Misread`] for bytes that are not those of the plan, before anything is written; else those of the
    /// sources and of [`Store::put`].
    pub async fn put(&self, condition: Condition) -> Result<ETag, ConcatError> {
        let bytes = match self.plan.parts.first() {
            Some(flow::Part::Stream(segments)) => self.read_all(1, segments).await?,
            _ => Bytes::new(),
        };
        // What the store does for an upload it cannot do here, where its checksum is taken from what is sent.
        let (found_bytes, found_crc) = (bytes.len() as u64, Crc64::of(&bytes));
        let ConcatPlan { bytes: wanted_bytes, crc: wanted_crc, .. } = *self.plan;
        if (found_bytes, found_crc) != (wanted_bytes, wanted_crc) {
            let at = self.at.clone();
            return Err(ConcatError::Misread { at, wanted_bytes, wanted_crc, found_bytes, found_crc });
        }
        let options = PutOptions { condition, ..PutOptions::default() };
        Ok(self.store.put_surely(self.at, bytes, options).await?)
    }

    /// Turns an upload with all its parts into the object.
    ///
    /// # Errors
    /// [`ConcatError::Corrupt`] when the store finds other bytes than those of the plan; else those of
    /// [`Store::complete_upload`]. However it fails, the upload stays.
    pub async fn complete(
        &self,
        upload: &Upload,
        parts: &[Part],
        condition: Condition,
    ) -> Result<ETag, ConcatError> {
        let ConcatPlan { bytes, crc, .. } = *self.plan;
        let options = CompleteOptions { condition, crc: Some(crc), bytes: Some(bytes) };
        let completed = self.store.complete_surely(upload, parts, options).await;
        completed.map_err(|error| match error.kind() {
            ErrorKind::BadDigest => ConcatError::Corrupt { at: self.at.clone(), bytes, crc, cause: error },
            _ => error.into(),
        })
    }

    /// The mark of what stands where the object should, if that is the object: of its size and with its checksum.
    ///
    /// # Errors
    /// Those of [`Store::head`], but that nothing is there is an answer.
    pub async fn standing(&self) -> Result<Option<ETag>, StoreError> {
        let wanted = Wanted { size: Some(self.plan.bytes), crc: Some(self.plan.crc) };
        match find(&**self.store, self.at, wanted).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found,
        }
    }

    /// The bytes of a streamed part.
    async fn read_all(&self, part: u32, segments: &[Segment]) -> Result<Bytes, ConcatError> {
        let whole: u64 = segments.iter().map(Segment::bytes).sum();
        let mut bytes = BytesMut::with_capacity(usize::try_from(whole).unwrap_or(0));
        let (mut waiting, mut reads) = (segments.iter(), FuturesOrdered::new());
        loop {
            while reads.len() < self.bounds.reads_in_flight
                && let Some(segment) = waiting.next()
            {
                reads.push_back(self.read(part, segment));
            }
            let Some(pieces) = reads.try_next().await? else { return Ok(bytes.freeze()) };
            for piece in pieces {
                bytes.extend_from_slice(&piece);
            }
        }
    }

    async fn read(&self, part: u32, segment: &Segment) -> Result<Vec<Bytes>, ConcatError> {
        let range = match segment {
            Segment::Literal(literal) => return Ok(vec![Bytes::copy_from_slice(&literal.0)]),
            Segment::Range(range) => range,
        };
        // Never closed, so there is a place in the end.
        let _place = self.reads.acquire().await.ok();
        let (etag, bytes) = (ETag::new(&range.object.etag), range.start..range.end);
        let read = read_exactly(&**self.store, &range.object.uri, &etag, bytes, None).await;
        read.map_err(|error| ConcatError::of_source(part, range, error))
    }
}
