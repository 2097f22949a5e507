//! How bytes become records, pure: dialects, borders, headers, JSON structure, encodings, magic bytes.
//!
//! The dispatcher looks at an object's first bytes with it, the worker finds records and checks results with it, and nobody else
//! parses. It knows neither a store nor a runtime: bytes come in pieces of any size, and the answer never depends on where the
//! pieces end.
#![forbid(unsafe_code)]

pub mod json;
