//! From what the functions log to how far the job is, and from there to its report.
//!
//! The log is for people; that the job has ended, and how, is only ever taken from `result.json`. The moment to look is
//! when the emulator has nothing running and nothing queued: then either the report is there, or it never will be.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use fanfold_emulator::lambda::LogLine;
use fanfold_flow::code::Code;
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::report::Report;
use fanfold_runtime::Error;
use fanfold_store::{ErrorKind, StoreExt};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::logs;
use crate::machine::Machine;
use crate::progress::{Extent, Phase, Progress};

/// How often time is shown to go by.
const TICK: Duration = Duration::from_millis(250);

/// The last faults that are kept, for a job that ends without a report.
const FAULTS_KEPT: usize = 5;

/// What was seen of a job in the functions' logs.
#[derive(Debug)]
pub(crate) struct Watched {
    done: Extent,
    total: Extent,
    /// How often a chunk was tried again.
    pub(crate) retried: u64,
    seen: HashSet<u64>,
    plan: Plan,
    /// How many chunks of each partition are not done.
    open: Vec<u64>,
    faults: VecDeque<String>,
}

/// A line of a function's log, as `fanfold_runtime` has it written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    level: String,
    message: String,
    index: Option<u64>,
    bytes_in: u64,
    stderr: String,
    code: String,
    reason: String,
}

impl Line {
    fn because(&self) -> String {
        if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) }
    }
}

impl Watched {
    /// Nothing was seen of this plan yet.
    pub(crate) fn new(plan: Plan) -> Self {
        let total = Extent {
            chunks: plan.chunks_to_do(),
            partitions: plan.partitions.len() as u64,
            bytes: plan.input_bytes(),
        };
        Self {
            done: Extent::default(),
            total,
            retried: 0,
            seen: HashSet::new(),
            open: plan.partitions.iter().map(|span| span.chunks).collect(),
            plan,
            faults: VecDeque::new(),
        }
    }

    /// Takes a line in, and gives what a person should read of it.
    fn take(&mut self, line: &LogLine) -> Option<String> {
        let Ok(parsed) = serde_json::from_str::<Line>(&line.line) else {
            return logs::is_debugging().then(|| format!("[{}] {}", line.function, line.line));
        };
        match (parsed.message.as_str(), parsed.index) {
            ("a chunk is done", Some(index)) => {
                self.chunk_is_done(index, parsed.bytes_in);
                None
            }
            ("a piece of a chunk is done", _) => {
                self.done.bytes += parsed.bytes_in;
                None
            }
            ("the program says", Some(index)) => Some(format!("[index {index}] {}", parsed.stderr)),
            ("trying a chunk again", Some(index)) => {
                self.retried += 1;
                Some(format!("[index {index}] trying again after {}: {}", parsed.code, parsed.reason))
            }
            _ if parsed.level == "ERROR" || parsed.level == "WARN" => {
                let fault = format!("{}: {}{}", line.function, parsed.message, parsed.because());
                self.faults.truncate(FAULTS_KEPT - 1);
                self.faults.push_front(fault.clone());
                Some(fault)
            }
            _ => logs::is_debugging().then(|| format!("[{}] {}", line.function, line.line)),
        }
    }

    fn chunk_is_done(&mut self, index: u64, bytes: u64) {
        if !self.seen.insert(index) {
            return;
        }
        self.done.chunks += 1;
        self.done.bytes += bytes;
        let partition = self.plan.partition_of(index).and_then(|number| usize::try_from(number).ok());
        if let Some(open) = partition.and_then(|number| self.open.get_mut(number)) {
            *open = open.saturating_sub(1);
            self.done.partitions += u64::from(*open == 0);
        }
    }
}

/// Follows a job until nothing of it runs any more, and gives its report.
///
/// # Errors
/// `internal`, with the last faults that were logged, when there is no report although nothing runs any more.
///
/// # Cancellation
/// Only looks; lines that were taken in are lost.
pub(crate) async fn until_ended(
    machine: &Machine,
    keys: &JobKeys,
    lines: &mut mpsc::UnboundedReceiver<LogLine>,
    watched: &mut Watched,
    progress: &Progress,
) -> Result<Report, Error> {
    progress.begin(Phase::Run { done: watched.done, total: watched.total });
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drained = std::pin::pin!(machine.drained());
    loop {
        tokio::select! {
            Some(line) = lines.recv() => show(&line, watched, progress),
            _ = ticks.tick() => progress.tick(),
            () = &mut drained => break,
        }
    }
    // What a function printed is here before its invocation counts as ended.
    while let Ok(line) = lines.try_recv() {
        show(&line, watched, progress);
    }
    match machine.store.get_json(&keys.result()).await {
        Ok(report) => Ok(report),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let faults: Vec<&str> = watched.faults.iter().rev().map(String::as_str).collect();
            let said = if faults.is_empty() { "nothing".to_owned() } else { faults.join("\n  ") };
            let message = format!(
                "end job {}: nothing runs any more, and there is no report; last was logged\n  {said}",
                keys.job_id()
            );
            Err(Error::new(Code::Internal, message))
        }
        Err(error) => Err(error.into()),
    }
}

fn show(line: &LogLine, watched: &mut Watched, progress: &Progress) {
    if let Some(text) = watched.take(line) {
        progress.say(&text);
    }
    progress.reached(watched.done);
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use fanfold_flow::job::Job;
    use fanfold_flow::occasion::Occasion;
    use fanfold_flow::plan::{self, Listing};
    use serde_json::json;

    use super::*;

    fn watched() -> Watched {
        let job = Job::from_json(&json!({
            "version": 1, "name": "n", "source": { "range": { "end": 6, "chunk": 1 } }, "processes": 1,
            "task": { "command": ["true"] }, "output": { "uri": "s3://b/k" }
        }))
        .unwrap();
        let mut plan = plan::make(&job, &"run".parse().unwrap(), Listing::Nothing, 1, Occasion::at(0));
        plan.partitions = vec![plan::Span { first: 0, chunks: 2 }, plan::Span { first: 2, chunks: 4 }];
        Watched::new(plan)
    }

    fn take(watched: &mut Watched, line: &serde_json::Value) -> Option<String> {
        let function = "fanfold-worker".to_owned();
        watched.take(&LogLine {
            function,
            environment: "e".into(),
            log_stream: "s".into(),
            at: SystemTime::UNIX_EPOCH,
            request_id: None,
            line: line.to_string(),
        })
    }

    #[test]
    fn a_partition_is_done_when_all_its_chunks_are_each_counted_once() {
        let mut watched = watched();
        for (index, partitions) in [(0, 0), (0, 0), (5, 0), (1, 1), (2, 1), (3, 1), (4, 2)] {
            let line =
                json!({ "level": "INFO", "message": "a chunk is done", "index": index, "bytes_in": 10 });
            assert_eq!(take(&mut watched, &line), None);
            assert_eq!(watched.done.partitions, partitions, "after index {index}");
        }
        assert_eq!((watched.done.chunks, watched.done.bytes), (6, 60));
    }

    #[test]
    fn what_the_program_says_and_what_went_wrong_is_shown_and_the_rest_is_not() {
        let mut watched = watched();
        let says = json!({ "level": "INFO", "message": "the program says", "index": 3, "stderr": "hello" });
        assert_eq!(take(&mut watched, &says).unwrap(), "[index 3] hello");
        let again = json!({ "level": "WARN", "message": "trying a chunk again", "index": 3, "code": "program_failed", "reason": "x" });
        assert_eq!(take(&mut watched, &again).unwrap(), "[index 3] trying again after program_failed: x");
        assert_eq!(watched.retried, 1);
        let error = json!({ "level": "ERROR", "message": "failed to use the store" });
        assert_eq!(take(&mut watched, &error).unwrap(), "fanfold-worker: failed to use the store");
        assert_eq!(take(&mut watched, &json!({ "level": "INFO", "message": "the job is planned" })), None);
    }

    #[test]
    fn only_the_last_faults_are_kept() {
        let mut watched = watched();
        for number in 0..2 * FAULTS_KEPT {
            take(&mut watched, &json!({ "level": "ERROR", "message": number.to_string() }));
        }
        assert_eq!(watched.faults.len(), FAULTS_KEPT);
        assert_eq!(watched.faults[0], format!("fanfold-worker: {}", 2 * FAULTS_KEPT - 1));
    }
}
