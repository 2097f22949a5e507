//! CloudWatch Logs' `FilterLogEvents`.

use serde_json::{Value, json};

use super::JsonError;
use crate::logs::{Filter, LogStore, Selection};

/// How many lines a page has at most, and by default. Source: API reference of `FilterLogEvents`.
const PAGE_LIMIT: usize = 10_000;

/// Finds lines of one log group.
pub(super) fn filter(logs: &LogStore, input: &Value) -> Result<Value, JsonError> {
    let invalid = |message: String| JsonError::new("InvalidParameterException", message);
    let text = |name: &str| input[name].as_str();
    let group = text("logGroupName").or_else(|| text("logGroupIdentifier").map(name_of));
    let group =
        group.ok_or_else(|| invalid("one of logGroupName and logGroupIdentifier is needed".into()))?;
    let filter = Filter::read(text("filterPattern").unwrap_or_default())
        .map_err(|problem| invalid(format!("Invalid filter pattern: {problem}")))?;
    let limit = match &input["limit"] {
        Value::Null => PAGE_LIMIT,
        limit => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=PAGE_LIMIT).contains(limit))
            .ok_or_else(|| invalid(format!("limit {limit} is not within 1 to {PAGE_LIMIT}")))?,
    };
    let start = text("nextToken").map(str::parse).transpose();
    let start = start.map_err(|_| invalid("The specified nextToken is invalid.".into()))?;
    let streams = input["logStreamNames"].as_array().into_iter().flatten();
    let selection = Selection {
        filter,
        from_ms: input["startTime"].as_i64(),
        to_ms: input["endTime"].as_i64(),
        streams: streams.filter_map(Value::as_str).map(str::to_owned).collect(),
        stream_prefix: text("logStreamNamePrefix").unwrap_or_default().to_owned(),
        start: start.unwrap_or_default(),
        limit,
    };
    let page = logs.find(group, &selection).ok_or_else(|| {
        JsonError::new(
            "ResourceNotFoundException",
            format!("The specified log group does not exist: {group}"),
        )
    })?;
    let events = page.lines.iter().map(|line| {
        json!({
            "logStreamName": line.stream,
            "timestamp": line.at_ms,
            "ingestionTime": line.at_ms,
            "message": line.message,
            "eventId": format!("{:056}", line.number),
        })
    });
    let mut answer = json!({ "events": events.collect::<Vec<_>>(), "searchedLogStreams": [] });
    if let Some(next) = page.next {
        answer["nextToken"] = next.to_string().into();
    }
    Ok(answer)
}

/// The name in a log group's ARN; a name is its own.
fn name_of(identifier: &str) -> &str {
    let name = identifier.rsplit_once(":log-group:").map_or(identifier, |(_, name)| name);
    name.strip_suffix(":*").unwrap_or(name)
}
