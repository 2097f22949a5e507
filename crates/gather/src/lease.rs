//! Who reduces: one at a time, so that nobody's work is done twice without need.
//!
//! The lease saves work; it does not keep the output right. Two reducers at once would write the same output, part by part the
//! same, and the store lets one of them be first.
//!
//! It also hands the work on. The upload that is under way is noted in it, and whoever has the lease next, after a death, a
//! failure or a deadline, goes on with that very upload. So only who ends the job aborts it.

use fanfold_flow::code::Code;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::version::Version;
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{Created, ErrorKind, StoreExt, Upload};
use serde::{Deserialize, Serialize};

use crate::attempt::Tried;

/// Who reduces, until when, and what is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    version: Version,
    /// Which try at reducing it is: a hop for each time that time was up, and of those attempts from 1. An attempt of 0 is that
    /// of a hop that was handed on, and that nobody has taken up yet.
    #[serde(flatten)]
    tried: Tried,
    /// The invocation of its holder, by its id; of one that was handed on, the one that did so.
    pub request_id: String,
    holder: u64,
    /// When its holder's invocation ends at the latest, in milliseconds since 1970 (UTC); 0 once it was handed on.
    pub expires_ms: i64,
    /// The unfinished upload of what is reduced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload: Option<Upload>,
    /// Of how many nodes the output is made, where it is: each has a lease of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    /// Whether somebody else held it before.
    #[serde(skip)]
    was_taken_over: bool,
}

impl Lease {
    /// Takes the lease that is kept at `at`, unless somebody else holds it. One is taken over when it has expired, when it was
    /// handed on, or when this is a later attempt: those are made only after an earlier one's invocation has ended. What its
    /// holder had under way is to be gone on with.
    ///
    /// # Errors
    /// When the store fails. The lease may be ours then; to take it again is to wait for it, or to be a later attempt.
    pub async fn take(
        deps: &Deps,
        at: &ObjectUri,
        tried: Tried,
        budget: Budget,
    ) -> Result<Option<Self>, Error> {
        let lease = Self {
            version: Version,
            tried,
            request_id: deps.request_id.clone(),
            holder: deps.world.random(),
            expires_ms: budget.deadline_ms(),
            upload: None,
            nodes: None,
            was_taken_over: false,
        };
        if deps.store.create_json(at, &lease).await? == Created::New {
            return Ok(Some(lease));
        }
        let (current, etag): (Self, _) = deps.store.get_json_tagged(at).await?;
        if current.holder == lease.holder {
            return Ok(Some(lease));
        }
        if current.tried >= tried && current.expires_ms > deps.world.now_ms() {
            return Ok(None);
        }
        // An event that comes late is about what was reached since: no attempt is counted twice.
        let reached = Tried { attempt: current.tried.attempt.max(1), ..current.tried };
        let Self { upload, nodes, .. } = current;
        let lease = Self { tried: tried.max(reached), upload, nodes, was_taken_over: true, ..lease };
        match deps.store.rewrite_json(at, &lease, etag).await {
            Ok(_) => Ok(Some(lease)),
            Err(error) if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::Conflict) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The lease as it stands; none when nobody ever took it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn current(deps: &Deps, at: &ObjectUri) -> Result<Option<Self>, Error> {
        match deps.store.get_json(at).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Which try at reducing it is, or is to come where it was handed on.
    pub fn tried(&self) -> Tried {
        self.tried
    }

    /// The upload that is under way, if one was noted.
    pub fn upload(&self) -> Option<&Upload> {
        self.upload.as_ref()
    }

    /// Of how many nodes the output is made, once that was noted.
    pub fn nodes(&self) -> Option<u32> {
        self.nodes
    }

    /// Whether somebody else held it before, who may have begun what is not noted.
    pub fn was_taken_over(&self) -> bool {
        self.was_taken_over
    }

    /// Drops the upload that is noted: for who ends the job. One that was completed is none any more, which is fine.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_upload(&self, deps: &Deps) -> Result<(), Error> {
        match &self.upload {
            Some(upload) => Ok(deps.store.abort_upload(upload).await?),
            None => Ok(()),
        }
    }

    /// The same with those to `at`, which is what is reduced, that its holders may have begun before they could note them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_all_uploads(&self, deps: &Deps, at: &ObjectUri) -> Result<(), Error> {
        self.drop_upload(deps).await?;
        if self.upload.is_none() && self.was_taken_over {
            drop_uploads_to(deps, at).await?;
        }
        Ok(())
    }

    /// Notes the upload that is under way, so that whoever takes over goes on with it.
    ///
    /// # Errors
    /// When somebody has taken over meanwhile, or the store fails.
    pub async fn note(&mut self, deps: &Deps, at: &ObjectUri, upload: &Upload) -> Result<(), Error> {
        self.upload = Some(upload.clone());
        self.rewrite(deps, at).await
    }

    /// Leaves what is under way to the next hop, and says which that is. Whoever is sent for it can take the lease at once.
    ///
    /// # Errors
    /// When somebody has taken over meanwhile, or the store fails.
    pub async fn hand_on(&mut self, deps: &Deps, at: &ObjectUri) -> Result<Tried, Error> {
        self.tried = Tried { hop: self.tried.hop + 1, attempt: 0 };
        self.expires_ms = 0;
        self.rewrite(deps, at).await?;
        Ok(Tried { attempt: 1, ..self.tried })
    }

    /// The same where the next hop is for when this many nodes are made.
    ///
    /// # Errors
    /// As for [`hand_on`](Self::hand_on).
    pub async fn leave_to_nodes(&mut self, deps: &Deps, at: &ObjectUri, nodes: u32) -> Result<(), Error> {
        self.nodes = Some(nodes);
        self.hand_on(deps, at).await.map(drop)
    }

    async fn rewrite(&self, deps: &Deps, at: &ObjectUri) -> Result<(), Error> {
        let (current, etag): (Self, _) = deps.store.get_json_tagged(at).await?;
        if current.holder != self.holder {
            return Err(taken_over());
        }
        match deps.store.rewrite_json(at, self, etag).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::Conflict) => {
                Err(taken_over())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nobody has taken over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_held(&self, deps: &Deps, at: &ObjectUri) -> Result<bool, Error> {
        let current: Self = deps.store.get_json(at).await?;
        Ok(current.holder == self.holder)
    }

    /// Makes sure that nobody has taken over, before what cannot be taken back.
    ///
    /// # Errors
    /// When somebody has, or the store fails.
    pub async fn must_be_held(&self, deps: &Deps, at: &ObjectUri) -> Result<(), Error> {
        if self.is_held(deps, at).await? { Ok(()) } else { Err(taken_over()) }
    }
}

fn taken_over() -> Error {
    Error::new(Code::Internal, "go on reducing: another reducer has taken over")
}

/// Drops all unfinished uploads to this place: for who may have begun one that is noted nowhere, or has taken over from somebody
/// who may. Never once the job has ended, for then a redrive of it may be writing there. The price: where another job writes
/// to the same place at that very moment, its upload goes too, and its reducer has to begin again.
///
/// # Errors
/// When the store fails.
pub async fn drop_uploads_to(deps: &Deps, at: &ObjectUri) -> Result<(), Error> {
    let uploads = match deps.store.list_uploads(&at.bucket, &at.key).await {
        Ok(uploads) => uploads,
        // Whose bucket it is may not let us look; then its lifecycle has to.
        Err(error) if error.kind() == ErrorKind::Denied => {
            tracing::warn!(%at, "failed to look for unfinished uploads: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    for upload in uploads.into_iter().filter(|upload| upload.at == *at) {
        deps.store.abort_upload(&upload).await?;
    }
    Ok(())
}
