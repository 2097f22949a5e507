//! From a job and a listing to its plan.

use super::{
    Head, Job, JobId, ObjectVersion, Occasion, Plan, PlannedInput, Rule, Slice, Source, Span, Version,
    slice_of,
};
use crate::limits::CHUNKS_MAX;
use crate::template::Values;

/// What the dispatcher found when it looked at the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// For `objects`.
    Objects {
        /// The objects, in the order in which their records shall come.
        objects: Vec<Listed>,
        /// What a record is in them.
        rule: Rule,
        /// What stands before the first record of the first object that has anything there.
        head: Option<Head>,
    },
    /// For `items` with a `uri`.
    ItemLines {
        /// The object.
        object: ObjectVersion,
        /// Where its lines end, every `chunk` lines; the last is the object's length. Empty for an empty object.
        ends: Vec<u64>,
    },
    /// For sources that stand in the job itself.
    Nothing,
}

/// An object, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The object.
    pub object: ObjectVersion,
    /// How many bytes stand before its first record.
    pub head_bytes: u64,
    /// Where its chunks begin and end, if it had to be read to know: the first behind the head, the last at the object's end. Else
    /// empty.
    pub borders: Vec<u64>,
}

impl From<ObjectVersion> for Listed {
    /// An object whose first byte begins a record.
    fn from(object: ObjectVersion) -> Self {
        Self { object, head_bytes: 0, borders: Vec::new() }
    }
}

/// Most chunks of a partition, so that its payload and its done record stay small.
const PARTITION_CHUNKS_MAX: u64 = 250;

/// Most bytes of a partition's payload, counted with each character escaped: the first 256 KiB, past which each further
/// 64 KiB is billed as a request of its own.
const PARTITION_PAYLOAD_BYTES_MAX: u64 = 256 << 10;

/// What a chunk takes in a payload besides its object's address (field names and numbers, generously).
const CHUNK_PAYLOAD_BYTES: u64 = 200;

/// What a payload takes besides its chunks, its header and its separator: field names, numbers and the job's id.
const PARTITION_FIELDS_BYTES: u64 = 512;

/// The plan of a job. Before it uses the plan, the caller tells the user of its [`super::problems`] (a job of more than
/// [`CHUNKS_MAX`] chunks, say, which is planned without partitions) and checks it with [`super::defects`]. A worker has
/// `worker_cores`, which is how many chunks at once it is given unless the job says.
pub fn make(job: &Job, job_id: &JobId, listing: Listing, worker_cores: u32, occasion: Occasion) -> Plan {
    let values = Values { job_id, name: &job.name, occasion: &occasion };
    let output = job.output.uri.filled(&values);
    let (input, chunks) = planned_input(job, listing);
    let mut plan = Plan {
        version: Version,
        job_id: job_id.clone(),
        occasion,
        output,
        format: job.format(),
        compress: job.output.compress,
        input,
        chunks,
        redrive: None,
        partitions: Vec::new(),
        group_partitions: 1,
    };
    plan.partitions = partitions(&plan, u64::from(job.processes.on(worker_cores)));
    plan.group_partitions = group_partitions(plan.partitions.len() as u64);
    plan
}

fn planned_input(job: &Job, listing: Listing) -> (PlannedInput, u64) {
    match (&job.source, listing) {
        (Source::Objects(wanted), Listing::Objects { objects, rule, head }) => {
            let chunk_bytes = wanted.chunk_bytes.0.max(1);
            let mut first = 0;
            let mut slices = Vec::with_capacity(objects.len());
            for Listed { object, head_bytes, borders } in objects {
                let chunks = match borders.len() as u64 {
                    _ if rule == Rule::Whole => 1,
                    0 => object.bytes.saturating_sub(head_bytes).div_ceil(chunk_bytes).max(1),
                    borders => (borders - 1).max(1),
                };
                slices.push(Slice { object, first, chunks, head_bytes, borders });
                first = first.saturating_add(chunks);
            }
            (PlannedInput::Objects { rule, head, chunk_bytes, slices }, first)
        }
        (Source::Items(_), Listing::ItemLines { object, ends }) => {
            let chunks = ends.len() as u64;
            (PlannedInput::ItemLines { object, borders: std::iter::once(0).chain(ends).collect() }, chunks)
        }
        (Source::Items(items), _) => {
            let count = items.values.as_ref().map_or(0, Vec::len) as u64;
            let chunk = items.chunk.max(1);
            (PlannedInput::Items { count, chunk }, count.div_ceil(chunk))
        }
        (Source::Range(range), _) => {
            let chunk = range.chunk.max(1);
            let input = PlannedInput::Range { start: range.start, end: range.end, chunk };
            (input, range.end.saturating_sub(range.start).div_ceil(chunk))
        }
        // An objects source that was not listed has no objects.
        (Source::Objects(wanted), Listing::ItemLines { .. } | Listing::Nothing) => {
            let input = PlannedInput::Objects {
                rule: Rule::Whole,
                head: None,
                chunk_bytes: wanted.chunk_bytes.0.max(1),
                slices: Vec::new(),
            };
            (input, 0)
        }
    }
}

/// A partition is full when each process of a worker has a whole chunk's worth of bytes, so that many small objects make
/// one partition and not one Lambda each.
fn partitions(plan: &Plan, processes: u64) -> Vec<Span> {
    let mut partitions = Vec::new();
    if plan.chunks > CHUNKS_MAX {
        return partitions;
    }
    let object = plan.occasion.object.as_ref();
    let object_bytes = object.map_or(0, |object| escaped(object.bucket.len() + object.key.len()));
    let fixed = fixed_payload_bytes(&plan.input) + object_bytes;
    let (mut span, mut load, mut payload) = (Span { first: 0, chunks: 0 }, 0.0, fixed);
    for index in 0..plan.chunks {
        let (weight, bytes) = load_of(&plan.input, index);
        let full = load + weight > processes as f64
            || span.chunks == PARTITION_CHUNKS_MAX
            || payload + bytes > PARTITION_PAYLOAD_BYTES_MAX;
        if full && span.chunks > 0 {
            partitions.push(span);
            (span, load, payload) = (Span { first: index, chunks: 0 }, 0.0, fixed);
        }
        span.chunks += 1;
        load += weight;
        payload += bytes;
    }
    if span.chunks > 0 {
        partitions.push(span);
    }
    partitions
}

/// How much of one process a chunk keeps busy (1 = a whole chunk), and what it takes in the payload.
fn load_of(input: &PlannedInput, index: u64) -> (f64, u64) {
    let (weight, object) = match input {
        PlannedInput::Objects { rule, chunk_bytes, slices, .. } => {
            let slice = slice_of(slices, index);
            let bytes = slice.and_then(|slice| slice.bytes(index - slice.first, rule, *chunk_bytes));
            let weight = bytes.map_or(0.0, |bytes| (bytes.end - bytes.start) as f64 / *chunk_bytes as f64);
            (weight.min(1.0), slice.map(|slice| &slice.object))
        }
        PlannedInput::ItemLines { object, .. } => (1.0, Some(object)),
        PlannedInput::Items { .. } | PlannedInput::Range { .. } => (1.0, None),
    };
    (weight, CHUNK_PAYLOAD_BYTES + object.map_or(0, address_bytes))
}

fn address_bytes(object: &ObjectVersion) -> u64 {
    escaped(object.uri.bucket.len() + object.uri.key.len() + object.etag.len())
}

/// What each of a plan's payloads takes, however few chunks it has.
fn fixed_payload_bytes(input: &PlannedInput) -> u64 {
    let texts = match input {
        PlannedInput::Objects { rule, head, .. } => {
            let rule = match rule {
                Rule::Separator(text) | Rule::BeginsWith(text) => escaped(text.len()),
                Rule::Csv(_) | Rule::Paragraphs | Rule::Lines(_) | Rule::Whole => 0,
            };
            rule + head.as_ref().map_or(0, Head::json_bytes)
        }
        PlannedInput::ItemLines { .. } | PlannedInput::Items { .. } | PlannedInput::Range { .. } => 0,
    };
    PARTITION_FIELDS_BYTES + texts
}

/// JSON may write a byte of text as six, so this is the most that a text takes.
fn escaped(bytes: usize) -> u64 {
    6 * bytes as u64
}

/// About the square root, so that neither a group's records nor the groups are many; at most one page of a list.
pub(super) fn group_partitions(partitions: u64) -> u64 {
    partitions.isqrt().clamp(10, crate::limits::KEYS_PER_REQUEST as u64)
}
