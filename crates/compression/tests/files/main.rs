//! Files by independent encoders: decoded in pieces, resumed, damaged, split.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checkpoints;
mod damage;
mod decoding;
mod parts;
mod samples;
