//! A job, or a deployed job's name, and what comes with it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::none_or;
use crate::crc::Crc64;
use crate::job::Job;
use crate::keys::JobId;
use crate::problem::{Problem, Problems};
use crate::shape;
use crate::time::{Moment, Span};
use crate::uri::ObjectUri;

/// A job, and what came with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    /// The job.
    pub job: Job,
    /// Its document, as it came.
    pub document: Value,
    /// What came with it.
    pub asked: Asked,
}

/// A deployed job by its name, and what came with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The deployed job's name.
    pub name: String,
    /// What to change in its document: a JSON Merge Patch (RFC 7396).
    pub with: Option<Value>,
    /// What came with it.
    pub asked: Asked,
}

/// What comes with a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The caller's own name for this run: the same token again is the same run.
    pub token: Option<String>,
    /// How long the caller waits for the job's end.
    pub wait: Option<Duration>,
    /// When the run counts as scheduled, in milliseconds since 1970 (UTC).
    pub scheduled_ms: Option<i64>,
    /// What asks for the run.
    pub trigger: Option<Trigger>,
}

/// What asks for a run, where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A schedule of EventBridge Scheduler.
    Schedule {
        /// Its ARN.
        arn: String,
        /// When it meant to start the job, in milliseconds since 1970 (UTC).
        time_ms: i64,
    },
    /// An event that a rule of EventBridge matched.
    Event {
        /// Its id, which is the same when it is delivered again.
        id: String,
        /// When it happened, in milliseconds since 1970 (UTC).
        time_ms: i64,
    },
    /// A person, for this object, as if it had been created.
    Object(ObjectUri),
}

impl Trigger {
    /// The id of the run of the job `name`: the same when the trigger is delivered again, and no other trigger's. None
    /// where each delivery is a run of its own. `own` is what the event says of the job beside its name, a patch or the
    /// whole document: a rule may have several targets, whose runs are told apart by that alone.
    pub fn job_id(&self, name: &str, own: Option<&Value>) -> Option<JobId> {
        let (time_ms, mut mark) = match self {
            Self::Schedule { arn, time_ms } => (*time_ms, format!("{arn}\n{time_ms}")),
            Self::Event { id, time_ms } => (*time_ms, id.clone()),
            Self::Object(_) => return None,
        };
        if let Some(own) = own {
            mark += &format!("\n{own}");
        }
        let time = Moment(time_ms).formatted("%Y%m%dT%H%M%SZ");
        Some(JobId::from_token(&format!("{name}-{time}-{}", Crc64::of(mark.as_bytes()))))
    }
}

impl Asked {
    /// When the run counts as scheduled, in milliseconds since 1970 (UTC): as it says, else as its trigger does.
    pub fn scheduled(&self) -> Option<i64> {
        self.scheduled_ms.or(match &self.trigger {
            Some(Trigger::Schedule { time_ms, .. } | Trigger::Event { time_ms, .. }) => Some(*time_ms),
            Some(Trigger::Object(_)) | None => None,
        })
    }

    /// The object that the run is for, where a person named one.
    pub fn object(&self) -> Option<&ObjectUri> {
        match &self.trigger {
            Some(Trigger::Object(object)) => Some(object),
            Some(Trigger::Schedule { .. } | Trigger::Event { .. }) | None => None,
        }
    }
}

/// The fields that may come with a job, as they stand in JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskedFields {
    token: Option<String>,
    wait: Option<Span>,
    scheduled_time: Option<Moment>,
    trigger: Option<TriggerFields>,
}

/// The names of those fields.
const ASKED_FIELDS: [&str; 4] = ["token", "wait", "scheduled_time", "trigger"];

/// An event that runs a deployed job, as it stands in JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunFields {
    run: String,
    with: Option<Map<String, Value>>,
    token: Option<String>,
    wait: Option<Span>,
    scheduled_time: Option<Moment>,
    trigger: Option<TriggerFields>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriggerFields {
    schedule: Option<String>,
    event: Option<String>,
    object: Option<ObjectUri>,
    time: Option<Moment>,
}

/// A job as an event, what comes with it beside its own fields.
pub(super) fn submit(fields: &Map<String, Value>) -> Result<Submit, Problems> {
    let (asked, job): (Map<_, _>, Map<_, _>) =
        fields.clone().into_iter().partition(|(name, _)| ASKED_FIELDS.contains(&name.as_str()));
    let asked = Value::Object(asked);
    let mut problems = shape::problems::<AskedFields>(&asked);
    problems.extend(sense(&asked));
    let document = Value::Object(job);
    match Job::from_json(&document) {
        Ok(job) => {
            none_or(problems)?;
            let AskedFields { token, wait, scheduled_time, trigger } = super::read(&asked, "")?;
            Ok(Submit { job, document, asked: put_together(token, wait, scheduled_time, trigger) })
        }
        Err(Problems(of_job)) => Err(Problems(of_job.into_iter().chain(problems).collect())),
    }
}

/// `{"run": "<name>", …}`.
pub(super) fn run(event: &Value) -> Result<Run, Problems> {
    let mut problems = shape::problems::<RunFields>(event);
    problems.extend(sense(event));
    if event["run"] == "" {
        problems.push(Problem::new("run", "must be a deployed job's name, but is empty"));
    }
    none_or(problems)?;
    let RunFields { run, with, token, wait, scheduled_time, trigger } = super::read(event, "")?;
    let asked = put_together(token, wait, scheduled_time, trigger);
    Ok(Run { name: run, with: with.map(Value::Object), asked })
}

/// What no schema says of these fields.
fn sense(event: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    if event.get("token").is_some_and(|token| token == "") {
        problems.push(Problem::new("token", "must have one character or more"));
    }
    let Some(trigger) = event.get("trigger").and_then(Value::as_object) else { return problems };
    let given = |name: &str| trigger.get(name).is_some_and(|value| !value.is_null());
    let sources = ["schedule", "event", "object"].into_iter().filter(|name| given(name)).count();
    if sources != 1 {
        let message = "must have one of 'schedule', 'event' and 'object'";
        problems.push(Problem::new("trigger", message));
    }
    if (given("schedule") || given("event")) && !given("time") {
        problems.push(Problem::new("trigger.time", "is missing"));
    }
    if given("object") && given("time") {
        problems.push(Problem::new(
            "trigger.time",
            "does not go with 'object'; use scheduled_time beside the trigger",
        ));
    }
    if trigger.get("object").and_then(Value::as_str).is_some_and(|object| object.ends_with('/')) {
        problems.push(Problem::new("trigger.object", "must name one object, not a prefix"));
    }
    problems
}

fn put_together(
    token: Option<String>,
    wait: Option<Span>,
    scheduled_time: Option<Moment>,
    trigger: Option<TriggerFields>,
) -> Asked {
    let trigger = trigger.and_then(|TriggerFields { schedule, event, object, time }| {
        let time_ms = time.map_or(0, |Moment(ms)| ms);
        let schedule = schedule.map(|arn| Trigger::Schedule { arn, time_ms });
        schedule.or(event.map(|id| Trigger::Event { id, time_ms })).or(object.map(Trigger::Object))
    });
    Asked {
        token,
        wait: wait.map(|Span(wait)| wait),
        scheduled_ms: scheduled_time.map(|Moment(ms)| ms),
        trigger,
    }
}
