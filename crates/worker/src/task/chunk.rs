//! What a task is told about its chunk.

use fanfold_pool as pool;
use serde::{Deserialize, Serialize};

use crate::program::About;

/// What a task is told about its chunk: what programs find in `FANFOLD_…` variables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// The job's id.
    pub job: String,
    /// The chunk's place among all chunks of the job, from 0.
    pub index: u64,
    /// Where it begins: a number of a range, an item, or a byte of an object.
    pub offset: u64,
    /// How many numbers or items it has, or how many bytes, about.
    pub limit: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the invocation ends, in milliseconds since 1970 (UTC).
    pub deadline_ms: i64,
    /// The job's `task.args`.
    pub args: Vec<String>,
    /// The chunk as it was planned, as `FANFOLD_CHUNK` has it.
    pub planned: serde_json::Value,
}

impl Chunk {
    /// What is to be known about a chunk, by a task with these arguments.
    pub(crate) fn new(about: &About<'_>, args: &[String]) -> serde_json::Result<Self> {
        let (offset, limit) = about.chunk.input.offset_and_limit();
        Ok(Self {
            job: about.job_id.to_string(),
            index: about.chunk.index,
            offset,
            limit,
            attempt: about.attempt,
            deadline_ms: about.deadline_ms,
            args: args.to_owned(),
            planned: serde_json::to_value(about.chunk)?,
        })
    }

    /// What a process is called with.
    pub(crate) fn message(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// The same, in the process.
    pub(super) fn of_message(message: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(message)
    }
}

/// What the pool calls: a task of this crate behind the pool's.
pub(super) struct Called<T>(pub(super) T);

impl<T: super::Task> pool::Task for Called<T> {
    fn run(
        &self,
        message: &[u8],
        input: &mut pool::TaskInput,
        output: &mut pool::TaskOutput,
    ) -> Result<(), String> {
        let chunk = Chunk::of_message(message).map_err(|error| format!("read the chunk: {error}"))?;
        let (mut input, mut output) = (super::Input::new(input), super::Output::new(output));
        self.0.run(&chunk, &mut input, &mut output).map_err(|error| format!("{error:#}"))
    }
}
