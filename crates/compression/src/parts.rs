//! The parts of a file that stand for themselves: found by their headers, without decoding.
//!
//! A walk moves from one part to the next, from a known start. [`find_part`] starts anywhere: it takes the first place that looks
//! like a part's start, if a walk from there covers more bytes than one part can hold. The reason: a part may contain another
//! compressed file as it is. A walk along the parts of that inner file fails where the outer part ends.

mod blocks;
mod header;

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem::Finder;

use crate::bzip2;
use crate::kind::FileKind;
use crate::member::MEMBER_BYTES_MAX;
use crate::zstd::FRAME_MAGIC;

use blocks::{Advance, ZstdFrame};
pub(crate) use header::{Subfield, gzip_subfield};

/// A part that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// Where it is in the file.
    pub compressed: Range<u64>,
    /// How many bytes it gives, if its header says so.
    pub decoded: Option<u64>,
}

/// What a walk wants or has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// This many bytes from [`PartWalk::offset`] on are needed to continue.
    Need(usize),
    /// A part; the walk is now at its end.
    Part(FilePart),
    /// From here to the end of the file there are no parts that can be told apart. This is the last step.
    Rest(Range<u64>),
    /// The end of the file was reached.
    End,
}

/// A walk from part to part over their headers.
///
/// The caller passes in bytes of the file from [`PartWalk::offset`] on: at least as many as the last step needed. It never has to
/// read what the walk skips.
#[derive(Clone, Debug)]
pub struct PartWalk {
    kind: FileKind,
    offset: u64,
    file_bytes: u64,
    /// The Zstandard frame that the walk is in.
    frame: Option<ZstdFrame>,
}

impl PartWalk {
    /// Over a file of this kind and length, from a byte at which a part begins: 0, or one that [`find_part`] found.
    pub fn new(kind: FileKind, offset: u64, file_bytes: u64) -> Self {
        Self { kind, offset, file_bytes, frame: None }
    }

    /// The byte of the file from which it needs bytes next.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Continues, with the bytes of the file from [`PartWalk::offset`] on.
    pub fn step(&mut self, mut bytes: &[u8]) -> WalkStep {
        if self.offset >= self.file_bytes && self.frame.is_none() {
            return WalkStep::End;
        }
        let start = self.frame.as_ref().map_or(self.offset, |frame| frame.start);
        loop {
            let hop = match self.kind {
                FileKind::Bgzf | FileKind::Members => header::gzip_hop(self.kind, bytes),
                FileKind::Zstd => blocks::zstd_hop(self.offset, &mut self.frame, bytes),
                _ => Advance::Lost,
            };
            let (length, part) = match hop {
                Advance::Need(more) if self.offset + more as u64 <= self.file_bytes => {
                    return WalkStep::Need(more);
                }
                Advance::Inside(length) => (length, None),
                Advance::Part { length, decoded } => (length, Some(decoded)),
                Advance::Need(_) | Advance::Lost => return self.rest(start),
            };
            if length > self.file_bytes - self.offset {
                return self.rest(start);
            }
            self.offset += length;
            if let Some(decoded) = part {
                self.frame = None;
                return WalkStep::Part(FilePart { compressed: start..self.offset, decoded });
            }
            bytes = bytes.get(length as usize..).unwrap_or(&[]);
        }
    }

    fn rest(&mut self, start: u64) -> WalkStep {
        self.frame = None;
        self.offset = self.file_bytes;
        WalkStep::Rest(start..self.file_bytes)
    }
}

/// How many bytes to look at for [`find_part`]; `None` if it finds nothing in files of this kind.
///
/// For BGZF and our own members, that many always have a part's start. Zstandard frames and bzip2 streams can be of any length:
/// those of `pbzip2`, and of text compressed in pieces of a MiB or two, are found, and a caller that looks at more finds more.
pub fn look_bytes(kind: FileKind) -> Option<usize> {
    match kind {
        // To the first start, from there past what a part can hold, and to the end of the header there.
        FileKind::Bgzf | FileKind::Members => Some(3 * span_bytes(kind) + 1024),
        FileKind::Zstd | FileKind::Bzip2 => Some(1 << 20),
        _ => None,
    }
}

/// The first part that begins in these bytes of a file, as an index; `is_end` if the file ends with them.
///
/// `None` if there is none of which these bytes are proof enough: then this is no place to split at.
pub fn find_part(kind: FileKind, bytes: &[u8], is_end: bool) -> Option<usize> {
    let magic: &[u8] = match kind {
        FileKind::Bgzf | FileKind::Members => header::MAGIC,
        FileKind::Zstd => &FRAME_MAGIC,
        FileKind::Bzip2 => b"BZh",
        _ => return None,
    };
    let mut dead_ends = HashSet::new();
    Finder::new(magic).find_iter(bytes).find(|at| match kind {
        FileKind::Bzip2 => is_stream(&bytes[*at..]),
        _ => leads_on(kind, bytes, *at, is_end, &mut dead_ends),
    })
}

/// Most bytes of another file that can stand in a part unchanged: a whole member's, or one block's of a Zstandard frame.
fn span_bytes(kind: FileKind) -> usize {
    match kind {
        FileKind::Members => MEMBER_BYTES_MAX,
        FileKind::Bgzf => 64 << 10,
        _ => 128 << 10,
    }
}

/// True if a walk from `start` leads exactly to the end of the file, or to a part's header past what a part can hold.
///
/// `dead_ends` has the parts that failed walks passed: another walk that meets one fails as well. Without it, many small parts
/// would take quadratic time.
fn leads_on(kind: FileKind, bytes: &[u8], start: usize, is_end: bool, dead_ends: &mut HashSet<u64>) -> bool {
    let mut walk = PartWalk::new(kind, start as u64, if is_end { bytes.len() as u64 } else { u64::MAX });
    let mut passed = Vec::new();
    loop {
        let offset = walk.offset();
        let is_past = offset - start as u64 >= span_bytes(kind) as u64;
        let step = walk.step(bytes.get(offset as usize..).unwrap_or(&[]));
        // The bytes have a frame's header, and not all of the frame.
        let is_in_frame = matches!(step, WalkStep::Need(_)) && walk.frame.is_some();
        match step {
            WalkStep::End => return true,
            WalkStep::Part(_) if is_past => return true,
            WalkStep::Need(_) if is_past && is_in_frame => return true,
            WalkStep::Part(_) if !dead_ends.contains(&offset) => passed.push(offset),
            WalkStep::Part(_) | WalkStep::Need(_) | WalkStep::Rest(_) => {
                dead_ends.extend(passed);
                return false;
            }
        }
    }
}

/// True if a bzip2 stream begins so. Its data is never stored as it is, so 80 bits in a row are no accident.
fn is_stream(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, b'1'..=b'9', rest @ ..] if bzip2::MAGICS.iter().any(|magic| rest.starts_with(magic)))
}
