//! EventBridge's `PutEvents`: events of one's own.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::JsonError;
use crate::account::ACCOUNT;
use crate::deliveries::Deliveries;
use crate::events::{DEFAULT_BUS, timestamp};

/// How many events a request may have. Source: API reference of `PutEvents`.
const ENTRIES_LIMIT: usize = 10;

/// An event that is not taken; the others of its request are.
struct Rejected {
    code: &'static str,
    message: String,
}

/// Takes the events of a request, each by itself.
pub(super) fn put(deliveries: &Deliveries, input: &Value) -> Result<Value, JsonError> {
    let entries = input["Entries"].as_array().filter(|entries| (1..=ENTRIES_LIMIT).contains(&entries.len()));
    let entries = entries.ok_or_else(|| {
        JsonError::new("ValidationException", format!("Entries must have 1 to {ENTRIES_LIMIT} elements"))
    })?;
    let mut failed = 0;
    let answers = entries.iter().map(|entry| match event(entry, &deliveries.region) {
        Ok((bus, event)) => {
            deliveries.publish(&bus, &event);
            json!({ "EventId": event["id"] })
        }
        Err(Rejected { code, message }) => {
            failed += 1;
            json!({ "ErrorCode": code, "ErrorMessage": message })
        }
    });
    let answers: Vec<Value> = answers.collect();
    Ok(json!({ "FailedEntryCount": failed, "Entries": answers }))
}

/// The bus and the event of an entry.
fn event(entry: &Value, region: &str) -> Result<(String, Value), Rejected> {
    let invalid = |message: &str| Rejected { code: "InvalidArgument", message: message.to_owned() };
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    let source = text("Source").ok_or_else(|| invalid("Parameter Source is not valid: it is required."))?;
    if source.starts_with("aws.") {
        let message = "Not authorized for the source: only AWS's own services send events of aws.*.";
        return Err(Rejected { code: "NotAuthorizedForSourceException", message: message.to_owned() });
    }
    let detail_type =
        text("DetailType").ok_or_else(|| invalid("Parameter DetailType is not valid: it is required."))?;
    let detail = text("Detail").ok_or_else(|| invalid("Parameter Detail is not valid: it is required."))?;
    let detail: Map<String, Value> = serde_json::from_str(detail)
        .map_err(|_| Rejected { code: "MalformedDetail", message: "Detail is malformed.".to_owned() })?;
    let time = entry["Time"].as_f64().map(|seconds| {
        let since = time::Duration::checked_seconds_f64(seconds);
        since.and_then(|since| OffsetDateTime::UNIX_EPOCH.checked_add(since))
    });
    let time = match time {
        Some(time) => time.ok_or_else(|| invalid("Parameter Time is not valid."))?,
        None => OffsetDateTime::now_utc(),
    };
    // It may be named by its ARN.
    let bus = text("EventBusName").and_then(|bus| bus.rsplit('/').next()).unwrap_or(DEFAULT_BUS);
    let event = json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": timestamp(time),
        "region": region,
        "resources": entry["Resources"].as_array().cloned().unwrap_or_default(),
        "detail": detail,
    });
    Ok((bus.to_owned(), event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Value {
        json!({ "Source": "shop", "DetailType": "Order", "Detail": "{\"n\":1}", "Time": 1_792_551_600.0 })
    }

    #[test]
    fn an_entry_becomes_the_event_that_rules_see() {
        let (bus, mut given) = event(&entry(), "r").ok().unwrap();
        given["id"].take();
        assert_eq!(bus, "default");
        assert_eq!(
            given,
            json!({
                "version": "0",
                "id": null,
                "detail-type": "Order",
                "source": "shop",
                "account": "000000000000",
                "time": "2026-10-21T03:00:00Z",
                "region": "r",
                "resources": [],
                "detail": { "n": 1 },
            })
        );
    }

    #[test]
    fn an_entry_that_eventbridge_would_refuse_is_refused() {
        for (name, value, code) in [
            ("Source", json!("aws.s3"), "NotAuthorizedForSourceException"),
            ("Source", Value::Null, "InvalidArgument"),
            ("DetailType", json!(""), "InvalidArgument"),
            ("Detail", json!("[1]"), "MalformedDetail"),
            ("Detail", json!("{"), "MalformedDetail"),
            ("Time", json!(1e300), "InvalidArgument"),
        ] {
            let mut entry = entry();
            entry[name] = value;
            assert_eq!(event(&entry, "r").err().unwrap().code, code, "{entry}");
        }
    }
}
