//! Whole jobs whose functions, and whatever these start, find what they would find on Lambda: see `e2e::stage`.

use std::time::Duration;

use e2e::deployment::{BUCKET, Bootstraps, Deployment};
use e2e::program::{Ended, Sandbox};
use e2e::stage::{Limits, Stage};
use fanfold_emulator::lambda::Function;
use fanfold_flow::report::Counts;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{bare, data, python};

/// What a job's program finds on the stage, in the words of `denied.py`.
const DENIED: &str = "\
pdeathsig: EPERM
subreaper: EPERM
setsid: EPERM
setpgid: EPERM
unshare: EPERM
clone into a namespace: EPERM
setns: EPERM
mount: EPERM
chroot: EPERM
setuid: EPERM
setgid: EPERM
ptrace: EPERM
bpf: EPERM
perf_event_open: EPERM
userfaultfd: EPERM
io_uring_setup: EPERM
more open files: not allowed to raise maximum limit
clone3: ENOSYS
memfd_create: ENOSYS
pidfd_open: ENOSYS
pidfd_send_signal: ENOSYS
/dev/shm: EROFS
/dev/shm: Semaphore: EROFS
/dev/shm: Lock: EROFS
/dev/shm: Queue: EROFS
/dev/shm: Pool: EROFS
/dev/shm: ThreadPool: EROFS
/dev/fd/N: ENOENT
/dev/fd/0: allowed
/dev/stdout: allowed
/dev/null: allowed
Process and Pipe: allowed
a command: allowed
a socket pair: allowed
a Unix socket: allowed
loopback: allowed
mmap of a file: allowed
CapPrm: 0000000000000000
CapEff: 0000000000000000
Seccomp: 2
open files: 1024 1024
";

/// The README's program.
const MINOR: [&str; 3] = ["awk", "-F,", "NR==1 || $0 ~ /Minor/"];

/// A stage with these limits.
pub(crate) fn stage(limits: Limits) -> Stage {
    Stage::new(env!("CARGO_BIN_EXE_e2e-stage"), limits)
}

/// A worker with tasks in it, for which it forks processes.
pub(crate) const WORKER_WITH_TASKS: &str = env!("CARGO_BIN_EXE_e2e-tasks");

/// The worker that ships.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_e2e-worker");

fn bootstraps(worker: &'static str) -> Bootstraps {
    Bootstraps {
        dispatcher: env!("CARGO_BIN_EXE_e2e-dispatcher"),
        worker,
        reducer: env!("CARGO_BIN_EXE_e2e-reducer"),
        worker_timeout: Duration::from_secs(60),
    }
}

/// The functions' own bootstraps, all on the stage.
pub(crate) async fn deployed(
    stage: &Stage,
    worker: &'static str,
    mut change: impl FnMut(&mut Function),
) -> Deployment {
    let on_stage = |function: &mut Function| {
        stage.take(function);
        change(function);
    };
    Deployment::start_with(bootstraps(worker), on_stage).await
}

/// The program that ships, its functions on the stage.
fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_e2e-stage"))
}

/// Runs the program with these arguments to its end.
fn run(sandbox: &Sandbox, stage: &Stage, arguments: &[&str]) -> Ended {
    sandbox.start(sandbox.command(arguments).envs([stage.variable()])).ended()
}

/// A job of so many chunks without input, each with this shell script as its program.
fn numbers(chunks: u64, processes: u64, script: &str) -> Value {
    json!({
        "version": 1,
        "name": "numbers",
        "source": { "range": { "end": chunks, "chunk": 1 } },
        "task": { "command": ["sh", "-c", script] },
        "output": { "uri": format!("s3://{BUCKET}/out") },
        "processes": processes
    })
}

/// What a job of numbers gives whose program prints its index.
fn counted(chunks: u64) -> String {
    (0..chunks).map(|index| format!("{index}\n")).collect()
}

#[test]
fn a_jobs_program_finds_denied_what_lambda_denies_and_pools_fail_as_there() {
    let (sandbox, stage) = (sandbox(), stage(Limits::default()));
    let job = json!({
        "version": 1,
        "name": "denied",
        "source": { "range": { "end": 1, "chunk": 1 } },
        "task": { "command": ["python3", python("denied.py")] },
        "output": { "uri": "out" }
    });
    sandbox.write("job.json", job.to_string());
    run(&sandbox, &stage, &["run", "job.json"]).succeeded();
    let found = String::from_utf8(sandbox.read("out")).unwrap();
    // Without root, shared memory and descriptors are found as they are on this machine.
    let told = |text: &str| {
        let lines = text.lines().filter(|line| stage.has_devices() || !line.starts_with("/dev"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told(&found), told(DENIED));
    sandbox.assert_clean(&["job.json", "out"]);
}

#[test]
fn the_main_job_equals_the_bare_program_on_the_stage() {
    let (input, stage) = (data("birdstrikes.csv"), stage(Limits::default()));
    let whole = bare(&MINOR, &input);
    for spread in [["64KiB", "2", "2"], ["16KiB", "4", "1"], ["100001", "1", "6"]] {
        let [chunk_bytes, workers, processes] = spread;
        let sandbox = sandbox();
        let options = ["map", "-i", &input, "-o", "out.csv", "--split", "csv", "--header", "--retries", "0"];
        let spread =
            ["--chunk-bytes", chunk_bytes, "--workers", workers, "--processes", processes, "--", "sh", "-c"];
        // It fails where no filter is.
        let minor = r#"grep -q '^Seccomp:.2$' /proc/self/status && exec awk -F, 'NR==1 || $0 ~ /Minor/'"#;
        run(&sandbox, &stage, &[&options[..], &spread, &[minor]].concat()).succeeded();
        assert!(sandbox.read("out.csv") == whole, "{spread:?}");
        sandbox.assert_clean(&["out.csv"]);
    }
}

/// A fork server and its processes do without whatever is denied there.
#[test]
fn a_worker_with_tasks_of_its_own_does_its_job_on_the_stage() {
    let stage = stage(Limits::default());
    let input: String = (0..20_000).map(|line| format!("line {line}\n")).collect();
    for (name, way) in
        [("capitals", "leak"), ("capitals", "exit"), ("long-lived", "thread"), ("long-lived", "abort")]
    {
        let sandbox = sandbox();
        sandbox.write("in", &input);
        sandbox.write("job.json", forked(&json!({ "name": name, "args": [way] })).to_string());
        run(&sandbox, &stage, &["run", "job.json", "--worker-program", WORKER_WITH_TASKS]).succeeded();
        assert!(sandbox.read("out") == input.to_uppercase().into_bytes(), "{name} {way}");
        sandbox.assert_clean(&["in", "job.json", "out"]);
    }
}

#[test]
fn the_example_of_a_worker_does_the_same_on_the_stage_as_elsewhere() {
    let stage = stage(Limits::default());
    let worker = env!("CARGO_BIN_EXE_e2e-example-worker");
    let input: String =
        (0..5_000).map(|id| format!("{{\"id\":{id},\"terms\":[0,{},1234567]}}\n", id % 7)).collect();
    for task in [json!({ "name": "redact", "args": ["6"] }), json!({ "name": "score" })] {
        let outputs = [crate::sandbox(), sandbox()].map(|sandbox| {
            sandbox.write("in", &input);
            sandbox.write("job.json", forked(&task).to_string());
            run(&sandbox, &stage, &["run", "job.json", "--worker-program", worker]).succeeded();
            let output = sandbox.read("out");
            sandbox.assert_clean(&["in", "job.json", "out"]);
            output
        });
        assert!(outputs[0] == outputs[1] && outputs[0].len() > 5_000, "{task}");
    }
}

/// A job over the lines of the file `in` that calls this task.
fn forked(task: &Value) -> Value {
    json!({
        "version": 1,
        "name": "forked",
        "source": { "objects": { "uri": "in", "chunk_bytes": "20kB" } },
        "task": task,
        "output": { "uri": "out" }
    })
}

/// There, a process is killed by its number, since no other hold on it is to be had.
#[test]
fn what_a_program_leaves_running_is_ended_on_the_stage() {
    let (sandbox, stage) = (sandbox(), stage(Limits::default()));
    sandbox.write("in", "0\n1\n2\n");
    let left = "sleep 1000 > /dev/null 2>&1 & (env -i sleep 1000 > /dev/null 2>&1 &) ; cat";
    let options =
        ["map", "-i", "in", "-o", "out", "--chunk-bytes", "2", "--retries", "0", "--", "sh", "-c", left];
    run(&sandbox, &stage, &options).succeeded();
    assert_eq!(sandbox.read("out"), b"0\n1\n2\n");
    sandbox.assert_clean(&["in", "out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_on_the_stage_is_made_up_for_and_leaves_nothing() {
    let stage = stage(Limits::default());
    let deployed = deployed(&stage, WORKER, |_| {}).await;
    let script = "if [ $FANFOLD_INDEX$FANFOLD_ATTEMPT = 11 ]; then touch stuck; exec sleep 1000; fi; echo $FANFOLD_INDEX";
    let submitted = deployed.submit(&numbers(3, 2, script)).await;
    deployed.until("the stuck chunk", async || deployed.folder().join("stuck").exists()).await;
    assert!(deployed.signal_running("worker", Signal::KILL) > 0);
    let (output, report) = deployed.output(&submitted).await;
    assert_eq!(String::from_utf8(output).unwrap(), counted(3));
    assert!(report.attempts > report.partitions, "{report:?}");
    assert_eq!(deployed.processes("sleep"), [], "a program outlived its worker");
    deployed.stop().await;
}

/// The most files that a process may have open, and processes and threads that there may be, where it is seen whether a worker
/// leaves some. Without programs it has some 15 files open and 3 threads (measured); a program takes 3 files more, and a process.
const FEW: u64 = 48;

/// The functions, of which the worker has one environment, on the stage.
async fn with_one_worker(stage: &Stage, worker: &'static str) -> Deployment {
    let one_worker = |function: &mut Function| {
        if function.name == "worker" {
            function.reserved_concurrency = Some(1);
            stage.take(function);
        }
    };
    Deployment::start_with(bootstraps(worker), one_worker).await
}

/// Puts so many small objects, which share partitions, and gives a source of them with a chunk of each.
async fn small_objects(deployed: &Deployment, lines: &str, objects: u64) -> Value {
    for object in 0..objects {
        deployed.put(&format!("in/{object:04}"), lines.to_owned()).await;
    }
    json!({ "objects": { "uri": format!("s3://{BUCKET}/in/"), "split": "lines" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_one_after_another_leak_neither_files_nor_processes() {
    let stage = stage(Limits { open_files: FEW, tasks: FEW, ..Limits::default() });
    let deployed = with_one_worker(&stage, WORKER).await;
    // Some of them fail at first, and some leave a process running.
    let chunks = 8 * FEW;
    let script = format!(
        "test $(ulimit -n) = {FEW} || exit 9
        test $FANFOLD_ATTEMPT$((FANFOLD_INDEX % 50)) = 10 && exit 3
        if [ $((FANFOLD_INDEX % 5)) = 0 ]; then sleep 1000 > /dev/null 2>&1 & fi
        echo $FANFOLD_INDEX"
    );
    let mut job = numbers(chunks, 3, &script);
    job["source"] = small_objects(&deployed, "some line\n", chunks).await;
    let submitted = deployed.submit(&job).await;
    let (output, report) = deployed.output(&submitted).await;
    assert_eq!(String::from_utf8(output).unwrap(), counted(chunks));
    assert!(report.partitions < chunks / 10, "a worker has few chunks at a time: {report:?}");
    assert_eq!(report.chunks, Counts { total: chunks, done: chunks, failed: 0, cancelled: 0 });
    deployed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forked_tasks_one_after_another_leak_neither_files_nor_processes() {
    let (chunks, lines) = (8 * FEW, "some line\n".repeat(12));
    for (name, way) in [("capitals", "thread"), ("capitals", "abort"), ("long-lived", "exit")] {
        let stage = stage(Limits { open_files: FEW, tasks: FEW, ..Limits::default() });
        let deployed = with_one_worker(&stage, WORKER_WITH_TASKS).await;
        let mut job = numbers(chunks, 3, "");
        job["source"] = small_objects(&deployed, &lines, chunks).await;
        job["task"] = json!({ "name": name, "args": [way] });
        let submitted = deployed.submit(&job).await;
        let (output, report) = deployed.output(&submitted).await;
        let expected = lines.to_uppercase().repeat(usize::try_from(chunks).unwrap());
        assert!(output == expected.into_bytes(), "{name} {way}");
        assert_eq!(report.chunks, Counts { total: chunks, done: chunks, failed: 0, cancelled: 0 });
        deployed.stop().await;
    }
}

/// What has no room beside the others at first is tried again alone.
#[tokio::test(flavor = "multi_thread")]
async fn more_processes_than_there_may_be_files_or_processes_for_are_no_failure() {
    let few_files = Limits { open_files: FEW, ..Limits::default() };
    let few_tasks = Limits { tasks: FEW, ..Limits::default() };
    for limits in [few_files, few_tasks] {
        let stage = stage(limits);
        let deployed = with_one_worker(&stage, WORKER).await;
        let script = "echo $FANFOLD_INDEX; test $FANFOLD_ATTEMPT -gt 1 || exec sleep 2";
        let submitted = deployed.submit(&numbers(FEW, FEW, script)).await;
        let (output, report) = deployed.output(&submitted).await;
        assert_eq!(String::from_utf8(output).unwrap(), counted(FEW));
        let is_enough = limits.tasks == FEW && !stage.limits_tasks();
        assert_eq!(report.attempts > report.partitions, !is_enough, "{report:?}");
        deployed.stop().await;
    }
}
