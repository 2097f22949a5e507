//! What a job reads, and what one process over the whole of it would have written: worked out here in the plainest way, apart
//! from how Fanfold does it.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Value, json};

use super::BUCKET;

/// What a job reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// The job's `source`.
    pub source: Value,
    /// The object that it names, where it names one.
    pub object: Option<(String, Vec<u8>)>,
    /// What every process is given first.
    header: Vec<u8>,
    /// The records, in order.
    records: Vec<Record>,
    /// How many chunks it makes.
    pub chunks: u64,
    /// Whether the source has records, so that a chunk may be cut between two of them.
    pub has_records: bool,
    /// Whether a chunk would end where a line feed may stand within quotes, so that the job must be refused.
    pub cuts_a_record: bool,
}

#[derive(Clone, Debug)]
struct Record {
    /// The chunk in whose nominal range it begins.
    chunk: u64,
    bytes: Vec<u8>,
}

/// How results become one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One after the other.
    Bytes,
    /// The same, each with its last line feed.
    Lines,
    /// With one header.
    Csv,
    /// As one array.
    JsonArray,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Lines => "lines",
            Self::Csv => "csv",
            Self::JsonArray => "json-array",
        }
    }
}

impl Input {
    /// Any source.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        match random.u32(..20) {
            0..7 => Self::lines(random),
            7..10 => Self::csv(random),
            10..13 => Self::items(random),
            13..15 => Self::item_lines(random),
            15 => Self::undivided(random),
            _ => Self::range(0, random.u64(..80), random.u64(1..=6)),
        }
    }

    /// The numbers from `start` up to `end`, so many to a chunk.
    pub(crate) fn range(start: u64, end: u64, chunk: u64) -> Self {
        let number =
            |number: u64| Record { chunk: (number - start) / chunk, bytes: format!("{number}\n").into() };
        let records: Vec<Record> = (start..end).map(number).collect();
        Self {
            source: json!({ "range": { "start": start, "end": end, "chunk": chunk } }),
            chunks: (end - start).div_ceil(chunk),
            ..Self::of(records)
        }
    }

    fn of(records: Vec<Record>) -> Self {
        Self {
            source: Value::Null,
            object: None,
            header: Vec::new(),
            records,
            chunks: 0,
            has_records: false,
            cuts_a_record: false,
        }
    }

    fn lines(random: &mut Rng) -> Self {
        let mut text = Vec::new();
        for _ in 0..random.usize(..60) {
            text.extend(word(random, 14));
            text.push(b'\n');
        }
        if random.bool() {
            text.pop();
        }
        Self::in_object(text, 0, random, json!({ "split": "lines" }))
    }

    /// Quotes stand in it with commas and escaped quotes within; now and then with a line feed, at which no chunk may end.
    fn csv(random: &mut Rng) -> Self {
        let has_header = random.bool();
        let breaks_lines = random.u32(..4) == 0;
        let mut text = Vec::new();
        if has_header {
            text.extend(b"key,\"the value\"\n");
        }
        let header_bytes = text.len();
        for _ in 0..random.usize(1..50) {
            text.extend(word(random, 6));
            match random.u32(..4) {
                0 => text.extend(b",\"a,\"\"b\"\"\""),
                1 if breaks_lines => text.extend(b",\"a\nb\""),
                _ => text.extend(b",c"),
            }
            text.push(b'\n');
        }
        Self::in_object(text, header_bytes, random, json!({ "split": "csv", "header": has_header }))
    }

    /// An object that is never split.
    fn undivided(random: &mut Rng) -> Self {
        let mut text = word(random, 40);
        text.push(b'\n');
        let mut whole = Self::in_object(text.clone(), 0, random, json!({ "split": "none" }));
        whole.records = vec![Record { chunk: 0, bytes: text }];
        (whole.chunks, whole.has_records) = (1, false);
        whole
    }

    /// An object, in chunks of some bytes.
    fn in_object(text: Vec<u8>, header_bytes: usize, random: &mut Rng, split: Value) -> Self {
        let chunk_bytes = random.usize(6..=64);
        let is_csv = split["split"] == "csv";
        let mut records = Vec::new();
        let mut start = header_bytes;
        while start < text.len() {
            let end = record_end(&text, start, is_csv);
            records.push(Record { chunk: (start / chunk_bytes) as u64, bytes: text[start..end].to_vec() });
            start = end;
        }
        let key = "in/object";
        let mut objects = json!({ "uri": format!("s3://{BUCKET}/{key}"), "chunk_bytes": chunk_bytes });
        if let (Some(objects), Some(split)) = (objects.as_object_mut(), split.as_object()) {
            objects.extend(split.clone());
        }
        Self {
            source: json!({ "objects": objects }),
            header: text[..header_bytes].to_vec(),
            chunks: text.len().div_ceil(chunk_bytes).max(1) as u64,
            has_records: true,
            cuts_a_record: is_csv && cuts_a_record(&text, chunk_bytes),
            object: Some((key.to_owned(), text)),
            ..Self::of(records)
        }
    }

    fn items(random: &mut Rng) -> Self {
        let chunk = random.usize(1..=4);
        let values: Vec<Value> = (0..random.usize(..50)).map(|number| item(number, random)).collect();
        let source = json!({ "items": { "values": values, "chunk": chunk } });
        Self::of_items(&values, chunk, source, None)
    }

    fn item_lines(random: &mut Rng) -> Self {
        let chunk = random.usize(1..=4);
        let values: Vec<Value> = (0..random.usize(..50)).map(|number| item(number, random)).collect();
        let text: String = values.iter().map(|value| format!("{value}\n")).collect();
        let key = "in/items.jsonl";
        let source = json!({ "items": { "uri": format!("s3://{BUCKET}/{key}"), "chunk": chunk } });
        Self::of_items(&values, chunk, source, Some((key.to_owned(), text.into_bytes())))
    }

    fn of_items(values: &[Value], chunk: usize, source: Value, object: Option<(String, Vec<u8>)>) -> Self {
        let record = |(place, value): (usize, &Value)| Record {
            chunk: (place / chunk) as u64,
            bytes: format!("{value}\n").into_bytes(),
        };
        let records: Vec<Record> = values.iter().enumerate().map(record).collect();
        Self {
            source,
            object,
            chunks: values.len().div_ceil(chunk) as u64,
            has_records: true,
            ..Self::of(records)
        }
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records.len() as u64
    }

    /// How many lines every process is given before its records.
    pub(crate) fn header_lines(&self) -> u64 {
        self.header.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// How many of them a chunk has.
    pub fn records_of(&self, chunk: u64) -> u64 {
        self.records.iter().filter(|record| record.chunk == chunk).count() as u64
    }

    /// How many they are, but for those of the chunks that failed.
    pub(crate) fn records_without(&self, failed: &BTreeSet<u64>) -> u64 {
        self.records.iter().filter(|record| !failed.contains(&record.chunk)).count() as u64
    }

    /// The output, but for what the chunks that failed would have given. Behind what each chunk gives its `tail` stands.
    pub(crate) fn output(
        &self,
        format: Format,
        failed: &BTreeSet<u64>,
        tail: impl Fn(u64) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut output = Vec::new();
        if (failed.len() as u64) < self.chunks {
            output.extend(self.header.iter().map(|byte| translated(*byte)));
        }
        if format == Format::JsonArray {
            let records = self.records.iter().filter(|record| !failed.contains(&record.chunk));
            let elements: Vec<&[u8]> = records.map(|record| record.bytes.trim_ascii_end()).collect();
            return [b"[", elements.join(&b","[..]).as_slice(), b"]\n"].concat();
        }
        let mut records = self.records.iter().peekable();
        for chunk in (0..self.chunks).filter(|chunk| !failed.contains(chunk)) {
            while records.next_if(|record| record.chunk < chunk).is_some() {}
            while let Some(record) = records.next_if(|record| record.chunk == chunk) {
                output.extend(record.bytes.iter().map(|byte| translated(*byte)));
            }
            output.extend(tail(chunk));
        }
        output
    }
}

/// What the program makes of a byte: `tr A-Za-z N-ZA-Mn-za-m`. The same wherever a chunk is cut.
pub(crate) fn translated(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    }
}

fn word(random: &mut Rng, length_max: usize) -> Vec<u8> {
    (0..random.usize(..=length_max)).map(|_| random.alphanumeric() as u8).collect()
}

fn item(number: usize, random: &mut Rng) -> Value {
    match random.u32(..3) {
        0 => json!(number),
        1 => json!({ "number": number, "word": String::from_utf8_lossy(&word(random, 8)) }),
        _ => json!([number, "a, b"]),
    }
}

/// Where the record that begins here ends: behind the next line feed outside quotes, if quotes count.
fn record_end(text: &[u8], start: usize, quotes_count: bool) -> usize {
    let mut quoted = false;
    for (place, byte) in text.iter().enumerate().skip(start) {
        quoted ^= *byte == b'"';
        if *byte == b'\n' && !(quoted && quotes_count) {
            return place + 1;
        }
    }
    text.len()
}

/// Whether the line feed at which some chunk ends stands within quotes.
fn cuts_a_record(text: &[u8], chunk_bytes: usize) -> bool {
    let nominal = (chunk_bytes..text.len()).step_by(chunk_bytes);
    let mut borders = nominal.filter_map(|end| {
        let place = text[end - 1..].iter().position(|byte| *byte == b'\n')?;
        Some(end - 1 + place)
    });
    borders.any(|border| text[..border].iter().filter(|byte| **byte == b'"').count() % 2 == 1)
}
