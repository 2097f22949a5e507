//! What a process left.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chunk::ObjectVersion;
use crate::crc::Crc64;
use crate::literal::Literal;
use crate::shared::{self, Known};

/// What a process left of one chunk: where its result is, how long it is, and proof of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkResult {
    /// The chunk's index.
    pub index: u64,
    /// The chunk's cut.
    #[serde(default)]
    pub cut: u32,
    /// The hop of its partition in which it was made.
    #[serde(default)]
    pub hop: u32,
    /// Which try at that hop made it, from 1.
    pub attempt: u32,
    /// Where its bytes are; none when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// For format `csv`: the header that the result began with. It is not among the result's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shared::option")]
    pub header: Option<Arc<Literal>>,
    /// How many records the process was given.
    pub records: u64,
    /// The bytes of its object that those records really took, aligned; none for sources without objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Aligned>,
    /// How many bytes the process was given, header included.
    pub bytes_in: u64,
    /// How many bytes it printed, before anything was taken off or compressed.
    #[serde(default)]
    pub bytes_out: u64,
    /// When the process started, in milliseconds since 1970 (UTC).
    pub started_ms: i64,
    /// How long it ran, in milliseconds.
    pub wall_ms: u64,
}

impl ChunkResult {
    /// How many bytes of the output are this result's, as stored, separator aside.
    pub fn bytes(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.bytes)
    }
}

/// A result's bytes, as they stand in an object of their own or in a stretch of one.
///
/// ```text
/// ... | lead | bytes, from offset on | separator | ...
/// ```
/// Only what counts is among the `bytes`: a CSV header and the brackets of a JSON array are taken off while the result
/// streams. What the output has before its first result may stand before them, as a lead, so that the output can take it
/// from here should this be the first. After them a `separator` may follow (a line feed that the result lacked, a comma),
/// which belongs to the output unless no later result has any bytes; behind the job's last chunk it is what the output ends with,
/// which belongs to it in any case.
///
/// Where the output is compressed, all three are stored as [members](crate::member).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The object, as it was written.
    #[serde(with = "shared")]
    pub object: Arc<ObjectVersion>,
    /// How many bytes right before `offset` are the lead; 0 where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lead_bytes: u64,
    /// Where the result begins in it.
    pub offset: u64,
    /// How long the result is as stored, lead and separator aside.
    pub bytes: u64,
    /// The CRC64NVME of those bytes.
    pub crc: Crc64,
    /// What stands behind them, before it was compressed.
    #[serde(default, skip_serializing_if = "Literal::is_empty")]
    pub separator: Literal,
}

/// Has results that stand in one object, or begin with the same header, have that in memory once. Whoever holds many results
/// holds them so: of two small ones in a row, most often both are the same.
pub fn share<'a>(results: impl IntoIterator<Item = &'a mut ChunkResult>) {
    let (mut objects, mut headers) = (Known::new(), Known::new());
    for result in results {
        if let Some(stored) = &mut result.stored {
            objects.share(&mut stored.object);
        }
        if let Some(header) = &mut result.header {
            headers.share(header);
        }
    }
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// The bytes of an object that a chunk's records really took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aligned {
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(key: &str) -> ChunkResult {
        let uri = crate::uri::ObjectUri::new("work", key);
        let stored = Stored {
            object: Arc::new(ObjectVersion { uri, etag: "etag".to_owned(), bytes: 9 }),
            lead_bytes: 0,
            offset: 1,
            bytes: 2,
            crc: Crc64(3),
            separator: Literal::default(),
        };
        ChunkResult {
            index: 0,
            cut: 0,
            hop: 0,
            attempt: 1,
            stored: Some(stored),
            header: Some(Arc::new(b"a,b\n"[..].into())),
            records: 1,
            input: None,
            bytes_in: 0,
            bytes_out: 2,
            started_ms: 0,
            wall_ms: 1,
        }
    }

    #[test]
    fn what_results_have_in_common_is_in_memory_once_and_they_say_the_same() {
        let before = ["pack", "pack", "alone"].map(result);
        let mut results = before.clone();
        share(&mut results);
        assert_eq!(results, before);
        let object = |result: &ChunkResult| Arc::as_ptr(&result.stored.as_ref().unwrap().object);
        assert_eq!(object(&results[0]), object(&results[1]));
        assert_ne!(object(&results[0]), object(&results[2]));
        let header = |result: &ChunkResult| Arc::as_ptr(result.header.as_ref().unwrap());
        assert_eq!(header(&results[0]), header(&results[2]));
        let json = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Vec<ChunkResult>>(&json).unwrap(), before);
    }
}
