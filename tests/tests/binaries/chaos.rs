//! Bad days: the functions' own bootstraps, while the embedded Lambda and S3 do whatever the real ones may do, and a sweep
//! runs every second. Whatever happens, each job ends, exact, and leaves nothing behind.
//!
//! What happens is drawn from a seed. How the processes interleave is not, so a seed that failed is likely to fail again,
//! and not certain to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use e2e::deployment::{BUCKET, Bootstraps, Deployment, Submitted};
use fanfold_emulator::{lambda, s3};
use fanfold_flow::report::{Counts, Report};
use fanfold_store::StoreExt;
use serde_json::{Value, json};

/// The seeds that are run, and how many of them at once on two cores.
const SEEDS: Range<u64> = 0..24;
const AT_ONCE: usize = 6;

/// Names the one seed that is to be run.
const SEED_VARIABLE: &str = "FANFOLD_TEST_SEED";

/// How many of the events are lost. Only a sweep finds out, after its grace.
const EVENTS_LOST: f64 = 0.05;

/// How long the sweep leaves what stands still to itself, from which its pauses follow: by default a minute, which these
/// tests do not have.
const SWEEP_GRACE: &str = "500ms";

/// The time-out of workers and reducers: what died and was not told of is taken up when it is over.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a sweep is fired.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The longest that a job may take to its end.
const END_WITHIN: Duration = Duration::from_secs(300);

/// The most that a job may have: few partitions die so often here.
const RETRIES: u32 = 10;

/// How many of the functions' warnings are printed when a test fails.
const LINES_TOLD: usize = 40;

/// Notes, for [`Started`], under which mark and in which process group a chunk's program runs.
const NOTE: &str = r#"read -r pid name state parent group rest < /proc/$$/stat
echo "$FANFOLD_PROCESS $group" >> started
"#;

async fn deployed() -> Deployment {
    let bootstraps = Bootstraps {
        dispatcher: env!("CARGO_BIN_EXE_e2e-dispatcher"),
        worker: env!("CARGO_BIN_EXE_e2e-worker"),
        reducer: env!("CARGO_BIN_EXE_e2e-reducer"),
        worker_timeout: TIMEOUT,
    };
    let change = |function: &mut lambda::Function| match function.name.as_str() {
        "dispatcher" => {
            function.environment.push(("FANFOLD_SWEEP_GRACE".to_owned(), SWEEP_GRACE.to_owned()));
        }
        _ => function.timeout = TIMEOUT,
    };
    Deployment::start_with(bootstraps, change).await
}

fn job(source: &Value, script: &str) -> Value {
    json!({
        "version": 1,
        "name": "chaos",
        "source": source,
        "task": { "command": ["sh", "-c", format!("{NOTE}{script}")] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
        "retries": RETRIES,
        "token": "chaos"
    })
}

fn lines(chunk_bytes: u64) -> Value {
    json!({ "objects": { "uri": format!("s3://{BUCKET}/in"), "split": "lines", "chunk_bytes": chunk_bytes } })
}

/// So many different lines.
fn numbered(count: u64) -> String {
    (0..count).fold(String::new(), |mut text, line| {
        let _written = writeln!(text, "line {line} of {count}");
        text
    })
}

/// A job, its input, and what it must give.
struct Case {
    job: Value,
    input: String,
    output: Vec<u8>,
}

impl Case {
    /// Each seed has one of four jobs: many small results, large ones that S3 copies, lanes, and CSV with its header.
    fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => {
                let input = numbered(20_000);
                let output = input.to_uppercase().into_bytes();
                Self { job: job(&lines(20_000), "tr a-z A-Z"), input, output }
            }
            1 => {
                let source = json!({ "range": { "end": 6, "chunk": 1 } });
                let bytes = 6_000_000;
                let output = (0..6).flat_map(|index| format!("{index}\n").repeat(bytes / 2).into_bytes());
                let job = job(&source, &format!("yes $FANFOLD_INDEX | head -c {bytes}"));
                Self { job, input: String::new(), output: output.collect() }
            }
            2 => {
                let mut job = job(&json!({ "range": { "end": 24, "chunk": 1 } }), "echo $FANFOLD_INDEX");
                job["max_concurrency"] = json!(3);
                let output = (0..24).map(|index| format!("{index}\n")).collect::<String>();
                Self { job, input: String::new(), output: output.into_bytes() }
            }
            _ => {
                let input = format!("name,value\n{}", numbered(9_000).replace(' ', ","));
                let mut job = job(&lines(10_000), "sleep 0.1; cat");
                (job["source"]["objects"]["split"], job["source"]["objects"]["header"]) =
                    (json!("csv"), json!(true));
                (job["output"]["format"], job["max_concurrency"]) = (json!("csv"), json!(4));
                Self { job, output: input.clone().into_bytes(), input }
            }
        }
    }
}

/// How often reducers are killed: they have three tries, however many retries a job has, and a store that fails too often in a
/// row may cost one.
const REDUCER_DEATHS: u64 = 1;

/// How often workers are killed, where a job must not fail though each time it were the same partition.
const WORKER_DEATHS: u64 = 6;

/// How often dispatchers are killed: one that died each time it sweeps would get nowhere.
const DISPATCHER_DEATHS: u64 = 4;

fn kills(every: Duration, functions: &[(&str, u64)]) -> Option<lambda::Kills> {
    let functions = functions.iter().map(|(name, deaths)| ((*name).to_owned(), *deaths)).collect();
    Some(lambda::Kills { functions, every })
}

/// Everything at once, at rates at which a short job sees most of it.
fn everything(seed: u64) -> (lambda::Faults, s3::Faults) {
    let lambda = lambda::Faults {
        seed,
        throttled: 0.06,
        service_error: 0.03,
        answer_lost: 0.03,
        event_lost: EVENTS_LOST,
        event_twice: 0.15,
        event_late: 0.1,
        record_twice: 0.3,
        record_late: 0.2,
        delay_max: Duration::from_millis(1_500),
        kills: kills(
            Duration::from_millis(700),
            &[("dispatcher", DISPATCHER_DEATHS), ("worker", WORKER_DEATHS), ("reducer", REDUCER_DEATHS)],
        ),
    };
    let rates = s3::Rates {
        slow_down: 0.02,
        internal_error: 0.02,
        answer_lost: 0.02,
        late: 0.05,
        delay_max: Duration::from_millis(100),
        ..s3::Rates::default()
    };
    let operations = [("GetObject".to_owned(), s3::Rates { body_cut: 0.1, ..rates })];
    (lambda, s3::Faults { seed, rates, operations: operations.into() })
}

fn switch_on(deployed: &Deployment, (lambda, s3): (lambda::Faults, s3::Faults)) {
    deployed.emulator().lambda().faults().set(lambda).unwrap();
    deployed.emulator().s3().faults().set(s3).unwrap();
}

fn switch_off(deployed: &Deployment) {
    deployed.emulator().lambda().faults().clear();
    deployed.emulator().s3().faults().clear();
}

/// Sends the job until it is accepted: the dispatcher may be killed while it answers, or find no store.
async fn submit(deployed: &Deployment, job: &Value) -> Submitted {
    let mut answer = deployed.call(job).await;
    let began = Instant::now();
    while let Err(error) = answer {
        let is_refused = error.function_error().is_some_and(|error| error.error_type == "invalid_job");
        assert!(!is_refused && began.elapsed() < END_WITHIN, "the job is not accepted: {error}");
        answer = deployed.call(job).await;
    }
    Submitted::of(answer.unwrap())
}

async fn is_active(deployed: &Deployment) -> bool {
    let markers = deployed.store().list_all(deployed.bucket(), "work/active/").await.unwrap();
    !markers.is_empty()
}

/// Fires a sweep every second until the job has ended and its marker is gone.
async fn sweep_to_the_end(deployed: &Deployment, job: &Submitted) {
    let (began, mut ticks) = (Instant::now(), tokio::time::interval(SWEEP_EVERY));
    while !deployed.has_ended(job).await || is_active(deployed).await {
        assert!(began.elapsed() < END_WITHIN, "the job did not end; there are {:#?}", keys(deployed).await);
        ticks.tick().await;
        // One that fails, or is killed, is followed by the next.
        let _swept = deployed.call(&json!({ "sweep": {} })).await;
    }
}

async fn keys(deployed: &Deployment) -> Vec<String> {
    let objects = deployed.store().list_all(deployed.bucket(), "work/").await.unwrap();
    objects.into_iter().map(|object| object.key).collect()
}

/// Runs a job to its end under faults, and asserts that it is exact and that nothing is left of it.
async fn run(case: Case, faults: (lambda::Faults, s3::Faults)) -> Ran {
    let deployed = deployed().await;
    let began = Instant::now();
    let logs = Logs(deployed.folder().join("emulator/logs"));
    deployed.put("in", case.input).await;
    switch_on(&deployed, faults);
    let submitted = submit(&deployed, &case.job).await;
    sweep_to_the_end(&deployed, &submitted).await;
    switch_off(&deployed);
    // Asserts that no upload and no chunk result is left, too.
    let (output, report) = deployed.output(&submitted).await;
    assert!(output == case.output, "{} bytes in place of {}", output.len(), case.output.len());
    let total = report.chunks.total;
    assert_eq!(report.chunks, Counts { total, done: total, failed: 0, cancelled: 0 });
    let ran = Ran { report, took: began.elapsed(), seen: Seen::in_all(&deployed) };
    let started = Started::read(&deployed);
    drop(logs);
    deployed.stop().await;
    started.assert_gone();
    ran
}

/// A job that was run to its end.
struct Ran {
    report: Report,
    /// From the first event to the last process.
    took: Duration,
    seen: Seen,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report: Report { attempts, partitions, .. }, took, seen } = self;
        write!(f, "{took:.1?}, {attempts} attempts at {partitions} partitions, {:?}", seen.0)
    }
}

/// Prints what the functions warned of last, when a test fails.
struct Logs(PathBuf);

impl Drop for Logs {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folders = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let logs = folders.flat_map(|function| fs::read_dir(function.path()).into_iter().flatten().flatten());
        // All functions together, in the order of time, with which each line begins.
        let mut lines: Vec<String> = logs
            .flat_map(|log| {
                let text = fs::read_to_string(log.path()).unwrap_or_default();
                let name = log.path().strip_prefix(&self.0).unwrap_or(&log.path()).display().to_string();
                let told =
                    text.lines().filter(|line| line.contains(r#""WARN""#) || line.contains(r#""ERROR""#));
                told.map(|line| format!("{line} {name}")).collect::<Vec<_>>()
            })
            .collect();
        lines.sort_unstable();
        let last = lines.len().saturating_sub(LINES_TOLD);
        println!("the last of {} warnings:\n{}", lines.len(), lines[last..].join("\n"));
    }
}

/// The programs that were started, as they noted it themselves.
struct Started {
    marks: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Started {
    fn read(deployed: &Deployment) -> Self {
        let notes = fs::read_to_string(deployed.folder().join("started")).unwrap();
        let notes = notes.lines().map(|line| line.split_once(' ').unwrap());
        let (marks, groups) = notes.map(|(mark, group)| (mark.to_owned(), group.to_owned())).unzip();
        Self { marks, groups }
    }

    /// Asserts that no process is there that carries one of the marks, or that is in one of the groups. A number may have been
    /// given away again: then the group has a leader of that number, which is none of ours, or it would carry a mark.
    fn assert_gone(&self) {
        assert!(!self.marks.is_empty() && !self.groups.is_empty());
        let mut left = Vec::new();
        for folder in fs::read_dir("/proc").unwrap().flatten() {
            let environment = fs::read(folder.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            let mark = variables.find_map(|variable| variable.strip_prefix(b"FANFOLD_PROCESS="));
            let is_marked = mark.is_some_and(|mark| self.marks.contains(&*String::from_utf8_lossy(mark)));
            let stat = fs::read_to_string(folder.path().join("stat")).unwrap_or_default();
            // After the name, which may have spaces.
            let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
            let (state, group) = (fields.next(), fields.nth(1).unwrap_or_default());
            let is_grouped = self.groups.contains(group) && !Path::new("/proc").join(group).exists();
            // One that has ended waits for somebody to ask how: that is its parent's affair.
            if is_marked || (is_grouped && state != Some("Z")) {
                left.push(stat);
            }
        }
        assert!(left.is_empty(), "processes are left: {left:#?}");
    }
}

/// How often each fault happened, by name.
#[derive(Debug, Default)]
struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    fn in_all(deployed: &Deployment) -> Self {
        let lambda = deployed.emulator().lambda().faults().counts();
        let killed = |function: &str| lambda.killed.get(function).copied().unwrap_or(0);
        let s3 = deployed.emulator().s3().faults().counts();
        Self(BTreeMap::from([
            ("429", lambda.throttled),
            ("500 of Lambda", lambda.service_error),
            ("answer of Lambda lost", lambda.answer_lost),
            ("event lost", lambda.event_lost),
            ("event twice", lambda.event_twice),
            ("event late", lambda.event_late),
            ("record twice", lambda.record_twice),
            ("record late", lambda.record_late),
            ("dispatcher killed", killed("dispatcher")),
            ("worker killed", killed("worker")),
            ("reducer killed", killed("reducer")),
            ("503", s3.slow_down),
            ("500 of S3", s3.internal_error),
            ("answer of S3 lost", s3.answer_lost),
            ("body cut", s3.body_cut),
            ("request late", s3.late),
        ]))
    }

    fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => vec![seed.parse().unwrap_or_else(|error| panic!("{SEED_VARIABLE}: {error}"))],
        Err(_) => SEEDS.collect(),
    }
}

/// Runs a seed in a thread and a runtime of its own.
fn run_alone(seed: u64) -> std::thread::Result<Ran> {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(Case::of(seed), everything(seed)))
    });
    let ran = thread.join();
    if let Ok(ran) = &ran {
        println!("seed {seed}: {ran}");
    }
    ran
}

#[test]
fn whatever_happens_at_once_a_job_ends_exact_and_leaves_nothing() {
    let seeds = seeds();
    let all = seeds.len() > 1;
    let (seeds, ran) = (Mutex::new(seeds.into_iter()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // The seeds are locked no longer than it takes to have the next.
                let next = || seeds.lock().unwrap().next();
                while let Some(seed) = next() {
                    let ended = run_alone(seed);
                    ran.lock().unwrap().insert(seed, ended);
                }
            });
        }
    });
    let (mut seen, mut failed) = (Seen::default(), Vec::new());
    for (seed, ran) in ran.into_inner().unwrap() {
        match ran {
            Ok(ran) => seen.add(&ran.seen),
            Err(_) => failed
                .push(format!("{SEED_VARIABLE}={seed} cargo test -p e2e --test binaries chaos::whatever")),
        }
    }
    println!("all: {:?}", seen.0);
    assert!(
        failed.is_empty(),
        "seeds failed for the reasons above; each alone is run by\n    {}",
        failed.join("\n    ")
    );
    for (fault, count) in &seen.0 {
        // Of one seed, not each kind of fault comes.
        assert!(
            !all || *count > 0 || (*fault == "event lost" && EVENTS_LOST == 0.0),
            "there was no '{fault}' in {seen:?}"
        );
    }
}

/// Chunks, of two tenths of a second each: with three workers of two processes, a minute's work and a little.
const SHORT_CHUNKS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_minute_is_exact_though_a_worker_or_a_reducer_is_killed_every_second() {
    let input = numbered(SHORT_CHUNKS * 20);
    let mut job = job(&lines(input.len() as u64 / SHORT_CHUNKS), "sleep 0.2; cat");
    job["max_concurrency"] = json!(3);
    let output = input.clone().into_bytes();
    // Nothing else happens, so a reducer may die twice.
    let kills = kills(Duration::from_secs(1), &[("worker", u64::MAX), ("reducer", 2)]);
    let lambda = lambda::Faults { seed: 1, kills, ..lambda::Faults::default() };
    let ran = run(Case { job, input, output }, (lambda, s3::Faults::default())).await;
    println!("{ran}");
    let killed = ran.seen.0["worker killed"] + ran.seen.0["reducer killed"];
    assert!(killed >= ran.took.as_secs() / 2 && killed > 20, "{killed} kills in {:?}", ran.took);
    assert!(ran.report.attempts > ran.report.partitions, "{:?}", ran.report);
}
