//! Checks a JSON document against a schema made from our own types, and finds **all** that is wrong with it.
//!
//! Serde stops at the first mistake and general validators say "valid under none of the given schemas". This walker knows
//! only the keywords that schemars writes for our types, and can therefore say which field, what was found, what would
//! be right, and which name was probably meant.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::job::Letter;
use crate::problem::{Problem, nearest};
use crate::size::{ByteCount, Tolerance};
use crate::template::UriTemplate;
use crate::time::{Moment, Span};
use crate::written;

/// What is wrong with the shape of `document` as a `T`: unknown and missing fields, wrong types, impossible values.
pub fn problems<T: JsonSchema>(document: &Value) -> Vec<Problem> {
    let root = schemars::schema_for!(T).to_value();
    let mut walk = Walk { root: &root, problems: Vec::new() };
    walk.value(&root, document, "");
    walk.problems
}

/// The formats of our own types, which check their texts themselves.
const FORMATS: [&str; 6] = ["byte-count", "tolerance", "s3-uri", "date-time", "time-span", "letter"];

struct Walk<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
}

impl<'s> Walk<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, path: &str) {
        let schema = self.resolve(schema);
        let branches = self.branches(schema);
        if !branches.is_empty() {
            return self.choice(&branches, value, path);
        }
        if let Some(only) = schema.get("const") {
            if value != only {
                self.add(path, format!("must be {only}, not {}", shown(value)));
            }
            return;
        }
        if !fits(schema, value) {
            self.add(path, format!("must be {}, not {}", wanted(&[schema]), shown(value)));
            return;
        }
        match value {
            // Of a list of items, a schema asks nothing more.
            Value::Object(_) if written::is_list(value) => {}
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(entries) => self.array(schema, entries, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(_) => self.bounds(schema, value, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn add(&mut self, path: &str, message: String) {
        self.problems.push(Problem::new(path, message));
    }

    fn bounds(&mut self, schema: &Value, value: &Value, path: &str) {
        let (Some(number), (least, most)) = (whole(value), limits(schema)) else { return };
        if number < least || number > most {
            self.add(path, format!("must be {}, not {number}", whole_number(schema)));
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let refusal = match format {
            "byte-count" => match text.parse::<ByteCount>() {
                Ok(ByteCount(0)) => Some("must be 1 byte or more".to_owned()),
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
            "tolerance" => text.parse::<Tolerance>().err().map(|error| error.to_string()),
            "s3-uri" => text.parse::<UriTemplate>().err().map(|error| error.to_string()),
            "date-time" => text.parse::<Moment>().err().map(|error| error.to_string()),
            "time-span" => text.parse::<Span>().err().map(|error| error.to_string()),
            "letter" if Letter::of(text).is_none() => Some(format!(
                "must be {}, not {}",
                own_words(schema).unwrap_or_default(),
                shown(&text.into())
            )),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.add(path, refusal);
        }
    }

    fn array(&mut self, schema: &'s Value, entries: &[Value], path: &str) {
        if let Some(least) = schema.get("minItems").and_then(Value::as_u64)
            && (entries.len() as u64) < least
        {
            self.add(path, format!("must have {least} or more entries, not {}", entries.len()));
        }
        let Some(entry_schema) = schema.get("items") else { return };
        for (position, entry) in entries.iter().enumerate() {
            self.value(entry_schema, entry, &format!("{path}[{position}]"));
        }
    }

    fn object(&mut self, schema: &'s Value, fields: &Map<String, Value>, path: &str) {
        let known = schema.get("properties").and_then(Value::as_object);
        let mut names: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        names.sort_unstable();
        let rest = schema.get("additionalProperties");
        let mut meant = Vec::new();
        for (name, value) in fields {
            let below = join(path, name);
            match (known.and_then(|known| known.get(name)), rest) {
                (Some(field), _) => self.value(field, value, &below),
                (None, Some(Value::Bool(false))) => meant.extend(self.unknown(&below, name, &names)),
                (None, Some(field)) if field.is_object() => self.value(field, value, &below),
                (None, _) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            // A field that is there under a misspelt name is one mistake, not two.
            if !fields.contains_key(name) && !meant.contains(&name) {
                self.add(&join(path, name), "is missing".to_owned());
            }
        }
    }

    /// Adds that a field is unknown; returns the name that was probably meant.
    fn unknown<'n>(&mut self, path: &str, name: &str, names: &[&'n str]) -> Option<&'n str> {
        let meant = nearest(name, names.iter().copied());
        let message = match names {
            [] => "is unknown; there are no fields here".to_owned(),
            [only] => format!("is unknown; the one field here is {only}"),
            names => format!("is unknown; the fields here are {}", names.join(", ")),
        };
        self.problems.push(Problem::new(path, message).meaning(meant));
        meant
    }

    /// What a value may be one of, references followed and choices within choices laid flat; empty where there is no choice.
    fn branches(&self, schema: &'s Value) -> Vec<&'s Value> {
        let choice = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
        let mut branches = Vec::new();
        for branch in choice.into_iter().flatten() {
            let branch = self.resolve(branch);
            match self.branches(branch).as_slice() {
                [] => branches.push(branch),
                within => branches.extend(within),
            }
        }
        branches
    }

    /// An enum: texts for variants without content, objects of one field for those with content; or a value that may be
    /// null, a number or a word, one or a list.
    fn choice(&mut self, branches: &[&'s Value], value: &Value, path: &str) {
        if let Value::Object(fields) = value
            && branches.iter().any(|branch| tag(branch).is_some())
        {
            return self.variant(branches, fields, path);
        }
        let fitting: Vec<&&Value> = branches.iter().filter(|branch| fits(branch, value)).collect();
        match fitting.as_slice() {
            [only] if only.get("const").is_none() => self.value(only, value, path),
            fitting if fitting.iter().any(|branch| branch.get("const").is_none_or(|only| only == value)) => {}
            _ => {
                let message = format!("must be {}, not {}", wanted(branches), shown(value));
                let texts = branches.iter().filter_map(|branch| branch.get("const").and_then(Value::as_str));
                let meant = value.as_str().and_then(|text| nearest(text, texts));
                self.problems.push(Problem::new(path, message).meaning(meant));
            }
        }
    }

    /// The variant of an enum that has content: an object with exactly one of these fields.
    fn variant(&mut self, branches: &[&'s Value], fields: &Map<String, Value>, path: &str) {
        let variants: Vec<(&str, &Value)> =
            branches.iter().filter_map(|branch| tag(branch).map(|name| (name, *branch))).collect();
        let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
        let mut given = Vec::new();
        for (name, value) in fields {
            match variants.iter().find(|(known, _)| known == name) {
                Some((known, branch)) => {
                    given.push(format!("\"{known}\""));
                    self.value(&branch["properties"][known], value, &join(path, name));
                }
                None => {
                    self.unknown(&join(path, name), name, &names);
                }
            }
        }
        if given.len() > 1 {
            let message = format!("must have only one of the fields {}", listed(&given, "and"));
            self.add(path, message);
        } else if fields.is_empty() {
            let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            self.add(path, format!("must have the field {}, but is empty", listed(&quoted, "or")));
        }
    }
}

/// The field that tells this branch of an enum from the others.
fn tag(branch: &Value) -> Option<&str> {
    let required = branch.get("required")?.as_array()?;
    let single = branch.get("properties")?.as_object()?.len() == 1;
    required.first().and_then(Value::as_str).filter(|_| single && required.len() == 1)
}

fn fits(schema: &Value, value: &Value) -> bool {
    let names = type_names(schema);
    names.is_empty() || names.iter().any(|name| is_of_type(value, name))
}

fn type_names(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object() && !written::is_list(value),
        "array" => value.is_array() || written::is_list(value),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        // Serde takes 1.0 for no whole number, so neither do we.
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => true,
    }
}

/// What a value could be, as a person would say it. That it could also be null is left out: leaving the field out is better.
fn wanted(branches: &[&Value]) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for branch in branches {
        match (branch.get("const"), tag(branch), own_words(branch)) {
            (Some(only), _, _) => kinds.push(only.to_string()),
            (None, Some(name), _) => kinds.push(format!("{{\"{name}\": …}}")),
            (None, None, Some(words)) => kinds.push(words.to_owned()),
            (None, None, None) => {
                let names = type_names(branch).into_iter().filter(|name| *name != "null");
                kinds.extend(names.map(|name| kind(name, branch)));
            }
        }
    }
    listed(&kinds, "or")
}

fn kind(type_name: &str, schema: &Value) -> String {
    match type_name {
        "object" => "an object".to_owned(),
        "array" if schema.pointer("/items/type").is_some_and(|name| name == "string") => {
            "a list of texts".to_owned()
        }
        "array" => "a list".to_owned(),
        "string" => "a text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => whole_number(schema),
        other => format!("a {other}"),
    }
}

/// How a type of ours that has a format of its own describes itself.
fn own_words(schema: &Value) -> Option<&str> {
    let format = schema.get("format")?.as_str()?;
    FORMATS.contains(&format).then(|| schema.get("description")?.as_str()).flatten()
}

fn whole_number(schema: &Value) -> String {
    match limits(schema) {
        (least, most) if most == i128::from(u64::MAX) => format!("a whole number of {least} or more"),
        (least, most) => format!("a whole number from {least} to {most}"),
    }
}

/// The least and the most that a whole number may be: what the schema says, within what its type can hold.
fn limits(schema: &Value) -> (i128, i128) {
    let format = schema.get("format").and_then(Value::as_str);
    let held = if format == Some("uint32") { i128::from(u32::MAX) } else { i128::from(u64::MAX) };
    let said = |name| schema.get(name).and_then(whole);
    (said("minimum").unwrap_or(0), said("maximum").unwrap_or(held).min(held))
}

fn whole(value: &Value) -> Option<i128> {
    value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from))
}

fn listed(entries: &[String], before_the_last: &str) -> String {
    match entries {
        [rest @ .., before, last] => {
            rest.iter().map(|entry| format!("{entry}, ")).collect::<String>()
                + &format!("{before} {before_the_last} {last}")
        }
        [only] => only.clone(),
        [] => String::new(),
    }
}

/// A field's path: `source.range`; a name that would not read as one word stands in brackets and quotes.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{name:?}]"),
    }
}

/// A value as a message shows it: short.
fn shown(value: &Value) -> String {
    const SHOWN_CHARACTERS: usize = 40;
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => {
            let text = other.to_string();
            if text.chars().count() <= SHOWN_CHARACTERS {
                return text;
            }
            text.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
        }
    }
}
