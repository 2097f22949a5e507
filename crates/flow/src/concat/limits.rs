//! The bounds within which a concat plan stays.

use crate::limits::{COPY_BYTES_MAX, PART_BYTES_MAX, PART_BYTES_MIN, UPLOAD_PARTS};

/// The bounds within which a concat plan stays: [`Limits::S3`], or smaller ones, in proportion, for tests.
///
/// They are in proportion ([`Limits::are_in_proportion`]), or the planner's proofs do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most parts of an upload.
    pub parts: u32,
    /// Smallest part but for the last, in bytes; and a range is copied only out of an object of more than this.
    pub part_bytes_min: u64,
    /// Largest part, in bytes.
    pub part_bytes_max: u64,
    /// Largest copied part, in bytes, unless that makes too many parts: then it grows just so far that they fit.
    pub copy_bytes: u64,
    /// Largest streamed part, in bytes: it is held in memory.
    pub streamed_bytes: u64,
    /// How many requests are enough for a node, where one upload does not suffice.
    pub node_requests: u64,
}

impl Limits {
    /// Those of S3, and our own beside them.
    pub const S3: Self = Self {
        parts: UPLOAD_PARTS,
        part_bytes_min: PART_BYTES_MIN,
        part_bytes_max: PART_BYTES_MAX,
        copy_bytes: COPY_BYTES_MAX,
        streamed_bytes: 16 << 20,
        node_requests: 1_000,
    };

    /// Whether `0 < 3 * part_bytes_min <= copy_bytes <= part_bytes_max`, `3 * part_bytes_min <= streamed_bytes <= part_bytes_max`
    /// and `8 * node_requests <= parts`.
    pub const fn are_in_proportion(&self) -> bool {
        self.part_bytes_min > 0
            && 3 * self.part_bytes_min <= self.copy_bytes
            && self.copy_bytes <= self.part_bytes_max
            && 3 * self.part_bytes_min <= self.streamed_bytes
            && self.streamed_bytes <= self.part_bytes_max
            && 8 * self.node_requests <= self.parts as u64
    }

    /// The largest object that one upload makes, in bytes: 48.8 TiB at S3.
    pub fn object_bytes(&self) -> u64 {
        u64::from(self.parts).saturating_mul(self.part_bytes_max)
    }

    /// Whether a range of an object of so many bytes may be a copied part; the whole of it always may.
    pub(super) fn takes_ranges_of(&self, object_bytes: u64) -> bool {
        object_bytes > self.part_bytes_min
    }
}

const _: () = assert!(Limits::S3.are_in_proportion());
