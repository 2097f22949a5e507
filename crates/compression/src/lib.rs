//! Compressed formats, pure: what a file is, its decoded bytes, and the parts of it that stand for themselves.
//!
//! | question | answer |
//! |---|---|
//! | What is this file? | [`Kind::of`] its first bytes: a kind we decode, a kind we refuse by name, or `None` for anything else |
//! | What are its decoded bytes? | [`Decoder`]: compressed pieces of any size in, decoded bytes into the caller's buffer |
//! | Where can a retry resume? | [`Decoder::with_checkpoints`] and [`Decoder::take_checkpoint`]; [`Decoder::resume`] continues there |
//! | Where can it be split? | [`find_part`] from any offset of the file, or [`Walk`] from a known start, without decoding |
//! | How is splittable gzip written? | [`MemberWriter`] and [`stored_members`]: each member's header has its length |
//!
//! Nothing here reads, waits or spawns: the caller fetches bytes and passes them in. Nothing panics on any input.
//!
//! # Guarantees
//! - Every check that a format has is made: CRC32 and length of each gzip member, checksum and content size of each Zstandard
//!   frame, CRC of each bzip2 block and stream. Zstandard frames without a checksum exist; in these, a changed byte can pass.
//! - [`Decoder::finish`] is an error unless the last bytes passed in ended a member, frame or stream. So a shortened file is
//!   an error, and bytes that follow the last member are one too, except zeros after gzip, which tapes leave.
//! - Errors name the compressed byte, counted from the start of the file, and how many bytes had been decoded.
//! - A decoder that resumes at a checkpoint yields exactly the bytes that the first one yielded after it.
//! - A part found by [`find_part`] is a guess that only a hostile file can make wrong. It becomes certain when the part before
//!   it is decoded: that part's [`Decoder::finish`] fails unless a member ends exactly where the next part begins.
//!
//! # Costs
//! - Memory of a [`Decoder`]: 0.1 MiB for gzip, up to 4 MiB for bzip2, the frame's window for Zstandard (8 MiB at most for
//!   levels up to 19, 128 MiB for `--long`; more is refused). What is decoded goes to the caller's buffer, so nothing piles up.
//! - A gzip [`Checkpoint`] holds the last 32 KiB of text. Finding one costs about 0.2 ms.
//!
//! # Where a decoder can resume
//! | format | checkpoints |
//! |---|---|
//! | gzip | between deflate blocks (of some 50 to 200 KiB of text) and between members |
//! | Zstandard | between frames |
//! | bzip2 | between streams |
//!
//! One huge frame or stream has no checkpoint inside: it is decoded again from its start. The same holds for gzip whose encoder
//! put all text into one block, as zlib-ng and zlib-rs do at level 1.
//!
//! # What can be split
//! | kind | by | found |
//! |---|---|---|
//! | [`Kind::Bgzf`], [`Kind::Members`] | member | from any offset, or by hops, since a header has its member's length |
//! | [`Kind::Zstd`] | frame | from any offset, or by hops from block to block |
//! | [`Kind::Bzip2`] | stream | from any offset |
//! | [`Kind::Gzip`] | not at all | its members cannot be found without decoding: it is one part |
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
pub use decoder::{Decoder, Progress};
pub use error::{Cause, DecodeError};
pub use kind::{Codec, Kind};
pub use member::{EncodeError, MEMBER_TEXT_BYTES, MemberWriter, stored_members};
pub use parts::{Part, Step, Walk, find_part, look_bytes};
