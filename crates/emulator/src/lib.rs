//! Lambda and S3 on this machine, for a laptop and for the tests. Knows the protocols and none of our crates.
#![forbid(unsafe_code)]

pub mod lambda;
pub mod s3;
