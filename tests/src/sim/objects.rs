//! An invocation's port to objects: requests take time, fail in all the ways of S3, and may be its last.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::faults::{Call, Decision, Faulty};
use fanfold_store::{
    CompleteOptions, ETag, ErrorKind, GetOptions, Got, ObjectInfo, Operation, Page, Part, PutOptions, Store,
    StoreError, Upload,
};

use super::artefact::Artefact;
use super::faults::Fault;
use super::life::Life;
use super::scenario::{MINUTE, OUTPUT};

/// Objects as an invocation meets them: its requests may be its last, and fail.
pub(crate) struct Objects {
    life: Arc<Life>,
    inner: Faulty,
}

impl Objects {
    pub(crate) fn new(life: &Arc<Life>, inner: Arc<dyn Store>) -> Self {
        let decider = Arc::clone(life);
        let inner = Faulty::new(inner, move |call: &Call<'_>| decide(&decider, call));
        Self { life: Arc::clone(life), inner }
    }

    async fn request<T>(
        &self,
        operation: Operation,
        at: impl fmt::Display + Send + Sync,
        request: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let done = self.life.request(|| format!("{operation} {at}"), request).await;
        let (kept, changes) = (self.life.world.trace.is_kept(), changes(operation));
        match &done {
            Ok(_) if kept && changes => self.life.note(&format_args!("{operation} {at}")),
            Err(error) if kept && (changes || error.kind() != ErrorKind::NotFound) => {
                self.life.note(&format_args!("{operation} {at}: {}", error.kind()));
            }
            _ => {}
        }
        done
    }
}

fn changes(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::Get | Operation::Head | Operation::List | Operation::ListUploads | Operation::ListParts
    )
}

/// What goes wrong with a request.
fn decide(life: &Life, call: &Call<'_>) -> Decision {
    let decision = drawn(life, call);
    if decision != Decision::Pass {
        life.note(&format_args!("{} {}: by lot {decision:?}", call.operation, call.at));
    }
    decision
}

fn drawn(life: &Life, call: &Call<'_>) -> Decision {
    let strikes = |fault| life.strikes(fault, 1.0);
    let is_decided_once = call.operation == Operation::Put && is_conditional(call.at);
    if is_decided_once && strikes(Fault::WriteRaced) {
        return Decision::Fail(ErrorKind::Conflict);
    }
    if is_decided_once && strikes(Fault::SentAgain) {
        return Decision::LoseAnswer(ErrorKind::PreconditionFailed);
    }
    if call.operation == Operation::CompleteUpload && strikes(Fault::SentAgain) {
        return Decision::LoseAnswer(ErrorKind::NoSuchUpload);
    }
    if call.operation == Operation::Get && strikes(Fault::BodyCut) {
        return Decision::CutBody(life.random().u64(..200));
    }
    if strikes(Fault::StoreError) {
        let kinds = [ErrorKind::Throttled, ErrorKind::Timeout, ErrorKind::Unavailable];
        return Decision::Fail(kinds[life.random().usize(..3)]);
    }
    if strikes(Fault::AnswerLost) {
        // What is throttled is never done, so a lost answer looks like one of the other two.
        let timeout = life.random().bool();
        return Decision::LoseAnswer(if timeout { ErrorKind::Timeout } else { ErrorKind::Unavailable });
    }
    if life.strikes(Fault::Late, life.world.scenario.rates.lateness(call.at)) {
        let most = if life.random().u32(..4) == 0 { MINUTE * 3 } else { Duration::from_secs(5) };
        return Decision::Delay(life.draw(most));
    }
    Decision::Pass
}

/// Whether writes to this place have a condition. S3 answers 409 and 412 to no other.
fn is_conditional(at: &str) -> bool {
    let key = at.strip_prefix("s3://world/").unwrap_or(at);
    let artefact = Artefact::of(key);
    artefact.is_written_once() || matches!(artefact, Artefact::Lease | Artefact::Marker) || key == OUTPUT
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("life", &self.life).finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Objects {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        self.request(Operation::Get, at, self.inner.get(at, options)).await
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        self.request(Operation::Head, at, self.inner.head(at)).await
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError> {
        if let Artefact::Attempt(attempt) = Artefact::of(&at.key) {
            self.life.takes_up(attempt);
        }
        self.request(Operation::Put, at, self.inner.put(at, bytes, options)).await
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        self.request(Operation::Delete, keys.join(", "), self.inner.delete(bucket, keys)).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        self.request(Operation::List, prefix, self.inner.list(bucket, prefix, after)).await
    }

    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError> {
        self.request(Operation::CreateUpload, at, self.inner.create_upload(at, content_type)).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        let request = self.inner.upload_part(upload, number, bytes);
        self.request(Operation::UploadPart, &upload.at, request).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        let request = self.inner.copy_part(upload, number, source, range, source_etag);
        self.request(Operation::CopyPart, &upload.at, request).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        let request = self.inner.complete_upload(upload, parts, options);
        self.request(Operation::CompleteUpload, &upload.at, request).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.request(Operation::AbortUpload, &upload.at, self.inner.abort_upload(upload)).await
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        self.request(Operation::ListUploads, prefix, self.inner.list_uploads(bucket, prefix)).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        self.request(Operation::ListParts, &upload.at, self.inner.list_parts(upload)).await
    }
}
