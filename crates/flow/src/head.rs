//! What stands before the records.

use fanfold_records::HeadRule;
use serde::{Deserialize, Serialize};

use crate::literal::Literal;

/// What stands before an object's first record, as the job's first object has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Lines that are skipped, and comments. Other objects may have others.
    #[serde(default, skip_serializing_if = "Literal::is_empty")]
    pub preamble: Literal,
    /// The header. All objects have the same.
    pub header: Literal,
    /// What of an object is its head.
    pub rule: HeadRule,
}

impl Head {
    /// Its bytes, which every process gets first.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.preamble.0[..], &self.header.0].concat()
    }

    /// How many bytes its JSON has.
    pub fn json_bytes(&self) -> u64 {
        self.preamble.json_bytes() + self.header.json_bytes()
    }
}
