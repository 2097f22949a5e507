//! What starts a deployed job. Both triggers matter to the deployment alone: a run ignores them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::uri::ObjectUri;

/// Starts the job at certain times, by an EventBridge schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week and year, such as `"0 3 * * ? *"`: every day at 03:00. One of
    /// the two days is `?`. Give either this or `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// How often, such as `"5 minutes"`, `"1 hour"` or `"1 day"`. Give either this or `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// The time zone of `cron`, by its name in the time zone database, such as `"Europe/Berlin"`. Default `"UTC"`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Within which time after the scheduled one the job may start, in whole minutes from `"1m"` to `"1440m"`. Default: at
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,3}m$"))]
    pub flexible_window: Option<String>,
    /// Whether it starts the job at all. Default yes.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

/// Starts the job for each object that is written to a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnObjectCreated {
    /// The bucket. May hold `{deployment.NAME}`.
    pub bucket: String,
    /// What the object's key must begin with. Default: anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What the object's key must end with. Default: anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
}

impl OnObjectCreated {
    /// Whether this object starts the job. What the console makes when it makes a folder, an object named like one, is no
    /// object here, as it is none in a source.
    pub fn matches(&self, object: &ObjectUri) -> bool {
        let Self { bucket, prefix, suffix } = self;
        let key = &object.key;
        *bucket == object.bucket
            && key.starts_with(prefix)
            && key.ends_with(suffix)
            && key.len() >= prefix.len() + suffix.len()
            && !key.ends_with('/')
    }

    /// Whether an object that Fanfold keeps for itself below `work`, an address whose key is empty or ends with `/`, could
    /// start the job.
    pub fn reaches(&self, work: &ObjectUri) -> bool {
        let (prefix, key) = (&self.prefix, &work.key);
        self.bucket == work.bucket
            && (prefix.starts_with(key) || key.starts_with(prefix))
            && keys::may_end_in(&self.suffix)
    }
}
