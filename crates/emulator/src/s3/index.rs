//! What a bucket holds, in memory: objects and unfinished uploads in byte order of their keys.
//!
//! The index is what its journal says, no more: it changes by [`Index::apply`] alone, while running and at the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use s3s::dto::BucketLifecycleConfiguration;

use super::error::Error;
use super::record::{Change, Milliseconds, Object, Part, Segment, UploadKey, UploadStart};

/// The layout of the journal that this code writes and reads.
pub(crate) const VERSION: u32 = 1;

/// An unfinished upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) start: Arc<UploadStart>,
    pub(crate) parts: BTreeMap<u16, Arc<Part>>,
}

/// A bucket's content.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) created: Milliseconds,
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
    pub(crate) uploads: BTreeMap<UploadKey, Upload>,
    pub(crate) lifecycle: Option<Arc<BucketLifecycleConfiguration>>,
}

/// What a change took out of the index. Dropping it gives bodies back, so that is done outside of the locks.
#[derive(Debug, Default)]
pub(crate) struct Displaced {
    pub(crate) objects: Vec<Arc<Object>>,
    pub(crate) parts: Vec<Arc<Part>>,
    pub(crate) uploads: Vec<Upload>,
}

impl Displaced {
    /// Whether the change made an earlier one meaningless.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.parts.is_empty() && self.uploads.is_empty()
    }
}

impl Index {
    /// Carries out a committed change.
    pub(crate) fn apply(&mut self, change: Change) -> Displaced {
        let mut displaced = Displaced::default();
        match change {
            Change::Bucket { created, .. } => self.created = created,
            Change::Put { key, object } => displaced.objects.extend(self.objects.insert(key, object)),
            Change::Delete { keys } => {
                displaced.objects.extend(keys.iter().filter_map(|key| self.objects.remove(key)));
            }
            Change::Start { upload, start } => {
                let upload = self.uploads.insert(upload, Upload { start, parts: BTreeMap::new() });
                displaced.uploads.extend(upload);
            }
            Change::Part { upload, part } => {
                if let Some(upload) = self.uploads.get_mut(&upload) {
                    displaced.parts.extend(upload.parts.insert(part.number, part));
                }
            }
            Change::Abort { upload } => displaced.uploads.extend(self.uploads.remove(&upload)),
            Change::Complete { upload, object } => {
                displaced.uploads.extend(self.uploads.remove(&upload));
                displaced.objects.extend(self.objects.insert(upload.key, object));
            }
            Change::Lifecycle { configuration } => self.lifecycle = configuration,
        }
        displaced
    }

    /// The changes that make this index out of an empty one: what a rewritten journal holds.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> {
        let bucket = Change::Bucket { version: VERSION, created: self.created };
        let lifecycle = self.lifecycle.iter().map(|configuration| {
            let configuration = Some(Arc::clone(configuration));
            Change::Lifecycle { configuration }
        });
        let objects = self
            .objects
            .iter()
            .map(|(key, object)| Change::Put { key: key.clone(), object: Arc::clone(object) });
        let uploads = self.uploads.iter().flat_map(|(key, upload)| {
            let start = Change::Start { upload: key.clone(), start: Arc::clone(&upload.start) };
            let parts = upload.parts.values();
            let parts = parts.map(|part| Change::Part { upload: key.clone(), part: Arc::clone(part) });
            std::iter::once(start).chain(parts)
        });
        std::iter::once(bucket).chain(lifecycle).chain(objects).chain(uploads)
    }

    /// Every run of bytes that the bucket refers to, with the key that it belongs to.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&str, &Segment)> {
        let objects = self.objects.iter();
        let objects =
            objects.flat_map(|(key, object)| object.segments().map(move |segment| (key.as_str(), segment)));
        let parts = self.uploads.iter().flat_map(|(upload, Upload { parts, .. })| {
            let segments = parts.values().flat_map(|part| &part.segments);
            segments.map(move |segment| (upload.key.as_str(), segment))
        });
        objects.chain(parts)
    }

    /// # Errors
    /// [`Error::NoSuchKey`].
    pub(crate) fn object(&self, key: &str) -> Result<Arc<Object>, Error> {
        self.objects.get(key).cloned().ok_or_else(|| Error::NoSuchKey(key.to_owned()))
    }

    /// # Errors
    /// [`Error::NoSuchUpload`], also for the id of an upload of another key.
    pub(crate) fn upload(&self, key: &UploadKey) -> Result<&Upload, Error> {
        self.uploads.get(key).ok_or_else(|| Error::NoSuchUpload(key.id.clone()))
    }
}
