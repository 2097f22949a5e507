//! The document that an on-failure destination gets about an asynchronous event that was given up.

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use super::address::LATEST;

const TIMESTAMP: &[FormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Why the event was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Condition {
    /// The function failed, and so did every retry.
    RetriesExhausted,
    /// It grew too old before its next try.
    EventAgeExceeded,
}

/// What is known about the event.
#[derive(Debug)]
pub(super) struct FailureRecord<'event> {
    pub(super) request_id: &'event str,
    /// With the version.
    pub(super) function_arn: String,
    pub(super) condition: Condition,
    /// How often the function was run.
    pub(super) runs: u32,
    pub(super) request_payload: &'event [u8],
    /// What the last run answered; nothing if there was none.
    pub(super) error: Option<&'event [u8]>,
}

impl FailureRecord<'_> {
    /// The record as JSON. Without a run there is nothing to say about a response, and nothing is said (what Lambda
    /// does then is not documented).
    pub(super) fn document(&self, now: OffsetDateTime) -> String {
        let timestamp = now.format(TIMESTAMP).unwrap_or_default();
        let mut record = json!({
            "version": "1.0",
            "timestamp": timestamp,
            "requestContext": {
                "requestId": self.request_id,
                "functionArn": self.function_arn,
                "condition": self.condition,
                "approximateInvokeCount": self.runs,
            },
            "requestPayload": json_or_text(self.request_payload),
        });
        if let (Some(error), Some(record)) = (self.error, record.as_object_mut()) {
            let context =
                json!({ "statusCode": 200, "executedVersion": LATEST, "functionError": "Unhandled" });
            record.insert("responseContext".into(), context);
            record.insert("responsePayload".into(), json_or_text(error));
        }
        record.to_string()
    }
}

fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn record(error: Option<&'static [u8]>) -> Value {
        let record = FailureRecord {
            request_id: "id",
            function_arn: "arn:$LATEST".into(),
            condition: Condition::RetriesExhausted,
            runs: 3,
            request_payload: br#"{"a":1}"#,
            error,
        };
        serde_json::from_str(&record.document(datetime!(2026-11-14 18:16:05.568 UTC))).unwrap()
    }

    #[test]
    fn a_record_has_lambdas_shape() {
        assert_eq!(
            record(Some(br#"{"errorType":"E","errorMessage":"m"}"#)),
            json!({
                "version": "1.0",
                "timestamp": "2026-11-14T18:16:05.568Z",
                "requestContext": {
                    "requestId": "id",
                    "functionArn": "arn:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": 3,
                },
                "requestPayload": { "a": 1 },
                "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
                "responsePayload": { "errorType": "E", "errorMessage": "m" },
            })
        );
    }

    #[test]
    fn an_answer_that_is_not_json_is_carried_as_text() {
        assert_eq!(record(Some(b"plain"))["responsePayload"], "plain");
    }

    #[test]
    fn an_event_that_never_ran_has_no_response() {
        assert!(record(None).get("responseContext").is_none());
    }
}
