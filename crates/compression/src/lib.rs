//! Compressed formats, pure: what a file is, its decoded bytes, and the parts of it that stand for themselves.
//!
//! | question | answer |
//! |---|---|
//! | What is this file? | [`FileKind::of`] its first bytes: a kind we decode, a kind we refuse by name, or `None` for anything else |
//! | What are its decoded bytes? | [`Decoder`]: compressed pieces of any size in, decoded bytes into the caller's buffer |
//! | Where can a retry resume? | [`Decoder::with_checkpoints`] and [`Decoder::take_checkpoint`]; [`Decoder::resume`] continues there |
//! | Where can it be split? | [`find_part`] from any offset of the file, or [`PartWalk`] from a known start, without decoding |
//! | How is splittable gzip written? | [`MemberWriter`] and [`stored_members`]: each member's header has its length |
//!
//! Nothing here reads, waits or spawns: the caller fetches bytes and passes them in. No input makes it panic.
//!
//! # Guarantees
//! - Every check that a format has is made: CRC32 and length of each gzip member, checksum and content size of each Zstandard
//!   frame, CRC of each bzip2 block and stream. A Zstandard frame may lack a checksum; then a modified byte can go unnoticed.
//! - [`Decoder::finish`] fails unless the input so far ends with a member, frame or stream. So a file that is cut short is an
//!   error. Bytes after the last member are one too, except zeros after gzip, which tapes leave.
//! - Errors name the compressed byte, counted from the start of the file, and how many bytes had been decoded.
//! - A decoder that resumes at a checkpoint yields exactly the bytes that the first one yielded after it.
//! - Only a file made to deceive can make [`find_part`] wrong, and then decoding fails: [`Decoder::finish`] of the part before is
//!   an error, since no member ends where this part begins.
//!
//! # Costs
//! - Memory of a [`Decoder`]: 0.3 MiB for gzip, 4 MiB for bzip2, for Zstandard the window of the frame (8 MiB at most up to level
//!   19, 128 MiB with `--long`; more is refused). Decoded bytes go to the caller's buffer, so none pile up.
//! - Speed, measured on one x86-64 core: gzip 650 MB of text a second (as flate2; `gzip -dc` 155), Zstandard 700, bzip2 30. See
//!   `cargo bench -p fanfold-compression`.
//! - A gzip [`Checkpoint`] holds the last 32 KiB of text. To find one takes about 0.2 ms.
//!
//! # Where a decoder can resume
//! | format | checkpoints |
//! |---|---|
//! | gzip | between deflate blocks (usually of 50 to 200 KiB of text) and between members |
//! | Zstandard | between frames |
//! | bzip2 | between streams |
//!
//! Inside one huge frame or stream there is no checkpoint: it is decoded again from its start. The same holds for a gzip member
//! whose encoder put all text into one block, as zlib-ng and zlib-rs do at level 1.
//!
//! # What can be split
//! | kind | by | found |
//! |---|---|---|
//! | [`FileKind::Bgzf`], [`FileKind::Members`] | member | from any offset, or from member to member, since headers have lengths |
//! | [`FileKind::Zstd`] | frame | from any offset, or from block to block |
//! | [`FileKind::Bzip2`] | stream | from any offset |
//! | [`FileKind::Gzip`] | nothing | its members cannot be found without decoding: it is one part |
//!
//! A part is decoded by [`Decoder::new`] with its first byte. To cut records, decode on into the next part until the last record
//! ends; call [`Decoder::finish`] once when the part's own bytes are decoded.
#![forbid(unsafe_code)]

mod bzip2;
mod checkpoint;
mod decoder;
mod error;
mod gzip;
mod kind;
mod member;
mod parts;
mod step;
mod zstd;

pub use checkpoint::{Checkpoint, TokenError};
pub use decoder::{DecodeProgress, Decoder};
pub use error::{DecodeError, DecodeErrorKind};
pub use kind::{Codec, FileKind};
pub use member::{EncodeError, MEMBER_TEXT_BYTES, MemberWriter, stored_members};
pub use parts::{FilePart, PartWalk, WalkStep, find_part, look_bytes};
