//! The port to functions: a small trait, its Lambda and in-memory adapters, wrappers, and one conformance suite.
