//! The protocol's guards, each of which can be broken, to see that a run shows it.
//!
//! A guard is broken where handlers meet the store: the request that keeps it is made without what makes it one. So the
//! handlers themselves stay as they are, and what is tried is whether the simulation would see that they lacked it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{
    CompleteOptions, Condition, ETag, GetOptions, Got, Listed, ObjectInfo, Page, Part, PutOptions, Store,
    StoreError, StoreExt, Upload,
};
use futures::StreamExt;
use serde_json::Value;

use super::artefact::Artefact;
use super::lambda::Role;
use super::life::Life;
use super::scenario::OUTPUT;

/// A guard that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// `job.json` is written whether or not there is one.
    JobOverwritten,
    /// `plan.json` likewise.
    PlanOverwritten,
    /// The records of attempts likewise: each is everybody's.
    AttemptClaimedTwice,
    /// The records of hops likewise.
    HopOverwritten,
    /// Done records likewise: the last outcome counts.
    DoneOverwritten,
    /// Groups likewise.
    GroupOverwritten,
    /// The report likewise.
    ResultOverwritten,
    /// The output likewise, whatever the job says of overwriting.
    OutputOverwritten,
    /// The lease is written as if nobody had it.
    LeaseSeized,
    /// The lease is taken over, whatever became of it since it was read.
    LeaseTakenOverUnseen,
    /// Whoever reads the lease finds that it has expired.
    LeaseIgnored,
    /// A worker that was not the first leaves what it stored.
    LosersResultsKept,
    /// Uploads are never aborted.
    UploadsKept,
    /// A group is taken for complete with its first outcome.
    GroupMergedEarly,
    /// Chunk results of all attempts have the same key.
    AttemptNotInKey,
    /// Chunk results of all hops have the same key.
    HopNotInKey,
    /// All cuts of a chunk have the same key.
    CutNotInKey,
    /// What is read may have changed since it was listed.
    InputNotHeldToItsTag,
}

impl Mutation {
    /// All of them, in the order of this file.
    pub const ALL: [Self; 18] = [
        Self::JobOverwritten,
        Self::PlanOverwritten,
        Self::AttemptClaimedTwice,
        Self::HopOverwritten,
        Self::DoneOverwritten,
        Self::GroupOverwritten,
        Self::ResultOverwritten,
        Self::OutputOverwritten,
        Self::LeaseSeized,
        Self::LeaseTakenOverUnseen,
        Self::LeaseIgnored,
        Self::LosersResultsKept,
        Self::UploadsKept,
        Self::GroupMergedEarly,
        Self::AttemptNotInKey,
        Self::HopNotInKey,
        Self::CutNotInKey,
        Self::InputNotHeldToItsTag,
    ];

    /// Whether a write to this place under this condition is made without it.
    fn drops_condition(self, key: &str, condition: &Condition) -> bool {
        let artefact = Artefact::of(key);
        match self {
            Self::JobOverwritten => artefact == Artefact::Job,
            Self::PlanOverwritten => artefact == Artefact::Plan,
            Self::AttemptClaimedTwice => matches!(artefact, Artefact::Attempt(_)),
            Self::HopOverwritten => artefact == Artefact::Hop,
            Self::DoneOverwritten => artefact == Artefact::Done,
            Self::GroupOverwritten => artefact == Artefact::Group,
            Self::ResultOverwritten => artefact == Artefact::Result,
            Self::OutputOverwritten => key == OUTPUT,
            Self::LeaseSeized => artefact == Artefact::Lease && *condition == Condition::IfAbsent,
            Self::LeaseTakenOverUnseen => {
                artefact == Artefact::Lease && matches!(condition, Condition::IfMatches(_))
            }
            _ => false,
        }
    }

    /// The key under which a chunk result is really kept.
    fn key(self, key: &str) -> String {
        // Of `<index>.<cut>.<hop>.<attempt>`.
        let place = match self {
            Self::CutNotInKey => 1,
            Self::HopNotInKey => 2,
            Self::AttemptNotInKey => 3,
            _ => return key.to_owned(),
        };
        let Some((folder, name)) = key.split_once("/chunks/").filter(|(_, name)| !name.is_empty()) else {
            return key.to_owned();
        };
        let mut numbers: Vec<&str> = name.split('.').collect();
        if let Some(number) = numbers.get_mut(place) {
            *number = "any";
        }
        format!("{folder}/chunks/{}", numbers.join("."))
    }

    fn place(self, at: &ObjectUri) -> ObjectUri {
        ObjectUri::new(&at.bucket, self.key(&at.key))
    }
}

/// The names that objects were given whose key is another, as all functions of a world know them: so that a list shows each
/// name under which there is an object.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, BTreeSet<String>>>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, key: &str, name: &str) {
        self.lock().entry(key.to_owned()).or_default().insert(name.to_owned());
    }

    fn take(&self, key: &str) {
        self.lock().remove(key);
    }

    /// The same list, with every object under each of its names.
    fn shown(&self, objects: Vec<Listed>) -> Vec<Listed> {
        let names = self.lock();
        let mut shown = Vec::new();
        for object in objects {
            match names.get(&object.key) {
                Some(given) => {
                    shown.extend(given.iter().map(|key| Listed { key: key.clone(), ..object.clone() }));
                }
                None => shown.push(object),
            }
        }
        shown.sort_by(|left, right| left.key.cmp(&right.key));
        shown
    }
}

/// Objects as a function meets them that lacks a guard.
pub(crate) struct Mutated {
    mutation: Mutation,
    life: Arc<Life>,
    inner: Arc<dyn Store>,
}

impl Mutated {
    pub(crate) fn new(mutation: Mutation, life: &Arc<Life>, inner: Arc<dyn Store>) -> Self {
        Self { mutation, life: Arc::clone(life), inner }
    }

    /// Where an object is really written.
    fn written(&self, at: &ObjectUri) -> ObjectUri {
        let place = self.mutation.place(at);
        if place != *at {
            self.life.world.names.give(&place.key, &at.key);
        }
        place
    }

    fn condition(&self, key: &str, condition: Condition) -> Condition {
        if self.mutation.drops_condition(key, &condition) { Condition::Always } else { condition }
    }
}

impl fmt::Debug for Mutated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutated({:?})", self.mutation)
    }
}

/// A lease that has expired.
async fn expired(inner: &dyn Store, at: &ObjectUri) -> Result<Got, StoreError> {
    let mut got = inner.get(at, GetOptions::default()).await?;
    let mut lease: Value = inner.get_json(at).await?;
    lease["expires_ms"] = 0.into();
    let bytes = Bytes::from(lease.to_string());
    // Of another length and with another checksum, as if it had been written so.
    (got.info.size, got.info.crc64, got.range) = (bytes.len() as u64, None, 0..bytes.len() as u64);
    got.body = futures::stream::iter([Ok(bytes)]).boxed();
    Ok(got)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Mutated {
    async fn get(&self, at: &ObjectUri, mut options: GetOptions) -> Result<Got, StoreError> {
        if self.mutation == Mutation::LeaseIgnored && Artefact::of(&at.key) == Artefact::Lease {
            return expired(&*self.inner, at).await;
        }
        if self.mutation == Mutation::InputNotHeldToItsTag && Artefact::of(&at.key) == Artefact::Users {
            options.if_match = None;
        }
        self.inner.get(&self.mutation.place(at), options).await
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        self.inner.head(&self.mutation.place(at)).await
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, mut options: PutOptions) -> Result<ETag, StoreError> {
        options.condition = self.condition(&at.key, options.condition);
        self.inner.put(&self.written(at), bytes, options).await
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        if self.mutation == Mutation::LosersResultsKept && self.life.role == Role::Worker {
            return Ok(());
        }
        let keys: Vec<String> = keys.iter().map(|key| self.mutation.key(key)).collect();
        keys.iter().for_each(|key| self.life.world.names.take(key));
        self.inner.delete(bucket, &keys).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let mut page = self.inner.list(bucket, prefix, after).await?;
        page.objects = self.life.world.names.shown(page.objects);
        let is_group = prefix.contains("/done/") && !prefix.ends_with("/done/");
        if self.mutation == Mutation::GroupMergedEarly && is_group {
            // As many as any group of a simulated job has; what stands there twice is read twice.
            let again: Vec<Listed> = page.objects.iter().cycle().take(64).cloned().collect();
            page.objects = again;
        }
        Ok(page)
    }

    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError> {
        self.inner.create_upload(&self.written(at), content_type).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        self.inner.upload_part(upload, number, bytes).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        self.inner.copy_part(upload, number, &self.mutation.place(source), range, source_etag).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        mut options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        options.condition = self.condition(&upload.at.key, options.condition);
        self.inner.complete_upload(upload, parts, options).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        if self.mutation == Mutation::UploadsKept {
            return Ok(());
        }
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        self.inner.list_uploads(bucket, prefix).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        self.inner.list_parts(upload).await
    }
}
