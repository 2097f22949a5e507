//! Schedules of EventBridge Scheduler. Rules: "Adding context attributes" in the EventBridge Scheduler user guide.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::rule::Receiver;
use crate::account::ACCOUNT;

/// A schedule, which fires here when somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, unique in its group.
    pub name: String,
    /// Its group; `default` unless it says otherwise.
    pub group: String,
    /// When it would fire, such as `cron(0 3 * * ? *)` or `rate(1 minute)`.
    pub expression: String,
    /// The time zone of the expression.
    pub time_zone: String,
    /// Whether it would fire by itself.
    pub enabled: bool,
    /// Who is told.
    pub receiver: Receiver,
    /// What, with the context attributes still to be filled in; nothing for Scheduler's own event.
    pub input: Option<String>,
}

impl Schedule {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self, region: &str) -> String {
        format!("arn:aws:scheduler:{region}:{ACCOUNT}:schedule/{}/{}", self.group, self.name)
    }

    /// What the target is given when the schedule fires for the time `at`, at the first attempt.
    pub(crate) fn payload(&self, at: OffsetDateTime, execution_id: &str, region: &str) -> String {
        let arn = self.arn(region);
        let time = timestamp(at);
        let Some(input) = &self.input else {
            let event = json!({
                "version": "0",
                "id": uuid::Uuid::new_v4().to_string(),
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": ACCOUNT,
                "time": time,
                "region": region,
                "resources": [arn],
                "detail": "{}",
            });
            return event.to_string();
        };
        [
            ("<aws.scheduler.schedule-arn>", arn.as_str()),
            ("<aws.scheduler.scheduled-time>", &time),
            ("<aws.scheduler.execution-id>", execution_id),
            ("<aws.scheduler.attempt-number>", "1"),
        ]
        .iter()
        .fold(input.clone(), |text, (attribute, value)| text.replace(attribute, value))
    }
}

/// A time as events carry it: in UTC, whole seconds.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::macros::datetime;

    use super::*;

    fn schedule(input: Option<&str>) -> Schedule {
        Schedule {
            name: "nightly".into(),
            group: "default".into(),
            expression: "rate(1 day)".into(),
            time_zone: "UTC".into(),
            enabled: true,
            receiver: Receiver::Function("f".into()),
            input: input.map(str::to_owned),
        }
    }

    const AT: OffsetDateTime = datetime!(2026-11-22 4:00:00.5 +1);

    #[test]
    fn every_context_attribute_is_filled_in_wherever_it_stands() {
        let input = r#"{"a":"<aws.scheduler.schedule-arn>","t":["<aws.scheduler.scheduled-time>","at <aws.scheduler.scheduled-time>"],
            "e":"<aws.scheduler.execution-id>","n":"<aws.scheduler.attempt-number>","x":"<other>"}"#;
        let payload: Value = serde_json::from_str(&schedule(Some(input)).payload(AT, "id", "r")).unwrap();
        assert_eq!(
            payload,
            json!({
                "a": "arn:aws:scheduler:r:000000000000:schedule/default/nightly",
                "t": ["2026-11-22T03:00:00Z", "at 2026-11-22T03:00:00Z"],
                "e": "id",
                "n": "1",
                "x": "<other>",
            })
        );
    }

    #[test]
    fn without_an_input_the_event_is_schedulers_own_with_a_text_for_detail() {
        let payload: Value = serde_json::from_str(&schedule(None).payload(AT, "id", "r")).unwrap();
        assert_eq!(payload["detail"], "{}");
        assert_eq!(payload["time"], "2026-11-22T03:00:00Z");
        assert_eq!(payload["resources"][0], "arn:aws:scheduler:r:000000000000:schedule/default/nightly");
    }
}
