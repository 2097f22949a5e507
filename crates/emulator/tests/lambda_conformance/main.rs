//! The emulator's Lambda, held to the protocols by the real SDK on one side and a bootstrap that misbehaves on command
//! on the other. One test, one property.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it did not expect")]

mod emulator;
mod events;
mod faults;
mod invoke;
mod processes;
mod runtime;
mod support;
