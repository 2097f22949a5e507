//! Rules: an event, or a time, and who is told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::{Input, InputError, Occasion};
use super::pattern::Pattern;
use crate::account::ACCOUNT;

/// The bus that AWS's own services send to.
pub const DEFAULT_BUS: &str = "default";

/// A rule on an event bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, unique on its bus.
    pub name: String,
    /// The bus's name.
    pub bus: String,
    /// Which events it takes; none for a rule that only has a time.
    pub pattern: Option<Pattern>,
    /// When it fires, such as `rate(1 day)`; kept for show.
    pub expression: Option<String>,
    /// Whether it takes events at all.
    pub enabled: bool,
    /// Who is told.
    pub targets: Vec<Target>,
}

/// Who is told, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id, unique in its rule.
    pub id: String,
    /// Who.
    pub receiver: Receiver,
    /// What.
    pub input: Input,
}

/// Who can be told of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// The function of this name, by an asynchronous invocation.
    Function(String),
    /// The queue of this name.
    Queue(String),
}

impl Rule {
    /// Its ARN. On the default bus, the bus is not named.
    #[must_use]
    pub fn arn(&self, region: &str) -> String {
        let bus = if self.bus == DEFAULT_BUS { String::new() } else { format!("{}/", self.bus) };
        format!("arn:aws:events:{region}:{ACCOUNT}:rule/{bus}{}", self.name)
    }

    /// Whether an event on `bus` is one for it.
    pub(crate) fn takes(&self, bus: &str, event: &Value) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(event);
        self.enabled && self.bus == bus && self.pattern.as_ref().is_some_and(matches)
    }

    /// What `target` is given of an event that the rule took.
    pub(crate) fn payload(
        &self,
        target: &Target,
        event: &Value,
        region: &str,
        ingested: &str,
    ) -> Result<String, InputError> {
        let rule_arn = self.arn(region);
        target.input.payload(Occasion { event, rule_name: &self.name, rule_arn: &rule_arn, ingested })
    }
}
