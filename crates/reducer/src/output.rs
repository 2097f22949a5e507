//! A job's output: what it is made of, how, and whether it stands.

use fanfold_flow::code::Code;
use fanfold_flow::concat::{self, Concat, ConcatPlan, Element, Limits};
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::Output;
use fanfold_flow::uri::ObjectUri;
use fanfold_gather::{NoOutput, output_of};
use fanfold_runtime::{Deps, Error};
use fanfold_store::{Condition, Created, ETag, StoreExt};

use crate::execute::{Made, Trouble, Work};
use crate::nodes::{Nodes, nodes};

/// What the output is made for.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) job: &'a Job,
    pub(crate) plan: &'a Plan,
    pub(crate) keys: &'a JobKeys,
    pub(crate) limits: &'a Limits,
}

/// How far it came.
pub(crate) enum Came {
    /// It stands.
    ToItsEnd(Output),
    /// Time was up, when so many of its parts were there.
    Partly {
        /// Parts that are there.
        made: usize,
        /// All parts.
        of: usize,
    },
    /// Its nodes are being made, by others.
    LeftToNodes,
}

/// How it is put together in one upload, beside what the nodes below that took.
struct Planned {
    concat: ConcatPlan,
    streamed_in_nodes: u64,
}

/// Puts the output together of these elements. While bytes move, there is nothing of it in memory but its plan.
///
/// # Errors
/// That there can be no output; or store, functions or plan fail in a way that may go well the next time: what was made stays
/// for that.
pub(crate) async fn output(
    work: &mut Work<'_>,
    order: Order<'_>,
    elements: Vec<Element>,
) -> Result<Came, Trouble> {
    let Order { job, plan, .. } = order;
    let Some(Planned { concat, streamed_in_nodes }) = plan_of(work, order, elements).await? else {
        return Ok(Came::LeftToNodes);
    };
    let condition = condition(job, plan, work.deps).await?;
    match work.execute(&concat, &plan.output, condition).await? {
        Made::Object(etag) => {
            let output = output_of(plan, &concat, &etag);
            let streamed_bytes = output.streamed_bytes + streamed_in_nodes;
            Ok(Came::ToItsEnd(Output { streamed_bytes, ..output }))
        }
        Made::Partly(made) => Ok(Came::Partly { made, of: concat.parts.len() }),
    }
}

/// The output's plan, settled; none while its nodes are being made.
async fn plan_of(
    work: &mut Work<'_>,
    order: Order<'_>,
    elements: Vec<Element>,
) -> Result<Option<Planned>, Trouble> {
    let Order { keys, limits, .. } = order;
    let plans = match planned(&elements, limits)? {
        Concat::Whole(concat) => {
            let concat = settled(work.deps, &keys.concat(), concat, &elements, limits).await?;
            return Ok(Some(Planned { concat, streamed_in_nodes: 0 }));
        }
        Concat::Nodes(plans) => plans,
    };
    drop(elements);
    let (elements, streamed_in_nodes) = match nodes(work, keys, &plans).await? {
        Nodes::Made { elements, streamed_bytes } => (elements, streamed_bytes),
        Nodes::UnderWay => return Ok(None),
    };
    match planned(&elements, limits)? {
        Concat::Whole(concat) => {
            let concat = settled(work.deps, &keys.concat(), concat, &elements, limits).await?;
            Ok(Some(Planned { concat, streamed_in_nodes }))
        }
        Concat::Nodes(above) => {
            let message =
                format!("plan the output over {} nodes: it takes {} uploads", plans.len(), above.len());
            Err(Error::new(Code::Internal, message).into())
        }
    }
}

/// How elements are put together. Nothing is executed that was not checked, by what does not know how it was made.
fn planned(elements: &[Element], limits: &Limits) -> Result<Concat, Trouble> {
    let concat = concat::make(elements, limits).map_err(|error| {
        let code = Code::OutputTooLarge;
        Trouble::Own(NoOutput { code, message: format!("{error}; {}", code.advice()) })
    })?;
    must_be_right(&concat, elements, limits)?;
    Ok(concat)
}

fn must_be_right(concat: &Concat, elements: &[Element], limits: &Limits) -> Result<(), Error> {
    let defects = concat::defects(concat, elements, limits);
    if defects.is_empty() {
        return Ok(());
    }
    Err(Error::new(Code::Internal, format!("make a right concat plan: {}", defects.join("; "))))
}

/// The plan by which all go on who put the output together: that of the first, so that a part is the same whoever makes it.
async fn settled(
    deps: &Deps,
    at: &ObjectUri,
    concat: ConcatPlan,
    elements: &[Element],
    limits: &Limits,
) -> Result<ConcatPlan, Error> {
    if deps.store.create_json(at, &concat).await? == Created::New {
        return Ok(concat);
    }
    let first: ConcatPlan = deps.store.get_json(at).await?;
    if first == concat {
        return Ok(concat);
    }
    // By another version of the planner.
    must_be_right(&Concat::Whole(first.clone()), elements, limits)?;
    Ok(first)
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
