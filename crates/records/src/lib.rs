//! How bytes become records, pure: dialects, borders, headers, JSON structure, encodings.
//!
//! The dispatcher looks at an object's first bytes with it, the worker finds records and checks results with it, and nobody else
//! parses. It knows neither a store nor a runtime: bytes come in pieces of any size, and the answer never depends on where the
//! pieces end.
//!
//! | question | answered by |
//! |---|---|
//! | What is a record? | [`Rule`], with a [`Dialect`] for tables |
//! | Where does the first record begin at or behind this byte? | [`Search`] |
//! | Where do records end, read from the beginning of one? | [`Walker`] |
//!
//! An object is cut at nominal borders, and each is moved to the first border between two records: the reader of the records before
//! it and the reader of those behind it look for it alike, each for itself, and find the same. Only in a CSV it may be a guess; see
//! [`Found::Border`].
#![forbid(unsafe_code)]

mod csv;
mod cutter;
mod dialect;
mod encoding;
mod head;
pub mod json;
mod paragraphs;
mod rule;
mod sample;
mod search;
mod separator;
mod walker;

pub use cutter::{Cutter, Piece, Range};
pub use dialect::Dialect;
pub use encoding::WideEncoding;
pub use head::{Head, HeadRule};
pub use rule::Rule;
pub use sample::{Mismatch, MismatchKind, Sample};
pub use search::{Found, Nominal, Search};
pub use walker::Walker;
