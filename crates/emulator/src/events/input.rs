//! What a target is given: the event, a part of it, a constant, or a text made from it. Rules: "Amazon EventBridge input
//! transformation" in the EventBridge user guide.

use std::collections::BTreeMap;

use serde_json::Value;

use super::path::Path;

/// What a target is given of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The event itself.
    Event,
    /// A part of it.
    Part(Path),
    /// Always this JSON.
    Constant(String),
    /// A text with parts of the event filled in.
    Template {
        /// Where the values of names in the text come from.
        paths: BTreeMap<String, Path>,
        /// The text, with names in angle brackets.
        text: String,
    },
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template names <{0}>, which is in no InputPathsMap")]
pub struct TemplateError(pub String);

/// Why a target cannot be given what it is to have of this event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The event lacks what a path names.
    #[error("the event has nothing at {0}")]
    Missing(String),
    /// What came out of the template cannot be an event.
    #[error("the template gives no JSON, but: {0}")]
    NotJson(String),
}

/// What is known of an event besides itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    pub(crate) event: &'a Value,
    pub(crate) rule_name: &'a str,
    pub(crate) rule_arn: &'a str,
    /// RFC 3339.
    pub(crate) ingested: &'a str,
}

/// Names that are filled in without a path.
const PREDEFINED: [&str; 5] = [
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
];

impl Input {
    /// A template all of whose names are known.
    ///
    /// # Errors
    /// A name stands for nothing.
    pub fn template(paths: BTreeMap<String, Path>, text: String) -> Result<Self, TemplateError> {
        let unknown = Pieces::new(&text).find_map(|piece| match piece {
            Piece::Name(name, _) if !paths.contains_key(name) && !PREDEFINED.contains(&name) => {
                Some(name.to_owned())
            }
            Piece::Name(..) | Piece::Text(_) => None,
        });
        unknown.map_or_else(|| Ok(Self::Template { paths, text }), |name| Err(TemplateError(name)))
    }

    /// What the target is given: JSON.
    pub(crate) fn payload(&self, occasion: Occasion<'_>) -> Result<String, InputError> {
        match self {
            Self::Event => Ok(occasion.event.to_string()),
            Self::Part(path) => {
                let part = path.find(occasion.event);
                part.map(Value::to_string).ok_or_else(|| InputError::Missing(path.as_str().to_owned()))
            }
            Self::Constant(text) => Ok(text.clone()),
            Self::Template { paths, text } => fill(text, paths, occasion),
        }
    }
}

fn fill(text: &str, paths: &BTreeMap<String, Path>, occasion: Occasion<'_>) -> Result<String, InputError> {
    let mut filled = String::with_capacity(text.len());
    for piece in Pieces::new(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Name(name, place) => {
                let value = value_of(name, paths, occasion);
                match (value, place) {
                    (Some(value), Place::Value) => filled.push_str(&value.to_string()),
                    (Some(value), Place::Quoted) => filled.push_str(&within_quotes(&value)),
                    (Some(value), Place::Text) => filled.push_str(&as_text(&value)),
                    // What is not there leaves nothing within a text. Where it is the whole value, what EventBridge makes
                    // of it is not documented.
                    (None, Place::Quoted | Place::Text) => {}
                    (None, Place::Value) => {
                        let path = paths.get(name).map_or(name, Path::as_str);
                        return Err(InputError::Missing(path.to_owned()));
                    }
                }
            }
        }
    }
    if !is_json(text) {
        return Ok(Value::String(filled).to_string());
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&filled) {
        Ok(_) => Ok(filled),
        Err(_) => Err(InputError::NotJson(filled)),
    }
}

/// Whether a template is JSON with names in it, or else a text, which becomes one JSON text.
fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '[', '"']) || Pieces::name(text).is_some_and(|name| name.len() + 2 == text.len())
}

fn value_of(name: &str, paths: &BTreeMap<String, Path>, occasion: Occasion<'_>) -> Option<Value> {
    if let Some(path) = paths.get(name) {
        return path.find(occasion.event).cloned();
    }
    match name {
        "aws.events.rule-arn" => Some(occasion.rule_arn.into()),
        "aws.events.rule-name" => Some(occasion.rule_name.into()),
        "aws.events.event.ingestion-time" => Some(occasion.ingested.into()),
        "aws.events.event.json" => Some(occasion.event.clone()),
        "aws.events.event" => {
            let mut event = occasion.event.clone();
            if let Some(fields) = event.as_object_mut() {
                fields.remove("detail");
            }
            Some(event)
        }
        _ => None,
    }
}

/// The value as a part of a JSON text.
fn within_quotes(value: &Value) -> String {
    let quoted = Value::String(as_text(value)).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Where in a template a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where JSON has a value.
    Value,
    /// Within a text of JSON.
    Quoted,
    /// In a template that is no JSON.
    Text,
}

enum Piece<'text> {
    Text(&'text str),
    Name(&'text str, Place),
}

/// A template's pieces, in order.
struct Pieces<'text> {
    rest: &'text str,
    place: Place,
}

impl<'text> Pieces<'text> {
    fn new(text: &'text str) -> Self {
        Self { rest: text, place: if is_json(text) { Place::Value } else { Place::Text } }
    }

    /// The name that `rest` begins with, in its brackets.
    fn name(rest: &str) -> Option<&str> {
        let (name, _) = rest.strip_prefix('<')?.split_once('>')?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (!name.is_empty() && name.bytes().all(known)).then_some(name)
    }
}

impl<'text> Iterator for Pieces<'text> {
    type Item = Piece<'text>;

    fn next(&mut self) -> Option<Piece<'text>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(name) = Self::name(self.rest) {
            self.rest = &self.rest[name.len() + 2..];
            return Some(Piece::Name(name, self.place));
        }
        let mut escaped = false;
        let mut end = self.rest.len();
        for (at, character) in self.rest.char_indices() {
            if at > 0 && character == '<' && Self::name(&self.rest[at..]).is_some() {
                end = at;
                break;
            }
            if character == '"' && !escaped {
                self.place = match self.place {
                    Place::Value => Place::Quoted,
                    Place::Quoted => Place::Value,
                    Place::Text => Place::Text,
                };
            }
            escaped = character == '\\' && !escaped;
        }
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Piece::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(input: &Input) -> Result<String, InputError> {
        let event = json!({ "id": "e\"1", "n": 3, "list": ["a"], "detail": { "key": "x y" } });
        let occasion = Occasion { event: &event, rule_name: "r", rule_arn: "arn:r", ingested: "now" };
        input.payload(occasion)
    }

    fn template(text: &str) -> Input {
        let paths = [("id", "$.id"), ("n", "$.n"), ("detail", "$.detail"), ("none", "$.none")];
        let paths = paths.map(|(name, path)| (name.to_owned(), Path::read(path).unwrap()));
        Input::template(paths.into(), text.to_owned()).unwrap()
    }

    #[test]
    fn a_target_is_given_the_event_a_part_or_a_constant() {
        assert!(payload(&Input::Event).unwrap().contains("\"detail\""));
        assert_eq!(payload(&Input::Part(Path::read("$.detail").unwrap())).unwrap(), r#"{"key":"x y"}"#);
        assert_eq!(payload(&Input::Constant("{\"a\": 1}".into())).unwrap(), "{\"a\": 1}");
        let nothing = Input::Part(Path::read("$.none.more").unwrap());
        assert_eq!(payload(&nothing).unwrap_err().to_string(), "the event has nothing at $.none.more");
    }

    #[test]
    fn names_outside_of_quotes_become_json_and_within_quotes_text() {
        for (text, filled) in [
            (r#"{"a":<id>,"b":<n>,"c":<detail>}"#, json!({ "a": "e\"1", "b": 3, "c": { "key": "x y" } })),
            (r#"{"a":"id is <id>, n is <n>"}"#, json!({ "a": "id is e\"1, n is 3" })),
            (r#"{"a":"\"<n>\" <none>."}"#, json!({ "a": "\"3\" ." })),
            (r#"{"a":"1 < 2 > <>"}"#, json!({ "a": "1 < 2 > <>" })),
            (r#"[<aws.events.rule-name>,<aws.events.rule-arn>]"#, json!(["r", "arn:r"])),
            ("<aws.events.event>", json!({ "id": "e\"1", "n": 3, "list": ["a"] })),
            ("n is <n>", json!("n is 3")),
            ("<id> has \"<n>\"", json!("e\"1 has \"3\"")),
            ("\"n is <n>\"", json!("n is 3")),
        ] {
            let given = payload(&template(text)).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&given).unwrap(), filled, "{text}");
        }
        let whole = payload(&template("{\"all\":<aws.events.event.json>}")).unwrap();
        assert!(whole.contains("\"detail\""), "{whole}");
    }

    #[test]
    fn a_template_that_cannot_be_filled_in_is_told() {
        assert_eq!(payload(&template("{\"a\":<none>}")).unwrap_err(), InputError::Missing("$.none".into()));
        assert!(matches!(payload(&template("{\"a\" <n>}")), Err(InputError::NotJson(_))));
        let error = Input::template(BTreeMap::new(), "{\"a\":<b>}".into()).unwrap_err();
        assert_eq!(error, TemplateError("b".into()));
    }
}
