//! The emulator's Lambda, held to the protocols by the real SDK on one side and a bootstrap that misbehaves on command
//! on the other. One test, one property.

mod events;
mod invoke;
mod processes;
mod runtime;
mod support;
