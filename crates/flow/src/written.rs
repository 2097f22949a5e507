//! Documents as JSON values in which a job's own items stay as they were written.
//!
//! A [`Value`] changes what it reads: numbers beyond 64 bits become fractions, keys are sorted, doubled keys are dropped, and
//! nesting ends at 128. For a job's fields that is right; its items are the user's data. So whoever reads a document reads it
//! through [`AsWritten`], which keeps the text of the list `source.items.values`, of a job or of a patch `with` for one, as one
//! string in the place of the list; whoever writes a document writes it through [`AsWritten`], which puts the text back.
//! In between, the document is changed, merged and checked as any other.
//!
//! The price: a document is scanned once for each level above the items, and a single item cannot be changed.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The one field of the object that stands for a list of items: its text.
const TEXT: &str = "$fanfold::items";

/// Where lists of items are.
const LISTS: [&[&str]; 2] = [&["source", "items", "values"], &["with", "source", "items", "values"]];

/// A document that keeps its items as they were written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AsWritten<V>(pub V);

impl<'de> Deserialize<'de> for AsWritten<Value> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        read(text.get(), &LISTS).map(Self).map_err(D::Error::custom)
    }
}

impl<V: Borrow<Value>> Serialize for AsWritten<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0.borrow();
        if let Some(items) = list(value).and_then(|text| serde_json::from_str::<&RawValue>(text).ok()) {
            return items.serialize(serializer);
        }
        match value {
            Value::Object(fields) => {
                let mut written = serializer.serialize_map(Some(fields.len()))?;
                for (name, field) in fields {
                    written.serialize_entry(name, &AsWritten(field))?;
                }
                written.end()
            }
            Value::Array(entries) => {
                let mut written = serializer.serialize_seq(Some(entries.len()))?;
                for entry in entries {
                    written.serialize_element(&AsWritten(entry))?;
                }
                written.end()
            }
            other => other.serialize(serializer),
        }
    }
}

impl<V: Borrow<Value>> std::fmt::Display for AsWritten<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let written =
            if f.alternate() { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        f.write_str(&written.map_err(|_| std::fmt::Error)?)
    }
}

/// Reads what is to stand at `path` of a document, such as `source.items`.
///
/// # Errors
/// When it is no JSON.
pub fn read_at(path: &str, text: &str) -> serde_json::Result<Value> {
    let names: Vec<&str> = path.split('.').collect();
    let lists: Vec<&[&str]> = LISTS.iter().filter_map(|list| list.strip_prefix(names.as_slice())).collect();
    read(text.trim_matches([' ', '\t', '\n', '\r']), &lists)
}

/// True if the value stands for a list of items, which is changed only as a whole.
pub fn is_list(value: &Value) -> bool {
    list(value).is_some()
}

fn list(value: &Value) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(TEXT)?.as_str()
}

/// Reads a text without white space around it, in which the lists are at these places.
fn read(text: &str, lists: &[&[&str]]) -> serde_json::Result<Value> {
    if lists.is_empty() {
        return serde_json::from_str(text);
    }
    if text.starts_with('[') && lists.iter().any(|list| list.is_empty()) {
        serde_json::from_str::<&RawValue>(text)?;
        return Ok(Value::Object(Map::from_iter([(TEXT.to_owned(), text.into())])));
    }
    if !text.starts_with('{') {
        return serde_json::from_str(text);
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
    let fields = fields.into_iter().map(|(name, value)| {
        let below = lists.iter().filter_map(|list| list.split_first().filter(|(first, _)| **first == name));
        let below: Vec<&[&str]> = below.map(|(_, rest)| rest).collect();
        Ok((name, read(value.get(), &below)?))
    });
    fields.collect::<serde_json::Result<Map<_, _>>>().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written_again(text: &str) -> String {
        AsWritten(&read_whole(text)).to_string()
    }

    fn read_whole(text: &str) -> Value {
        serde_json::from_str::<AsWritten<Value>>(text).unwrap().0
    }

    #[test]
    fn items_are_written_as_they_were_read_and_the_rest_as_ever() {
        let items = "[ 18446744073709551616, -0, 1.0E+2 ,{\"b\":1, \"a\":2,\"b\":3}, \"\\u0041\\ud800\" , {\"$fanfold::items\":\"x\"}\n]";
        for (before, behind) in [
            ("{\"source\":{\"items\":{\"values\":", "}}}"),
            ("{\"run\":\"r\",\"with\":{\"source\":{\"items\":{\"chunk\":2,\"values\":", "}}}}"),
        ] {
            assert_eq!(
                written_again(&format!("{before}{items}{behind}")),
                format!("{before}{items}{behind}")
            );
        }
        let elsewhere = "{\"source\": {\"values\": [1.0E+2]}, \"items\": {\"values\": [1e1]}}";
        assert_eq!(read_whole(elsewhere), serde_json::from_str::<Value>(elsewhere).unwrap());
    }

    #[test]
    fn what_is_no_list_is_left_for_the_job_to_refuse() {
        for text in ["null", "{}", "\"[]\"", "{\"values\":1}", "{\"values\":{\"a\":[]}}"] {
            let text = format!("{{\"source\":{{\"items\":{text}}}}}");
            assert_eq!(read_whole(&text), serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn a_field_is_read_as_within_its_document() {
        let whole = read_whole("{\"source\":{\"items\":{\"values\":[ 1.00 ]}}}");
        for (path, text) in [
            ("source", "{\"items\":{\"values\":[ 1.00 ]}}"),
            ("source.items", " {\"values\":[ 1.00 ]} "),
            ("source.items.values", "\n[ 1.00 ]"),
        ] {
            let read = read_at(path, text).unwrap();
            assert_eq!(Some(&read), whole.pointer(&format!("/{}", path.replace('.', "/"))));
        }
        assert_eq!(read_at("task.args", "[ 1.00 ]").unwrap(), json!([1.0]));
        assert!(read_at("source.items.values", "[ 1.00").is_err());
    }

    #[test]
    fn items_may_be_nested_deeper_than_values() {
        let text = format!(
            "{{\"source\":{{\"items\":{{\"values\":[{}{}]}}}}}}",
            "[".repeat(1_000),
            "]".repeat(1_000)
        );
        assert_eq!(written_again(&text), text);
    }

    proptest! {
        #[test]
        fn only_json_is_read(text in "[\\[\\]{}:,\"a1 -]{0,12}") {
            let whole = format!("{{\"source\":{{\"items\":{{\"values\":{text}}}}}}}");
            let is_json = serde_json::from_str::<Value>(&whole).is_ok();
            prop_assert_eq!(serde_json::from_str::<AsWritten<Value>>(&whole).is_ok(), is_json);
        }
    }
}
