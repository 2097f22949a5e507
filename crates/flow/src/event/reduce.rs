//! What starts the reducer.

use serde::{Deserialize, Serialize};

use crate::keys::JobId;
use crate::version::Version;

/// The reducer's payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduce {
    /// The version of this payload.
    pub version: Version,
    /// The run.
    pub reduce: JobId,
    /// The [node](crate::node) of the output that is to be made; none is the output itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
    /// How often the time of a reducer was up before, and it was handed on.
    #[serde(default, skip_serializing_if = "is_first")]
    pub hop: u32,
    /// Which try at that hop this is, from 1.
    pub attempt: u32,
}

/// Whether a hop is the first.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this way")]
fn is_first(hop: &u32) -> bool {
    *hop == 0
}
