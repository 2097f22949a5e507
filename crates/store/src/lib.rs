//! The port to objects: a small trait, its S3 and in-memory adapters, wrappers, and one conformance suite.
