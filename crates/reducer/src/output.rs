//! A job's output: what it is made of, how, and whether it stands.

use fanfold_flow::code::Code;
use fanfold_flow::concat::{self, Concat, ConcatPlan, Element, Limits};
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::Output;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::uri::ObjectUri;
use fanfold_gather::{Goal, NoOutput, output_of};
use fanfold_runtime::{Deps, Error};
use fanfold_store::{Condition, Created, ETag, StoreExt};

use crate::execute::{Made, Work};
use crate::nodes::{Nodes, nodes};
use crate::verdict::verdict;

/// What the output is made for, and of.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) job: &'a Job,
    pub(crate) plan: &'a Plan,
    /// In order of `(index, cut)`.
    pub(crate) results: &'a [&'a ChunkResult],
    pub(crate) keys: &'a JobKeys,
    pub(crate) limits: &'a Limits,
}

/// How far it came.
pub(crate) enum Came {
    /// To its end: it stands, or there can be none. Trying again would not mend that.
    ToAnEnd(Result<Output, NoOutput>),
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

/// What it is made of, as one upload, beside what the nodes below that took.
struct Pieces {
    elements: Vec<Element>,
    concat: ConcatPlan,
    streamed_in_nodes: u64,
}

/// Puts the output together.
///
/// # Errors
/// When store, functions or plan fail in a way that may go well the next time. What was made stays for that.
pub(crate) async fn output(work: &mut Work<'_>, order: Order<'_>) -> Result<Came, Error> {
    let Order { job, plan, results, keys, limits } = order;
    let pieces = match pieces(work, order).await? {
        Ok(pieces) => pieces,
        Err(came) => return Ok(came),
    };
    let Pieces { elements, concat, streamed_in_nodes } = pieces;
    let concat = settled(work.deps, &keys.concat(), concat, &elements, limits).await?;
    let condition = condition(job, plan, work.deps).await?;
    match work.execute(&concat, &plan.output, condition).await {
        Ok(Made::Object(etag)) => {
            let output = output_of(plan, &concat, &etag);
            let streamed_bytes = output.streamed_bytes + streamed_in_nodes;
            Ok(Came::ToAnEnd(Ok(Output { streamed_bytes, ..output })))
        }
        Ok(Made::Partly(made)) => Ok(Came::Partly { made, of: concat.parts.len() }),
        Err(trouble) => Ok(Came::ToAnEnd(Err(verdict(trouble, Goal::Output, plan, results)?))),
    }
}

/// What the output is made of; else how far it came without that.
async fn pieces(work: &mut Work<'_>, order: Order<'_>) -> Result<Result<Pieces, Came>, Error> {
    let Order { plan, results, keys, limits, .. } = order;
    let elements = match concat::elements(plan.format, plan.compress, results) {
        Ok(elements) => elements,
        Err(error) => return Ok(Err(none(Code::ResultMalformed, error.to_string()))),
    };
    let plans = match planned(&elements, limits)? {
        Ok(Concat::Whole(concat)) => return Ok(Ok(Pieces { elements, concat, streamed_in_nodes: 0 })),
        Ok(Concat::Nodes(plans)) => plans,
        Err(came) => return Ok(Err(came)),
    };
    let (elements, streamed_in_nodes) = match nodes(work, keys, &plans).await? {
        Nodes::Made { elements, streamed_bytes } => (elements, streamed_bytes),
        Nodes::UnderWay => return Ok(Err(Came::LeftToNodes)),
    };
    match planned(&elements, limits)? {
        Ok(Concat::Whole(concat)) => Ok(Ok(Pieces { elements, concat, streamed_in_nodes })),
        Ok(Concat::Nodes(above)) => {
            let message =
                format!("plan the output over {} nodes: it takes {} uploads", plans.len(), above.len());
            Err(Error::new(Code::Internal, message))
        }
        Err(came) => Ok(Err(came)),
    }
}

/// How elements are put together. Nothing is executed that was not checked, by what does not know how it was made.
fn planned(elements: &[Element], limits: &Limits) -> Result<Result<Concat, Came>, Error> {
    let concat = match concat::make(elements, limits) {
        Ok(concat) => concat,
        Err(error) => {
            let code = Code::OutputTooLarge;
            return Ok(Err(none(code, format!("{error}; {}", code.advice()))));
        }
    };
    must_be_right(&concat, elements, limits)?;
    Ok(Ok(concat))
}

fn none(code: Code, message: String) -> Came {
    Came::ToAnEnd(Err(NoOutput { code, message }))
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
