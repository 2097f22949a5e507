//! `fanfold status`: how a deployed job stands.

use std::time::Duration;

use fanfold_dispatcher::{Redriven, Standing};
use fanfold_runtime::Error;
use jiff::Timestamp;

use super::{Deployed, rows, standing, watch};
use crate::args::stack::OfRunArgs;
use crate::exit::Stop;
use crate::measures::time;
use crate::stdout;

/// Prints how a job stands.
///
/// # Errors
/// When there is no such job, or the dispatcher cannot be asked. That the job failed is an answer, and no error.
pub(crate) async fn show(args: &OfRunArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await?;
    let (answer, standing) = standing::ask(&deployed, &args.job_id).await?;
    if args.json {
        return Ok(stdout::print_json(&answer)?);
    }
    stdout::print_styled(&told(&standing, &deployed, Timestamp::now())?)?;
    Ok(())
}

pub(super) fn told(standing: &Standing, deployed: &Deployed, now: Timestamp) -> Result<String, Error> {
    let mut text = match standing::ended(standing)? {
        Some(report) => watch::told(report, deployed),
        None => running(standing, now),
    };
    if let Some(Redriven { job_id, status }) = &standing.redriven {
        rows::row(&mut text, "redriven", format!("as {job_id}: {}", status.in_words()));
    }
    rows::links(&mut text, &standing.links);
    Ok(text)
}

/// The dispatcher's own words, and since when it runs.
fn running(standing: &Standing, now: Timestamp) -> String {
    let mut text = format!("{}\n", standing.message);
    if let Ok(started) = Timestamp::from_millisecond(standing.started_ms) {
        let ago = Duration::try_from(now.duration_since(started)).unwrap_or_default();
        rows::row(&mut text, "started", format!("{} UTC, {} ago", started.strftime("%F %T"), time(ago)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfold_invoke::memory::MemoryInvoke;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_that_runs_is_told_in_the_dispatchers_words_with_links() {
        let standing = Standing::deserialize(json!({
            "job_id": "run-1", "name": "orders", "status": "running", "started_ms": 1_795_316_400_000_i64,
            "chunks": { "total": 1_900, "done": 475, "at_least": true }, "partitions": { "total": 5, "done": 1 },
            "links": { "logs": "https://logs/", "bucket": "https://bucket/" },
            "message": "job run-1 runs: at least 475 of 1900 chunks have their outcome"
        }))
        .unwrap();
        let now = "2026-11-22T03:03:05Z".parse().unwrap();
        let deployed = Deployed::in_memory(Arc::new(MemoryInvoke::new()));
        insta::assert_snapshot!(told(&standing, &deployed, now).unwrap());
    }
}
