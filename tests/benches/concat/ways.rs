//! The ways to make one object of many: ours, and the peers', which `peers/concat_peers.py` runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::python;
use fanfold_flow::concat::{Concat, Element, Limits, make};
use fanfold_flow::crc::RunningCrc;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::concat::{Assembly, Bounds, Progress};
use fanfold_store::counting::Counting;
use fanfold_store::{Condition, ObjectReader, ReadOptions, Store};
use futures::TryStreamExt;
use serde::Deserialize;

use crate::servers::Server;
use crate::workload::Seeded;

/// Most pieces that go through the pipe one after the other: each starts a program, which takes about a second.
const PIPED_MAX: usize = 20;

/// The peers: what each is called, and by which name the script knows it.
const PEERS: [(&str, &str); 5] = [
    ("`s3-concat`", "s3-concat"),
    ("`s3-concat`, 8 threads", "s3-concat-threads"),
    ("boto3: read each, upload all", "loop"),
    ("boto3: copy each as a part, 8 threads", "part-copies"),
    ("`aws s3 cp` into a folder, `cat`, `aws s3 cp`", "aws-files"),
];

/// A way to make one object of many.
pub(crate) enum Way {
    /// Our planner and our executor, within bounds, over the objects.
    Ours { name: String, bounds: Bounds },
    /// The same over the objects that our workers would have left.
    Packed { name: String, bounds: Bounds },
    /// Another program's, over all objects, or the first so many.
    Peer { name: &'static str, way: &'static str, count: Option<usize> },
}

/// What a way took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    /// Bytes of objects that went through the client, read and written.
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// Whether it was measured over fewer objects, and taken for as much of each.
    pub(crate) is_scaled: bool,
}

/// What a way made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Right,
    /// As many bytes as it should have, and not those.
    OtherBytes,
    OtherLength(u64),
    Failed(String),
}

/// What the peers' script prints.
#[derive(Deserialize)]
struct Told {
    seconds: f64,
    bytes_read: u64,
    bytes_written: u64,
    requests: u64,
}

impl Way {
    /// All of them: the first is the one that the others are compared with.
    pub(crate) fn all(seeded: &Seeded) -> Vec<Self> {
        let mut ways = Self::ours(seeded, Bounds::default());
        ways.extend(PEERS.map(|(name, way)| Self::Peer { name, way, count: None }));
        let (name, way) = ("`aws s3 cp` of each, through a pipe into `aws s3 cp`", "aws-pipe");
        ways.push(Self::Peer { name, way, count: Some(PIPED_MAX) });
        ways
    }

    /// Our own, within these bounds.
    pub(crate) fn ours(seeded: &Seeded, bounds: Bounds) -> Vec<Self> {
        let copies = if bounds == Bounds::default() {
            String::new()
        } else {
            format!(", {} copies at once", bounds.copies_in_flight)
        };
        let mut ways = vec![Self::Ours { name: format!("Fanfold{copies}"), bounds }];
        if seeded.packed.is_some() {
            let name = format!("Fanfold, of results as its workers pack them{copies}");
            ways.push(Self::Packed { name, bounds });
        }
        ways
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ours { name, .. } | Self::Packed { name, .. } => name,
            Self::Peer { name, .. } => name,
        }
    }

    /// Makes the object, or says why it cannot.
    pub(crate) async fn run(
        &self,
        server: &Server,
        store: &Arc<dyn Store>,
        seeded: &Seeded,
        at: &ObjectUri,
    ) -> Result<Took, String> {
        match self {
            Self::Ours { bounds, .. } => ours(store, &seeded.pieces, *bounds, at).await,
            Self::Packed { bounds, .. } => {
                ours(store, seeded.packed.as_deref().unwrap_or_default(), *bounds, at).await
            }
            Self::Peer { way, count, .. } => peer(way, *count, server, seeded, at).await,
        }
    }

    /// Reads what it made, and compares.
    pub(crate) async fn check(&self, store: &Arc<dyn Store>, seeded: &Seeded, at: &ObjectUri) -> Outcome {
        let count = match self {
            Self::Peer { count: Some(count), .. } => *count,
            _ => usize::MAX,
        };
        let (bytes, crc) = seeded.first(count);
        let opened = ObjectReader::open(Arc::clone(store), at.clone(), ReadOptions::default()).await;
        let (_, reader) = opened.expect("the output is there");
        let mut running = RunningCrc::new();
        let mut pieces = reader.into_stream();
        while let Some(piece) = pieces.try_next().await.expect("the output can be read") {
            running.update(&piece);
        }
        match (running.bytes(), running.crc()) {
            found if found == (bytes, crc) => Outcome::Right,
            (found, _) if found == bytes => Outcome::OtherBytes,
            (found, _) => Outcome::OtherLength(found),
        }
    }
}

/// What the reducer does, from elements to the object.
async fn ours(
    store: &Arc<dyn Store>,
    elements: &[Element],
    bounds: Bounds,
    at: &ObjectUri,
) -> Result<Took, String> {
    let counting = Arc::new(Counting::new(Arc::clone(store)));
    let store: Arc<dyn Store> = Arc::clone(&counting) as Arc<dyn Store>;
    let failed = |error: &dyn std::error::Error| error.to_string();
    let began = Instant::now();
    let plan = match make(elements, &Limits::S3).map_err(|error| failed(&error))? {
        Concat::Whole(plan) => plan,
        Concat::Nodes(_) => return Err("it takes more than one upload".to_owned()),
    };
    let assembly = Assembly::new(&store, &plan, at, bounds);
    if assembly.is_one_put() {
        assembly.put(Condition::Always).await.map_err(|error| failed(&error))?;
    } else {
        let upload = store.create_upload(at, None).await.map_err(|error| failed(&error))?;
        let made = assembly.parts(&upload, Vec::new(), std::future::pending()).await;
        let Progress::Whole(parts) = made.map_err(|error| failed(&error))? else {
            return Err("time was up, though there is no limit".to_owned());
        };
        assembly.complete(&upload, &parts, Condition::Always).await.map_err(|error| failed(&error))?;
    }
    let (time, counts) = (began.elapsed(), counting.counts());
    let (bytes, requests) = (counts.bytes_read + counts.bytes_written, counts.calls.values().sum());
    Ok(Took { time, bytes, requests, is_scaled: false })
}

async fn peer(
    way: &str,
    count: Option<usize>,
    server: &Server,
    seeded: &Seeded,
    at: &ObjectUri,
) -> Result<Took, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/concat_peers.py");
    let mut command = tokio::process::Command::new(python::peers());
    command.arg(script).args([way, &at.bucket, &seeded.prefix, &at.key]).envs(server.environment());
    command.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    let all = seeded.pieces.len();
    let taken = count.map_or(all, |count| count.min(all));
    command.arg(taken.to_string());
    let output = command.output().await.expect("the peers' Python starts");
    if !output.status.success() {
        return Err(refusal(&String::from_utf8_lossy(&output.stderr)));
    }
    let told: Told = serde_json::from_slice(&output.stdout).expect("the peers' script tells what it took");
    let share = all as f64 / taken as f64;
    let scaled = |number: f64| number * share;
    Ok(Took {
        time: Duration::from_secs_f64(scaled(told.seconds)),
        bytes: scaled((told.bytes_read + told.bytes_written) as f64) as u64,
        requests: scaled(told.requests as f64) as u64,
        is_scaled: taken < all,
    })
}

/// Why a peer failed: S3's code where it says one, else its last words.
fn refusal(stderr: &str) -> String {
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without a word");
    let code = last.split_once("An error occurred (").and_then(|(_, rest)| rest.split_once(')'));
    code.map_or_else(|| last.to_owned(), |(code, _)| code.to_owned())
}
