//! What no schema says about a job: which fields go together, and what texts mean.
//!
//! These checks read the raw document, so that they find their mistakes even where others were found before.

use serde_json::Value;

use crate::limits::CHUNKS_MAX;
use crate::problem::Problem;
use crate::template::UriTemplate;
use crate::{shape, template};

mod triggers;

/// Longest name of a job, so that keys and metric dimensions made from it stay short.
const NAME_BYTES_MAX: usize = 64;

/// Longest separator, since each worker's payload has it.
const SEPARATOR_BYTES_MAX: usize = 1_024;

/// Adds what is wrong with the sense of `document` as a job.
pub(super) fn problems(document: &Value, problems: &mut Vec<Problem>) {
    if let Some(name) = text(document, "/name") {
        name_is_plain(name, problems);
    }
    if let Some(objects) = document.pointer("/source/objects") {
        separator_has_one_reading(objects, problems);
        head_needs_records(objects, problems);
        mark_is_of_a_line(objects, problems);
    }
    if let Some(range) = document.pointer("/source/range") {
        range_makes_chunks(range, problems);
    }
    if let Some(items) = document.pointer("/source/items").filter(|items| items.is_object()) {
        exactly_one(items, "source.items", ["values", "uri"], problems);
        if let Some(uri) = text(items, "/uri") {
            names_one_object(uri, "source.items.uri", problems);
        }
    }
    if let Some(task) = document.get("task").filter(|task| task.is_object()) {
        task_can_start(task, problems);
    }
    if let Some(uri) = text(document, "/output/uri") {
        names_one_object(uri, "output.uri", problems);
    }
    problems.extend(template::problems(document));
    triggers::problems(document, problems);
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
        problems.push(Problem::new(path, "must have one character or more"));
    } else if bytes.len() > SEPARATOR_BYTES_MAX {
        let message = format!("must have at most {SEPARATOR_BYTES_MAX} bytes, not {}", bytes.len());
        problems.push(Problem::new(path, message));
    } else if (1..bytes.len()).any(|shift| bytes.starts_with(&bytes[shift..])) {
        let message = format!(
            "{separator:?} overlaps itself, so a border could be read in two ways; use one that begins and ends differently"
        );
        problems.push(Problem::new(path, message));
    }
}

fn head_needs_records(objects: &Value, problems: &mut Vec<Problem>) {
    let is_asked_for = match objects.get("header") {
        Some(Value::Bool(header)) => *header,
        Some(Value::Number(records)) => records.as_u64() != Some(0),
        _ => false,
    };
    if is_asked_for && text(objects, "/split") == Some("none") {
        let message = "needs records, and \"split\": \"none\" has none; choose another split, such as \"csv\" or \"lines\"";
        problems.push(Problem::new("source.objects.header", message));
    }
}

fn mark_is_of_a_line(objects: &Value, problems: &mut Vec<Problem>) {
    let Some(mark) = text(objects, "/split/begins_with") else { return };
    let path = "source.objects.split.begins_with";
    if mark.is_empty() {
        problems.push(Problem::new(path, "must have one character or more"));
    } else if mark.len() > SEPARATOR_BYTES_MAX {
        let message = format!("must have at most {SEPARATOR_BYTES_MAX} bytes, not {}", mark.len());
        problems.push(Problem::new(path, message));
    } else if mark.contains('\n') {
        problems.push(Problem::new(path, "must be a part of one line, without a line feed"));
    }
}

fn range_makes_chunks(range: &Value, problems: &mut Vec<Problem>) {
    let start = range.get("start").and_then(Value::as_u64).unwrap_or(0);
    let Some(end) = range.get("end").and_then(Value::as_u64) else { return };
    if end < start {
        let message = format!("must not be below start ({start}), but is {end}");
        problems.push(Problem::new("source.range.end", message));
        return;
    }
    let chunk = range.get("chunk").and_then(Value::as_u64).unwrap_or(0);
    if chunk > 0 && (end - start).div_ceil(chunk) > CHUNKS_MAX {
        let message = format!(
            "must be {} or more here: {chunk} would give {} chunks, and a job has at most {CHUNKS_MAX}",
            (end - start).div_ceil(CHUNKS_MAX),
            (end - start).div_ceil(chunk),
        );
        problems.push(Problem::new("source.range.chunk", message));
    }
}

fn task_can_start(task: &Value, problems: &mut Vec<Problem>) {
    exactly_one(task, "task", ["command", "name"], problems);
    let given = |name| task.get(name).is_some_and(|value| !value.is_null());
    if given("command") && given("args") {
        problems.push(Problem::new(
            "task.args",
            "goes with a task's name; a command has its arguments in the list itself",
        ));
    }
    if text(task, "/command/0") == Some("") {
        problems.push(Problem::new("task.command[0]", "must name a program, but is empty"));
    }
    if text(task, "/name") == Some("") {
        problems.push(Problem::new("task.name", "must name a registered task, but is empty"));
    }
    for list in ["command", "args"] {
        let entries = task.get(list).and_then(Value::as_array).into_iter().flatten();
        for (position, entry) in entries.enumerate() {
            has_no_nul(entry, &format!("task.{list}[{position}]"), problems);
        }
    }
    for (name, value) in task.get("environment").and_then(Value::as_object).into_iter().flatten() {
        let path = shape::join("task.environment", name);
        if name.is_empty() || name.contains(['=', '\0']) {
            let message =
                "is no name of a variable; it must have one character or more, and neither '=' nor NUL";
            problems.push(Problem::new(&path, message));
        } else if name.starts_with("FANFOLD_") {
            let message = "is set by Fanfold itself; choose a name that does not begin with FANFOLD_";
            problems.push(Problem::new(&path, message));
        }
        has_no_nul(value, &path, problems);
    }
}

/// The system ends arguments and variables at a NUL, so no program could be given one.
fn has_no_nul(value: &Value, path: &str, problems: &mut Vec<Problem>) {
    if value.as_str().is_some_and(|text| text.contains('\0')) {
        problems.push(Problem::new(path, "must not contain a NUL character"));
    }
}

fn names_one_object(uri: &str, path: &str, problems: &mut Vec<Problem>) {
    let Ok(template) = uri.parse::<UriTemplate>() else { return };
    if template.key().is_empty() || template.key().ends_with('/') {
        problems.push(Problem::new(path, format!("must name one object, not a prefix: '{uri}'")));
    }
}

fn exactly_one(object: &Value, path: &str, [left, right]: [&str; 2], problems: &mut Vec<Problem>) {
    let misspelt = |name| {
        problems.iter().any(|problem| {
            problem.suggestion.as_deref() == Some(name)
                && problem.path.rsplit_once('.').is_some_and(|(above, _)| above == path)
        })
    };
    let given = |name| object.get(name).is_some_and(|value| !value.is_null()) || misspelt(name);
    match (given(left), given(right)) {
        (true, true) => {
            problems.push(Problem::new(path, format!("must have '{left}' or '{right}', not both")));
        }
        (false, false) => {
            problems.push(Problem::new(path, format!("must have '{left}' or '{right}', but has neither")));
        }
        (true, false) | (false, true) => {}
    }
}
