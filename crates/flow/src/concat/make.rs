//! From elements to parts.

use super::{Concat, ConcatPlan, Element, Limits, Part, Range, Segment, Version, segments};
use crate::crc::Crc64;
use crate::limits::{COPY_BYTES_MAX, PART_BYTES_MAX, PART_BYTES_MIN, UPLOAD_PARTS};

/// The output does not fit into one multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the output of {bytes} bytes does not fit into {parts} parts of at most {part_bytes_max} bytes"
)]
pub struct TooLarge {
    /// How long it would be.
    pub bytes: u64,
    /// Most parts of an upload.
    pub parts: u32,
    /// Largest part, in bytes.
    pub part_bytes_max: u64,
}

/// Plans how S3 puts these elements together.
///
/// A stretch of 5 MiB or more is copied by S3. Shorter ones, and literals, are streamed into parts that reach 5 MiB with
/// bytes borrowed from the beginning of the next large stretch. Where that would make too many parts, the size from which
/// a stretch is copied grows until they fit.
///
/// # Errors
/// When no part size makes it fit.
pub fn make(elements: &[Element], limits: &Limits) -> Result<Concat, TooLarge> {
    let bytes = elements.iter().map(Element::bytes).sum();
    let crc = elements.iter().fold(Crc64::EMPTY, |crc, element| crc.then(element.crc(), element.bytes()));
    let segments = segments(elements);
    let mut part_bytes = PART_BYTES_MIN;
    while part_bytes <= PART_BYTES_MAX {
        let parts = Cutter::cut(&segments, part_bytes);
        if parts.len() <= UPLOAD_PARTS as usize && parts.iter().all(|part| part.bytes() <= PART_BYTES_MAX) {
            return Ok(Concat::Whole(ConcatPlan { version: Version, parts, bytes, crc }));
        }
        part_bytes *= 2;
    }
    Err(TooLarge { bytes, parts: limits.parts, part_bytes_max: limits.part_bytes_max })
}

/// Collects short segments until they make a part.
struct Cutter {
    part_bytes: u64,
    parts: Vec<Part>,
    pending: Vec<Segment>,
    pending_bytes: u64,
}

impl Cutter {
    fn cut(segments: &[Segment], part_bytes: u64) -> Vec<Part> {
        let mut cutter = Self { part_bytes, parts: Vec::new(), pending: Vec::new(), pending_bytes: 0 };
        for segment in segments {
            match segment {
                Segment::Range(range) if range.bytes() >= part_bytes => cutter.large(range),
                Segment::Range(_) | Segment::Literal(_) => cutter.stream(segment.clone()),
            }
        }
        cutter.flush();
        cutter.parts
    }

    fn stream(&mut self, segment: Segment) {
        self.pending_bytes += segment.bytes();
        self.pending.push(segment);
        if self.pending_bytes >= self.part_bytes {
            self.flush();
        }
    }

    /// A stretch that S3 can copy, but for what a part before it still lacks.
    fn large(&mut self, range: &Range) {
        let lacking = if self.pending.is_empty() { 0 } else { self.part_bytes - self.pending_bytes };
        if range.bytes() - lacking < self.part_bytes {
            return self.stream(Segment::Range(range.clone()));
        }
        if lacking > 0 {
            self.stream(Segment::Range(range.part(0, lacking)));
        }
        self.copy(&range.part(lacking, range.bytes()));
    }

    /// Copies a stretch, in equal parts where it is longer than one request should take.
    fn copy(&mut self, range: &Range) {
        let requests = range.bytes().div_ceil(COPY_BYTES_MAX.max(self.part_bytes));
        let border =
            |position: u64| (u128::from(range.bytes()) * u128::from(position) / u128::from(requests)) as u64;
        self.parts.extend(
            (0..requests).map(|position| Part::Copy(range.part(border(position), border(position + 1)))),
        );
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.parts.push(Part::Stream(std::mem::take(&mut self.pending)));
            self.pending_bytes = 0;
        }
    }
}
