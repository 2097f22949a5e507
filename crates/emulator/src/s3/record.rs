//! What a store knows about objects and uploads: the nouns, in memory and, one JSON document a line, in the journal.
//!
//! Each noun is generic over how it names a body: by [`BlobId`] as read from disk, by [`Blob`], which keeps the file
//! alive, everywhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use s3s::dto::{BucketLifecycleConfiguration, Timestamp};
use serde::{Deserialize, Serialize};

use super::blob::{Blob, BlobId};
use super::checksum::{self, Algorithm, Checksum, Scope};
use super::etag::EntityTag;

/// Milliseconds since 1970.
pub(crate) type Milliseconds = i64;

/// A run of bytes in a body's file. Files are shared: a copy of an object points to the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Segment<B = Blob> {
    pub(crate) blob: B,
    /// Bytes from the file's beginning.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
}

/// One part of an object or of an upload. An object that was put at once has a single one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part<B = Blob> {
    pub(crate) number: u16,
    /// Bytes.
    pub(crate) size: u64,
    /// Journals have called it so since it could be nothing else.
    #[serde(rename = "md5")]
    pub(crate) etag: EntityTag,
    pub(crate) crc64nvme: u64,
    /// By the algorithm that the client chose.
    pub(crate) checksum: Checksum,
    pub(crate) modified: Milliseconds,
    pub(crate) segments: Vec<Segment<B>>,
}

/// What the client said about an object besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) website_redirect_location: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<(String, String)>,
}

/// A committed object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object<B = Blob> {
    /// Without quotes.
    pub(crate) etag: String,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) modified: Milliseconds,
    pub(crate) attributes: Attributes,
    pub(crate) checksum: Checksum,
    pub(crate) crc64nvme: u64,
    /// Whether it came from a multipart upload; then its ETag counts the parts.
    pub(crate) multipart: bool,
    pub(crate) parts: Vec<Part<B>>,
}

/// How an upload was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UploadStart {
    pub(crate) initiated: Milliseconds,
    pub(crate) attributes: Attributes,
    pub(crate) algorithm: Algorithm,
    pub(crate) scope: Scope,
    /// Whether the client named the algorithm; where it did not, parts may come with any.
    pub(crate) chosen: bool,
}

/// An unfinished upload's name. Ids begin with the time, so that a key's uploads sort by their start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct UploadKey {
    pub(crate) key: String,
    pub(crate) id: String,
}

/// One committed change of a bucket: a line of its journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change<B = Blob> {
    /// The first line of every journal.
    Bucket {
        version: u32,
        created: Milliseconds,
    },
    Put {
        key: String,
        object: Arc<Object<B>>,
    },
    Delete {
        keys: Vec<String>,
    },
    Start {
        upload: UploadKey,
        start: Arc<UploadStart>,
    },
    Part {
        upload: UploadKey,
        part: Arc<Part<B>>,
    },
    Abort {
        upload: UploadKey,
    },
    /// Ends the upload and puts the object, in one step.
    Complete {
        upload: UploadKey,
        object: Arc<Object<B>>,
    },
    Lifecycle {
        configuration: Option<Arc<BucketLifecycleConfiguration>>,
    },
}

impl Object {
    /// An object that consists of one part.
    pub(crate) fn of_part(part: Part, attributes: Attributes) -> Self {
        Self {
            etag: part.etag.to_string(),
            size: part.size,
            modified: part.modified,
            attributes,
            checksum: part.checksum.clone(),
            crc64nvme: part.crc64nvme,
            multipart: false,
            parts: vec![Part { number: 1, ..part }],
        }
    }

    /// Its bytes, in order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.parts.iter().flat_map(|part| &part.segments)
    }
}

impl Part {
    /// Its checksum by an algorithm, if that was measured.
    pub(crate) fn checksum_by(&self, algorithm: Algorithm) -> Option<Checksum> {
        checksum::checksum_by(algorithm, &self.checksum, self.crc64nvme)
    }
}

impl Segment<BlobId> {
    fn resolve(&self, share: &mut impl FnMut(BlobId) -> Blob) -> Segment {
        Segment { blob: share(self.blob), offset: self.offset, length: self.length }
    }
}

impl Part<BlobId> {
    fn resolve(&self, share: &mut impl FnMut(BlobId) -> Blob) -> Part {
        Part {
            number: self.number,
            size: self.size,
            etag: self.etag,
            crc64nvme: self.crc64nvme,
            checksum: self.checksum.clone(),
            modified: self.modified,
            segments: self.segments.iter().map(|segment| segment.resolve(share)).collect(),
        }
    }
}

impl Object<BlobId> {
    fn resolve(&self, share: &mut impl FnMut(BlobId) -> Blob) -> Object {
        Object {
            etag: self.etag.clone(),
            size: self.size,
            modified: self.modified,
            attributes: self.attributes.clone(),
            checksum: self.checksum.clone(),
            crc64nvme: self.crc64nvme,
            multipart: self.multipart,
            parts: self.parts.iter().map(|part| part.resolve(share)).collect(),
        }
    }
}

impl Change<BlobId> {
    /// The same change with each body's name turned into a share in it.
    pub(crate) fn resolve(self, share: &mut impl FnMut(BlobId) -> Blob) -> Change {
        match self {
            Self::Bucket { version, created } => Change::Bucket { version, created },
            Self::Put { key, object } => Change::Put { key, object: Arc::new(object.resolve(share)) },
            Self::Delete { keys } => Change::Delete { keys },
            Self::Start { upload, start } => Change::Start { upload, start },
            Self::Part { upload, part } => Change::Part { upload, part: Arc::new(part.resolve(share)) },
            Self::Abort { upload } => Change::Abort { upload },
            Self::Complete { upload, object } => {
                Change::Complete { upload, object: Arc::new(object.resolve(share)) }
            }
            Self::Lifecycle { configuration } => Change::Lifecycle { configuration },
        }
    }
}
