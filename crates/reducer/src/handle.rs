//! From a complete job to its output and its report, in one invocation or in several.

use fanfold_flow::code::Code;
use fanfold_flow::concat::{self, Element, ElementsError, Limits};
use fanfold_flow::event::Reduce;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::limits::REDUCER_HOPS_MAX;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::{Output, Report};
use fanfold_gather::{
    Account, Goal, Lease, NoOutput, Tried, advance_nodes, clean_up, finish, read_account, report_of,
    start_reducer, write_joblog,
};
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::StoreExt;
use serde::Deserialize;
use serde_json::Value;

use crate::account;
use crate::damage;
use crate::execute::{Trouble, Work};
use crate::nodes;
use crate::output::{Came, Order, output};
use crate::time::Times;
use crate::verdict::verdict;

/// Reduces a job whose groups are all there, unless somebody did or does, within these limits of S3; or makes a node of its
/// output. When time is up, another invocation goes on with what was made.
///
/// # Errors
/// When store or invoke fail; the same event may be sent again. That the job failed is no error: the report says it.
///
/// # Cancellation
/// The output appears or does not; whoever reduces next goes on with an upload under way.
pub async fn handle(event: Value, deps: &Deps, limits: &Limits, budget: Budget) -> Result<(), Error> {
    let Reduce { reduce: job_id, node, hop, attempt, .. } = Reduce::deserialize(&event)
        .map_err(|error| Error::caused(Code::InvalidJob, "read the event as the reducer's payload", error))?;
    let times = Times::new(budget, deps.world.as_ref());
    let keys = deps.keys(&job_id);
    if let Some(report) = report_of(deps, &keys).await? {
        // Whoever put it may have died before the rest.
        return clean_up(deps, &keys, &report).await;
    }
    let goal = Goal::of(node);
    let lease_at = goal.lease(&keys);
    let Some(lease) = Lease::take(deps, &lease_at, Tried { hop, attempt }, budget).await? else {
        tracing::info!(job = %job_id, %goal, hop, attempt, "somebody else reduces");
        return Ok(());
    };
    let mut work = Work { deps, lease, lease_at, times };
    let reduced = match goal {
        Goal::Output => reduce(&mut work, &keys, limits).await,
        Goal::Node(number) => make_node(&mut work, &keys, number).await,
    };
    let Err(error) = reduced else { return Ok(()) };
    // Whoever was first has deleted the chunk results, or its output stands in the way of this one.
    match report_of(deps, &keys).await? {
        Some(report) => {
            tracing::info!(job = %job_id, %goal, hop, attempt, "the job has ended, in spite of a failure here: {}", error.chain());
            clean_up(deps, &keys, &report).await
        }
        None if !work.lease.is_held(deps, &work.lease_at).await? => {
            tracing::info!(job = %job_id, %goal, hop, attempt, "another reducer has taken over: {}", error.chain());
            Ok(())
        }
        None => Err(error),
    }
}

/// A job of which every chunk has its outcome. Its account is large where there are many chunks, and is not in memory while
/// bytes move: it is read once for what the output is made of, and once more when the job ends.
struct Gathered {
    job: Job,
    plan: Plan,
    account: Account,
}

impl Gathered {
    async fn read(deps: &Deps, keys: &JobKeys) -> Result<Self, Error> {
        let job = deps.store.get_json(&keys.job()).await?;
        let plan = deps.store.get_json(&keys.plan()).await?;
        let account = read_account(deps, &plan).await?;
        Ok(Self { job, plan, account })
    }

    /// What the output is made of, if there can be one.
    ///
    /// # Errors
    /// When an index has no outcome, or several.
    fn elements(&self) -> Result<Result<Vec<Element>, NoOutput>, Error> {
        let Self { job, plan, account } = self;
        let results = account.in_order();
        let defects = account::defects(&results, &account.failures, plan);
        if !defects.is_empty() {
            return Err(Error::new(
                Code::Internal,
                format!("account for every index: {}", defects.join("; ")),
            ));
        }
        Ok(account::verdict(account, job, plan).and_then(|()| {
            let malformed =
                |error: ElementsError| NoOutput { code: Code::ResultMalformed, message: error.to_string() };
            concat::elements(plan.format, plan.compress, &results).map_err(malformed)
        }))
    }

    /// Ends the job, with this output or for this reason without one.
    async fn end(self, deps: &Deps, keys: &JobKeys, ended: Result<Output, NoOutput>) -> Result<(), Error> {
        let Self { job, plan, account } = self;
        // As late as can be: of several invocations only the last has to.
        let joblog = write_joblog(deps, keys, &plan, &job, &account).await;
        let report = account.report(&job, &plan, ended, deps.world.now_ms());
        finish(deps, keys, Report { joblog, ..report }).await
    }
}

async fn reduce(work: &mut Work<'_>, keys: &JobKeys, limits: &Limits) -> Result<(), Error> {
    let deps = work.deps;
    let gathered = Gathered::read(deps, keys).await?;
    let elements = match gathered.elements()? {
        Ok(elements) => elements,
        Err(failure) => return gathered.end(deps, keys, Err(failure)).await,
    };
    let Gathered { job, plan, account } = gathered;
    drop(account);
    let ended = match output(work, Order { job: &job, plan: &plan, keys, limits }, elements).await {
        Ok(Came::ToItsEnd(output)) => Ok(output),
        Ok(Came::LeftToNodes) => return Ok(()),
        Ok(Came::Partly { made, of }) => match hand_on(work, keys, Goal::Output, made, of).await {
            Ok(()) => return Ok(()),
            Err(trouble) => Err(trouble),
        },
        Err(Trouble::Other(error)) => return Err(error),
        Err(trouble) => Err(trouble),
    };
    let account = read_account(deps, &plan).await?;
    let ended = match ended {
        Ok(output) => Ok(output),
        Err(trouble) => Err(judged(work, trouble, Goal::Output, &plan, &account).await?),
    };
    Gathered { job, plan, account }.end(deps, keys, ended).await
}

/// Makes a node of the output, and has the output put together where it is the last one. What ends the job is told here too.
async fn make_node(work: &mut Work<'_>, keys: &JobKeys, number: u32) -> Result<(), Error> {
    let (deps, goal) = (work.deps, Goal::Node(number));
    let came = match nodes::make(work, keys, number).await {
        Ok(nodes::Came::ToItsEnd) => {
            return match report_of(deps, keys).await? {
                // Another node failed meanwhile, and nobody needs this one.
                Some(report) => clean_up(deps, keys, &report).await,
                None => advance_nodes(deps, keys).await,
            };
        }
        Ok(nodes::Came::Partly { made, of }) => hand_on(work, keys, goal, made, of).await,
        Err(trouble) => Err(trouble),
    };
    let trouble = match came {
        Ok(()) => return Ok(()),
        Err(Trouble::Other(error)) => return Err(error),
        Err(trouble) => trouble,
    };
    let gathered = Gathered::read(deps, keys).await?;
    let failure = judged(work, trouble, goal, &gathered.plan, &gathered.account).await?;
    gathered.end(deps, keys, Err(failure)).await
}

/// The verdict on what went wrong, for which results may have to be read.
async fn judged(
    work: &Work<'_>,
    trouble: Trouble,
    goal: Goal,
    plan: &Plan,
    account: &Account,
) -> Result<NoOutput, Error> {
    let results = account.in_order();
    let damage = if trouble.is_damage() { damage::find(work.deps, &results, work.times).await } else { None };
    verdict(trouble, goal, plan, &results, damage.as_ref())
}

/// Leaves the rest of an upload to another invocation; not without end.
async fn hand_on(
    work: &mut Work<'_>,
    keys: &JobKeys,
    goal: Goal,
    made: usize,
    of: usize,
) -> Result<(), Trouble> {
    if work.lease.tried().hop + 1 >= REDUCER_HOPS_MAX {
        let code = Code::Store;
        let message = format!(
            "after {REDUCER_HOPS_MAX} invocations of the reducer, {made} of {of} parts of {goal} are there; give the reducer \
             more time, or find out why the store takes so long; {}",
            code.advice()
        );
        return Err(Trouble::Own(NoOutput { code, message }));
    }
    let next = work.lease.hand_on(work.deps, &work.lease_at).await?;
    tracing::info!(job = %keys.job_id(), %goal, hop = next.hop, made, of, "time is up; another reducer goes on with the upload");
    Ok(start_reducer(work.deps, keys.job_id(), goal, next).await?)
}
