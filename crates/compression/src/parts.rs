//! The parts of a file that stand for themselves: found by their headers, without decoding.
//!
//! A walk goes from one part to the next, from a known start. [`find_part`] starts anywhere: it takes the first place that looks
//! like a part's start and from which a walk leads on over more bytes than a part can hold as it is. For a part may hold
//! another compressed file, whose parts must not be taken for the outer file's; a walk along those ends where the outer part does.

mod blocks;
mod header;

use std::ops::Range;

use memchr::memmem::Finder;

use crate::bzip2;
use crate::kind::Kind;
use crate::member::MEMBER_BYTES_MAX;
use crate::zstd::FRAME_MAGIC;

use blocks::{Frame, Hop};
pub(crate) use header::{Subfield, gzip_subfield};

/// A part that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it is in the file.
    pub compressed: Range<u64>,
    /// How many bytes it gives, if its header says so.
    pub decoded: Option<u64>,
}

/// What a walk wants or has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes from [`Walk::offset`] on are needed to go on.
    Need(usize),
    /// A part; the walk is now at its end.
    Part(Part),
    /// From here to the end of the file there are no parts that can be told apart. This is the last step.
    Rest(Range<u64>),
    /// The end of the file was reached.
    End,
}

/// A walk from part to part over their headers.
///
/// The caller passes in bytes of the file from [`Walk::offset`] on, as many as it likes and at least as many as the last step
/// needed, and reads nothing of what the walk skips.
#[derive(Clone, Debug)]
pub struct Walk {
    kind: Kind,
    offset: u64,
    file_bytes: u64,
    /// The Zstandard frame that the walk is in.
    frame: Option<Frame>,
}

impl Walk {
    /// Over a file of this kind and length, from a byte at which a part begins: 0, or one that [`find_part`] found.
    pub fn new(kind: Kind, offset: u64, file_bytes: u64) -> Self {
        Self { kind, offset, file_bytes, frame: None }
    }

    /// The byte of the file from which it wants to see more.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on, with the bytes of the file from [`Walk::offset`] on.
    pub fn step(&mut self, mut bytes: &[u8]) -> Step {
        if self.offset >= self.file_bytes && self.frame.is_none() {
            return Step::End;
        }
        let start = self.frame.as_ref().map_or(self.offset, |frame| frame.start);
        loop {
            let hop = match self.kind {
                Kind::Bgzf | Kind::Members => header::gzip_hop(self.kind, bytes),
                Kind::Zstd => blocks::zstd_hop(self.offset, &mut self.frame, bytes),
                _ => Hop::Lost,
            };
            let (length, part) = match hop {
                Hop::Need(more) if self.offset + more as u64 <= self.file_bytes => return Step::Need(more),
                Hop::Inside(length) => (length, None),
                Hop::Part { length, decoded } => (length, Some(decoded)),
                Hop::Need(_) | Hop::Lost => return self.rest(start),
            };
            if length > self.file_bytes - self.offset {
                return self.rest(start);
            }
            self.offset += length;
            if let Some(decoded) = part {
                self.frame = None;
                return Step::Part(Part { compressed: start..self.offset, decoded });
            }
            bytes = bytes.get(length as usize..).unwrap_or(&[]);
        }
    }

    fn rest(&mut self, start: u64) -> Step {
        self.frame = None;
        self.offset = self.file_bytes;
        Step::Rest(start..self.file_bytes)
    }
}

/// How many bytes to look at for [`find_part`]; `None` if it finds nothing in files of this kind.
///
/// For BGZF and our own members, that many always have a part's start. Zstandard frames and bzip2 streams can be of any length:
/// those of `pbzip2`, and of text compressed in pieces of a MiB or two, are found, and a caller that looks at more finds more.
pub fn look_bytes(kind: Kind) -> Option<usize> {
    match kind {
        // To the first start, from there past what a part can hold, and to the end of the header there.
        Kind::Bgzf | Kind::Members => Some(3 * span_bytes(kind) + 1024),
        Kind::Zstd | Kind::Bzip2 => Some(1 << 20),
        _ => None,
    }
}

/// The first part that begins in these bytes of a file, as an index; `is_end` if the file ends with them.
///
/// `None` if there is none of which these bytes are proof enough: then this is no place to split at.
pub fn find_part(kind: Kind, bytes: &[u8], is_end: bool) -> Option<usize> {
    let magic: &[u8] = match kind {
        Kind::Bgzf | Kind::Members => header::MAGIC,
        Kind::Zstd => &FRAME_MAGIC,
        Kind::Bzip2 => b"BZh",
        _ => return None,
    };
    Finder::new(magic).find_iter(bytes).find(|at| match kind {
        Kind::Bzip2 => is_stream(&bytes[*at..]),
        _ => leads_on(kind, &bytes[*at..], is_end),
    })
}

/// Most bytes of another file that a part can hold as they are: of a member all, of a Zstandard frame a block.
fn span_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Members => MEMBER_BYTES_MAX,
        Kind::Bgzf => 64 << 10,
        _ => 128 << 10,
    }
}

/// True if a walk over these bytes leads exactly to the end of the file, or to a part's header past what a part can hold.
fn leads_on(kind: Kind, bytes: &[u8], is_end: bool) -> bool {
    let seen = bytes.len() as u64;
    let mut walk = Walk::new(kind, 0, if is_end { seen } else { u64::MAX });
    loop {
        let offset = walk.offset();
        let is_past = offset >= span_bytes(kind) as u64;
        match walk.step(bytes.get(offset as usize..).unwrap_or(&[])) {
            Step::Part(_) if is_past => return true,
            Step::Part(_) => {}
            // A frame's header was seen, and not all of the frame.
            Step::Need(_) => return is_past && walk.frame.is_some(),
            Step::Rest(_) => return false,
            Step::End => return true,
        }
    }
}

/// True if a bzip2 stream begins so. Its data is never stored as it is, so 80 bits in a row are no accident.
fn is_stream(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, b'1'..=b'9', rest @ ..] if bzip2::MAGICS.iter().any(|magic| rest.starts_with(magic)))
}
