//! A payload in a few words, for the trace.

use std::fmt;

use serde_json::Value;

/// Most characters of a payload that is told as it is.
const CHARACTERS_MAX: usize = 160;

/// A payload that is shown in a few words.
pub(crate) struct Told<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload: Value = serde_json::from_slice(self.0).unwrap_or_default();
        let Some(given_up) = payload.get("requestPayload") else { return tell(&payload, f) };
        write!(f, "on failure ({}", payload["requestContext"]["condition"].as_str().unwrap_or("?"))?;
        if let Some(kind) = payload["responsePayload"]["errorType"].as_str() {
            write!(f, ", {kind}")?;
        }
        f.write_str("): ")?;
        tell(given_up, f)
    }
}

fn tell(payload: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let (Some(partition), Some(chunks)) = (payload["number"].as_u64(), payload["chunks"].as_array()) {
        write!(f, "partition p{partition}.h{}.a{} of", payload["hop"], payload["attempt"])?;
        return chunks.iter().try_for_each(|chunk| write!(f, " {}.{}", chunk["index"], chunk["cut"]));
    }
    let text = payload.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => write!(f, "{}…", &text[..end]),
        None => f.write_str(&text),
    }
}
