//! Lambda freezes an environment with all that runs in it, and thaws it some time later: between two invocations whenever it
//! likes. Nothing is lost by it, fails of it, or waits for ever after it; nor where it is done in the midst of an invocation.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use e2e::deployment::{BUCKET, Deployment};
use e2e::processes;
use e2e::stage::Limits;
use fanfold_emulator::lambda::{Function, Phase};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::stage::{self, WORKER, WORKER_WITH_TASKS, stage};

/// How long a worker is frozen with its chunks: longer than what a program has left running may hold its output open, and than
/// a connection may take to be made.
const FROZEN: Duration = Duration::from_secs(7);

/// How long a freeze is of which there are many in a job, and the time between two.
const BLINK: Duration = Duration::from_millis(150);
const BETWEEN_BLINKS: Duration = Duration::from_millis(100);

/// How many jobs there are in a row, the first of which is served by new environments.
const ROUNDS: u32 = 4;

/// A line's length. Each chunk has a whole number of lines, so that it begins and ends where its range does.
const LINE_BYTES: usize = 10;

const FUNCTIONS: [&str; 3] = ["dispatcher", "worker", "reducer"];

/// The process groups of the functions' environments in this phase.
fn groups(deployed: &Deployment, functions: &[&str], phase: Phase) -> Vec<u32> {
    let environments = deployed.emulator().lambda().environments().into_iter();
    let wanted = environments.filter(|it| it.phase == phase && functions.contains(&it.function.as_str()));
    wanted.map(|it| it.pid).collect()
}

/// Stops every process of these groups, and waits until they have stopped.
async fn freeze(deployed: &Deployment, groups: &[u32]) {
    for group in groups {
        processes::signal_group(*group, Signal::STOP);
    }
    let all_have = async || groups.iter().all(|group| processes::has_stopped(*group));
    deployed.until("the freeze", all_have).await;
}

fn thaw(groups: &[u32]) {
    for group in groups {
        processes::signal_group(*group, Signal::CONT);
    }
}

/// A job over the lines of `in`, of which nothing is tried again.
fn job(chunk_bytes: usize, script: &str) -> Value {
    json!({
        "version": 1,
        "name": "frozen",
        "source": { "objects": { "uri": format!("s3://{BUCKET}/in"), "split": "lines", "chunk_bytes": chunk_bytes } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": format!("s3://{BUCKET}/out"), "overwrite": true },
        "processes": 2,
        "retries": 0
    })
}

fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|line| format!("{line:0width$}\n", width = LINE_BYTES - 1).into_bytes()).collect()
}

/// Copies its input, some 50 lines a second.
const SLOWLY: &str = r#"while read -r line; do echo "$line"; sleep 0.02; done"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_frozen_with_its_chunks_goes_on_where_it_was() {
    let stage = stage(Limits::default());
    let deployed = stage::deployed(&stage, WORKER, |_| {}).await;
    let input = lines(400);
    deployed.put("in", input.clone()).await;
    // A worker has several chunks, of which two run and the others wait.
    let submitted = deployed.submit(&job(60 * LINE_BYTES, SLOWLY)).await;
    deployed.until("two programs at work", async || deployed.processes("sleep 0.02").len() == 2).await;
    let workers = groups(&deployed, &["worker"], Phase::Running);
    freeze(&deployed, &workers).await;
    let programs = deployed.processes("sh -c");
    tokio::time::sleep(FROZEN).await;
    assert_eq!(deployed.processes("sh -c"), programs, "something went on while all was frozen");
    thaw(&workers);
    let (output, report) = deployed.output(&submitted).await;
    assert!(output == input);
    assert_eq!((report.attempts, report.records), (report.partitions, 400), "{report:?}");
    deployed.stop().await;
}

/// Freezes all that run, again and again, until the job has ended; and gives its output.
async fn frozen_again_and_again(deployed: &Deployment, job: &Value) -> Vec<u8> {
    let submitted = deployed.submit(job).await;
    let mut freezes = 0;
    while !deployed.has_ended(&submitted).await {
        let all = groups(deployed, &FUNCTIONS, Phase::Running);
        freeze(deployed, &all).await;
        tokio::time::sleep(BLINK).await;
        thaw(&all);
        freezes += usize::from(!all.is_empty());
        tokio::time::sleep(BETWEEN_BLINKS).await;
    }
    let (output, report) = deployed.output(&submitted).await;
    assert_eq!(report.attempts, report.partitions, "{report:?}");
    assert!(freezes > 5, "the job was too short to be frozen often: {freezes}");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_functions_are_frozen_again_and_again_is_exact_and_nothing_fails() {
    let stage = stage(Limits::default());
    let deployed = stage::deployed(&stage, WORKER, |_| {}).await;
    let (input, chunk_bytes, more_bytes) = (lines(40_000), 2_000 * LINE_BYTES, 600_000);
    deployed.put("in", input.clone()).await;
    let script = format!("cat; sleep 1; yes $FANFOLD_INDEX | head -c {more_bytes}");
    let output = frozen_again_and_again(&deployed, &job(chunk_bytes, &script)).await;
    let of_a_chunk = |(index, chunk): (usize, &[u8])| {
        let line = format!("{index}\n");
        let more = line.repeat(more_bytes / line.len() + 1).into_bytes();
        [chunk, &more[..more_bytes]].concat()
    };
    let expected: Vec<u8> = input.chunks(chunk_bytes).enumerate().flat_map(of_a_chunk).collect();
    assert!(output == expected, "{} bytes instead of {}", output.len(), expected.len());
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forked_tasks_that_are_frozen_again_and_again_are_exact_and_nothing_fails() {
    let stage = stage(Limits::default());
    let deployed = stage::deployed(&stage, WORKER_WITH_TASKS, |_| {}).await;
    let input = lines(800_000);
    deployed.put("in", input.clone()).await;
    let mut job = job(10_000 * LINE_BYTES, "");
    job["task"] = json!({ "name": "long-lived", "args": ["well"] });
    let output = frozen_again_and_again(&deployed, &job).await;
    assert!(output == input, "{} bytes instead of {}", output.len(), input.len());
    deployed.stop().await;
}

/// What lies between the functions and S3: it can cut every connection at once, as S3 does by and by with those on which nothing
/// is asked.
struct Wire {
    address: SocketAddr,
    to: Arc<OnceLock<String>>,
    cut: broadcast::Sender<()>,
    _accepting: JoinSet<()>,
}

impl Wire {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, to) = (listener.local_addr().unwrap(), Arc::new(OnceLock::new()));
        let (cut, _) = broadcast::channel(1);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&to), cut.clone()));
        Self { address, to, cut, _accepting: accepting }
    }

    /// Says where S3 is, which is known when it has started.
    fn lead_to(&self, endpoint: &str) {
        self.to.set(endpoint.trim_start_matches("http://").to_owned()).unwrap();
    }

    /// How many connections it was that are cut.
    fn cut(&self) -> usize {
        self.cut.send(()).unwrap_or(0)
    }
}

async fn accept(listener: TcpListener, to: Arc<OnceLock<String>>, cut: broadcast::Sender<()>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let (to, mut cut) = (Arc::clone(&to), cut.subscribe());
        connections.spawn(async move {
            let mut far = TcpStream::connect(to.get().unwrap()).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cut.recv() => {}
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_whose_connections_were_cut_while_they_were_frozen_serve_their_next_events() {
    serve_after_being_frozen(WORKER, json!({ "command": ["cat"] })).await;
}

/// Between two events nothing runs but the worker and the server that its processes are forked from.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_server_that_was_frozen_between_two_events_forks_for_the_next() {
    serve_after_being_frozen(WORKER_WITH_TASKS, json!({ "name": "long-lived", "args": ["well"] })).await;
}

async fn serve_after_being_frozen(worker: &'static str, task: Value) {
    let (stage, wire) = (stage(Limits::default()), Wire::new().await);
    let endpoint = format!("http://{}", wire.address);
    let through_the_wire = |function: &mut Function| {
        function.environment.push(("AWS_ENDPOINT_URL_S3".to_owned(), endpoint.clone()));
    };
    let deployed = stage::deployed(&stage, worker, through_the_wire).await;
    wire.lead_to(&deployed.emulator().s3_endpoint());
    let input = lines(4_000);
    deployed.put("in", input.clone()).await;
    let mut job = job(1_000 * LINE_BYTES, "");
    job["task"] = task;
    for round in 0..ROUNDS {
        let frozen = groups(&deployed, &FUNCTIONS, Phase::Idle);
        freeze(&deployed, &frozen).await;
        assert_eq!((frozen.is_empty(), wire.cut() == 0), (round == 0, round == 0), "{frozen:?}");
        let work = async {
            let submitted = deployed.submit(&job).await;
            deployed.output(&submitted).await
        };
        let (output, report) = tokio::select! {
            done = work => done,
            never = thaw_whoever_is_invoked(&deployed) => match never {},
        };
        assert!(output == input);
        assert_eq!(report.attempts, report.partitions, "{report:?}");
        let served: Vec<u32> = frozen.into_iter().filter(|group| !processes::has_stopped(*group)).collect();
        assert_eq!(served.is_empty(), round == 0, "nobody was thawed");
    }
    deployed.stop().await;
}

async fn thaw_whoever_is_invoked(deployed: &Deployment) -> Infallible {
    loop {
        thaw(&groups(deployed, &FUNCTIONS, Phase::Running));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
