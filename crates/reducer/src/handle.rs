//! From a complete job to its output and its report.

use fanfold_flow::code::Code;
use fanfold_flow::concat::{self, Concat, ConcatPlan, Element, Limits};
use fanfold_flow::event::Reduce;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Output, Report};
use fanfold_flow::result::ChunkResult;
use fanfold_gather::{Lease, NoOutput, clean_up, finish, output_of, read_account, report_of, write_joblog};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{Condition, ETag, ErrorKind, PutOptions, StoreError, StoreExt};
use serde::Deserialize;
use serde_json::Value;

use crate::account;
use crate::execute::execute;

/// Reduces a job whose groups are all there, unless somebody did or does.
///
/// # Errors
/// When store or invoke fail; the same event may be sent again. That the job failed is no error: the report says it.
///
/// # Cancellation
/// The output appears or does not; an upload under way is dropped by whoever reduces next.
pub async fn handle(event: Value, deps: &Deps, budget: Budget) -> Result<(), Error> {
    let Reduce { reduce: job_id, attempt, .. } = Reduce::deserialize(&event)
        .map_err(|error| Error::caused(Code::InvalidJob, "read the event as the reducer's payload", error))?;
    let keys = deps.keys(&job_id);
    if let Some(report) = report_of(deps, &keys).await? {
        // Whoever put it may have died before the rest.
        return clean_up(deps, &keys, &report).await;
    }
    let Some(mut lease) = Lease::take(deps, &keys, attempt, budget).await? else {
        tracing::info!(job = %job_id, attempt, "somebody else reduces");
        return Ok(());
    };
    match reduce(deps, &keys, &mut lease).await {
        Ok(()) => Ok(()),
        // Whoever was first has deleted the chunk results, or its output stands in the way of this one.
        Err(error) => match report_of(deps, &keys).await? {
            Some(report) => {
                tracing::info!(job = %job_id, attempt, "the job has ended, in spite of a failure here: {}", error.chain());
                clean_up(deps, &keys, &report).await
            }
            None if !lease.is_held(deps, &keys).await? => {
                tracing::info!(job = %job_id, attempt, "another reducer has taken over: {}", error.chain());
                Ok(())
            }
            None => Err(error),
        },
    }
}

async fn reduce(deps: &Deps, keys: &JobKeys, lease: &mut Lease) -> Result<(), Error> {
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    let account = read_account(deps, &plan).await?;
    let joblog = write_joblog(deps, keys, &plan, &job, &account).await;
    let results = account.in_order();
    let defects = account::defects(&results, &account.failures, &plan);
    if !defects.is_empty() {
        return Err(Error::new(Code::Internal, format!("account for every index: {}", defects.join("; "))));
    }
    let ended = match account::verdict(&account, &job, &plan) {
        Ok(()) => output(&job, &plan, &results, deps, keys, lease).await?,
        Err(failure) => Err(failure),
    };
    let report = account.report(&job, &plan, ended, deps.world.now_ms());
    finish(deps, keys, Report { joblog, ..report }).await
}

/// Puts the output together. The inner error is the job's own: trying again would not mend it.
async fn output(
    job: &Job,
    plan: &Plan,
    results: &[&ChunkResult],
    deps: &Deps,
    keys: &JobKeys,
    lease: &mut Lease,
) -> Result<Result<Output, NoOutput>, Error> {
    let elements = match concat::elements(plan.format, plan.compress, results) {
        Ok(elements) => elements,
        Err(error) => return Ok(Err(NoOutput { code: Code::ResultMalformed, message: error.to_string() })),
    };
    let concat = match planned(&elements)? {
        Ok(concat) => concat,
        Err(failure) => return Ok(Err(failure)),
    };
    deps.store.put_json(&keys.concat(), &concat, PutOptions::default()).await?;
    let condition = condition(job, plan, deps).await?;
    match execute(&concat, plan, condition, deps, keys, lease).await {
        Ok(etag) => Ok(Ok(output_of(plan, &concat, &etag))),
        Err(error) => match own_failure(&error, plan) {
            Some(failure) => Ok(Err(failure)),
            None => Err(error),
        },
    }
}

/// When the output may be put: over any other only where the job says so, and over the one that an earlier run of the job
/// put, without what had failed there, as long as that is what stands.
async fn condition(job: &Job, plan: &Plan, deps: &Deps) -> Result<Condition, Error> {
    let replaces = plan.redrive.as_ref().and_then(|redrive| redrive.replaces.as_ref());
    Ok(match replaces {
        _ if job.output.overwrite => Condition::Always,
        Some(etag) if deps.store.exists(&plan.output).await? => Condition::IfMatches(ETag::new(etag)),
        Some(_) | None => Condition::IfAbsent,
    })
}

/// Plans how the elements are put together, and checks the plan.
fn planned(elements: &[Element]) -> Result<Result<ConcatPlan, NoOutput>, Error> {
    let too_large = |message: String| {
        let code = Code::OutputTooLarge;
        Ok(Err(NoOutput { code, message: format!("{message}; {}", code.advice()) }))
    };
    let concat = match concat::make(elements, &Limits::S3) {
        Ok(concat) => concat,
        Err(error) => return too_large(error.to_string()),
    };
    let defects = concat::defects(&concat, elements, &Limits::S3);
    if !defects.is_empty() {
        return Err(Error::new(Code::Internal, format!("make a right concat plan: {}", defects.join("; "))));
    }
    match concat {
        Concat::Whole(plan) => Ok(Ok(plan)),
        Concat::Nodes(nodes) => too_large(format!("the output takes {} uploads", nodes.len())),
    }
}

/// The failure, if trying again would not mend it.
fn own_failure(error: &Error, plan: &Plan) -> Option<NoOutput> {
    let refused = std::error::Error::source(error).and_then(|source| source.downcast_ref::<StoreError>());
    let is_of_output = refused.is_some_and(|store| store.at() == plan.output.to_string());
    let code = match refused.map(StoreError::kind) {
        None if error.code == Code::OutputCorrupt => Code::OutputCorrupt,
        Some(ErrorKind::PreconditionFailed) if is_of_output => Code::OutputExists,
        Some(ErrorKind::PreconditionFailed | ErrorKind::BadDigest) => Code::OutputCorrupt,
        Some(ErrorKind::NotFound) if plan.redrive.is_some() && !is_of_output => return Some(gone(error)),
        _ => return None,
    };
    Some(NoOutput { code, message: format!("{} {}; {}", code.meaning(), error.chain(), code.advice()) })
}

/// Of a run that others came before, results may have been taken away since: nothing brings them back.
fn gone(error: &Error) -> NoOutput {
    let message = format!("the result of an earlier run is gone ({}); run the job anew", error.chain());
    NoOutput { code: Code::InputChanged, message }
}
