//! Events of one field.

use serde_json::{Map, Value};

use super::none_or;
use crate::keys::JobId;
use crate::problem::{Problem, Problems};

/// `{"sweep": {}}`.
pub(super) fn sweep(fields: &Map<String, Value>) -> Result<(), Problems> {
    let mut problems = others(fields, "sweep");
    if fields["sweep"].as_object().is_none_or(|nothing| !nothing.is_empty()) {
        problems.push(Problem::new("sweep", "must be an empty object: {\"sweep\": {}}"));
    }
    none_or(problems)
}

/// An event that names a run and asks one thing of it, such as `{"status": "<job id>"}`.
pub(super) fn of_run(fields: &Map<String, Value>, asked: &str) -> Result<JobId, Problems> {
    let mut problems = others(fields, asked);
    let job_id = match fields[asked].as_str() {
        Some(text) => text.parse::<JobId>().map_err(|error| error.to_string()),
        None => Err(format!("must be a job id: {{\"{asked}\": \"<job id>\"}}")),
    };
    match job_id {
        Ok(job_id) => none_or(problems).map(|()| job_id),
        Err(refusal) => {
            problems.push(Problem::new(asked, refusal));
            Err(Problems(problems))
        }
    }
}

/// The fields beside `only`, each as a problem: what comes alone is not half understood.
fn others(fields: &Map<String, Value>, only: &str) -> Vec<Problem> {
    let others = fields.keys().filter(|name| *name != only);
    others.map(|name| Problem::new(name, format!("is unknown; '{only}' stands alone"))).collect()
}
