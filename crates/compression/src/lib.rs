//! Compressed formats, pure: decoders that can stop and resume, and where the parts of a file begin that stand for themselves.
#![forbid(unsafe_code)]
