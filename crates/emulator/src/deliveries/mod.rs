//! Between the halves: hears of new objects and of fired schedules, and tells functions and queues.
//!
//! What it owes its neighbours: an event is with its receivers when the call that brings it returns. So who waits until
//! functions are idle has waited for everything that an object, an event or a schedule has set off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::account::ACCOUNT;
use crate::events::{DEFAULT_BUS, InputError, Receiver, Rule, Schedule, timestamp, wildcard_matches};
use crate::lambda::{Events, NotSent};
use crate::queues::{QueueError, Queues};
use crate::s3::ObjectCreated;
use crate::template::{Bucket, Notification};

mod s3_event;

/// Who is told of what.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pub(crate) region: String,
    pub(crate) functions: Events,
    pub(crate) queues: Queues,
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) schedules: Vec<Schedule>,
}

/// A schedule that was fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// Its name, with its group unless that is `default`.
    pub schedule: String,
    /// The time that it was fired for, RFC 3339 in UTC.
    pub at: String,
    /// Who was told; a schedule has one, a rule as many as it has targets.
    pub told: Vec<Told>,
}

/// Who was told of something, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who.
    pub receiver: Receiver,
    /// What, as JSON.
    pub payload: String,
    /// The request id of the function's invocation; none for a queue.
    pub request_id: Option<String>,
}

/// Why a schedule was not fired.
#[derive(Debug, thiserror::Error)]
pub enum FireError {
    /// There is none of this name.
    #[error("there is no schedule `{name}`; {}", known(known_names))]
    NoSuchSchedule {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known_names: Vec<String>,
    },
    /// Several groups have one of this name.
    #[error("several schedules are called `{name}`; name one of {}", names.join(", "))]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// Their names with groups.
        names: Vec<String>,
    },
    /// A receiver cannot be told.
    #[error("a target of `{name}` was not told")]
    NotTold {
        /// The schedule's name.
        name: String,
        /// Why.
        #[source]
        source: DeliveryError,
    },
}

fn known(names: &[String]) -> String {
    if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) }
}

/// Why a receiver was not told.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The function did not take the event.
    #[error(transparent)]
    Function(#[from] NotSent),
    /// The queue did not take the message.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The event does not give what the target is to have.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Something that can be fired.
enum Firing<'a> {
    Schedule(&'a Schedule),
    Rule(&'a Rule),
}

impl Firing<'_> {
    /// Its name with its group.
    fn full_name(&self) -> String {
        match self {
            Self::Schedule(schedule) => format!("{}/{}", schedule.group, schedule.name),
            Self::Rule(rule) => rule.name.clone(),
        }
    }

    /// Its name, with its group where that is not the default one.
    fn short_name(&self) -> String {
        match self {
            Self::Schedule(schedule) if schedule.group == "default" => schedule.name.clone(),
            other => other.full_name(),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let bare = match self {
            Self::Schedule(schedule) => &schedule.name,
            Self::Rule(rule) => &rule.name,
        };
        bare == name || self.full_name() == name
    }
}

impl Deliveries {
    /// Tells whom it may concern of a new object.
    pub(crate) fn object_created(&self, created: &ObjectCreated) {
        let Some(bucket) = self.buckets.get(&created.bucket) else { return };
        if bucket.tells_eventbridge {
            let event = s3_event::for_eventbridge(created, &self.region);
            self.publish(DEFAULT_BUS, &event);
        }
        for notification in bucket.notifications.iter().filter(|it| is_for(it, created)) {
            let event = s3_event::notification(created, notification, &self.region).to_string();
            let receiver = Receiver::Function(notification.function.clone());
            if let Err(error) = self.tell(receiver, event) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, key = created.key, "a notification of S3 is lost");
            }
        }
    }

    /// Gives an event to the rules of a bus. A target that cannot be told is logged, as nobody waits for an answer.
    pub(crate) fn publish(&self, bus: &str, event: &Value) {
        let ingested = timestamp(OffsetDateTime::now_utc());
        for rule in self.rules.iter().filter(|rule| rule.takes(bus, event)) {
            for told in self.tell_targets(rule, event, &ingested) {
                if let Err(error) = told {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, rule = rule.name, "an event is lost to a target");
                }
            }
        }
    }

    /// Fires a schedule as if its time were `at`. One that is disabled is fired too: somebody asks for it.
    pub(crate) fn fire(&self, name: &str, at: OffsetDateTime) -> Result<Fired, FireError> {
        let mut named: Vec<Firing<'_>> = self.firings().filter(|firing| firing.is_called(name)).collect();
        let firing = match (named.pop(), named.is_empty()) {
            (Some(firing), true) => firing,
            (Some(last), false) => {
                let names = named.iter().chain([&last]).map(Firing::full_name).collect();
                return Err(FireError::Ambiguous { name: name.to_owned(), names });
            }
            (None, _) => {
                let known_names = self.firings().map(|firing| firing.short_name()).collect();
                return Err(FireError::NoSuchSchedule { name: name.to_owned(), known_names });
            }
        };
        let at_text = timestamp(at);
        let told = match &firing {
            Firing::Schedule(schedule) => {
                let execution_id = &uuid::Uuid::new_v4().simple().to_string()[..16];
                let payload = schedule.payload(at, execution_id, &self.region);
                vec![self.tell(schedule.receiver.clone(), payload)]
            }
            Firing::Rule(rule) => self.tell_targets(rule, &self.scheduled_event(rule, &at_text), &at_text),
        };
        let told = told.into_iter().collect::<Result<_, _>>();
        let told = told.map_err(|source| FireError::NotTold { name: name.to_owned(), source })?;
        Ok(Fired { schedule: firing.short_name(), at: at_text, told })
    }

    /// What can be fired, for whoever wants to see it.
    pub(crate) fn listed(&self) -> Vec<Value> {
        let listed = self.firings().map(|firing| match firing {
            Firing::Schedule(schedule) => json!({
                "name": schedule.name,
                "group": schedule.group,
                "expression": schedule.expression,
                "time_zone": schedule.time_zone,
                "enabled": schedule.enabled,
                "tells": [schedule.receiver],
            }),
            Firing::Rule(rule) => json!({
                "name": rule.name,
                "expression": rule.expression,
                "time_zone": "UTC",
                "enabled": rule.enabled,
                "tells": rule.targets.iter().map(|target| &target.receiver).collect::<Vec<_>>(),
            }),
        });
        listed.collect()
    }

    fn firings(&self) -> impl Iterator<Item = Firing<'_>> {
        let rules = self.rules.iter().filter(|rule| rule.expression.is_some());
        self.schedules.iter().map(Firing::Schedule).chain(rules.map(Firing::Rule))
    }

    /// The event that a rule with a time gets when that comes.
    fn scheduled_event(&self, rule: &Rule, at: &str) -> Value {
        json!({
            "version": "0",
            "id": uuid::Uuid::new_v4().to_string(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": at,
            "region": self.region,
            "resources": [rule.arn(&self.region)],
            "detail": {},
        })
    }

    fn tell_targets(&self, rule: &Rule, event: &Value, ingested: &str) -> Vec<Result<Told, DeliveryError>> {
        let told = rule.targets.iter().map(|target| {
            let payload = rule.payload(target, event, &self.region, ingested)?;
            self.tell(target.receiver.clone(), payload)
        });
        told.collect()
    }

    fn tell(&self, receiver: Receiver, payload: String) -> Result<Told, DeliveryError> {
        let request_id = match &receiver {
            Receiver::Function(name) => Some(self.functions.send(name, payload.clone().into())?.to_string()),
            Receiver::Queue(name) => {
                self.queues.send(name, &payload)?;
                None
            }
        };
        Ok(Told { receiver, payload, request_id })
    }
}

fn is_for(notification: &Notification, created: &ObjectCreated) -> bool {
    let name = format!("s3:{}", s3_event::event_name(created.by));
    let wants = |event: &String| wildcard_matches(&event.split('*').collect::<Vec<_>>(), &name);
    created.key.starts_with(&notification.prefix)
        && created.key.ends_with(&notification.suffix)
        && notification.events.iter().any(wants)
}
