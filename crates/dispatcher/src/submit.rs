//! From a job to its plan, and to the first partitions.

use fanfold_flow::code::Code;
use fanfold_flow::event::Submit;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::plan::{self, Plan, Sizing};
use fanfold_flow::problem::Problems;
use fanfold_runtime::{Deps, Error};
use fanfold_store::{Created, ErrorKind, PutOptions, StoreExt};
use serde_json::json;

use crate::answer::Answer;
use crate::{Settings, fan_out, listing};

/// Plans the job, unless it is planned already, and sets it under way.
pub(crate) async fn submit(
    submit: Submit,
    deps: &Deps,
    settings: &Settings,
    request_id: &str,
) -> Result<Answer, Error> {
    let job_id = JobId::from_token(submit.token.as_deref().unwrap_or(request_id));
    let keys = deps.keys(&job_id);
    let plan = match planned(deps, &keys).await? {
        Some(plan) => plan,
        None => plan_anew(&submit.job, &job_id, deps, settings, &keys).await?,
    };
    // The job whose plan was first counts. Its dispatcher may have died before it wrote it down.
    let job = match deps.store.create_json(&keys.job(), &submit.job).await? {
        Created::New => submit.job,
        Created::Existed => deps.store.get_json(&keys.job()).await?,
    };
    let answer = Answer::of(&plan, keys.result());
    if has_ended(deps, &keys).await? {
        return Ok(answer);
    }
    deps.store
        .put_json(&keys.active(), &json!({ "version": 1, "job_id": job_id }), PutOptions::default())
        .await?;
    tracing::info!(job = %job_id, chunks = plan.chunks, partitions = plan.partitions.len(), "the job is planned");
    fan_out::start(&plan, job.max_concurrency, deps).await?;
    Ok(answer)
}

async fn planned(deps: &Deps, keys: &JobKeys) -> Result<Option<Plan>, Error> {
    match deps.store.get_json(&keys.plan()).await {
        Ok(plan) => Ok(Some(plan)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn has_ended(deps: &Deps, keys: &JobKeys) -> Result<bool, Error> {
    match deps.store.head(&keys.result()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes the plan, checks it, and commits it: the first plan counts.
async fn plan_anew(
    job: &Job,
    job_id: &JobId,
    deps: &Deps,
    settings: &Settings,
    keys: &JobKeys,
) -> Result<Plan, Error> {
    let sizing =
        Sizing { worker_cores: settings.worker_cores, started_ms: deps.world.now_ms(), scheduled_ms: None };
    let listing = listing::list(job, &deps.store).await?;
    let plan = plan::make(job, job_id, listing, sizing);
    let problems = plan::problems(&plan);
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    let defects = plan::defects(&plan);
    if !defects.is_empty() {
        return Err(Error::new(Code::Internal, format!("make a right plan: {}", defects.join("; "))));
    }
    output_is_free(job, &plan, deps).await?;
    match deps.store.create_json(&keys.plan(), &plan).await? {
        Created::New => Ok(plan),
        Created::Existed => Ok(deps.store.get_json(&keys.plan()).await?),
    }
}

/// Refuses early what the store would refuse at the end, after all the work.
async fn output_is_free(job: &Job, plan: &Plan, deps: &Deps) -> Result<(), Error> {
    if job.output.overwrite {
        return Ok(());
    }
    match deps.store.head(&plan.output).await {
        Ok(_) => Err(Error::new(
            Code::OutputExists,
            format!(
                "write {}: there is an object already; set \"overwrite\": true, or choose another address",
                plan.output
            ),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
