//! A checked concat plan, executed: by this invocation, or from where the one before it left it.

use fanfold_flow::concat::ConcatPlan;
use fanfold_flow::uri::ObjectUri;
use fanfold_gather::{Lease, NoOutput, drop_uploads_to};
use fanfold_runtime::{Deps, Error, backoff};
use fanfold_store::concat::{Assembly, Bounds, ConcatError, Progress};
use fanfold_store::{Condition, ETag, ErrorKind, Part, StoreError, Upload};

use crate::time::Times;

/// How often an upload is begun, before that is left to the next reducer.
const BEGINNINGS: u32 = 3;

/// What came of a plan.
#[derive(Debug)]
pub(crate) enum Made {
    /// The object is there.
    Object(ETag),
    /// Time was up when so many of its parts were there.
    Partly(usize),
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It was put together wrongly, or not at all.
    Concat(ConcatError),
    /// The job fails of it.
    Own(NoOutput),
    /// Anything else.
    Other(Error),
}

impl Trouble {
    /// Whether bytes are not those that were written, and it is not known whose.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Concat(ConcatError::Corrupt { .. } | ConcatError::Misread { .. }))
    }
}

impl From<ConcatError> for Trouble {
    fn from(error: ConcatError) -> Self {
        Self::Concat(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Concat(error.into())
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What it takes to put an object together: the world, the lease on it, and the time that there is.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) lease: Lease,
    /// Where the lease is kept.
    pub(crate) lease_at: ObjectUri,
    pub(crate) times: Times,
}

impl Work<'_> {
    /// Puts an object together, and has the store compare it with the plan's size and CRC before it appears. Its upload is
    /// noted in the lease, and stays where this ends without it.
    pub(crate) async fn execute(
        &mut self,
        concat: &ConcatPlan,
        at: &ObjectUri,
        condition: Condition,
    ) -> Result<Made, Trouble> {
        let deps = self.deps;
        let assembly = Assembly::new(&deps.store, concat, at, Bounds::default());
        if assembly.is_one_put() {
            self.lease.must_be_held(deps, &self.lease_at).await?;
            return Ok(Made::Object(assembly.put(condition).await?));
        }
        let (upload, found) = match self.go_on(&assembly).await? {
            Begun::Before(upload, found) => (upload, found),
            Begun::AndEnded(etag) => return Ok(Made::Object(etag)),
            Begun::Not => (self.begin(at).await?, Vec::new()),
        };
        let before = found.len();
        let work = self.parts_and_complete(&assembly, &upload, found, condition);
        match tokio::time::timeout(self.times.until_leave(deps.world.as_ref()), work).await {
            Ok(made) => made,
            // What is under way may still be done, and is then found.
            Err(_) => Ok(Made::Partly(before)),
        }
    }

    /// What the holder before this one left.
    async fn go_on(&self, assembly: &Assembly<'_>) -> Result<Begun, Trouble> {
        let Some(upload) = self.lease.upload() else { return Ok(Begun::Not) };
        match assembly.found(upload).await {
            Ok(found) => Ok(Begun::Before(upload.clone(), found)),
            // It was completed, or had to be given up.
            Err(error) if error.kind() == ErrorKind::NoSuchUpload => {
                Ok(assembly.standing().await?.map_or(Begun::Not, Begun::AndEnded))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins an upload, and notes it.
    async fn begin(&mut self, at: &ObjectUri) -> Result<Upload, Trouble> {
        // Whoever had the lease may have died between these two requests.
        if self.lease.was_taken_over() {
            drop_uploads_to(self.deps, at).await?;
        }
        let mut failures = 0;
        let upload = loop {
            match self.deps.store.create_upload(at, None).await {
                Ok(upload) => break upload,
                // It may have been begun all the same.
                Err(error) if error.is_transient() && failures + 1 < BEGINNINGS => failures += 1,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(backoff(self.deps.world.as_ref(), failures)).await;
            drop_uploads_to(self.deps, at).await?;
        };
        if let Err(error) = self.lease.note(self.deps, &self.lease_at, &upload).await {
            // Nobody else knows of it.
            self.give_up(&upload).await;
            return Err(error.into());
        }
        Ok(upload)
    }

    async fn parts_and_complete(
        &self,
        assembly: &Assembly<'_>,
        upload: &Upload,
        found: Vec<Part>,
        condition: Condition,
    ) -> Result<Made, Trouble> {
        let world = self.deps.world.as_ref();
        let stop = tokio::time::sleep(self.times.until_stop(world));
        let parts = match assembly.parts(upload, found, stop).await? {
            // The store may need minutes to complete it.
            Progress::Whole(parts) if self.times.is_late(world) => return Ok(Made::Partly(parts.len())),
            Progress::Whole(parts) => parts,
            Progress::TimeIsUp(made) => return Ok(Made::Partly(made)),
        };
        self.lease.must_be_held(self.deps, &self.lease_at).await?;
        match assembly.complete(upload, &parts, condition).await {
            Err(ConcatError::Store(error)) if error.kind() == ErrorKind::Conflict => {
                // S3 then completes that upload no more; whoever comes next begins another.
                self.give_up(upload).await;
                Err(error.into())
            }
            completed => Ok(Made::Object(completed?)),
        }
    }

    /// Drops an upload that nobody can go on with.
    async fn give_up(&self, upload: &Upload) {
        if let Err(unaborted) = self.deps.store.abort_upload(upload).await {
            // The failure that led here is the one to tell. Whoever takes over looks for what is left.
            tracing::warn!("failed to drop an unfinished upload: {unaborted}");
        }
    }
}

/// How far an upload is that an invocation begins with.
enum Begun {
    /// There is none.
    Not,
    /// It is this one, with these parts.
    Before(Upload, Vec<Part>),
    /// It was completed, and this is the object's tag.
    AndEnded(ETag),
}
