//! What happens in a run, drawn from its seed: the job, its input, what its program does, the machines, and the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use fanfold_flow::concat::Limits;
use fanfold_flow::job::Compress;
use fastrand::Rng;
use serde_json::{Value, json};

use super::clock::rng;
use super::faults::Rates;

mod coincidence;
mod input;

use coincidence::Coincidence;

pub(crate) use input::translated;
pub use input::{Format, Input};

/// The bucket in which all of a world lies.
pub(crate) const BUCKET: &str = "world";

/// The first run's id. The n-th redrive has `-rN` behind it.
pub(crate) const RUN: &str = "run";

/// The job's name.
pub(crate) const NAME: &str = "simulated";

/// The output's key.
pub(crate) const OUTPUT: &str = "out/output";

/// A minute.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A job and the world in which it runs.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// What the job reads.
    pub input: Input,
    /// How results become one output.
    pub format: Format,
    /// How they are compressed.
    pub compress: Compress,
    /// The limits that the store and the reducer keep to: S3's, or such small ones that an output of some bytes is uploaded in
    /// parts, and one of some dozens of pieces is made of nodes.
    pub limits: Limits,
    /// How many workers may run at once.
    pub max_concurrency: Option<u32>,
    /// How often a partition's hop is tried again.
    pub retries: u32,
    /// How many chunks may fail.
    pub tolerated_failures: u64,
    /// Whether chunks may be cut.
    pub cut: bool,
    /// Whether the job replaces an object that stands where its output goes. Then one does.
    pub overwrite: bool,
    /// What the program does.
    pub program: Program,
    /// The functions' machines.
    pub machines: Machines,
    /// What goes wrong.
    pub rates: Rates,
    /// How often what failed is redriven, each time in a run of its own.
    pub redrives: u32,
    /// Whether the program no longer fails in a redrive.
    pub mended: bool,
    /// What else happens, and when: in the order of time.
    pub surprises: Vec<(Duration, Surprise)>,
}

/// What the job's program does.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// How long it takes to start.
    pub start: Duration,
    /// How long it takes over a record.
    pub record: Duration,
    /// Whether it prints nothing before its input is at its end.
    pub gathers: bool,
    /// What it does to certain chunks, by index.
    pub failing: BTreeMap<u64, Failing>,
    /// The chunks behind whose result it prints so much more that the result is uploaded in parts.
    pub large: BTreeSet<u64>,
}

/// A program that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// In what way.
    pub how: How,
    /// At how many of its first tries; at all of them, if none is said.
    pub tries: Option<u32>,
    /// Whether it fails with its first record rather than at the end.
    pub early: bool,
}

/// How a program fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It exits with this status.
    Exits(i32),
    /// It is ended by SIGKILL.
    Killed,
    /// It cannot be started.
    NotStarted,
}

/// The functions' machines.
#[derive(Clone, Debug)]
pub struct Machines {
    /// How many processes a worker runs at once.
    pub cores: u32,
    /// How long a worker's invocation may take.
    pub worker_time: Duration,
    /// How long a reducer's may.
    pub reducer_time: Duration,
    /// How many workers there can be at once; other events wait.
    pub workers: usize,
    /// The longest that a request to store or functions takes when nothing is wrong.
    pub request_time_max: Duration,
}

/// Something that happens to a job from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// Its trigger is delivered once more.
    Resubmitted,
    /// Another job is submitted under its token.
    AnotherSubmitted,
    /// A sweep out of turn.
    Swept,
    /// Somebody stops it.
    Cancelled,
    /// Somebody else writes an object where the output shall go.
    OutputTaken,
    /// Somebody replaces the input.
    InputReplaced,
}

impl Scenario {
    /// What this seed stands for.
    pub fn draw(seed: u64) -> Self {
        let random = &mut rng(seed, "scenario", 0);
        let input = Input::draw(random);
        let format = format(&input, random);
        let machines = Machines::draw(random);
        let cut = random.u32(..4) > 0;
        let program = Program::draw(&input, &machines, format, random);
        let failing = program.failing.len() as u64;
        let of_output = &mut rng(seed, "output", 0);
        let mut scenario = Self {
            seed,
            format,
            compress: compress(of_output),
            limits: limits(of_output),
            max_concurrency: (random.u32(..3) == 0).then(|| random.u32(1..=5)),
            retries: random.u32(..=3),
            tolerated_failures: if random.bool() { 0 } else { random.u64(..=failing + 1) },
            cut,
            overwrite: random.bool(),
            program,
            machines,
            rates: if random.u32(..8) == 0 { Rates::none() } else { Rates::draw(random) },
            redrives: if random.u32(..3) == 0 { random.u32(1..=2) } else { 0 },
            mended: random.bool(),
            surprises: surprises(&input, random),
            input,
        };
        if let Some(coincidence) = Coincidence::draw(random) {
            coincidence.bring(&mut scenario, random);
        }
        scenario
    }

    /// A job over a range in a world in which all goes well and requests take no time: so many partitions of one chunk each.
    pub fn plain(partitions: u64, max_concurrency: Option<u32>) -> Self {
        Self {
            seed: 0,
            input: Input::range(0, partitions, 1),
            format: Format::Bytes,
            compress: Compress::None,
            limits: Limits::S3,
            max_concurrency,
            retries: 2,
            tolerated_failures: 0,
            cut: true,
            overwrite: false,
            program: Program::default(),
            machines: Machines {
                cores: 1,
                worker_time: MINUTE * 15,
                reducer_time: MINUTE * 15,
                workers: 1_000,
                request_time_max: Duration::ZERO,
            },
            rates: Rates::none(),
            redrives: 0,
            mended: false,
            surprises: Vec::new(),
        }
    }

    /// The job, as its trigger brings it.
    pub(crate) fn job(&self) -> Value {
        json!({
            "version": 1,
            "name": NAME,
            "source": self.input.source,
            "task": { "name": "translate" },
            "output": {
                "uri": format!("s3://{BUCKET}/{OUTPUT}"),
                "format": self.format.name(),
                "compress": self.compress,
                "overwrite": self.overwrite,
            },
            "max_concurrency": self.max_concurrency,
            "retries": self.retries,
            "tolerated_failures": self.tolerated_failures,
            "cut": self.cut,
            "token": RUN,
        })
    }

    /// The output, but for what the chunks that failed would have given.
    pub(crate) fn output(&self, failed: &BTreeSet<u64>) -> Vec<u8> {
        self.input.output(self.format, failed, |chunk| self.program.tail(chunk))
    }

    /// Whether this happens.
    pub fn has(&self, surprise: Surprise) -> bool {
        self.surprises.iter().any(|(_, other)| *other == surprise)
    }

    /// Whether chunks may be ended at a record, and go on behind it.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.cut && self.input.has_records
    }
}

fn compress(random: &mut Rng) -> Compress {
    match random.u32(..6) {
        0 => Compress::Gzip,
        1 => Compress::Zstd,
        _ => Compress::None,
    }
}

/// Those of S3, or such small ones as are in proportion. An output of more than some 30 pieces may be too large for them.
fn limits(random: &mut Rng) -> Limits {
    if random.bool() {
        return Limits::S3;
    }
    let (part_bytes_min, copy_bytes) = (16, 64);
    let streamed_bytes = copy_bytes;
    Limits {
        parts: 16,
        part_bytes_min,
        part_bytes_max: 1 << 30,
        copy_bytes,
        streamed_bytes,
        node_requests: 2,
    }
}

/// A format that the source and the program allow.
fn format(input: &Input, random: &mut Rng) -> Format {
    let objects = input.source.get("objects");
    let has_header = objects.is_some_and(|objects| objects["header"] == true);
    match random.u32(..3) {
        _ if has_header => Format::Csv,
        0 => Format::Lines,
        1 if objects.is_none() => Format::JsonArray,
        _ => Format::Bytes,
    }
}

impl Machines {
    fn draw(random: &mut Rng) -> Self {
        Self {
            cores: random.u32(1..=3),
            worker_time: Duration::from_secs([30, 30, 60, 300][random.usize(..4)]),
            reducer_time: Duration::from_secs([60, 900][random.usize(..2)]),
            workers: if random.u32(..4) == 0 { random.usize(1..=3) } else { 1_000 },
            request_time_max: Duration::from_millis(random.u64(1..=200)),
        }
    }
}

impl Program {
    /// What a chunk's result has behind it: enough that it is more than one part of an upload.
    pub(crate) fn tail(&self, chunk: u64) -> Vec<u8> {
        if self.large.contains(&chunk) { vec![b'.'; LARGE_BYTES] } else { Vec::new() }
    }

    /// Most often quick; now and then so slow that a chunk takes about as long as a worker may, or several times that.
    fn draw(input: &Input, machines: &Machines, format: Format, random: &mut Rng) -> Self {
        let per_chunk = (input.records() / input.chunks.max(1)).max(1);
        let worker_ms = machines.worker_time.as_millis() as u64;
        // Not too many of those at once, or most of all runs' work would be in a few of them.
        let may_be_slow = input.records() <= 24;
        let record_ms = match random.u32(..4) {
            0 | 1 if may_be_slow => worker_ms * random.u64(3..30) / (10 * per_chunk),
            0 => random.u64(..1_000),
            _ => random.u64(..20),
        };
        let is_whole = !input.has_records && format == Format::Bytes && input.objects.is_empty();
        let is_large = is_whole && random.u32(..3) == 0;
        let failing = failing(input.chunks, random);
        let mut large = BTreeSet::new();
        if is_large {
            large.extend(some(input.chunks, 2, random));
            large.extend(failing.keys().take(1));
        }
        Self {
            start: Duration::from_millis(random.u64(..300)),
            record: Duration::from_millis(record_ms),
            gathers: format == Format::JsonArray || random.u32(..4) == 0,
            failing,
            large,
        }
    }
}

/// More than the 5 MiB that a worker keeps in memory before it begins an upload.
const LARGE_BYTES: usize = (5 << 20) + 777;

fn failing(chunks: u64, random: &mut Rng) -> BTreeMap<u64, Failing> {
    if random.u32(..3) > 0 {
        return BTreeMap::new();
    }
    let indexes = some(chunks, 3, random);
    let one = |index| {
        let how = match random.u32(..5) {
            0 => How::NotStarted,
            1 | 2 => How::Killed,
            _ => How::Exits(random.i32(1..=255)),
        };
        let tries = (random.u32(..3) > 0).then(|| random.u32(1..=3));
        (index, Failing { how, tries, early: random.bool() })
    };
    indexes.into_iter().map(one).collect()
}

/// A few of so many, some perhaps twice.
fn some(chunks: u64, most: usize, random: &mut Rng) -> Vec<u64> {
    if chunks == 0 {
        return Vec::new();
    }
    (0..random.usize(1..=most)).map(|_| random.u64(..chunks)).collect()
}

fn surprises(input: &Input, random: &mut Rng) -> Vec<(Duration, Surprise)> {
    let mut surprises = Vec::new();
    let mut happens = |surprise, odds: u32, seconds_max: u64| {
        if random.u32(..odds) == 0 {
            surprises.push((Duration::from_millis(random.u64(..seconds_max * 1_000)), surprise));
        }
    };
    happens(Surprise::Resubmitted, 4, 1);
    happens(Surprise::AnotherSubmitted, 8, 1);
    happens(Surprise::Resubmitted, 6, 600);
    happens(Surprise::Resubmitted, 8, 7_200);
    for _ in 0..3 {
        happens(Surprise::Swept, 4, 300);
    }
    happens(Surprise::Cancelled, 10, 5);
    happens(Surprise::Cancelled, 16, 60);
    happens(Surprise::Cancelled, 16, 1_800);
    happens(Surprise::OutputTaken, 10, 60);
    if !input.objects.is_empty() {
        happens(Surprise::InputReplaced, 20, 60);
    }
    surprises.sort_by_key(|(at, _)| *at);
    surprises
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, program, machines, rates, surprises, .. } = self;
        writeln!(f, "the job:   {}", self.job())?;
        writeln!(f, "its input: {} records in {} chunks", input.records(), input.chunks)?;
        for (key, bytes) in &input.objects {
            writeln!(f, "           {key}: {:?}", String::from_utf8_lossy(bytes))?;
        }
        writeln!(f, "a program: {program:?}")?;
        writeln!(f, "machines:  {machines:?}")?;
        writeln!(f, "limits:    {:?}", self.limits)?;
        writeln!(f, "faults:    {rates}")?;
        writeln!(f, "redrives:  {}, mended: {}", self.redrives, self.mended)?;
        write!(f, "surprises: {surprises:?}")
    }
}
