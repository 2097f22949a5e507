//! From a job to its plan, and to the first partitions.

use fanfold_flow::code::Code;
use fanfold_flow::event::Submit;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys};
use fanfold_flow::occasion::Occasion;
use fanfold_flow::plan::{self, Plan};
use fanfold_flow::problem::Problems;
use fanfold_flow::template::Values;
use fanfold_runtime::{Deps, Error, Metric, Of};
use fanfold_store::{Created, DOCUMENT_BYTES_MAX, ErrorKind, PutOptions, StoreExt};

use crate::answer::Answer;
use crate::marker::Marker;
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
    is_the_same_job(&submit.job, deps, &keys).await?;
    let answer = Answer::of(&plan, keys.result());
    // The marker first, and then the look whether it is still needed: the other way round the job could end in between, and
    // the marker would stay.
    let active = keys.active();
    let marker = Marker::new(&plan, &submit.job, deps.world.now_ms());
    deps.store.put_json(&active, &marker, PutOptions::default()).await?;
    if has_ended(deps, &keys).await? {
        deps.store.delete(&active.bucket, std::slice::from_ref(&active.key)).await?;
        return Ok(answer);
    }
    tracing::info!(job = %job_id, chunks = plan.chunks, partitions = plan.partitions.len(), "the job is planned");
    fan_out::start(&plan, submit.job.max_concurrency, deps).await?;
    Ok(answer)
}

/// Refuses another job under the token of an earlier one: it would get the earlier one's output, and not be told.
async fn is_the_same_job(job: &Job, deps: &Deps, keys: &JobKeys) -> Result<(), Error> {
    let first = deps.store.get_bytes(&keys.job(), DOCUMENT_BYTES_MAX).await?;
    // As it was written: a fraction that is read again need not be quite the same.
    let this = serde_json::to_vec(job)
        .map_err(|error| Error::caused(Code::Internal, "write the job as JSON", error))?;
    if first == this {
        return Ok(());
    }
    let message = format!(
        "run the job as {}: another job was run under this token; give each job a token of its own",
        keys.job_id()
    );
    Err(Error::new(Code::InvalidJob, message))
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

/// Makes the plan, checks it, and commits job and plan: of each the first counts. The job comes first, so that a plan is
/// always one of the job beside it; and not before the plan is right, so that a job that is refused leaves nothing.
async fn plan_anew(
    job: &Job,
    job_id: &JobId,
    deps: &Deps,
    settings: &Settings,
    keys: &JobKeys,
) -> Result<Plan, Error> {
    let occasion = Occasion::at(deps.world.now_ms());
    let values = Values { job_id, name: &job.name, occasion: &occasion };
    let listing = listing::list(job, &values, &deps.store).await?;
    let plan = plan::make(job, job_id, listing, settings.worker_cores, occasion);
    let problems = plan::problems(&plan);
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    let defects = plan::defects(&plan);
    if !defects.is_empty() {
        return Err(Error::new(Code::Internal, format!("make a right plan: {}", defects.join("; "))));
    }
    output_is_free(job, &plan, deps).await?;
    if deps.store.create_json(&keys.job(), job).await? == Created::Existed {
        is_the_same_job(job, deps, keys).await?;
    }
    match deps.store.create_json(&keys.plan(), &plan).await? {
        Created::New => {
            let numbers = [(Metric::JobsStarted, 1.0), (Metric::Partitions, plan.partitions.len() as f64)];
            deps.measure(Of::Job(&job.name, job_id), &numbers);
            Ok(plan)
        }
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
