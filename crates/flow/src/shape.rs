//! Checks a JSON document against a schema made from our own types, and finds **all** that is wrong with it.
//!
//! Serde stops at the first mistake and general validators say "valid under none of the given schemas". This walker knows
//! only the keywords that schemars writes for our types, and can therefore say which field, what was found, what would
//! be right, and which name was probably meant.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::problem::{Problem, nearest};
use crate::size::{ByteCount, Tolerance};
use crate::uri::ObjectUri;

/// What is wrong with the shape of `document` as a `T`: unknown and missing fields, wrong types, impossible values.
pub fn problems<T: JsonSchema>(document: &Value) -> Vec<Problem> {
    let root = schemars::schema_for!(T).to_value();
    let mut walk = Walk { root: &root, problems: Vec::new() };
    walk.value(&root, document, "");
    walk.problems
}

struct Walk<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
}

impl<'s> Walk<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, path: &str) {
        let schema = self.resolve(schema);
        if let Some(branches) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
        {
            return self.choice(branches, value, path);
        }
        if let Some(only) = schema.get("const") {
            if value != only {
                self.add(path, format!("must be {only}, not {}", shown(value)));
            }
            return;
        }
        if !self.has_right_type(schema, value, path) {
            return;
        }
        self.bounds(schema, value, path);
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(entries) => self.array(schema, entries, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn add(&mut self, path: &str, message: String) {
        self.problems.push(Problem::new(path, message));
    }

    fn has_right_type(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        let wanted = type_names(schema);
        if wanted.is_empty() || wanted.iter().any(|name| is_of_type(value, name)) {
            return true;
        }
        self.add(path, format!("must be {}, not {}", wanted.join(" or "), shown(value)));
        false
    }

    fn bounds(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        if let Some(least) = schema.get("minimum").and_then(Value::as_f64)
            && number < least
        {
            self.add(path, format!("must be {least} or more, not {number}"));
        }
        if let Some(most) = schema.get("maximum").and_then(Value::as_f64)
            && number > most
        {
            self.add(path, format!("must be {most} or less, not {number}"));
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
            "s3-uri" => text.parse::<ObjectUri>().err().map(|error| error.to_string()),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.add(path, refusal);
        }
        let names: Vec<&str> = schema
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !names.is_empty() && !names.contains(&text) {
            self.not_among(path, text, &names);
        }
    }

    fn not_among(&mut self, path: &str, text: &str, names: &[&str]) {
        let message = format!("must be {}, not \"{text}\"", one_of(names));
        self.problems.push(Problem::new(path, message).meaning(nearest(text, names.iter().copied())));
    }

    fn array(&mut self, schema: &'s Value, entries: &[Value], path: &str) {
        if let Some(least) = schema.get("minItems").and_then(Value::as_u64)
            && (entries.len() as u64) < least
        {
            self.add(path, format!("must hold {least} or more, not {}", entries.len()));
        }
        let Some(entry_schema) = schema.get("items") else { return };
        for (position, entry) in entries.iter().enumerate() {
            self.value(entry_schema, entry, &format!("{path}[{position}]"));
        }
    }

    fn object(&mut self, schema: &'s Value, fields: &Map<String, Value>, path: &str) {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object);
        let names: Vec<&str> = known.unwrap_or(&empty).keys().map(String::as_str).collect();
        let rest = schema.get("additionalProperties");
        for (name, value) in fields {
            let below = join(path, name);
            match (known.and_then(|known| known.get(name)), rest) {
                (Some(field), _) => self.value(field, value, &below),
                (None, Some(Value::Bool(false))) => {
                    let message = format!("is unknown; the fields here are {}", names.join(", "));
                    self.problems
                        .push(Problem::new(below, message).meaning(nearest(name, names.iter().copied())));
                }
                (None, Some(field)) if field.is_object() => self.value(field, value, &below),
                (None, _) => {}
            }
        }
        for name in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !fields.contains_key(name) {
                self.add(&join(path, name), "is missing".to_owned());
            }
        }
    }

    /// An enum: texts for variants without content, objects of one field for those with content; or a value that may be null.
    fn choice(&mut self, branches: &'s [Value], value: &Value, path: &str) {
        let branches: Vec<&Value> = branches.iter().map(|branch| self.resolve(branch)).collect();
        let mut fitting = branches.iter().copied().filter(|branch| fits(branch, value));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => return self.value(only, value, path),
            (Some(_), Some(_)) => {}
            (None, _) => return self.no_branch(&branches, value, path),
        }
        let tagged: BTreeMap<&str, &Value> =
            branches.iter().filter_map(|branch| Some((tag(branch)?, *branch))).collect();
        let known: Vec<&str> = branches.iter().flat_map(|branch| texts(branch)).collect();
        match value {
            Value::String(text) if known.contains(&text.as_str()) => {}
            Value::String(text) => self.not_among(path, text, &known),
            Value::Object(fields) => {
                let chosen: Vec<&&Value> =
                    fields.keys().filter_map(|name| tagged.get(name.as_str())).collect();
                let names: Vec<&str> = tagged.keys().copied().collect();
                match chosen.as_slice() {
                    [one] => self.value(one, value, path),
                    [] => {
                        let given = fields.keys().next().map_or("", String::as_str);
                        let message =
                            format!("must have the one field {}, not {}", one_of(&names), shown(value));
                        self.problems
                            .push(Problem::new(path, message).meaning(nearest(given, names.iter().copied())));
                    }
                    _ => self.add(path, format!("must have only one of the fields {}", names.join(", "))),
                }
            }
            _ => {}
        }
    }

    fn no_branch(&mut self, branches: &[&Value], value: &Value, path: &str) {
        let known: Vec<&str> = branches.iter().flat_map(|branch| texts(branch)).collect();
        let mut wanted: Vec<String> = known.iter().map(|text| format!("\"{text}\"")).collect();
        for branch in branches {
            match tag(branch) {
                Some(name) => wanted.push(format!("{{\"{name}\": …}}")),
                None if texts(branch).is_empty() => {
                    wanted.extend(type_names(branch).iter().map(|name| (*name).to_owned()));
                }
                None => {}
            }
        }
        wanted.dedup();
        self.add(path, format!("must be {}, not {}", wanted.join(" or "), shown(value)));
    }
}

/// The field that tells this branch of an enum from the others.
fn tag(branch: &Value) -> Option<&str> {
    let required = branch.get("required")?.as_array()?;
    let single = branch.get("properties")?.as_object()?.len() == 1;
    required.first().and_then(Value::as_str).filter(|_| single && required.len() == 1)
}

fn texts(branch: &Value) -> Vec<&str> {
    let many = branch.get("enum").and_then(Value::as_array).into_iter().flatten();
    branch.get("const").into_iter().chain(many).filter_map(Value::as_str).collect()
}

fn fits(branch: &Value, value: &Value) -> bool {
    let names = type_names(branch);
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
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(" or ")
}

/// A value as a message shows it: short.
fn shown(value: &Value) -> String {
    const SHOWN_CHARACTERS: usize = 40;
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        other => {
            let text = other.to_string();
            if text.chars().count() <= SHOWN_CHARACTERS {
                return text;
            }
            text.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
        }
    }
}
