//! A partition's outcome, written once; and, where one invocation's time was not enough, what each of them left.

use serde::{Deserialize, Serialize};

use crate::chunk::Chunk;
use crate::code::Code;
use crate::result::{Aligned, ChunkResult};
use crate::version::Version;

/// A partition's outcome: each of its chunks is in `failures`, or all of its cuts are in `results`. Of a chunk that failed,
/// earlier cuts may be in `results` all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The version of this artefact.
    pub version: Version,
    /// The partition's number.
    pub partition: u64,
    /// How many tries it took, over all hops.
    pub attempts: u32,
    /// What was done, by index and cut.
    pub results: Vec<ChunkResult>,
    /// The chunks that were not, by index.
    pub failures: Vec<Failure>,
    /// Tries that left no result, in the order in which they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// Attempts whose worker died, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deaths: Vec<Death>,
    /// Where each hop ran, in their order; none of a hop that no worker ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<Option<Environment>>,
}

/// What a worker left of a partition when its time was up: the record in which its hop ended, written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The version of this artefact.
    pub version: Version,
    /// Which hop ended here, from 0.
    pub hop: u32,
    /// What was done and what failed in this hop alone.
    pub done: Done,
    /// What the next hop has to do, in order.
    pub rest: Vec<Chunk>,
}

impl Done {
    /// The outcome of all hops, of which this was the last and those the earlier ones, in order.
    #[must_use]
    pub fn after(self, hops: Vec<Hop>) -> Self {
        let mut whole = self;
        for Hop { done: earlier, .. } in hops.into_iter().rev() {
            whole.attempts += earlier.attempts;
            prepend(&mut whole.results, earlier.results);
            prepend(&mut whole.failures, earlier.failures);
            prepend(&mut whole.tries, earlier.tries);
            prepend(&mut whole.deaths, earlier.deaths);
            prepend(&mut whole.environments, earlier.environments);
        }
        whole.results.sort_by_key(|result| (result.index, result.cut));
        whole.failures.sort_by_key(|failure| failure.index);
        whole
    }
}

fn prepend<T>(later: &mut Vec<T>, earlier: Vec<T>) {
    later.splice(0..0, earlier);
}

/// Why a chunk was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The chunk's index.
    pub index: u64,
    /// The number of its partition.
    pub partition: u64,
    /// What kind of failure it is.
    pub code: Code,
    /// What happened, for a person.
    pub message: String,
    /// The end of the program's standard error, as far as it was heard.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr_tail: String,
    /// How many tries were made at it, or at its partition's hop, where its worker died.
    pub attempts: u32,
    /// The bytes of its object that its records take, if it was read to their end, whatever its program made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Aligned>,
    /// What of the chunk was not done, where it was cut before: the cuts before that have their results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Chunk>,
}

impl Failure {
    /// That this chunk of a partition failed, after so many tries, without a word of its program.
    pub fn of(chunk: &Chunk, partition: u64, attempts: u32, code: Code, message: impl Into<String>) -> Self {
        Self {
            index: chunk.index,
            partition,
            code,
            message: message.into(),
            stderr_tail: String::new(),
            attempts,
            input: None,
            rest: (chunk.cut > 0).then(|| chunk.clone()),
        }
    }
}

/// A try at a chunk that left no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// The chunk's index.
    pub index: u64,
    /// The chunk's cut.
    #[serde(default)]
    pub cut: u32,
    /// The hop in which it was made.
    #[serde(default)]
    pub hop: u32,
    /// Which try at its hop it was, from 1.
    pub attempt: u32,
    /// When its process started, in milliseconds since 1970 (UTC).
    pub started_ms: i64,
    /// How long it ran, in milliseconds.
    pub wall_ms: u64,
    /// How many bytes the process was given, where that is known.
    #[serde(default)]
    pub bytes_in: u64,
    /// How many bytes it printed, where that is known.
    #[serde(default)]
    pub bytes_out: u64,
    /// What kind of failure it was.
    pub code: Code,
    /// The process's exit status, if it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The signal that ended the process, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// An attempt whose worker died without an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The hop that it was at.
    #[serde(default)]
    pub hop: u32,
    /// Which try at its hop it was, from 1.
    pub attempt: u32,
    /// What is known of its end, such as `Runtime.ExitError: … signal: killed`.
    pub reason: String,
    /// When that was known, in milliseconds since 1970 (UTC).
    pub known_ms: i64,
}

/// The machine, as far as it can be told, in which an invocation ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its log stream's name: each environment of Lambda has its own.
    pub id: String,
    /// Whether this was its first invocation.
    pub cold: bool,
}

/// The outcomes of a group's partitions, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The version of this artefact.
    pub version: Version,
    /// The group's number.
    pub number: u64,
    /// One for each of its partitions, in order.
    pub done: Vec<Done>,
}
