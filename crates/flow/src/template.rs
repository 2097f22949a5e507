//! Placeholders in the output's address.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::keys::JobId;
use crate::problem::{Problem, nearest};

/// The placeholders that an output's address may hold.
pub const PLACEHOLDERS: [&str; 6] =
    ["job_id", "name", "start_date", "start_time", "scheduled_date", "scheduled_time"];

/// What the placeholders stand for in one run.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    /// The run's id.
    pub job_id: &'a JobId,
    /// The job's name.
    pub name: &'a str,
    /// When the job was accepted, in milliseconds since 1970 (UTC).
    pub started_ms: i64,
    /// When the schedule meant it to start; where there is none, the start counts.
    pub scheduled_ms: Option<i64>,
}

/// What is wrong with the placeholders of `text`.
pub fn problems(text: &str) -> Vec<Problem> {
    let known = |name: &str| PLACEHOLDERS.contains(&name);
    pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Placeholder(name) if !known(name) => {
                let message = format!(
                    "placeholder '{{{name}}}' is unknown; the placeholders are {}",
                    PLACEHOLDERS.join(", ")
                );
                Some(Problem::new("", message).meaning(nearest(name, PLACEHOLDERS)))
            }
            Piece::Placeholder(_) | Piece::Text(_) => None,
        })
        .collect()
}

/// `text` with its placeholders filled in. Dates are `2026-11-22`, times `2026-11-22T17-30-00Z`, both in UTC; the times
/// have no colons, so that they are as good in a file's name as in a key. An unknown placeholder stays as it stands.
pub fn fill(text: &str, values: &Values<'_>) -> String {
    let date = |ms: i64| formatted(ms, "%Y-%m-%d");
    let time = |ms: i64| formatted(ms, "%Y-%m-%dT%H-%M-%SZ");
    let scheduled_ms = values.scheduled_ms.unwrap_or(values.started_ms);
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Placeholder("job_id") => values.job_id.to_string(),
            Piece::Placeholder("name") => values.name.to_owned(),
            Piece::Placeholder("start_date") => date(values.started_ms),
            Piece::Placeholder("start_time") => time(values.started_ms),
            Piece::Placeholder("scheduled_date") => date(scheduled_ms),
            Piece::Placeholder("scheduled_time") => time(scheduled_ms),
            Piece::Placeholder(unknown) => format!("{{{unknown}}}"),
        })
        .collect()
}

fn formatted(ms: i64, pattern: &str) -> String {
    let instant = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.to_zoned(TimeZone::UTC).strftime(pattern).to_string()
}

enum Piece<'t> {
    Text(&'t str),
    Placeholder(&'t str),
}

fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some((before, rest)) = text.split_once('{')
        && let Some((name, after)) = rest.split_once('}')
    {
        pieces.extend([Piece::Text(before), Piece::Placeholder(name)]);
        text = after;
    }
    pieces.push(Piece::Text(text));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled_and_the_schedule_falls_back_to_the_start() {
        let job_id: JobId = "run-1".parse().unwrap();
        let started_ms = 1_795_368_600_000;
        let mut values = Values { job_id: &job_id, name: "orders", started_ms, scheduled_ms: None };
        let text = "{name}/{job_id}/{start_date}/{start_time}/{scheduled_date}/{scheduled_time}.csv";
        assert_eq!(
            fill(text, &values),
            "orders/run-1/2026-11-22/2026-11-22T17-30-00Z/2026-11-22/2026-11-22T17-30-00Z.csv"
        );
        values.scheduled_ms = Some(started_ms - 86_400_000);
        assert_eq!(fill("{scheduled_date}", &values), "2026-11-21");
        assert!(problems(text).is_empty());
    }

    #[test]
    fn a_misspelt_placeholder_is_named_with_the_nearest_right_one() {
        let found = problems("s3://b/{schedule_date}.csv");
        assert_eq!(found[0].suggestion.as_deref(), Some("scheduled_date"));
        assert!(problems("s3://b/{unclosed").is_empty());
    }
}
