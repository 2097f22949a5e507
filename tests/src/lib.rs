//! Scenarios over the real binaries, and the architecture's own test.
