//! What a job reads, and what one process over the whole of it would have written: worked out here in the plainest way, apart
//! from how Fanfold does it.

use std::collections::BTreeSet;

use bytes::Bytes;
use fanfold_records::{Cutter, Dialect, Range, Rule};
use fastrand::Rng;
use serde_json::{Value, json};

use super::BUCKET;

/// What a job reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// The job's `source`.
    pub source: Value,
    /// The objects that it names, in the order in which their records come, by key.
    pub objects: Vec<(String, Vec<u8>)>,
    /// What every process is given first.
    header: Vec<u8>,
    /// The records, in order.
    records: Vec<Record>,
    /// How many chunks it makes.
    pub chunks: u64,
    /// Whether the source has records, so that a chunk may be cut between two of them.
    pub has_records: bool,
}

#[derive(Clone, Debug)]
struct Record {
    /// The chunk in whose nominal range it begins.
    chunk: u64,
    bytes: Vec<u8>,
}

/// How objects are cut into chunks.
struct Cut {
    chunk_bytes: usize,
    /// How many bytes of each are its header.
    header_bytes: usize,
    is_csv: bool,
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

    /// Whether a result begins on a line of its own.
    fn is_of_lines(self) -> bool {
        matches!(self, Self::Lines | Self::Csv)
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
            objects: Vec::new(),
            header: Vec::new(),
            records,
            chunks: 0,
            has_records: false,
        }
    }

    fn lines(random: &mut Rng) -> Self {
        let objects = several(random);
        let text = |random: &mut Rng| lines(random.usize(..60 / objects), random);
        let texts = (0..objects).map(|_| text(random)).collect();
        Self::in_objects(
            texts,
            Cut { chunk_bytes: random.usize(6..=64), header_bytes: 0, is_csv: false },
            random,
        )
    }

    /// Objects that are small beside a chunk, so that one worker is given many.
    pub(crate) fn small_objects(random: &mut Rng) -> Self {
        let objects = random.usize(12..=20);
        let texts = (0..objects).map(|_| lines(random.usize(1..=2), random)).collect();
        let chunk_bytes = random.usize(50..=80);
        Self::in_objects(texts, Cut { chunk_bytes, header_bytes: 0, is_csv: false }, random)
    }

    /// Quotes stand in it with commas and escaped quotes within; now and then with a line feed.
    fn csv(random: &mut Rng) -> Self {
        let header = if random.bool() { &b"key,\"the value\"\n"[..] } else { b"" };
        let breaks_lines = random.u32(..4) == 0;
        let objects = several(random);
        let text = |random: &mut Rng| {
            let mut text = header.to_vec();
            for _ in 0..random.usize(1..=50 / objects) {
                text.extend(word(random, 6));
                match random.u32(..4) {
                    0 => text.extend(b",\"a,\"\"b\"\"\""),
                    1 if breaks_lines => text.extend(b",\"a\nb\""),
                    _ => text.extend(b",c"),
                }
                text.push(b'\n');
            }
            text
        };
        let texts = (0..objects).map(|_| text(random)).collect();
        let cut = Cut { chunk_bytes: random.usize(6..=64), header_bytes: header.len(), is_csv: true };
        Self::in_objects(texts, cut, random)
    }

    /// Objects that are never split.
    fn undivided(random: &mut Rng) -> Self {
        let objects = several(random);
        let texts: Vec<Vec<u8>> = (0..objects).map(|_| [word(random, 40), b"\n".to_vec()].concat()).collect();
        let chunks = texts.iter().zip(0..);
        let records = chunks.map(|(text, chunk)| Record { chunk, bytes: text.clone() }).collect();
        let (uri, objects) = named(texts, random);
        let chunk_bytes = random.usize(6..=64);
        Self {
            source: json!({ "objects": { "uri": uri, "chunk_bytes": chunk_bytes, "split": "none" } }),
            chunks: objects.len() as u64,
            objects,
            ..Self::of(records)
        }
    }

    /// Objects, in chunks of some bytes.
    fn in_objects(texts: Vec<Vec<u8>>, cut: Cut, random: &mut Rng) -> Self {
        let Cut { chunk_bytes, header_bytes, is_csv } = cut;
        let (mut records, mut chunks) = (Vec::new(), 0);
        for text in &texts {
            let owners = owners(text, header_bytes, chunk_bytes, is_csv);
            let mut start = header_bytes;
            while start < text.len() {
                let end = record_end(text, start, is_csv);
                let chunk = chunks + owners.iter().take_while(|begin| **begin <= start).count() as u64 - 1;
                records.push(Record { chunk, bytes: text[start..end].to_vec() });
                start = end;
            }
            chunks += owners.len() as u64;
        }
        let header = texts.first().map(|text| text[..header_bytes].to_vec());
        let (uri, objects) = named(texts, random);
        let mut source = json!({ "uri": uri, "chunk_bytes": chunk_bytes, "split": "lines" });
        if is_csv {
            source["split"] = "csv".into();
            source["header"] = (header_bytes > 0).into();
        }
        Self {
            source: json!({ "objects": source }),
            header: header.unwrap_or_default(),
            chunks,
            has_records: true,
            objects,
            ..Self::of(records)
        }
    }

    fn items(random: &mut Rng) -> Self {
        let chunk = random.usize(1..=4);
        let values: Vec<Value> = (0..random.usize(..50)).map(|number| item(number, random)).collect();
        let source = json!({ "items": { "values": values, "chunk": chunk } });
        Self::of_items(&values, chunk, source, Vec::new())
    }

    fn item_lines(random: &mut Rng) -> Self {
        let chunk = random.usize(1..=4);
        let values: Vec<Value> = (0..random.usize(..50)).map(|number| item(number, random)).collect();
        let text: String = values.iter().map(|value| format!("{value}\n")).collect();
        let key = "in/items.jsonl";
        let source = json!({ "items": { "uri": format!("s3://{BUCKET}/{key}"), "chunk": chunk } });
        Self::of_items(&values, chunk, source, vec![(key.to_owned(), text.into_bytes())])
    }

    fn of_items(values: &[Value], chunk: usize, source: Value, objects: Vec<(String, Vec<u8>)>) -> Self {
        let record = |(place, value): (usize, &Value)| Record {
            chunk: (place / chunk) as u64,
            bytes: format!("{value}\n").into_bytes(),
        };
        let records: Vec<Record> = values.iter().enumerate().map(record).collect();
        Self {
            source,
            objects,
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

    /// Whether it is a CSV, in which a chunk relies on the one before it.
    pub(crate) fn is_csv(&self) -> bool {
        self.source["objects"]["split"] == "csv"
    }

    /// Whether a record has a line break within quotes.
    pub(crate) fn has_line_breaks(&self) -> bool {
        let breaks = |record: &Record| record.bytes.iter().filter(|byte| **byte == b'\n').count() > 1;
        self.records.iter().any(breaks)
    }

    /// Whether a process is started for a chunk: it has a record, or none has and it is the first.
    pub(crate) fn runs(&self, chunk: u64) -> bool {
        !self.has_records || self.records_of(chunk) > 0 || self.records.is_empty() && chunk == 0
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
        let runs = |chunk: &u64| !failed.contains(chunk) && self.runs(*chunk);
        if (0..self.chunks).any(|chunk| runs(&chunk)) {
            output.extend(self.header.iter().map(|byte| translated(*byte)));
        }
        if format == Format::JsonArray {
            let records = self.records.iter().filter(|record| !failed.contains(&record.chunk));
            let elements: Vec<&[u8]> = records.map(|record| record.bytes.trim_ascii_end()).collect();
            return [b"[", elements.join(&b","[..]).as_slice(), b"]\n"].concat();
        }
        let mut records = self.records.iter().peekable();
        for chunk in (0..self.chunks).filter(runs) {
            let mut result = Vec::new();
            while records.next_if(|record| record.chunk < chunk).is_some() {}
            while let Some(record) = records.next_if(|record| record.chunk == chunk) {
                result.extend(record.bytes.iter().map(|byte| translated(*byte)));
            }
            result.extend(tail(chunk));
            let lacks_line_feed = output.last().is_some_and(|last| *last != b'\n');
            if format.is_of_lines() && lacks_line_feed && !result.is_empty() {
                output.push(b'\n');
            }
            output.extend(result);
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

/// How many objects a source has: most often one.
fn several(random: &mut Rng) -> usize {
    if random.u32(..3) > 0 { 1 } else { random.usize(2..=6) }
}

/// Objects with keys, in order, and the address that means all of them: one that is whole, all in a folder, those that a
/// glob finds, or a list in an order of its own.
fn named(texts: Vec<Vec<u8>>, random: &mut Rng) -> (Value, Vec<(String, Vec<u8>)>) {
    let count = texts.len();
    let is_list = random.u32(..3) == 0;
    let key = |place: usize| format!("in/{:02}.txt", if is_list { count - place } else { place });
    let uri = |key: &str| format!("s3://{BUCKET}/{key}");
    let address = match random.bool() {
        _ if is_list => (0..count).map(|place| uri(&key(place))).collect(),
        _ if count == 1 => uri(&key(0)).into(),
        true => uri("in/").into(),
        false => uri("in/*.txt").into(),
    };
    (address, texts.into_iter().enumerate().map(|(place, text)| (key(place), text)).collect())
}

/// So many lines, of which the last may lack its line feed.
fn lines(count: usize, random: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..count {
        text.extend(word(random, 14));
        text.push(b'\n');
    }
    if random.bool() {
        text.pop();
    }
    text
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

/// Where the records of each chunk begin; where those of the next one do, for a chunk that has none. In a CSV that depends on how far a
/// reader must look to tell quoted bytes from others, so it is asked of the cutter. What that is worth is tested where it stands.
fn owners(text: &[u8], header_bytes: usize, chunk_bytes: usize, is_csv: bool) -> Vec<usize> {
    let nominal: Vec<usize> = (header_bytes..text.len().max(header_bytes + 1)).step_by(chunk_bytes).collect();
    if !is_csv {
        return nominal;
    }
    let rule = Rule::Csv(Dialect::RFC_4180);
    let mut at = header_bytes;
    let mut begins = vec![text.len(); nominal.len()];
    for (place, start) in nominal.iter().enumerate() {
        let range = Range {
            start: *start as u64,
            end: (start + chunk_bytes).min(text.len()) as u64,
            step: Some(chunk_bytes as u64),
            starts_at_border: place == 0,
            object_bytes: text.len() as u64,
        };
        let (begin, end) = read(&rule, range, text);
        // What begins within the records of a chunk before it was guessed wrong, and does not count.
        if begin == Some(at) && end > at {
            (begins[place], at) = (at, end);
        }
    }
    for place in (1..begins.len()).rev() {
        begins[place - 1] = begins[place - 1].min(begins[place]);
    }
    begins
}

/// Where the records of a chunk begin and end, to a reader of that chunk.
fn read(rule: &Rule, range: Range, text: &[u8]) -> (Option<usize>, usize) {
    let mut cutter = Cutter::new(rule, range);
    let mut walker = rule.walker(range.start == 0);
    let first = usize::try_from(cutter.position()).unwrap_or(usize::MAX);
    let mut piece = Some(cutter.feed(Bytes::copy_from_slice(&text[first..])));
    while let Some(read) = piece {
        walker.walk(&read.records);
        piece = if walker.is_at_border() { None } else { cutter.extend() };
    }
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    (cutter.begin().map(place), cutter.end().map_or(0, place))
}
