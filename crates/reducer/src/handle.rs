//! From a complete job to its output and its report, in one invocation or in several.

use fanfold_flow::code::Code;
use fanfold_flow::concat::Limits;
use fanfold_flow::event::Reduce;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::limits::REDUCER_HOPS_MAX;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::Report;
use fanfold_gather::{
    Lease, NoOutput, Tried, clean_up, finish, read_account, report_of, start_reducer, write_joblog,
};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::StoreExt;
use serde::Deserialize;
use serde_json::Value;

use crate::account;
use crate::execute::Work;
use crate::output::{Came, Order, output};
use crate::time::Times;

/// Reduces a job whose groups are all there, unless somebody did or does, within these limits of S3. When time is up, another
/// invocation goes on with what was made.
///
/// # Errors
/// When store or invoke fail; the same event may be sent again. That the job failed is no error: the report says it.
///
/// # Cancellation
/// The output appears or does not; whoever reduces next goes on with an upload under way.
pub async fn handle(event: Value, deps: &Deps, limits: &Limits, budget: Budget) -> Result<(), Error> {
    let Reduce { reduce: job_id, hop, attempt, .. } = Reduce::deserialize(&event)
        .map_err(|error| Error::caused(Code::InvalidJob, "read the event as the reducer's payload", error))?;
    let times = Times::new(budget, deps.world.as_ref());
    let keys = deps.keys(&job_id);
    if let Some(report) = report_of(deps, &keys).await? {
        // Whoever put it may have died before the rest.
        return clean_up(deps, &keys, &report).await;
    }
    let lease_at = keys.lease();
    let Some(lease) = Lease::take(deps, &lease_at, Tried { hop, attempt }, budget).await? else {
        tracing::info!(job = %job_id, hop, attempt, "somebody else reduces");
        return Ok(());
    };
    let mut work = Work { deps, lease, lease_at, times };
    let error = match reduce(&mut work, &keys, limits).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    // Whoever was first has deleted the chunk results, or its output stands in the way of this one.
    match report_of(deps, &keys).await? {
        Some(report) => {
            tracing::info!(job = %job_id, hop, attempt, "the job has ended, in spite of a failure here: {}", error.chain());
            clean_up(deps, &keys, &report).await
        }
        None if !work.lease.is_held(deps, &work.lease_at).await? => {
            tracing::info!(job = %job_id, hop, attempt, "another reducer has taken over: {}", error.chain());
            Ok(())
        }
        None => Err(error),
    }
}

async fn reduce(work: &mut Work<'_>, keys: &JobKeys, limits: &Limits) -> Result<(), Error> {
    let deps = work.deps;
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let plan: Plan = deps.store.get_json(&keys.plan()).await?;
    let account = read_account(deps, &plan).await?;
    let results = account.in_order();
    let defects = account::defects(&results, &account.failures, &plan);
    if !defects.is_empty() {
        return Err(Error::new(Code::Internal, format!("account for every index: {}", defects.join("; "))));
    }
    let ended = match account::verdict(&account, &job, &plan) {
        Ok(()) => {
            let order = Order { job: &job, plan: &plan, results: &results, keys, limits };
            match output(work, order).await? {
                Came::ToAnEnd(ended) => ended,
                Came::Partly { made, of } if work.lease.tried().hop + 1 < REDUCER_HOPS_MAX => {
                    return hand_on(work, keys, made, of).await;
                }
                Came::Partly { made, of } => Err(without_end(made, of)),
            }
        }
        Err(failure) => Err(failure),
    };
    // As late as can be: of several invocations only the last has to.
    let joblog = write_joblog(deps, keys, &plan, &job, &account).await;
    let report = account.report(&job, &plan, ended, deps.world.now_ms());
    finish(deps, keys, Report { joblog, ..report }).await
}

/// Leaves the rest of the upload to another invocation.
async fn hand_on(work: &mut Work<'_>, keys: &JobKeys, made: usize, of: usize) -> Result<(), Error> {
    let next = work.lease.hand_on(work.deps, &work.lease_at).await?;
    tracing::info!(job = %keys.job_id(), hop = next.hop, made, of, "time is up; another reducer goes on with the upload");
    start_reducer(work.deps, keys.job_id(), next).await
}

/// Why there is no output of which not all parts are there after all hops.
fn without_end(made: usize, of: usize) -> NoOutput {
    let code = Code::Store;
    let message = format!(
        "after {REDUCER_HOPS_MAX} invocations of the reducer, {made} of the output's {of} parts are there; give the reducer \
         more time, or find out why the store takes so long; {}",
        code.advice()
    );
    NoOutput { code, message }
}
