//! What all chunks of a partition share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfold_flow::chunk::{self, Chunk};
use fanfold_flow::code::Code;
use fanfold_flow::job::{Job, Task};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::partition::Partition;
use fanfold_flow::template::{self, Values};
use fanfold_pool::{Pool, Turn};
use fanfold_records::Rule;
use fanfold_runtime::{Deps, Error};
use tokio::sync::{OnceCell, SemaphorePermit};

use crate::Settings;
use crate::attempts::Work;
use crate::cancel::Cancelled;
use crate::input::Cut;
use crate::pack::{Kind, Room};
use crate::program::About;
use crate::runner::{Prepared, Runner};
use crate::time::{Known, Portions, Times, can_be_cut};

/// What all chunks of a partition share.
pub(crate) struct Shared {
    pub(crate) job: Job,
    pub(crate) partition: Partition,
    pub(crate) deps: Deps,
    pub(crate) settings: Settings,
    pub(crate) keys: JobKeys,
    pub(crate) kind: Kind,
    pub(crate) room: Room,
    /// The job's task, placeholders filled in.
    pub(crate) task: Task,
    runner: Runner,
    pub(crate) processes: u32,
    pool: Pool,
    deadline_ms: i64,
    pub(crate) times: Times,
    pub(crate) cancelled: Cancelled,
    /// What the program prints for the input's header alone, once it was asked.
    pub(crate) printed_header: OnceCell<Bytes>,
}

impl Shared {
    /// Opens a pool for the job's program.
    ///
    /// # Errors
    /// When this deployment does not run the job's task, or has less memory than a process may take.
    pub(crate) fn new(work: &Work<'_>, cancelled: Cancelled) -> Result<Self, Error> {
        let Work { job, partition, deps, settings, budget, times, .. } = *work;
        let values = Values { job_id: &partition.job_id, name: &job.name, occasion: &partition.occasion };
        let task = template::fill_task(&job.task, &values);
        let processes = job.processes.on(settings.cores);
        if let Some(problem) = job.memory_problem(settings.memory_mb_of_a_process()) {
            return Err(Error::new(Code::InvalidJob, problem.to_string()));
        }
        Ok(Self {
            job: job.clone(),
            partition: partition.clone(),
            deps: deps.clone(),
            settings: settings.clone(),
            keys: deps.keys(&partition.job_id),
            kind: Kind {
                format: job.format(),
                compress: job.output.compress,
                total_chunks: partition.total_chunks,
            },
            room: Room::new(processes),
            runner: Runner::new(&task, partition, settings)?,
            task,
            processes,
            pool: settings.pool(processes, job.memory_mb),
            deadline_ms: budget.deadline_ms(),
            times,
            cancelled,
            printed_header: OnceCell::new(),
        })
    }

    /// Makes sure that no process outlives the invocation.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        let failed = |error| Error::caused(Code::Internal, "end the partition's processes", error);
        let mut left = self.runner.end().await.map_err(failed)?;
        left.extend(self.pool.kill_leftovers().map_err(failed)?);
        if !left.is_empty() {
            tracing::warn!(processes = left.len(), "killed what the programs had left behind");
        }
        Ok(())
    }

    /// Whether a chunk may be ended at a record; if not, why.
    pub(crate) fn can_be_cut(&self, chunk: &Chunk) -> Result<(), &'static str> {
        can_be_cut(chunk, &self.partition, &self.job)
    }

    /// Whether the job is this chunk, and nothing of it was cut off: its result is the output.
    pub(crate) fn is_alone(&self, chunk: &Chunk) -> bool {
        self.partition.total_chunks == 1 && chunk.cut == 0
    }

    /// Whether this chunk runs though it has no record: it has none to have, or no chunk of the job has one.
    pub(crate) fn runs_empty(&self, chunk: &Chunk) -> bool {
        let has_bytes = matches!(&chunk.input, chunk::Input::Bytes(_)) && self.partition.rule != Rule::Whole;
        !has_bytes || self.partition.has_no_records && chunk.index == 0
    }

    /// How long until whatever runs is killed.
    pub(crate) fn until_kill(&self) -> Duration {
        self.times.until_kill(self.deps.world.as_ref())
    }

    /// Waits until one more process may run.
    pub(crate) async fn a_turn(&self) -> Turn<'_> {
        self.pool.turn().await
    }

    /// Waits until one more process may run, and one more result may be in memory.
    pub(crate) async fn turn(&self) -> (Option<SemaphorePermit<'_>>, Turn<'_>) {
        (self.room.for_a_result().await, self.a_turn().await)
    }

    pub(crate) fn is_late(&self) -> bool {
        self.times.is_late(self.deps.world.as_ref())
    }

    /// Whether there is time for what took so long before, in milliseconds.
    pub(crate) fn has_time_for(&self, took_ms: u64) -> bool {
        let world = self.deps.world.as_ref();
        !self.is_late() && Duration::from_millis(took_ms) < self.times.until_kill(world)
    }

    /// When the input of this chunk ends early, whose process begins now; none if it must not.
    pub(crate) fn cut_of(&self, chunk: &Chunk, has_printed: &Arc<AtomicBool>) -> Option<Cut> {
        self.can_be_cut(chunk).ok()?;
        let (times, world) = (self.times, self.deps.world.clone());
        let (started_ms, has_printed) = (world.now_ms(), has_printed.clone());
        let portions = Portions::new(started_ms);
        let is_due = move || {
            let now_ms = world.now_ms();
            let has_printed = has_printed.load(Ordering::Relaxed);
            times.must_end(Known { started_ms, has_printed, portion_ms: portions.ask(now_ms) }, now_ms)
        };
        Some(Cut { is_due: Box::new(is_due), at_most: chunk.prior.at_most })
    }

    /// What runs for a chunk.
    ///
    /// # Errors
    /// When the chunk cannot be written as JSON.
    pub(crate) fn prepare(
        &self,
        chunk: &Chunk,
        attempt: u32,
        header_alone: bool,
    ) -> Result<Prepared<'_>, Error> {
        let (job_id, deadline_ms) = (&self.partition.job_id, self.deadline_ms);
        let about = About { job_id, chunk, attempt, deadline_ms, header_alone };
        self.runner.prepare(&about, &self.task, &self.settings)
    }
}
