//! One item of a job's own list.

use std::borrow::Cow;

use fanfold_records::json::one_line;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Any JSON value, byte for byte as it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item(Box<RawValue>);

impl Item {
    /// The line that a program gets: the item as it was written, or, if it was written on several lines, without the white space
    /// between its tokens.
    pub fn line(&self) -> Cow<'_, str> {
        one_line(self.0.get())
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl JsonSchema for Item {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Item".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}
