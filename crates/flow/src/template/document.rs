//! Where a job document may have placeholders, and what is wrong with those that it has.
//!
//! These checks read the raw document, so that they find their mistakes even where others were found before.

use serde_json::Value;

use super::address::is_of_a_glob;
use super::deployment::misnamed;
use super::{
    OBJECT_PLACEHOLDERS, UriTemplate, is_deployment, mentions_object, names, refusal, without_object,
};
use crate::problem::Problem;
use crate::shape;

/// What a text with placeholders is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The address of one object.
    Object,
    /// The address of one object, of a prefix, or of a glob, some of whose braces are no placeholders.
    Objects,
    /// A text that a program gets, with braces of its own.
    Task,
    /// A bucket's name, which must be known when the job is deployed.
    Bucket,
}

/// A text of a job document.
pub(super) struct Place {
    /// As messages name it.
    pub(super) path: String,
    /// As JSON names it.
    pub(super) pointer: String,
    pub(super) kind: Kind,
}

/// The places of a document that may have placeholders, whether there is a text or something else.
pub(super) fn places(document: &Value) -> Vec<Place> {
    let place = |path: &str, kind| Place {
        path: path.to_owned(),
        pointer: format!("/{}", path.replace('.', "/")),
        kind,
    };
    let mut places = vec![
        place("output.uri", Kind::Object),
        place("source.items.uri", Kind::Object),
        place("source.objects.uri", Kind::Objects),
        place("on_object_created.bucket", Kind::Bucket),
    ];
    for (path, kind) in
        [("source.objects.uri", Kind::Objects), ("task.command", Kind::Task), ("task.args", Kind::Task)]
    {
        let list = place(path, kind);
        let length = document.pointer(&list.pointer).and_then(Value::as_array).map_or(0, Vec::len);
        places.extend((0..length).map(|position| Place {
            path: format!("{path}[{position}]"),
            pointer: format!("{}/{position}", list.pointer),
            kind,
        }));
    }
    let variables = document.pointer("/task/environment").and_then(Value::as_object);
    places.extend(variables.into_iter().flatten().map(|(name, _)| Place {
        path: shape::join("task.environment", name),
        pointer: format!("/task/environment/{}", name.replace('~', "~0").replace('/', "~1")),
        kind: Kind::Task,
    }));
    places
}

/// What is wrong with the placeholders of a job document.
pub(crate) fn problems(document: &Value) -> Vec<Problem> {
    let with_object = document.get("on_object_created").is_some_and(|trigger| !trigger.is_null());
    let mut problems = Vec::new();
    for Place { path, pointer, kind } in places(document) {
        let Some(text) = document.pointer(&pointer).and_then(Value::as_str) else { continue };
        let found = match kind {
            Kind::Object => of_address(text, with_object, |_| false),
            Kind::Objects => of_address(text, with_object, is_of_a_glob),
            Kind::Task => of_task(text, with_object),
            Kind::Bucket => of_bucket(text),
        };
        problems.extend(found.into_iter().map(|problem| Problem { path: path.clone(), ..problem }));
    }
    problems
}

/// Whether one of a document's placeholders stands for the object that starts the run.
pub(crate) fn needs_object(document: &Value) -> bool {
    let texts = places(document).into_iter().filter_map(|place| document.pointer(&place.pointer)?.as_str());
    texts.into_iter().any(mentions_object)
}

fn of_address(text: &str, with_object: bool, is_text: impl Fn(&str) -> bool) -> Vec<Problem> {
    // Of what is no address, the shape of the document says so.
    let Ok(template) = text.parse::<UriTemplate>() else { return Vec::new() };
    let in_bucket = |name: &str| is_deployment(name) || name == "object_bucket";
    if let Some(name) = names(template.bucket()).find(|name| !in_bucket(name)) {
        let message = format!(
            "may hold {{deployment.NAME}} and {{object_bucket}} in its bucket's name, but not '{{{name}}}'"
        );
        return vec![Problem::new("", message)];
    }
    let names = names(text).filter(|name| !is_text(name));
    names
        .filter_map(|name| if is_deployment(name) { misspelt(name) } else { refusal(name, with_object) })
        .collect()
}

fn of_task(text: &str, with_object: bool) -> Vec<Problem> {
    let unfilled = |name: &&str| !with_object && OBJECT_PLACEHOLDERS.contains(name);
    names(text).filter(unfilled).map(without_object).collect()
}

fn of_bucket(text: &str) -> Vec<Problem> {
    let other = |name: &str| {
        let message = format!(
            "may hold {{deployment.NAME}}, but not '{{{name}}}': the bucket is known before there is a run"
        );
        Problem::new("", message)
    };
    let refusal = |name: &str| if is_deployment(name) { misspelt(name) } else { Some(other(name)) };
    names(text).filter_map(refusal).collect()
}

fn misspelt(name: &str) -> Option<Problem> {
    let message = format!("placeholder '{{{name}}}' must name a value with letters, digits, '_' and '-'");
    misnamed(name).then(|| Problem::new("", message))
}
