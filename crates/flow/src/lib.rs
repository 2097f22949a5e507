//! The nouns of Fanfold, pure, one file a noun, listed in the order in which data moves.
//!
//! Whatever travels between two stages is a type here, with its JSON, its version and its checks. The price of keeping
//! them apart from the verbs is that nothing in this crate can read a clock, an environment variable or an object:
//! callers hand those in. What it buys is that planning can be tested exhaustively and replayed anywhere.
//!
//! | noun | travels as |
//! |---|---|
//! | [`event::Event`] | the dispatcher's payload |
//! | [`job::Job`] | `<job>/job.json` |
//! | [`plan::Plan`] | `<job>/plan.json` |
//! | [`partition::Partition`] | the worker's payload |
//! | [`chunk::Chunk`] | the child's environment |
//! | [`result::ChunkResult`], [`done::Done`], [`done::Group`] | `<job>/done/…`, `<job>/groups/…` |
//! | [`concat::ConcatPlan`], [`node::Node`] | `<job>/concat.json`, `<job>/concat/…` |
//! | [`joblog::Line`] | `<job>/joblog.tsv` |
//! | [`report::Report`] | `<job>/result.json` |
//! | [`verification::Verification`] | the dispatcher's answer |
//!
//! Below the nouns stand what they are made of ([`size`], [`time`], [`uri`], [`crc`], [`literal`], [`member`], [`version`]), the checks of a
//! document against its schema ([`shape`], [`problem`]), how a document is read and written without a change to its items ([`written`]), every key ([`keys`]), the service's numbers and prices ([`limits`], [`price`]) and
//! the stable codes of everything that can go wrong ([`code`]).
#![forbid(unsafe_code)]

pub mod event;
pub mod item;
pub mod job;
pub mod occasion;
pub mod template;

pub mod chunk;
pub mod head;
pub mod partition;
pub mod plan;

pub mod done;
pub mod result;

pub mod concat;
pub mod cover;
pub mod joblog;
pub mod node;
pub mod report;
pub mod verification;

pub mod code;
pub mod crc;
pub mod keys;
pub mod limits;
pub mod literal;
pub mod member;
pub mod price;
pub mod problem;
pub mod shape;
mod shared;
pub mod size;
pub mod time;
pub mod uri;
pub mod version;
pub mod written;
