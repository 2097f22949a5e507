//! What a job's own triggers must be like, so that the services take them when the job is deployed.

use serde_json::Value;

use super::text;
use crate::job::cron;
use crate::problem::Problem;
use crate::template::{self, UriTemplate};

/// Most minutes of a flexible window (EventBridge Scheduler API reference, `FlexibleTimeWindow`).
const WINDOW_MINUTES_MAX: u32 = 1_440;

/// Names of time zones without a region that every copy of the time zone database has.
const ZONES_WITHOUT_REGION: [&str; 9] = ["UTC", "GMT", "CET", "EET", "EST", "HST", "MET", "MST", "WET"];

/// Adds what is wrong with the sense of a job's `schedule` and `on_object_created`.
pub(super) fn problems(document: &Value, problems: &mut Vec<Problem>) {
    if let Some(schedule) = document.get("schedule").filter(|schedule| schedule.is_object()) {
        super::exactly_one(schedule, "schedule", ["cron", "rate"], problems);
        let mut check = |field: &str, refusal: fn(&str) -> Option<String>| {
            let refused = schedule.get(field).and_then(Value::as_str).and_then(refusal);
            problems.extend(refused.map(|message| Problem::new(format!("schedule.{field}"), message)));
        };
        check("cron", cron::problem);
        check("rate", rate_problem);
        check("time_zone", time_zone_problem);
        check("flexible_window", window_problem);
        if template::needs_object(document) {
            let message = "gives the job no object, and its placeholders {object_…} ask for one, so each of these runs would \
                           fail; leave it to on_object_created, or make two jobs";
            problems.push(Problem::new("schedule", message));
        }
    }
    if let Some(trigger) = document.get("on_object_created").filter(|trigger| trigger.is_object()) {
        bucket_is_a_name(trigger, problems);
        output_starts_nothing(document, trigger, problems);
    }
}

/// `rate(value unit)` of EventBridge, where the unit is singular for one and plural for more.
fn rate_problem(rate: &str) -> Option<String> {
    let advice = "write a number and a unit, such as \"1 day\", \"12 hours\" or \"5 minutes\"";
    let (number, unit) = rate.split_once(' ').unwrap_or((rate, ""));
    let number: Option<u64> = number.parse().ok().filter(|number| *number > 0);
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    let (Some(number), true) = (number, ["minute", "hour", "day"].contains(&singular)) else {
        return Some(format!("'{rate}' is no rate; {advice}"));
    };
    let right = if number == 1 { singular.to_owned() } else { format!("{singular}s") };
    (rate != format!("{number} {right}")).then(|| format!("'{rate}' must be written \"{number} {right}\""))
}

fn time_zone_problem(zone: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
    let region = zone.split_once('/').is_some_and(|(region, city)| {
        region.starts_with(|first: char| first.is_ascii_alphabetic())
            && !city.is_empty()
            && !city.ends_with('/')
    });
    let right = zone.bytes().all(plain) && (region || ZONES_WITHOUT_REGION.contains(&zone));
    let message = "is no name of the time zone database; write UTC, or region and city such as Europe/Berlin";
    (!right).then(|| format!("'{zone}' {message}"))
}

fn window_problem(window: &str) -> Option<String> {
    let digits = window.strip_suffix('m').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let minutes = digits.and_then(|digits| digits.parse::<u32>().ok());
    let right = minutes.is_some_and(|minutes| (1..=WINDOW_MINUTES_MAX).contains(&minutes))
        && !window.starts_with('0');
    let message =
        format!("'{window}' must be whole minutes from \"1m\" to \"{WINDOW_MINUTES_MAX}m\", such as \"15m\"");
    (!right).then_some(message)
}

fn bucket_is_a_name(trigger: &Value, problems: &mut Vec<Problem>) {
    let Some(bucket) = text(trigger, "/bucket") else { return };
    if bucket.is_empty() || bucket.contains('/') {
        let message =
            format!("must be a bucket's name alone, not '{bucket}'; what keys begin with goes to prefix");
        problems.push(Problem::new("on_object_created.bucket", message));
    }
}

/// An output that starts the job again would do so without end. Here it is refused where that is certain before the
/// placeholders are filled; the dispatcher looks again afterwards.
fn output_starts_nothing(document: &Value, trigger: &Value, problems: &mut Vec<Problem>) {
    let Some(Ok(output)) = text(document, "/output/uri").map(str::parse::<UriTemplate>) else { return };
    let part = |pointer| text(trigger, pointer).unwrap_or_default();
    let same_bucket = output.bucket() == part("/bucket") || output.bucket() == "{object_bucket}";
    if same_bucket && output.surely_begins(part("/prefix")) && output.surely_ends(part("/suffix")) {
        let message = "is itself an object that starts the job, which would run without end; choose another bucket or prefix";
        problems.push(Problem::new("output.uri", message));
    }
}
