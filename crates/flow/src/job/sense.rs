//! What no schema says about a job: which fields go together, and what texts mean.
//!
//! These checks read the raw document, so that they find their mistakes even where others were found before.

use serde_json::Value;

use crate::problem::Problem;
use crate::template;

/// Longest name of a job, so that keys and metric dimensions made from it stay short.
const NAME_BYTES_MAX: usize = 64;

/// Adds what is wrong with the sense of `document` as a job.
pub(super) fn problems(document: &Value, problems: &mut Vec<Problem>) {
    if let Some(name) = text(document, "/name") {
        name_is_plain(name, problems);
    }
    if let Some(objects) = document.pointer("/source/objects") {
        separator_has_one_reading(objects, problems);
        header_needs_csv(objects, problems);
    }
    if let Some(range) = document.pointer("/source/range") {
        range_has_a_direction(range, problems);
    }
    if let Some(items) = document.pointer("/source/items") {
        exactly_one(items, "source.items", ["values", "uri"], problems);
    }
    if let Some(task) = document.get("task").filter(|task| task.is_object()) {
        exactly_one(task, "task", ["command", "name"], problems);
        if task.get("command").is_some() && task.get("args").is_some() {
            problems.push(Problem::new(
                "task.args",
                "goes with a task's name; a command has its arguments in the list itself",
            ));
        }
    }
    if let Some(uri) = text(document, "/output/uri") {
        problems.extend(
            template::problems(uri)
                .into_iter()
                .map(|problem| Problem { path: "output.uri".into(), ..problem }),
        );
        if uri.ends_with('/') || uri.strip_prefix("s3://").is_some_and(|rest| !rest.contains('/')) {
            problems.push(Problem::new("output.uri", format!("must name one object, not a prefix: '{uri}'")));
        }
    }
}

fn text<'v>(document: &'v Value, pointer: &str) -> Option<&'v str> {
    document.pointer(pointer).and_then(Value::as_str)
}

fn name_is_plain(name: &str, problems: &mut Vec<Problem>) {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain {
        let message =
            format!("must be 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' or '-', not \"{name}\"");
        problems.push(Problem::new("name", message));
    }
}

/// A separator that overlaps itself ("\n\n" in "\n\n\n") could be read in two ways, depending on where reading starts.
fn separator_has_one_reading(objects: &Value, problems: &mut Vec<Problem>) {
    let Some(separator) = text(objects, "/split/separator") else { return };
    let bytes = separator.as_bytes();
    let path = "source.objects.split.separator";
    if bytes.is_empty() {
        problems.push(Problem::new(path, "must have at least one character"));
    } else if (1..bytes.len()).any(|shift| bytes.starts_with(&bytes[shift..])) {
        let message = format!(
            "{separator:?} overlaps itself, so a border could be read in two ways; use one that begins and ends differently"
        );
        problems.push(Problem::new(path, message));
    }
}

fn header_needs_csv(objects: &Value, problems: &mut Vec<Problem>) {
    let header = objects.get("header").and_then(Value::as_bool).unwrap_or(false);
    if header && text(objects, "/split") != Some("csv") {
        problems.push(Problem::new("source.objects.header", "goes with \"split\": \"csv\""));
    }
}

fn range_has_a_direction(range: &Value, problems: &mut Vec<Problem>) {
    let start = range.get("start").and_then(Value::as_u64).unwrap_or(0);
    let Some(end) = range.get("end").and_then(Value::as_u64) else { return };
    if end < start {
        problems.push(Problem::new(
            "source.range.end",
            format!("must not be below start ({start}), but is {end}"),
        ));
    }
}

fn exactly_one(object: &Value, path: &str, [left, right]: [&str; 2], problems: &mut Vec<Problem>) {
    let given = |name| object.get(name).is_some_and(|value| !value.is_null());
    match (given(left), given(right)) {
        (true, true) => {
            problems.push(Problem::new(path, format!("must have either '{left}' or '{right}', not both")));
        }
        (false, false) => {
            problems.push(Problem::new(path, format!("must have either '{left}' or '{right}'")));
        }
        (true, false) | (false, true) => {}
    }
}
