//! What failed in a run, or was cancelled, is done over, and nothing else.
//!
//! By a run of its own, `X-r1` after `X`, with a plan that has just those chunks: lanes, sweeps, claims and the gather see a
//! job like any other, and nothing that was written once is changed. Its reducer puts its results and those of the runs
//! before it together. Which chunks they are is read from the records of the workers, not from the report, which lists the
//! first of them only. The first redrive of a run counts: who asks again is told how that one stands.
//!
//! A run that was cancelled has its report only when its workers have had the time to stop ([`crate::cancel`]): a redrive
//! that begins at once runs no more programs than the job allows.

use std::collections::HashMap;

use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::plan::{self, Plan};
use fanfold_flow::report::{Report, Undone};
use fanfold_flow::result::ChunkResult;
use fanfold_flow::version::Version;
use fanfold_gather::{Left, read_left, report_of};
use fanfold_runtime::{Deps, Error, Metric, Of};
use fanfold_store::{Created, ErrorKind, StoreExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Standing;
use crate::status::unknown;
use crate::submit::{Start, first_job, output_is_free, planned, set_under_way};
use crate::{Settings, runs};

/// Most names that are tried for a redrive. Only runs that were named so by their tokens stand in the way of one.
const NAMES_TRIED_MAX: usize = 100;

/// Which run redrives a run: `redrive.json` in its folder. The first one counts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RedrivenBy {
    version: Version,
    /// The run that does.
    pub(crate) job_id: JobId,
    /// When somebody asked for it, in milliseconds since 1970 (UTC).
    asked_ms: i64,
}

/// A run that has ended, and can be redriven.
struct Base<'a> {
    plan: &'a Plan,
    job: &'a Job,
    report: &'a Report,
    keys: &'a JobKeys,
}

/// Has what is left of a run done by another, and answers as for a job; or says that nothing is left.
///
/// # Errors
/// `invalid_job` when there is no such run, it has not ended, or what it lacks would fail again; `output_exists` when something else stands in the output's
/// place; `input_missing` when results of the run are gone; `store` and `invoke` when those fail. To ask again is safe.
pub(crate) async fn redrive(of: &JobId, deps: &Deps, settings: &Settings) -> Result<Value, Error> {
    let keys = deps.keys(of);
    let Some(base) = planned(deps, &keys).await? else { return Err(unknown("redrive", of, deps).await?) };
    let Some(report) = report_of(deps, &keys).await? else {
        let message = format!(
            "redrive {of}: it has not ended; wait for its end, or stop it by {{\"cancel\": \"{of}\"}} (fanfold cancel {of})"
        );
        return Err(Error::new(Code::InvalidJob, message));
    };
    let job: Job = deps.store.get_json(&keys.job()).await?;
    match report.undone() {
        Undone::Redrivable => {}
        Undone::Nothing => {
            let nothing = Standing::NothingLeft(Box::new(report));
            return Ok(runs::answer(&base, &job, nothing, deps, settings).into_json());
        }
        Undone::ForGood(code) => return Err(in_vain(of, code)),
    }
    let base = Base { plan: &base, job: &job, report: &report, keys: &keys };
    let plan = match redriven_by(deps, &keys).await? {
        Some(by) => plan_of(&base, by.job_id, deps).await?,
        None => plan_of(&base, free_name(base.plan, deps).await?, deps).await?,
    };
    let standing = match set_under_way(&plan, &job, deps).await? {
        Start::UnderWay => Standing::UnderWay,
        Start::IsToStop => Standing::IsToStop,
        Start::HadEnded(report) => Standing::Ended(report),
    };
    Ok(runs::answer(&plan, &job, standing, deps, settings).into_json())
}

/// Refuses what would fail again, and says what helps.
fn in_vain(of: &JobId, code: Code) -> Error {
    let message = format!(
        "redrive {of}: from the same input in the same chunks it would fail with {code} again; run the job anew: {}",
        code.advice()
    );
    Error::new(Code::InvalidJob, message)
}

/// Which run redrives this one; none where none does.
///
/// # Errors
/// When the store fails.
pub(crate) async fn redriven_by(deps: &Deps, keys: &JobKeys) -> Result<Option<RedrivenBy>, Error> {
    match deps.store.get_json(&keys.redrive()).await {
        Ok(by) => Ok(Some(by)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A name for the next redrive that no run has: that of the first run, and which redrive of it this is.
async fn free_name(base: &Plan, deps: &Deps) -> Result<JobId, Error> {
    let before = base.earlier().len();
    let first = base.earlier().first().unwrap_or(&base.job_id);
    for number in (before + 1..).take(NAMES_TRIED_MAX) {
        let name = JobId::from_token(&format!("{first}-r{number}"));
        let keys = deps.keys(&name);
        if !deps.store.exists(&keys.job()).await? && !deps.store.exists(&keys.plan()).await? {
            return Ok(name);
        }
    }
    let message = format!(
        "name a redrive of {first}: other runs have the names {first}-r{} and all that follow",
        before + 1
    );
    Err(Error::new(Code::InvalidJob, message))
}

/// The plan of the run that redrives `base`: the one that is there, or one that is made now.
async fn plan_of(base: &Base<'_>, name: JobId, deps: &Deps) -> Result<Plan, Error> {
    let of = &base.plan.job_id;
    let plan = match planned(deps, &deps.keys(&name)).await? {
        Some(plan) => plan,
        None => plan_anew(base, &name, deps).await?,
    };
    if plan.earlier().last() == Some(of) {
        return Ok(plan);
    }
    let message = format!("redrive {of} as {}: another run has taken that name meanwhile", plan.job_id);
    Err(Error::new(Code::InvalidJob, message))
}

/// Makes the plan and commits it: first the name, so that whoever comes second takes the same; then, as for any run, the job
/// and the plan. What is refused leaves nothing.
async fn plan_anew(base: &Base<'_>, name: &JobId, deps: &Deps) -> Result<Plan, Error> {
    let mut plan = right_plan(base, name, deps).await?;
    let by = RedrivenBy { version: Version, job_id: name.clone(), asked_ms: deps.world.now_ms() };
    if deps.store.create_json(&base.keys.redrive(), &by).await? == Created::Existed {
        let first: RedrivenBy = deps.store.get_json(&base.keys.redrive()).await?;
        plan.job_id = first.job_id;
    }
    let keys = deps.keys(&plan.job_id);
    if deps.store.create_json(&keys.job(), base.job).await? == Created::Existed
        && first_job(base.job, deps, &keys).await?.is_some()
    {
        let message = format!("redrive {}: another job has the name {}", base.plan.job_id, plan.job_id);
        return Err(Error::new(Code::InvalidJob, message));
    }
    match deps.store.create_json(&keys.plan(), &plan).await? {
        Created::New => {
            let numbers = [(Metric::JobsStarted, 1.0), (Metric::Partitions, plan.partitions.len() as f64)];
            deps.measure(Of::Job(&base.job.name, &plan.job_id), &numbers);
            tracing::info!(job = %plan.job_id, redrives = %base.plan.job_id, "what is left of a job is planned");
            Ok(plan)
        }
        Created::Existed => Ok(deps.store.get_json(&keys.plan()).await?),
    }
}

/// Makes the plan, and checks it and that what it builds on is there.
async fn right_plan(base: &Base<'_>, name: &JobId, deps: &Deps) -> Result<Plan, Error> {
    let Left { failures, kept } = read_left(deps, base.plan).await?;
    results_are_there(base.plan, &kept, deps).await?;
    let replaces = output_to_replace(base, deps).await?;
    let plan = base.plan.redriven(name, &failures, replaces, deps.world.now_ms());
    let defects = plan::defects(&plan);
    if defects.is_empty() {
        return Ok(plan);
    }
    Err(Error::new(Code::Internal, format!("make a right plan: {}", defects.join("; "))))
}

/// Refuses early what no reducer could put together, after all the work: a bucket's lifecycle takes results away. A list
/// request for every 1,000 objects of the runs before.
async fn results_are_there(base: &Plan, kept: &[ChunkResult], deps: &Deps) -> Result<(), Error> {
    let stored = kept
        .iter()
        .filter_map(|result| Some((result.stored.as_ref()?.object.uri.key.as_str(), result.index)));
    let mut missing: HashMap<&str, u64> = stored.collect();
    for job_id in base.earlier().iter().chain([&base.job_id]) {
        let prefix = deps.keys(job_id).chunk_results();
        let mut after = None;
        loop {
            let page = deps.store.list(&prefix.bucket, &prefix.key, after.as_deref()).await?;
            for object in &page.objects {
                missing.remove(object.key.as_str());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    match missing.iter().min() {
        None => Ok(()),
        Some((key, index)) => {
            let message = format!(
                "redrive {}: the result of index {index} is gone, s3://{}/{key}; run the job anew",
                base.job_id, deps.work.bucket
            );
            Err(Error::new(Code::InputMissing, message))
        }
    }
}

/// The ETag of the output that an earlier run put, if that is what stands there. Anything else there is refused early, as for
/// any job.
async fn output_to_replace(base: &Base<'_>, deps: &Deps) -> Result<Option<String>, Error> {
    let put_before = match &base.report.output {
        Some(output) => Some(&output.etag),
        None => base.plan.redrive.as_ref().and_then(|redrive| redrive.replaces.as_ref()),
    };
    if let Some(etag) = put_before {
        match deps.store.head(&base.plan.output).await {
            Ok(found) if found.etag.as_str() == etag => return Ok(Some(etag.clone())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    output_is_free(base.job, base.plan, deps).await?;
    Ok(None)
}

#[cfg(test)]
mod tests;
