//! A wrapper that makes operations fail on purpose, in all the ways in which S3 and the network do.
//!
//! What happens to a call is somebody else's decision ([`Decide`]): a script, a seed, a closure, a simulation. The
//! decision that matters most is [`Decision::LoseAnswer`]: the operation is done, and the caller is told that it
//! failed.

mod decide;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fanfold_flow::uri::ObjectUri;
use futures::{StreamExt, stream};

pub use self::decide::{Decide, Pass, Rates, Script, Seeded};
use crate::error::{ErrorKind, Operation, StoreError};
use crate::object::{Body, ETag, GetOptions, Got, ObjectInfo, Page, PutOptions};
use crate::store::Store;
use crate::upload::{CompleteOptions, Part, Upload};

/// A call about which is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// What is tried.
    pub operation: Operation,
    /// On what: an object's address, or a bucket and a prefix in the same form; for a part, with `#` and its number.
    pub at: &'a str,
    /// How often this was tried on this before, so that a decision need not depend on how calls interleave.
    pub nth: u64,
    /// How many calls there were before, of any kind.
    pub number: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It goes through.
    #[default]
    Pass,
    /// It fails in this way, and nothing was done.
    Fail(ErrorKind),
    /// It goes through this much later.
    Delay(Duration),
    /// It goes through, but the body breaks off after so many bytes with `Unavailable`. Passes on other operations
    /// than get, and on bodies that are not longer.
    CutBody(u64),
    /// It is done, and fails in this way all the same.
    LoseAnswer(ErrorKind),
}

/// Makes operations fail as it is told. See the [module](self).
pub struct Faulty {
    inner: Arc<dyn Store>,
    decide: Box<dyn Decide>,
    tried: Mutex<BTreeMap<(Operation, String), u64>>,
    calls: AtomicU64,
}

impl Faulty {
    /// Puts faults before `inner`.
    pub fn new(inner: Arc<dyn Store>, decide: impl Decide) -> Self {
        Self { inner, decide: Box::new(decide), tried: Mutex::default(), calls: AtomicU64::new(0) }
    }

    fn decide(&self, operation: Operation, at: &str) -> Decision {
        let nth = {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            let count = tried.entry((operation, at.to_owned())).or_default();
            *count += 1;
            *count - 1
        };
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.decide.decide(&Call { operation, at, nth, number })
    }

    /// Does to the call what was decided. A body is cut by the caller of this, the only one to have it.
    async fn run<T>(
        &self,
        operation: Operation,
        at: &str,
        decision: Decision,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match decision {
            Decision::Pass | Decision::CutBody(_) => call.await,
            Decision::Fail(kind) => Err(injected(kind, operation, at, "and nothing was done")),
            Decision::Delay(delay) => {
                tokio::time::sleep(delay).await;
                call.await
            }
            Decision::LoseAnswer(kind) => {
                call.await?;
                Err(injected(kind, operation, at, "and the answer was lost"))
            }
        }
    }

    async fn decided<T>(
        &self,
        operation: Operation,
        at: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.run(operation, at, self.decide(operation, at), call).await
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for Faulty {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        let place = at.to_string();
        let decision = self.decide(Operation::Get, &place);
        let mut got = self.run(Operation::Get, &place, decision, self.inner.get(at, options)).await?;
        if let Decision::CutBody(after) = decision
            && after < got.range.end - got.range.start
        {
            got.body = cut(got.body, after, place);
        }
        Ok(got)
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        self.decided(Operation::Head, &at.to_string(), self.inner.head(at)).await
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError> {
        self.decided(Operation::Put, &at.to_string(), self.inner.put(at, bytes, options)).await
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        // Named by its first key: an address like those of the other operations.
        let at = format!("s3://{bucket}/{}", keys.first().map_or("", String::as_str));
        self.decided(Operation::Delete, &at, self.inner.delete(bucket, keys)).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        let at = format!("s3://{bucket}/{prefix}");
        self.decided(Operation::List, &at, self.inner.list(bucket, prefix, after)).await
    }

    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError> {
        let call = self.inner.create_upload(at, content_type);
        self.decided(Operation::CreateUpload, &at.to_string(), call).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        let at = format!("{}#{number}", upload.at);
        self.decided(Operation::UploadPart, &at, self.inner.upload_part(upload, number, bytes)).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        let at = format!("{}#{number}", upload.at);
        let call = self.inner.copy_part(upload, number, source, range, source_etag);
        self.decided(Operation::CopyPart, &at, call).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        let call = self.inner.complete_upload(upload, parts, options);
        self.decided(Operation::CompleteUpload, &upload.at.to_string(), call).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        let call = self.inner.abort_upload(upload);
        self.decided(Operation::AbortUpload, &upload.at.to_string(), call).await
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        let at = format!("s3://{bucket}/{prefix}");
        self.decided(Operation::ListUploads, &at, self.inner.list_uploads(bucket, prefix)).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        let call = self.inner.list_parts(upload);
        self.decided(Operation::ListParts, &upload.at.to_string(), call).await
    }
}

fn injected(kind: ErrorKind, operation: Operation, at: &str, what: &str) -> StoreError {
    StoreError::new(kind, operation, at, format!("a fault made on purpose, {what}"))
}

/// The first bytes of a body, then an error.
fn cut(body: Body, after: u64, at: String) -> Body {
    stream::unfold(Some((body, after, at)), |state| async move {
        let (mut body, left, at) = state?;
        let broken = || injected(ErrorKind::Unavailable, Operation::Get, &at, "and the body broke off");
        if left == 0 {
            return Some((Err(broken()), None));
        }
        match body.next().await? {
            Ok(piece) => {
                let taken = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - taken as u64;
                Some((Ok(piece.slice(..taken)), Some((body, left, at))))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}
