//! `fanfold status`: how a deployed job stands.

use std::time::Duration;

use fanfold_runtime::Error;
use jiff::Timestamp;

use super::standing::{self, Share, Standing};
use super::{Deployed, rows, watch};
use crate::args::stack::StatusArgs;
use crate::exit::Stop;
use crate::measures::{count, counted, time};
use crate::stdout;

/// Prints how a job stands.
///
/// # Errors
/// When there is no such job, or the dispatcher cannot be asked. That the job failed is an answer, and no error.
pub(crate) async fn show(args: &StatusArgs) -> Result<(), Stop> {
    let deployed = Deployed::find(&args.stack).await?;
    let (answer, standing) = standing::ask(&deployed, &args.job_id).await?;
    if args.json {
        return Ok(stdout::print_json(&answer)?);
    }
    stdout::print_styled(&told(&standing, Timestamp::now())?)?;
    Ok(())
}

fn told(standing: &Standing, now: Timestamp) -> Result<String, Error> {
    let mut text = match standing.clone().ended()? {
        Some(report) => watch::told(&report),
        None => running(standing, now),
    };
    rows::links(&mut text, &standing.links);
    Ok(text)
}

fn running(standing: &Standing, now: Timestamp) -> String {
    let mut text = format!("{}\n", standing.message);
    let share = |share: Share, one, more| {
        let failed =
            if share.failed > 0 { format!(", {} failed", count(share.failed)) } else { String::new() };
        format!("{} of {} done{failed}", count(share.done), counted(share.total, one, more))
    };
    rows::row(&mut text, "chunks", share(standing.chunks, "chunk", "chunks"));
    rows::row(&mut text, "partitions", share(standing.partitions, "partition", "partitions"));
    if let Ok(started) = Timestamp::from_millisecond(standing.started_ms) {
        let ago = Duration::try_from(now.duration_since(started)).unwrap_or_default();
        rows::row(&mut text, "started", format!("{} UTC, {} ago", started.strftime("%F %T"), time(ago)));
    }
    if let Some(output) = &standing.output {
        rows::row(&mut text, "output", output);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_that_runs_is_told_with_what_is_done_of_what() {
        let standing = Standing::deserialize(json!({
            "job_id": "run-1", "status": "running", "started_ms": 1_795_316_400_000_i64,
            "chunks": { "total": 1_900, "done": 475, "failed": 2 }, "partitions": { "total": 5, "done": 1 },
            "output": "s3://out/orders.csv", "links": { "logs": "https://logs/" }, "message": "job run-1 runs"
        }))
        .unwrap();
        let now = "2026-11-22T03:03:05Z".parse().unwrap();
        insta::assert_snapshot!(told(&standing, now).unwrap());
    }
}
