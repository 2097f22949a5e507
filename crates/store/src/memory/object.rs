//! One object in memory: shared segments of bytes, and what is known of them.

use std::num::NonZeroUsize;
use std::ops::Range;

use bytes::Bytes;
use fanfold_flow::crc::{Crc64, RunningCrc};
use fanfold_flow::uri::ObjectUri;

use super::precondition;
use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::{ETag, ObjectInfo};

/// An object's bytes are the segments one after the other. A multipart object keeps those of its parts.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) info: ObjectInfo,
    /// The step of the store in which it was written; 0 until then.
    pub(super) written: u64,
    segments: Vec<Bytes>,
}

/// Bytes taken from an object whose tag and checksum are still to be made.
pub(super) struct Copied(Vec<Bytes>);

impl Object {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Copied(vec![bytes]).into_object()
    }

    /// An object of several others, one after the other, with a tag that says so, as S3's do.
    pub(super) fn joined(parts: &[&Self]) -> Self {
        let mut size = 0;
        let mut crc = Crc64::EMPTY;
        let mut tags = RunningCrc::new();
        let mut segments = Vec::new();
        for part in parts {
            crc = crc.then(part.crc(), part.info.size);
            size += part.info.size;
            tags.update(part.info.etag.as_str().as_bytes());
            segments.extend(part.segments.iter().cloned());
        }
        let etag = ETag::new(format!("{}{size:016x}-{}", tags.crc(), parts.len()));
        Self { info: ObjectInfo { etag, size, crc64: Some(crc) }, written: 0, segments }
    }

    /// The same, written in this step of the store.
    pub(super) fn written_in(self, step: u64) -> Self {
        Self { written: step, ..self }
    }

    pub(super) fn crc(&self) -> Crc64 {
        self.info.crc64.unwrap_or(Crc64::EMPTY)
    }

    pub(super) fn check_etag(
        &self,
        wanted: &ETag,
        operation: Operation,
        at: &ObjectUri,
    ) -> Result<(), StoreError> {
        if self.info.etag == *wanted {
            return Ok(());
        }
        Err(precondition(operation, at, format!("its etag is {}, not {wanted}", self.info.etag)))
    }

    /// The bytes of the range, in pieces of at most `piece_bytes`.
    pub(super) fn slices(&self, range: &Range<u64>, piece_bytes: NonZeroUsize) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut begin = 0;
        for segment in &self.segments {
            let end = begin + segment.len() as u64;
            let (from, to) = (range.start.max(begin), range.end.min(end));
            if from < to {
                // Both lie inside the segment, whose length is a usize.
                let mut rest = segment.slice((from - begin) as usize..(to - begin) as usize);
                while !rest.is_empty() {
                    pieces.push(rest.split_to(rest.len().min(piece_bytes.get())));
                }
            }
            begin = end;
        }
        pieces
    }

    /// S3's rules for the range of a copy, which are stricter than those for a read.
    pub(super) fn copy(
        &self,
        at: &ObjectUri,
        range: Option<Range<u64>>,
        part_bytes_min: u64,
    ) -> Result<Copied, StoreError> {
        let Some(range) = range else { return Ok(Copied(self.segments.clone())) };
        let size = self.info.size;
        let refuse = |message: String| {
            Err(StoreError::new(ErrorKind::Invalid, Operation::CopyPart, at, message)
                .with_code("InvalidRequest"))
        };
        if size <= part_bytes_min {
            return refuse(format!(
                "a range may be copied only from objects over {part_bytes_min} bytes, this one has {size}; \
                 leave the range out to copy the whole"
            ));
        }
        if range.is_empty() || range.end > size {
            return refuse(format!("bytes {range:?} cannot be copied from an object of {size} bytes"));
        }
        Ok(Copied(self.slices(&range, NonZeroUsize::MAX)))
    }
}

impl Copied {
    pub(super) fn into_object(self) -> Object {
        let mut crc = RunningCrc::new();
        for segment in &self.0 {
            crc.update(segment);
        }
        let (crc, size) = (crc.crc(), crc.bytes());
        let etag = ETag::new(format!("{crc}{size:016x}"));
        Object { info: ObjectInfo { etag, size, crc64: Some(crc) }, written: 0, segments: self.0 }
    }
}
