//! Bytes that stand in an artefact itself.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A few bytes inside an artefact: a CSV header, a bracket. In JSON a string where they are UTF-8, so that people can
/// read them, and `{"base64": "…"}` where they are not, so that nothing is lost.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Literal(pub Vec<u8>);

impl Literal {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// How many bytes its JSON has.
    pub fn json_bytes(&self) -> u64 {
        serde_json::to_string(self).map_or(u64::MAX, |json| json.len() as u64)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Literal {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Binary { base64: String },
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Written::Binary { base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Binary { base64 } => STANDARD.decode(base64).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_survive_json(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let json = serde_json::to_string(&Literal(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Literal>(&json).unwrap().0, bytes);
        }
    }
}
