//! What failed for good while an output was put together, and what may go well the next time. Pure.

use fanfold_flow::code::Code;
use fanfold_flow::concat::Range;
use fanfold_flow::plan::Plan;
use fanfold_flow::result::ChunkResult;
use fanfold_gather::{Goal, NoOutput};
use fanfold_runtime::Error;
use fanfold_store::concat::ConcatError;
use fanfold_store::{ErrorKind, Operation, StoreError};

use crate::damage::Damage;
use crate::execute::Trouble;

/// The job's own failure, if trying again would not mend it; else the error that the next try is made for. What the store
/// caught is told with where it was caught, and whose results are concerned; where the store found no more than that something
/// differs, what differs is `damage`, if it was found.
pub(crate) fn verdict(
    trouble: Trouble,
    goal: Goal,
    plan: &Plan,
    results: &[&ChunkResult],
    damage: Option<&Damage<'_>>,
) -> Result<NoOutput, Error> {
    let error = match trouble {
        Trouble::Concat(error) => error,
        Trouble::Own(failure) => return Ok(failure),
        Trouble::Other(error) => return Err(error),
    };
    let (code, whose) = match &error {
        ConcatError::SourceChanged { range, .. } => (Code::OutputCorrupt, whose(range, results)),
        ConcatError::Corrupt { .. } | ConcatError::Misread { .. } => {
            (Code::OutputCorrupt, damage.map_or_else(String::new, |damage| format!("; {damage}")))
        }
        // Of a run that others came before, results may have been taken away since: nothing brings them back.
        ConcatError::SourceGone { range, .. } if plan.redrive.is_some() => {
            let (whose, what) = (whose(range, results), chain(error));
            let message = format!("the result of an earlier run is gone ({what}{whose}); run the job anew");
            return Ok(NoOutput { code: Code::InputChanged, message });
        }
        ConcatError::Store(store) if is_in_the_way(store) => (Code::OutputExists, String::new()),
        ConcatError::SourceGone { .. } | ConcatError::Store(_) => return Err(as_error(error)),
    };
    let place = goal.node().map_or_else(String::new, |_| format!(", in {goal}"));
    let message = format!("{} {}{whose}{place}; {}", code.meaning(), chain(error), code.advice());
    Ok(NoOutput { code, message })
}

/// Whether another object stands where this one should go.
fn is_in_the_way(error: &StoreError) -> bool {
    let writes = matches!(error.operation(), Operation::Put | Operation::CompleteUpload);
    writes && error.kind() == ErrorKind::PreconditionFailed
}

fn as_error(error: ConcatError) -> Error {
    match error {
        ConcatError::Store(error) => error.into(),
        error => Error::caused(Code::Store, "put the output together", error),
    }
}

fn chain(error: ConcatError) -> String {
    as_error(error).chain()
}

/// Which results lie in a stretch, for a person; nothing where none is known.
fn whose(range: &Range, results: &[&ChunkResult]) -> String {
    let lies_there = |result: &&&ChunkResult| {
        result.stored.as_ref().is_some_and(|stored| {
            stored.object.uri == range.object.uri
                && stored.offset < range.end
                && range.start < stored.offset + stored.bytes
        })
    };
    let mut indexes = results.iter().filter(lies_there).map(|result| result.index);
    match (indexes.next(), indexes.next_back()) {
        (Some(first), Some(last)) if last != first => {
            format!("; it has the results of index {first} to {last}")
        }
        (Some(only), _) => format!("; it has the result of index {only}"),
        (None, _) => String::new(),
    }
}
