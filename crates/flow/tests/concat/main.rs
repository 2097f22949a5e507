//! A concat plan is one that S3 takes, is exactly its elements, and is the best there is; and the checker sees it when
//! it is not a right one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod brute;
mod examples;
mod nodes;
mod optimum;
mod sizes;
mod tampering;
mod tiny;
