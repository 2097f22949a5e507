//! The emulator set up from a template as CDK writes it: what is read, and what then runs. The functions are the bootstrap
//! of the other tests, which prints the events that it is given.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it did not expect")]

mod events;
mod read;
mod services;
mod support;
