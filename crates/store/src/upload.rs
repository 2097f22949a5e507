//! What is said about multipart uploads: objects that are built from parts and appear whole or not at all.

use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use serde::{Deserialize, Serialize};

use crate::object::{Condition, ETag};

/// An unfinished multipart upload. Until it is completed or aborted its parts are kept, and billed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Upload {
    /// The object that it will become.
    pub at: ObjectUri,
    /// The service's name for it.
    pub id: String,
}

/// A part that the service has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place, from 1 to 10,000. Gaps are allowed.
    pub number: u32,
    /// The mark of its content, which completion must name.
    pub etag: ETag,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum: what was sent, or what the service says of a part that it copied itself. Some stores do not say.
    pub crc: Option<Crc64>,
}

/// How to complete an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompleteOptions {
    /// When the object may appear.
    pub condition: Condition,
    /// The checksum that the whole must have; the service refuses with
    /// [`BadDigest`](crate::ErrorKind::BadDigest) what has another one.
    pub crc: Option<Crc64>,
    /// The size in bytes that the whole must have; the service refuses any other.
    pub bytes: Option<u64>,
}
