//! Whatever runs for a chunk: a program of its own, or a task of this worker in a forked process.

use std::fmt;

use fanfold_flow::code::Code;
use fanfold_flow::job;
use fanfold_flow::partition::Partition;
use fanfold_pool::{Ended, Exit, ForkedTask, Input, Leftover, Log, Output, Program, RunError, Turn};
use fanfold_runtime::Error;

use crate::Settings;
use crate::hint;
use crate::input::InputError;
use crate::output::OutputError;
use crate::program::{self, About, Runs};
use crate::settings::OUTPUT_GRACE;
use crate::task;

/// What runs for each chunk of a partition.
pub(crate) enum Runner {
    /// A program, with these words.
    Program(Vec<String>),
    /// A task that this worker has in itself.
    Task { name: String, args: Vec<String>, task: ForkedTask },
}

/// What runs for one chunk.
pub(crate) enum Prepared<'a> {
    Program(Program),
    Call { name: &'a str, task: &'a ForkedTask, message: Vec<u8> },
}

impl Runner {
    /// What runs for a job's task, placeholders filled in.
    ///
    /// # Errors
    /// When this deployment does not run it.
    pub(crate) fn new(task: &job::Task, partition: &Partition, settings: &Settings) -> Result<Self, Error> {
        let (name, served, args) = match program::runs(task, partition.occasion.deployed_task, settings)? {
            Runs::Program(argv) => return Ok(Self::Program(argv)),
            Runs::Task { name, served, args } => (name, served, args),
        };
        let surroundings = Program {
            argv: vec![name.clone().into()],
            environment: program::environment(task, settings),
            directory: settings.directory.clone(),
        };
        let task = ForkedTask::new(served.server, &surroundings, served.chunks_per_process);
        let task = task.map_err(|error| Error::caused(Code::InvalidJob, "call the task", error))?;
        Ok(Self::Task { name, args, task })
    }

    /// What runs for this chunk.
    ///
    /// # Errors
    /// When the chunk cannot be written as JSON.
    pub(crate) fn prepare(
        &self,
        about: &About<'_>,
        task: &job::Task,
        settings: &Settings,
    ) -> Result<Prepared<'_>, Error> {
        match self {
            Self::Program(argv) => program::program(argv, task, settings, about).map(Prepared::Program),
            Self::Task { name, args, task } => {
                let message = task::Chunk::new(about, args).and_then(|chunk| chunk.message());
                let message = message
                    .map_err(|error| Error::caused(Code::Internal, "write the chunk for its task", error))?;
                Ok(Prepared::Call { name, task, message })
            }
        }
    }

    /// Ends what has run for chunks, and gives what was left of it.
    pub(crate) async fn end(&self) -> std::io::Result<Vec<Leftover>> {
        match self {
            Self::Program(_) => Ok(Vec::new()),
            Self::Task { task, .. } => task.end_processes(OUTPUT_GRACE).await,
        }
    }
}

impl Prepared<'_> {
    /// Whether what ended so has done its chunk, by the exit statuses that the job accepts of programs. None but 0 excuses a
    /// lack of memory.
    pub(crate) fn is_done(&self, ended: &Ended, task: &job::Task) -> bool {
        match (self, ended.exit) {
            (Self::Program(_), Exit::Code(status)) => {
                let ran_out = ended.out_of_memory || ended.memory_exceeded.is_some();
                task.accepts(status) && (status == 0 || !ran_out)
            }
            (Self::Program(_), Exit::Signal(_)) => false,
            (Self::Call { .. }, exit) => exit.success(),
        }
    }

    /// Advice for a program that ended with this status.
    pub(crate) fn hint(&self, status: i32) -> Option<String> {
        match self {
            Self::Program(program) => hint::of_status(program.argv.first()?, status),
            Self::Call { .. } => None,
        }
    }

    pub(crate) async fn run(
        &self,
        turn: Turn<'_>,
        input: &mut impl Input<Error = InputError>,
        output: &mut impl Output<Error = OutputError>,
        log: &mut impl Log,
    ) -> Result<Ended, RunError<InputError, OutputError>> {
        match self {
            Self::Program(program) => turn.run(program, input, output, log).await,
            Self::Call { task, message, .. } => turn.call(task, message, input, output, log).await,
        }
    }
}

/// As messages name it.
impl fmt::Display for Prepared<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(program) => {
                let name = program.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
                write!(formatter, "the program {name}")
            }
            Self::Call { name, .. } => write!(formatter, "the task {name}"),
        }
    }
}
