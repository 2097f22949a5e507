//! How far a run is.
//!
//! Told from lists, without reading what the workers left: a few small reads, the plan, a list request for the groups, and
//! one for each group that is not merged, of which there are bounded many. Of the run that redrives it, its report alone.

use std::collections::BTreeMap;

use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::keys::{JobId, JobKeys, active_jobs};
use fanfold_flow::plan::Plan;
use fanfold_flow::problem::nearest;
use fanfold_flow::report::{Report, Status, redrive_advice};
use fanfold_flow::uri::ObjectUri;
use fanfold_gather::{done_in, is_cancelled, merged_groups, report_of};
use fanfold_runtime::{Deps, Error};
use fanfold_store::StoreExt;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Settings;
use crate::redrive::redriven_by;
use crate::submit::planned;

/// Most groups that are looked into. Above 10,000 partitions there may be more; what is told is then a lower bound.
const GROUPS_MAX: usize = 100;

/// Most list requests at once.
const LISTS_IN_FLIGHT: usize = 16;

/// Most running jobs that are named to someone who asked for one that there is not.
const NAMED_MAX: usize = 5;

/// How far a run is: the answer to `{"status": "<job id>"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The run.
    pub job_id: JobId,
    /// The job's name.
    pub name: String,
    /// Whether it has ended, and how.
    pub status: State,
    /// How far its chunks are.
    pub chunks: Share,
    /// How far its partitions are.
    pub partitions: Share,
    /// When it was accepted, in milliseconds since 1970 (UTC).
    pub started_ms: i64,
    /// When it ended, likewise; none while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Where the output is or will be; none of a job that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<ObjectUri>,
    /// Where a person finds out more, by name.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// How it ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// The run that does over what failed in this one; none where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven: Option<Redriven>,
    /// The same for a person.
    pub message: String,
}

/// A run that does over what failed in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// The run.
    pub job_id: JobId,
    /// Whether it has ended, and how.
    pub status: State,
}

/// Whether a run has ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not.
    Running,
    /// With an output.
    Succeeded,
    /// Without one.
    Failed,
    /// Without one, because it was stopped.
    Cancelled,
}

/// How many of how many. While a job runs, `done` counts what has an outcome, failed or not: only the report knows which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// All there are.
    pub total: u64,
    /// How many of them are done.
    pub done: u64,
    /// How many failed; none where that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// How many were not done because the job was stopped; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<u64>,
    /// Whether there may be more than `done`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// Says how far a run is.
///
/// # Errors
/// `invalid_job` when there is no such run, with those that there are; `store` when the store fails.
pub(crate) async fn status(job_id: &JobId, deps: &Deps, settings: &Settings) -> Result<Value, Error> {
    standing(job_id, deps, settings).await.map(|standing| json!(standing))
}

/// How far a run is.
///
/// # Errors
/// As for [`status`].
pub(crate) async fn standing(job_id: &JobId, deps: &Deps, settings: &Settings) -> Result<Standing, Error> {
    let keys = deps.keys(job_id);
    let links = settings.links.of(job_id);
    match report_of(deps, &keys).await? {
        Some(report) => {
            let redriven = if report.can_be_redriven() { redriven(deps, &keys).await? } else { None };
            Ok(ended(report, links, redriven))
        }
        None => match planned(deps, &keys).await? {
            Some(plan) => running(&plan, links, deps, &keys).await,
            None => Err(unknown("tell the status of", job_id, deps).await?),
        },
    }
}

/// The run that does over what failed in this one, and how that stands.
async fn redriven(deps: &Deps, keys: &JobKeys) -> Result<Option<Redriven>, Error> {
    let Some(by) = redriven_by(deps, keys).await? else { return Ok(None) };
    let report = report_of(deps, &deps.keys(&by.job_id)).await?;
    let status = report.map_or(State::Running, |report| State::of(report.status));
    Ok(Some(Redriven { job_id: by.job_id, status }))
}

impl State {
    fn of(status: Status) -> Self {
        match status {
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }

    /// What a message says of a run that stands so.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Running => "runs",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
        }
    }
}

fn ended(report: Report, links: BTreeMap<String, String>, redriven: Option<Redriven>) -> Standing {
    let status = State::of(report.status);
    let output = report.output.as_ref().map(|output| output.uri.clone());
    let mut rest = match &output {
        Some(uri) => format!("the output is at {uri}"),
        None => report.message.clone(),
    };
    if let Some(Redriven { job_id, status }) = &redriven {
        rest += &format!("; it was redriven as {job_id}, which {}", status.in_words());
    } else if output.is_some() && report.can_be_redriven() {
        rest += &format!("; {}", redrive_advice(&report.job_id));
    }
    Standing {
        job_id: report.job_id.clone(),
        name: report.name.clone(),
        status,
        chunks: Share {
            total: report.chunks.total,
            done: report.chunks.done,
            failed: Some(report.chunks.failed),
            cancelled: Some(report.chunks.cancelled),
            at_least: false,
        },
        partitions: Share { total: report.partitions, done: report.partitions, ..Share::default() },
        started_ms: report.started_ms,
        ended_ms: Some(report.ended_ms),
        output,
        links,
        redriven,
        message: format!("job {} {}: {}; {rest}", report.job_id, status.in_words(), report.chunks),
        report: Some(report),
    }
}

async fn running(
    plan: &Plan,
    links: BTreeMap<String, String>,
    deps: &Deps,
    keys: &JobKeys,
) -> Result<Standing, Error> {
    let job: Job = deps.store.get_json(&keys.job()).await?;
    let (chunks, partitions) = counted(plan, deps, keys).await?;
    let message = if is_cancelled(deps, keys).await? {
        format!("job {} was cancelled, and is about to end", plan.job_id)
    } else if partitions.done == partitions.total {
        format!(
            "job {} runs: every chunk has its outcome, the output is put together at {}",
            plan.job_id, plan.output
        )
    } else {
        format!(
            "job {} runs: {}{} of {} chunks have their outcome, {} of {} partitions; the output will be at {}",
            plan.job_id,
            if chunks.at_least { "at least " } else { "" },
            chunks.done,
            chunks.total,
            partitions.done,
            partitions.total,
            plan.output
        )
    };
    Ok(Standing {
        job_id: plan.job_id.clone(),
        name: job.name,
        status: State::Running,
        chunks,
        partitions,
        started_ms: plan.started_ms(),
        ended_ms: None,
        output: Some(plan.output.clone()),
        links,
        report: None,
        redriven: None,
        message,
    })
}

/// How many chunks of the job and partitions of the run have their outcome. What a redrive does not do, has been done.
async fn counted(plan: &Plan, deps: &Deps, keys: &JobKeys) -> Result<(Share, Share), Error> {
    let grouping = plan.grouping();
    let merged = merged_groups(deps, keys).await?;
    let open: Vec<u64> = (0..grouping.groups()).filter(|group| !merged.contains(group)).collect();
    let lists: Vec<_> = open.iter().take(GROUPS_MAX).map(|group| done_in(deps, keys, *group)).collect();
    let lists: Vec<_> = stream::iter(lists).buffer_unordered(LISTS_IN_FLIGHT).try_collect().await?;
    let done: Vec<u64> =
        merged.iter().flat_map(|group| grouping.members(*group)).chain(lists.into_iter().flatten()).collect();
    let span = |number: &u64| plan.partitions.get(usize::try_from(*number).ok()?);
    let at_least = open.len() > GROUPS_MAX;
    let share = |total, done| Share { total, done, at_least, ..Share::default() };
    let before = plan.chunks.saturating_sub(plan.chunks_to_do());
    let chunks = done.iter().filter_map(span).map(|span| span.chunks).sum::<u64>();
    let chunks = share(plan.chunks, before + chunks);
    Ok((chunks, share(grouping.partitions, done.len() as u64)))
}

/// What to say of a run that there is not, to someone who wanted something done about it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn unknown(wanted: &str, job_id: &JobId, deps: &Deps) -> Result<Error, Error> {
    let prefix = active_jobs(&deps.work);
    let page = deps.store.list(&prefix.bucket, &prefix.key, None).await?;
    let running: Vec<&str> =
        page.objects.iter().filter_map(|marker| marker.key.strip_prefix(prefix.key.as_str())).collect();
    let meant = nearest(job_id.as_str(), running.iter().copied());
    let meant = meant.map_or_else(String::new, |name| format!(" (did you mean '{name}'?)"));
    let now = match running.as_slice() {
        [] => "none runs now".to_owned(),
        few => {
            let more = if few.len() > NAMED_MAX || page.next.is_some() { ", and others" } else { "" };
            format!(
                "running now: {}{more}",
                few.iter().copied().take(NAMED_MAX).collect::<Vec<_>>().join(", ")
            )
        }
    };
    let message = format!(
        "{wanted} job '{job_id}': there is no such job{meant}; a job's id stands in the answer to the event that \
         started it, as job_id; {now}"
    );
    Ok(Error::new(Code::InvalidJob, message))
}

#[cfg(test)]
mod tests {
    use fanfold_gather::advance_group;

    use super::*;
    use crate::world::World;

    async fn of_one(world: &World) -> Value {
        world.dispatch(&json!({ "status": "one" })).await
    }

    #[tokio::test]
    async fn a_job_that_runs_tells_what_has_its_outcome_merged_or_not() {
        let world = World::with_job(25, None).await;
        assert_eq!(of_one(&world).await["chunks"], json!({ "total": 25, "done": 0 }));
        for partition in 0..12 {
            world.commits(partition, 1).await;
        }
        let plan = world.plan().await;
        advance_group(&world.deps, &plan.job_id, plan.grouping(), 0).await.unwrap();
        let answer = of_one(&world).await;
        assert_eq!((&answer["status"], &answer["name"]), (&json!("running"), &json!("one")));
        assert_eq!(answer["chunks"], json!({ "total": 25, "done": 12 }));
        assert_eq!(answer["partitions"], json!({ "total": 25, "done": 12 }));
        assert_eq!(answer["started_ms"], json!(world.now_ms()));
        assert_eq!(answer["output"], json!("s3://world/out"));
        assert!(answer["message"].as_str().unwrap().contains("12 of 25 chunks"), "{answer}");
    }

    #[tokio::test]
    async fn what_was_not_counted_is_told_as_a_lower_bound() {
        // 10,609 partitions make 103 groups of 103.
        let world = World::with_job(10_609, Some(1)).await;
        world.commits(0, 1).await;
        let answer = of_one(&world).await;
        assert_eq!(answer["partitions"], json!({ "total": 10_609, "done": 1, "at_least": true }));
        assert!(answer["message"].as_str().unwrap().contains("at least 1 of 10609"), "{answer}");
    }

    #[tokio::test]
    async fn a_job_that_has_ended_tells_its_report() {
        let world = World::with_job(1, None).await;
        world.commits(0, 1).await;
        let plan = world.plan().await;
        advance_group(&world.deps, &plan.job_id, plan.grouping(), 0).await.unwrap();
        world.reducers_die().await;
        let answer = of_one(&world).await;
        assert_eq!((&answer["status"], &answer["report"]["code"]), (&json!("failed"), &json!("internal")));
        assert_eq!(answer["chunks"], json!({ "total": 1, "done": 1, "failed": 0, "cancelled": 0 }));
        assert!(answer["message"].as_str().unwrap().contains("put together"), "{answer}");
    }

    #[tokio::test]
    async fn who_asks_for_a_job_that_there_is_not_is_told_where_ids_come_from_and_what_runs() {
        let world = World::with_job(1, None).await;
        let refusal = status(&"ones".parse().unwrap(), &world.deps, &Settings::new(1)).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidJob);
        for part in ["'ones'", "did you mean 'one'?", "job_id", "running now: one"] {
            assert!(refusal.message.contains(part), "{part}: {}", refusal.message);
        }
    }
}
