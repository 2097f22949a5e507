//! What a synchronous caller is told.

use fanfold_flow::keys::JobId;
use fanfold_flow::plan::Plan;
use fanfold_flow::uri::ObjectUri;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The answer to a job: what will happen, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The run.
    pub job_id: JobId,
    /// How many worker invocations it takes at least.
    pub partitions: u64,
    /// How many processes it takes at least.
    pub chunks: u64,
    /// How many bytes of objects are read.
    pub input_bytes: u64,
    /// Where the output will be.
    pub output: ObjectUri,
    /// Where the report will be.
    pub result: ObjectUri,
    /// The same for a person.
    pub message: String,
}

impl Answer {
    /// The answer for a planned job.
    pub(crate) fn of(plan: &Plan, result: ObjectUri) -> Self {
        let partitions = plan.partitions.len() as u64;
        let message = format!(
            "job {} runs: {} chunks in {partitions} partitions; the output will be at {}, the report at {result}",
            plan.job_id, plan.chunks, plan.output
        );
        Self {
            job_id: plan.job_id.clone(),
            partitions,
            chunks: plan.chunks,
            input_bytes: plan.input_bytes(),
            output: plan.output.clone(),
            result,
            message,
        }
    }

    pub(crate) fn into_json(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The answer to `{}`, which the console sends at first.
pub(crate) fn help() -> Value {
    json!({
        "message": "this is Fanfold's dispatcher; send it a job, such as the one under 'example'",
        "example": {
            "version": 1,
            "name": "copy",
            "source": { "objects": { "uri": "s3://your-bucket/input/", "split": "lines" } },
            "task": { "command": ["cat"] },
            "output": { "uri": "s3://your-bucket/output/{start_date}.txt", "overwrite": true }
        }
    })
}

#[cfg(test)]
mod tests {
    use fanfold_flow::job::Job;

    use super::*;

    #[test]
    fn the_example_in_the_help_is_a_job() {
        Job::from_json(&help()["example"]).unwrap();
    }
}
