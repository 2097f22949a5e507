//! Whatever dies, repeats, throttles or comes late: the job ends, and ends right.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod mutations;
mod scale;
mod seeds;
