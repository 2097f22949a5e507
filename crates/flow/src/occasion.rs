//! What a run was started by, and when: what tells one run of a job from the next.

use serde::{Deserialize, Serialize};

use crate::uri::ObjectUri;

/// What a run was started by, and when. The plan fixes it once and for all, each worker is told, and placeholders are
/// filled from it: so whoever fills one fills it alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occasion {
    /// When the job was accepted, in milliseconds since 1970 (UTC).
    pub started_ms: i64,
    /// When the trigger meant it to start, likewise; none where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_ms: Option<i64>,
    /// The object whose creation started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectUri>,
    /// Whether the job's task is that of a job deployed with the functions, and not one that came with an event. A
    /// command that was deployed may run where commands of events may not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deployed_task: bool,
}

impl Occasion {
    /// A run that somebody started at this moment, in milliseconds since 1970 (UTC).
    pub fn at(started_ms: i64) -> Self {
        Self { started_ms, ..Self::default() }
    }
}
