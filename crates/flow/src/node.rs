//! A node of the output: an object in between, made of a run of the output's pieces, where the parts of one upload do not
//! suffice for all of them. Nodes are made independently of one another; the output is made of them.

use serde::{Deserialize, Serialize};

use crate::chunk::ObjectVersion;
use crate::concat::{ConcatPlan, Element, Range};
use crate::crc::Crc64;
use crate::uri::ObjectUri;
use crate::version::Version;

/// The record of a node that is made. It is written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The version of this artefact.
    pub version: Version,
    /// Which node of the output it is, from 0.
    pub number: u32,
    /// The object.
    pub object: ObjectUri,
    /// Its ETag.
    pub etag: String,
    /// How long it is.
    pub bytes: u64,
    /// Its CRC64NVME, as the store has verified it.
    pub crc: Crc64,
    /// How many of its bytes went through the reducer.
    pub streamed_bytes: u64,
}

impl Node {
    /// The record of the node that stands at `object` with this tag, made by this plan.
    pub fn made(number: u32, concat: &ConcatPlan, object: ObjectUri, etag: impl Into<String>) -> Self {
        Self {
            version: Version,
            number,
            object,
            etag: etag.into(),
            bytes: concat.bytes,
            crc: concat.crc,
            streamed_bytes: concat.streamed_bytes(),
        }
    }

    /// The node as a piece of the output.
    pub fn element(&self) -> Element {
        let object = ObjectVersion { uri: self.object.clone(), etag: self.etag.clone(), bytes: self.bytes };
        Element::Piece(Range::whole(object), self.crc)
    }

    /// Whether it is what this plan makes.
    pub fn is_of(&self, concat: &ConcatPlan) -> bool {
        (self.bytes, self.crc) == (concat.bytes, concat.crc)
    }
}
