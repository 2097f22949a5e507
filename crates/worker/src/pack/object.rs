//! An object of several results, one after another. Pure.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::crc::Crc64;
use fanfold_flow::job::{Compress, Format};
use fanfold_flow::literal::Literal;
use fanfold_flow::result::{ChunkResult, Stored};
use fanfold_flow::uri::ObjectUri;

use super::packer::Place;
use crate::output::{Held, wrapped};

/// What an output is, as far as its objects must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) format: Format,
    pub(crate) compress: Compress,
    pub(crate) total_chunks: u64,
}

impl Kind {
    /// Whether an object of the results from `first` to `last` has before them what the output begins with. The first of
    /// them may be the first that has any bytes. What ends the output has none, unless it begins it too: without one it can be
    /// copied whole, however small, as the output's last part.
    pub(crate) fn has_lead(self, first: Place, last: Place) -> bool {
        first == (0, 0) || last.0 + 1 < self.total_chunks
    }
}

/// Bytes for an object, and what is where.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    places: Vec<Stretch>,
}

/// A result's stretch of an object.
#[derive(Debug)]
struct Stretch {
    lead_bytes: u64,
    offset: u64,
    bytes: u64,
    crc: Crc64,
    separator: &'static [u8],
}

impl Object {
    /// Lays results out in their order, and drops the bytes of each when they are copied.
    pub(super) fn of(kind: Kind, results: &[&ChunkResult], held: Vec<Held>) -> Self {
        let places = results.first().zip(results.last()).map(|(first, last)| (place(first), place(last)));
        let lead = match (results.first(), places) {
            (Some(result), Some((first, last))) if kind.has_lead(first, last) => {
                let plain = result.header.as_ref().map_or(kind.format.prefix(), |header| &header.0);
                wrapped(kind.compress, plain)
            }
            _ => Vec::new(),
        };
        let tail = |held: &Held| wrapped(kind.compress, held.separator);
        let object_bytes =
            lead.len() + held.iter().map(|held| held.bytes.len() + tail(held).len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(object_bytes);
        let mut lead_bytes = lead.len() as u64;
        bytes.extend(lead);
        let mut places = Vec::with_capacity(held.len());
        for held in held {
            places.push(Stretch {
                lead_bytes: std::mem::take(&mut lead_bytes),
                offset: bytes.len() as u64,
                bytes: held.bytes.len() as u64,
                crc: held.crc,
                separator: held.separator,
            });
            bytes.extend_from_slice(&held.bytes);
            bytes.extend(tail(&held));
        }
        Self { bytes: bytes.into(), places }
    }

    /// Where each result is, when the object is at `at` with this ETag.
    pub(super) fn stored(&self, at: &ObjectUri, etag: &str) -> impl Iterator<Item = Stored> {
        let bytes = self.bytes.len() as u64;
        let object = Arc::new(ObjectVersion { uri: at.clone(), etag: etag.to_owned(), bytes });
        self.places.iter().map(move |stretch| Stored {
            object: Arc::clone(&object),
            lead_bytes: stretch.lead_bytes,
            offset: stretch.offset,
            bytes: stretch.bytes,
            crc: stretch.crc,
            separator: Literal::from(stretch.separator),
        })
    }
}

fn place(result: &ChunkResult) -> Place {
    (result.index, result.cut)
}
