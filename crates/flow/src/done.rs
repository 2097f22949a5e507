//! A partition's outcome, written once.

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::result::ChunkResult;
use crate::version::Version;

/// A partition's outcome: each of its chunks is in `results` or in `failures`, never in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The version of this artefact.
    pub version: Version,
    /// The partition's number.
    pub partition: u64,
    /// Which try wrote this, from 1.
    pub attempt: u32,
    /// The chunks that were done, by index.
    pub results: Vec<ChunkResult>,
    /// The chunks that were not, by index.
    pub failures: Vec<Failure>,
}

/// Why a chunk was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The chunk's index.
    pub index: u64,
    /// What kind of failure it is.
    pub code: Code,
    /// What happened, for a person.
    pub message: String,
    /// The end of the program's standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr_tail: String,
    /// How many tries were made at its partition.
    pub attempts: u32,
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
