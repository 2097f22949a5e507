//! Who reduces: one at a time, so that nobody's work is done twice without need.
//!
//! The lease saves work; it does not keep the output right. Two reducers at once would write the same output, and the
//! store lets one of them be first.

use fanfold_flow::code::Code;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::version::Version;
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{Created, ErrorKind, StoreExt, Upload};
use serde::{Deserialize, Serialize};

/// Who reduces, until when, and what is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    version: Version,
    /// Which try at reducing it is, from 1.
    pub attempt: u32,
    /// The invocation of its holder, by its id.
    pub request_id: String,
    holder: u64,
    /// When its holder's invocation ends at the latest, in milliseconds since 1970 (UTC).
    pub expires_ms: i64,
    /// The unfinished upload of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload: Option<Upload>,
}

impl Lease {
    /// Takes the lease, unless somebody else holds it. One is taken over when it has expired, or when this is a later
    /// attempt: those are made only after an earlier one's invocation has ended. An upload that its holder left is dropped.
    ///
    /// # Errors
    /// When the store fails. The lease may be ours then; to take it again is to wait for it, or to be a later attempt.
    pub async fn take(
        deps: &Deps,
        keys: &JobKeys,
        attempt: u32,
        budget: Budget,
    ) -> Result<Option<Self>, Error> {
        let lease = Self {
            version: Version,
            attempt,
            request_id: deps.request_id.clone(),
            holder: deps.world.random(),
            expires_ms: budget.deadline_ms(),
            upload: None,
        };
        let at = keys.lease();
        if deps.store.create_json(&at, &lease).await? == Created::New {
            return Ok(Some(lease));
        }
        let (current, etag): (Self, _) = deps.store.get_json_tagged(&at).await?;
        if current.holder == lease.holder {
            return Ok(Some(lease));
        }
        if current.attempt >= attempt && current.expires_ms > deps.world.now_ms() {
            return Ok(None);
        }
        match deps.store.rewrite_json(&at, &lease, etag).await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::Conflict) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        current.drop_upload(deps).await?;
        Ok(Some(lease))
    }

    /// The lease as it stands; none when nobody ever took it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn current(deps: &Deps, keys: &JobKeys) -> Result<Option<Self>, Error> {
        match deps.store.get_json(&keys.lease()).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops the upload that its holder noted. One that was completed is none any more, which is fine.
    pub(crate) async fn drop_upload(&self, deps: &Deps) -> Result<(), Error> {
        match &self.upload {
            Some(upload) => Ok(deps.store.abort_upload(upload).await?),
            None => Ok(()),
        }
    }

    /// Notes the upload that is under way, so that whoever takes over can drop it.
    ///
    /// # Errors
    /// When somebody has taken over meanwhile, or the store fails.
    pub async fn note(&mut self, deps: &Deps, keys: &JobKeys, upload: &Upload) -> Result<(), Error> {
        let (current, etag): (Self, _) = deps.store.get_json_tagged(&keys.lease()).await?;
        if current.holder != self.holder {
            return Err(Error::new(Code::Internal, "go on reducing: another reducer has taken over"));
        }
        self.upload = Some(upload.clone());
        deps.store.rewrite_json(&keys.lease(), self, etag).await?;
        Ok(())
    }

    /// Whether nobody has taken over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_held(&self, deps: &Deps, keys: &JobKeys) -> Result<bool, Error> {
        let current: Self = deps.store.get_json(&keys.lease()).await?;
        Ok(current.holder == self.holder)
    }
}
