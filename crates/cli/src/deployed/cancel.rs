//! `fanfold cancel`: a deployed job, stopped.

use anstyle::Style;
use fanfold_dispatcher::Standing;
use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use serde::Deserialize;
use serde_json::json;

use super::{Deployed, rows};
use crate::args::stack::OfRunArgs;
use crate::exit::Stop;
use crate::stdout;

/// What is said first, and stands out.
const HEADLINE: Style = Style::new().bold();

/// Stops a job, and tells how it stands then. One that had ended is left as it is.
///
/// # Errors
/// When there is no such job, or the dispatcher cannot be asked. That the job could not be stopped any more, since every
/// chunk had its outcome, is an answer, and no error: none of its programs runs in that case either.
pub(crate) async fn cancel(args: &OfRunArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await?;
    let answer = deployed.ask(&json!({ "cancel": args.job_id })).await?;
    if args.json {
        return Ok(stdout::print_json(&answer)?);
    }
    let standing = Standing::deserialize(&answer).map_err(|error| {
        Error::caused(Code::Internal, format!("read the dispatcher's answer: {answer}"), error)
    })?;
    stdout::print_styled(&told(&standing, &deployed))?;
    Ok(())
}

fn told(standing: &Standing, deployed: &Deployed) -> String {
    let message = deployed.in_the_users_words(&standing.message, &standing.job_id);
    let mut text = format!("{HEADLINE}{message}{HEADLINE:#}\n");
    rows::links(&mut text, &standing.links);
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfold_flow::report::redrive_advice;
    use fanfold_invoke::memory::MemoryInvoke;

    use super::*;

    #[test]
    fn what_to_do_next_is_said_as_it_is_typed_for_this_stack() {
        let advice = redrive_advice(&"run-1".parse().unwrap());
        let standing = Standing::deserialize(json!({
            "job_id": "run-1", "name": "orders", "status": "cancelled", "started_ms": 0,
            "chunks": { "total": 9, "done": 4 }, "partitions": { "total": 3, "done": 3 },
            "message": format!("job run-1 was cancelled: 4 of 9 chunks done; {advice}")
        }));
        let text = told(&standing.unwrap(), &Deployed::in_memory(Arc::new(MemoryInvoke::new())));
        assert!(
            text.contains("4 of 9 chunks done") && text.contains("fanfold redrive run-1 --stack S"),
            "{text}"
        );
    }
}
