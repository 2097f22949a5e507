//! What the user asks for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::item::Item;
use crate::problem::{Problem, Problems};
use crate::size::{ByteCount, Tolerance};
use crate::template::UriTemplate;
use crate::version::Version;
use crate::written::AsWritten;
use crate::{shape, template};

mod cron;
mod sense;
mod split;
mod triggers;

pub use split::{Choice, Csv, Header, Letter, LineEnd, Split, SplitBy, SplitName};
pub use triggers::{OnObjectCreated, Schedule};

/// A batch: where its input comes from, the program that runs over it, where the output goes, and how failures count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The version of this document: 1.
    pub version: Version,
    /// A name for people, logs and metrics: letters, digits, `.`, `_` and `-`, at most 64.
    pub name: String,
    /// Where the input comes from.
    pub source: Source,
    /// What runs over each chunk.
    pub task: Task,
    /// Where the output goes.
    pub output: Output,
    /// How many processes a worker runs at once. Default: one for each core that the worker has.
    #[serde(default)]
    pub processes: Processes,
    /// How much memory a process may take, with all that it starts, in MB (of 1,048,576 bytes, as Lambda counts). One that takes
    /// more is killed, and its chunk fails. So many run at once as fit into a worker: each is expected to take so much until one has
    /// ended, and from then on as much as the largest so far. Default: as much as there is; then the first ones start together,
    /// whatever they come to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub memory_mb: Option<u32>,
    /// How many workers may run at once. Default: as many as there are partitions and the account allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_concurrency: Option<u32>,
    /// How often a chunk that failed, or a partition whose worker died, is tried again. Default 2.
    #[serde(default = "default_retries")]
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// How many chunks may fail without the job failing: a number, or a share such as `"1%"`. Default 0.
    #[serde(default)]
    pub tolerated_failures: Tolerance,
    /// Whether a chunk that meets its worker's time limit may be ended at a record and go on behind it in a new process.
    /// Right for programs that handle record by record; wrong for those that sum up or sort their whole chunk. Default true;
    /// sources without records are never cut.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schemars(extend("default" = true))]
    pub cut: bool,
    /// When the deployment starts the job by itself. Runs ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// For which objects the deployment starts the job by itself. Runs ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_object_created: Option<OnObjectCreated>,
}

fn default_retries() -> u32 {
    2
}

fn yes() -> bool {
    true
}

fn is_yes(answer: &bool) -> bool {
    *answer
}

/// Where the input comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The bytes of one or more objects.
    Objects(Objects),
    /// A range of whole numbers; each chunk gets an offset and a limit, and no input.
    Range(Range),
    /// A list of JSON values, or an object of JSON Lines; each chunk gets some of them, a line each.
    Items(Items),
}

/// The bytes of one or more objects, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// One object (`s3://b/key`), all objects under a prefix in key order (`s3://b/prefix/`), those that match a glob
    /// (`s3://b/2026-*/part-?.{csv,tsv}`, `s3://b/[ab].csv`; `*` stays within a folder, `**` crosses them), or a list of these.
    /// May hold the placeholders of an output's address. A backslash takes a key's own braces, brackets and stars for
    /// themselves: `\{name}`, `\[1\]`.
    pub uri: OneOrMore,
    /// What a record is, so that no chunk begins or ends within one. Default `"lines"`.
    #[serde(default)]
    pub split: Split,
    /// Whether the first record of each object is a header, or how many are. It is given to every process. Default no.
    #[serde(default)]
    pub header: Header,
    /// Which byte ends a line, where records are lines or a table's. Default `"auto"`.
    #[serde(default, skip_serializing_if = "LineEnd::is_auto")]
    #[schemars(extend("default" = "auto"))]
    pub line_end: LineEnd,
    /// How many bytes a chunk has, give or take a record. Default 64 MiB.
    #[serde(default = "default_chunk_bytes")]
    pub chunk_bytes: ByteCount,
}

/// The default of [`Objects::chunk_bytes`]: 64 MiB.
pub const DEFAULT_CHUNK_BYTES: ByteCount = ByteCount(64 << 20);

fn default_chunk_bytes() -> ByteCount {
    DEFAULT_CHUNK_BYTES
}

/// One address, or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One object, prefix or glob.
    One(UriTemplate),
    /// Several, in the order in which their records shall come.
    More(#[schemars(length(min = 1))] Vec<UriTemplate>),
}

impl OneOrMore {
    /// The addresses, in order.
    pub fn as_slice(&self) -> &[UriTemplate] {
        match self {
            Self::One(uri) => std::slice::from_ref(uri),
            Self::More(uris) => uris,
        }
    }
}

/// A range of whole numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first number. Default 0.
    #[serde(default)]
    pub start: u64,
    /// The number after the last one.
    pub end: u64,
    /// How many numbers a chunk has: its `FANFOLD_LIMIT`. The last chunk may have fewer.
    #[schemars(range(min = 1))]
    pub chunk: u64,
}

/// A list of JSON values, each handed over as one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Items {
    /// The values themselves; each is handed over byte for byte as it is written here, but for line breaks between its tokens:
    /// then the white space between them is left out. Give either these or `uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Item>>,
    /// An object of JSON Lines. Give either this or `values`. May hold the placeholders of an output's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<UriTemplate>,
    /// How many items a chunk has. Default 1. The last chunk may have fewer.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub chunk: u64,
}

fn one() -> u64 {
    1
}

/// What runs over each chunk: a `command`, or the `name` of a task that is registered with the deployment. The texts of
/// command, arguments and variables may hold the placeholders of an output's address; other braces stay, and `\{name}`
/// gives the program `{name}` itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The program and its arguments. No shell reads them. Of a job that comes with an event, runs only where the deployment
    /// allows commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// A task registered when the worker was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments added to a registered task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables added to the program's environment. Names that begin with `FANFOLD_` are Fanfold's own. Of a job that comes
    /// with an event, taken only where the deployment allows commands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Whether the program gets the worker's own AWS credentials. Default no. Of a job that comes with an event, taken only
    /// where the deployment allows commands.
    #[serde(default)]
    pub credentials: bool,
    /// The exit statuses of the program that count as success. Default `[0]`; `[0, 1]` for grep, which exits 1 where nothing
    /// matches. Not for tasks in Rust.
    #[serde(default = "zero_alone", skip_serializing_if = "is_zero_alone")]
    #[schemars(length(min = 1), extend("default" = [0]))]
    pub ok_status: Vec<u8>,
}

fn zero_alone() -> Vec<u8> {
    vec![0]
}

fn is_zero_alone(statuses: &[u8]) -> bool {
    statuses == [0]
}

impl Default for Task {
    fn default() -> Self {
        Self {
            command: None,
            name: None,
            args: Vec::new(),
            environment: BTreeMap::new(),
            credentials: false,
            ok_status: zero_alone(),
        }
    }
}

impl Task {
    /// Whether a program that exits with this status has done its chunk.
    pub fn accepts(&self, status: i32) -> bool {
        self.ok_status.iter().any(|&accepted| i32::from(accepted) == status)
    }
}

/// Where the output goes, and what the results are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The one object that the output becomes. May hold placeholders: `{job_id}`, `{name}`, `{start_date}`,
    /// `{start_time}`, `{scheduled_date}`, `{scheduled_time}`; `{deployment.NAME}`; and with `on_object_created` also
    /// `{object_uri}`, `{object_bucket}`, `{object_key}`, `{object_name}`. A key's own braces are written with a backslash:
    /// `\{name}`.
    pub uri: UriTemplate,
    /// How results become one output. Default: `csv` for a source with a header, else `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// For format `csv`: whether each result begins with a header, or how many records are. Default: what the program prints for the
    /// input's header alone; and one record where the input has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// How the output is compressed, by the workers, each result for itself. Default `"none"`.
    #[serde(default, skip_serializing_if = "Compress::is_none")]
    #[schemars(extend("default" = "none"))]
    pub compress: Compress,
    /// Whether an object that is there already is replaced. Default no: the job fails and leaves it alone.
    #[serde(default)]
    pub overwrite: bool,
}

/// How results become one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The results' bytes, one after the other.
    Bytes,
    /// The same, with a line feed set where a result lacks its last one.
    Lines,
    /// Each result begins with the same header, or none does; the output has it once.
    Csv,
    /// The same as `lines`, and each line must be one JSON value (RFC 8259). A blank line is none.
    #[serde(rename = "jsonl")]
    JsonLines,
    /// Each result is one JSON array (RFC 8259); the output is one array of all their elements.
    JsonArray,
}

impl Format {
    /// What stands before the first result. Of `csv` that is the header, which the results bring.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            Self::Bytes | Self::Lines | Self::Csv | Self::JsonLines => b"",
            Self::JsonArray => b"[",
        }
    }

    /// What stands behind the last result.
    pub fn suffix(self) -> &'static [u8] {
        match self {
            Self::Bytes | Self::Lines | Self::Csv | Self::JsonLines => b"",
            Self::JsonArray => b"]\n",
        }
    }
}

/// How an output is compressed: as pieces that each stand for themselves, which the usual tools read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// Not at all.
    #[default]
    None,
    /// As gzip, in members.
    Gzip,
    /// As Zstandard, in frames.
    Zstd,
}

impl Compress {
    /// Whether the output stays as it is.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How many processes a worker runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Processes {
    /// So many.
    Exactly(#[schemars(range(min = 1, max = 64))] u32),
    /// As a word says.
    Named(Auto),
}

impl Default for Processes {
    fn default() -> Self {
        Self::Named(Auto::Auto)
    }
}

/// The word `"auto"`: one process for each core that the worker's memory size gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auto {
    /// One process a core.
    #[default]
    Auto,
}

impl Processes {
    /// How many, where a worker has `cores`.
    pub fn on(self, cores: u32) -> u32 {
        match self {
            Self::Exactly(processes) => processes,
            Self::Named(Auto::Auto) => cores,
        }
        .max(1)
    }
}

impl Job {
    /// Reads a job, or lists **all** that is wrong with it. Its items stay as they were written if the document was read
    /// [so](AsWritten).
    ///
    /// # Errors
    /// Every unknown, missing or impossible field, each with its path, in order of the paths.
    pub fn from_json(document: &Value) -> Result<Self, Problems> {
        let mut problems = shape::problems::<Self>(document);
        sense::problems(document, &mut problems);
        if !problems.is_empty() {
            problems.sort_by(|left, right| left.path.cmp(&right.path));
            return Err(Problems(problems));
        }
        let read = serde_json::to_string(&AsWritten(document)).and_then(|text| serde_json::from_str(&text));
        read.map_err(|error| Problems(vec![Problem::new("", error.to_string())]))
    }

    /// What is wrong with a job for workers whose processes have so much memory, in MB: nothing, or that it lets a process take
    /// more than there is, which is then no limit.
    pub fn memory_problem(&self, worker_memory_mb: u32) -> Option<Problem> {
        let asked_mb = self.memory_mb.filter(|&asked_mb| asked_mb > worker_memory_mb)?;
        let message = format!(
            "must be at most {worker_memory_mb}, which is what a worker has in MB, not {asked_mb}; set it lower, or give the worker more memory"
        );
        Some(Problem::new("memory_mb", message))
    }

    /// Whether the job cannot run without the object that starts it: one of its placeholders is the object's.
    pub fn needs_object(&self) -> bool {
        let document = serde_json::to_string(self).and_then(|text| serde_json::from_str(&text));
        document.is_ok_and(|AsWritten(document)| template::needs_object(&document))
    }

    /// The JSON Schema of a job, made from these types.
    pub fn schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The partition that waits for this one: with at most `C` workers at once, partition `p + C` waits for partition `p`.
    /// So there are `C` lanes, each with one worker at a time, and nobody coordinates them. None where all run at once; the
    /// caller minds how many partitions there are.
    pub fn next_in_lane(&self, partition: u64) -> Option<u64> {
        self.max_concurrency.map(|lanes| partition + u64::from(lanes))
    }

    /// How the results become one output: as said, or by the default for this source.
    pub fn format(&self) -> Format {
        self.output.format.unwrap_or(match &self.source {
            _ if self.output.header.is_some() => Format::Csv,
            Source::Objects(objects) if objects.header.records() > 0 => Format::Csv,
            Source::Objects(_) | Source::Range(_) | Source::Items(_) => Format::Bytes,
        })
    }
}
