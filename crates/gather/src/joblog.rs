//! The joblog of a job that ends, from the records of its partitions.
//!
//! It is made anew from the account, line by line, whenever somebody ends the job, and so is the same whoever writes it.
//! Nothing is read for it, and no more of it is in memory than the parts that are on their way.

use std::sync::Arc;

use bytes::Bytes;
use fanfold_flow::done::{Death, Try};
use fanfold_flow::job::Job;
use fanfold_flow::joblog::{self, Line, Outcome, Place};
use fanfold_flow::keys::JobKeys;
use fanfold_flow::plan::Plan;
use fanfold_flow::result::ChunkResult;
use fanfold_flow::template::{self, Values};
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Deps;
use fanfold_store::{ObjectWriter, Store, StoreError, WriteOptions};

use crate::account::Account;

/// Bytes of lines that are handed on at once.
const BLOCK_BYTES: usize = 256 << 10;

/// Writes the joblog of a run that ends, in place of one that an earlier try at ending it wrote, and gives its address. The
/// account is that of the run's own partitions.
///
/// A job ends without its joblog rather than not at all: a failure is told in the log, and there is no address then.
///
/// # Cancellation
/// It appears whole or not at all. An upload under way may stay; it is in the job's folder, where the clean-up finds it.
pub async fn write_joblog(
    deps: &Deps,
    keys: &JobKeys,
    plan: &Plan,
    job: &Job,
    account: &Account,
) -> Option<ObjectUri> {
    let at = keys.joblog();
    let values = Values { job_id: &plan.job_id, name: &job.name, occasion: &plan.occasion };
    let command = joblog::command_of(&template::fill_task(&job.task, &values));
    match write(&deps.store, at.clone(), lines(account, plan, &command)).await {
        Ok(()) => Some(at),
        Err(error) => {
            tracing::warn!(job = %plan.job_id, %error, "the job ends without its joblog");
            None
        }
    }
}

async fn write(
    store: &Arc<dyn Store>,
    at: ObjectUri,
    lines: impl Iterator<Item = Line<'_>> + Send,
) -> Result<(), StoreError> {
    let content_type = Some(joblog::CONTENT_TYPE.to_owned());
    let options = WriteOptions { content_type, ..WriteOptions::default() };
    let mut writer = ObjectWriter::new(Arc::clone(store), at, options);
    match write_lines(&mut writer, lines).await {
        Ok(()) => writer.finish().await.map(drop),
        Err(error) => {
            // The failure that led here is the one to tell. What may be left of the upload, the job's clean-up takes away.
            let _unaborted = writer.abort().await;
            Err(error)
        }
    }
}

async fn write_lines(
    writer: &mut ObjectWriter,
    lines: impl Iterator<Item = Line<'_>> + Send,
) -> Result<(), StoreError> {
    let mut block = joblog::header();
    for line in lines {
        line.write_to(&mut block);
        if block.len() >= BLOCK_BYTES {
            writer.write(Bytes::from(std::mem::take(&mut block))).await?;
        }
    }
    writer.write(Bytes::from(block)).await
}

/// Something that has a line.
#[derive(Clone, Copy, Debug)]
enum Entry<'a> {
    Result(&'a ChunkResult, Outcome),
    Try(&'a Try),
    /// At a partition whose first chunk has this index and this cut.
    Death(u64, (u64, u32), &'a Death),
}

impl<'a> Entry<'a> {
    /// Its place among the lines: index, cut, hop, attempt.
    fn key(&self) -> (u64, u32, u32, u32) {
        match self {
            Self::Result(result, _) => (result.index, result.cut, result.hop, result.attempt),
            Self::Try(failed) => (failed.index, failed.cut, failed.hop, failed.attempt),
            Self::Death(_, (index, cut), death) => (*index, *cut, death.hop, death.attempt),
        }
    }

    /// Its line; none of an index that the plan does not have.
    fn line(self, account: &'a Account, plan: &Plan, command: &'a str) -> Option<Line<'a>> {
        let place = |partition: u64, hop: u32| {
            let hops = account.environments.get(&partition);
            let environment = hops.and_then(|hops| hops.get(usize::try_from(hop).ok()?)?.as_ref());
            Place { partition, environment, command }
        };
        Some(match self {
            Self::Result(result, outcome) => {
                Line::of_result(result, outcome, place(plan.partition_of(result.index)?, result.hop))
            }
            Self::Try(failed) => Line::of_try(failed, place(plan.partition_of(failed.index)?, failed.hop)),
            Self::Death(partition, first, death) => Line::of_death(death, first, place(partition, death.hop)),
        })
    }
}

/// The lines of an account, in their order, each made when it is asked for.
fn lines<'a>(
    account: &'a Account,
    plan: &'a Plan,
    command: &'a str,
) -> impl Iterator<Item = Line<'a>> + Send {
    let deaths = account.deaths.iter().filter_map(|(partition, death)| {
        let planned = plan.partition(*partition, 1)?;
        let first = planned.chunks.first()?;
        Some(Entry::Death(*partition, (first.index, first.cut), death))
    });
    let partial = account.partial.iter().map(|result| Entry::Result(result, Outcome::Partial));
    let mut others: Vec<Entry<'a>> =
        account.tries.iter().map(Entry::Try).chain(partial).chain(deaths).collect();
    others.sort_by_key(Entry::key);
    // Of these there may be a million; they are in order already.
    let results = account.results.iter().map(|result| Entry::Result(result, Outcome::Done));
    merged(results, others.into_iter()).filter_map(|entry| entry.line(account, plan, command))
}

/// Two sequences in order, as one.
fn merged<'a>(
    left: impl Iterator<Item = Entry<'a>> + Send,
    right: impl Iterator<Item = Entry<'a>> + Send,
) -> impl Iterator<Item = Entry<'a>> + Send {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(one), Some(other)) if one.key() > other.key() => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fanfold_flow::chunk::{Chunk, Input};
    use fanfold_flow::code::Code;
    use fanfold_flow::done::{Done, Environment, Failure, Group};
    use fanfold_flow::version::Version;
    use fanfold_store::counting::Counting;
    use fanfold_store::faults::{Decision, Faulty, Script};
    use fanfold_store::memory::MemoryStore;
    use fanfold_store::{ErrorKind, Operation, StoreExt};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Chunks of each partition.
    const CHUNKS: u64 = 3;

    fn plan(partitions: u64) -> Plan {
        let spans: Vec<_> =
            (0..partitions).map(|number| json!({ "first": number * CHUNKS, "chunks": CHUNKS })).collect();
        let plan = json!({
            "version": 1, "job_id": "run", "started_ms": 0, "output": "s3://b/out", "format": "bytes",
            "input": { "range": { "start": 0, "end": partitions * CHUNKS, "chunk": 1 } },
            "chunks": partitions * CHUNKS, "partitions": spans, "group_partitions": 2,
        });
        serde_json::from_value(plan).unwrap()
    }

    fn result(index: u64, cut: u32, attempt: u32) -> ChunkResult {
        ChunkResult {
            index,
            cut,
            hop: cut,
            attempt,
            stored: None,
            header: None,
            records: 1,
            input: None,
            bytes_in: 2,
            bytes_out: 0,
            started_ms: 3,
            wall_ms: 4,
        }
    }

    fn a_try(index: u64, cut: u32, attempt: u32) -> Try {
        Try {
            index,
            cut,
            hop: cut,
            attempt,
            started_ms: 3,
            wall_ms: 4,
            bytes_in: 2,
            bytes_out: 0,
            code: Code::ProgramFailed,
            exit: Some(1),
            signal: None,
        }
    }

    fn failure(index: u64) -> Failure {
        Failure::of(
            &Chunk::whole(index, Input::Range { offset: index, limit: 1 }),
            0,
            1,
            Code::ProgramFailed,
            "",
        )
    }

    /// What became of a chunk: how many tries failed at each of its cuts, and whether the last one has a result.
    type Fate = (Vec<u32>, bool);

    /// What is told of a line: index, cut, hop, attempt, and how it ended.
    type Told = (u64, u32, u32, u32, &'static str);

    /// The record of a partition whose chunks had these fates, each cut in a hop of its own, and what its lines should tell.
    /// At the first hop a worker died where that is said.
    fn done(partition: u64, fates: &[Fate], died: bool) -> (Done, Vec<Told>) {
        let hops = fates.iter().map(|(cuts, _)| cuts.len()).max().unwrap_or(0);
        let environment = |hop| Some(Environment { id: format!("{partition}-{hop}"), cold: hop == 0 });
        let mut told = Vec::new();
        let mut done = Done {
            version: Version,
            partition,
            attempts: 1,
            results: Vec::new(),
            failures: Vec::new(),
            tries: Vec::new(),
            deaths: Vec::new(),
            environments: (0..hops).map(environment).collect(),
        };
        for (index, (cuts, succeeds)) in (partition * CHUNKS..).zip(fates) {
            for (cut, failed) in (0..).zip(cuts.iter().copied()) {
                // The first attempt was the dead worker's.
                let first = if cut == 0 && died { 2 } else { 1 };
                done.tries.extend((first..first + failed).map(|attempt| a_try(index, cut, attempt)));
                told.extend(
                    (first..first + failed).map(|attempt| (index, cut, cut, attempt, "program_failed")),
                );
                if *succeeds || cut as usize + 1 < cuts.len() {
                    done.results.push(result(index, cut, first + failed));
                    told.push((index, cut, cut, first + failed, if *succeeds { "done" } else { "partial" }));
                }
            }
            if !succeeds {
                done.failures.push(failure(index));
            }
        }
        if died {
            let death = Death { hop: 0, attempt: 1, reason: "killed".to_owned(), known_ms: 1 };
            done.deaths.push(death);
            told.push((partition * CHUNKS, 0, 0, 1, "worker_died"));
        }
        // In the order in which they ended, which is any.
        done.tries.reverse();
        (done, told)
    }

    fn account(done: Vec<Done>) -> Account {
        Account::of(vec![Group { version: Version, number: 0, done }])
    }

    fn fates() -> impl Strategy<Value = Vec<(Vec<Fate>, bool)>> {
        let fate = (prop::collection::vec(0_u32..3, 1..4), prop::bool::weighted(0.8));
        let partition =
            (prop::collection::vec(fate, usize::try_from(CHUNKS).unwrap()), prop::bool::weighted(0.2));
        prop::collection::vec(partition, 1..5)
    }

    proptest! {
        #[test]
        fn each_try_at_a_chunk_and_each_death_has_one_line_and_they_are_in_order(fates in fates()) {
            let plan = plan(fates.len() as u64);
            let (mut records, mut expected) = (Vec::new(), BTreeSet::new());
            for (partition, (fates, died)) in (0..).zip(&fates) {
                let (done, told) = done(partition, fates, *died);
                records.push(done);
                expected.extend(told);
            }
            let account = account(records);
            let lines: Vec<Line<'_>> = lines(&account, &plan, "x").collect();
            let told = |line: &Line<'_>| {
                (line.index, line.cut, line.hop, line.attempt, line.outcome.as_str())
            };
            prop_assert_eq!(lines.iter().map(told).collect::<BTreeSet<_>>(), expected.clone());
            prop_assert_eq!(lines.len(), expected.len());
            prop_assert!(lines.is_sorted_by_key(|line| (line.index, line.cut, line.hop, line.attempt)));
            for line in &lines {
                prop_assert_eq!(line.partition, line.index / CHUNKS);
                let host = format!("{}-{}", line.partition, line.hop);
                let known = line.outcome != Outcome::Failed(Code::WorkerDied);
                prop_assert_eq!(line.host, known.then_some(host.as_str()));
            }
        }
    }

    fn at() -> ObjectUri {
        "s3://b/jobs/run/joblog.tsv".parse().unwrap()
    }

    /// An account of so many chunks, three to a partition, each done at once.
    fn all_done(partitions: u64) -> (Account, Plan) {
        let fates = vec![(vec![0], true); usize::try_from(CHUNKS).unwrap()];
        let records = (0..partitions).map(|partition| done(partition, &fates, false).0).collect();
        (account(records), plan(partitions))
    }

    #[tokio::test]
    async fn a_small_joblog_is_one_request_and_a_large_one_goes_up_in_parts() {
        for (partitions, puts, uploads) in [(1, 1, 0), (60_000, 0, 1)] {
            let (account, plan) = all_done(partitions);
            let counting = Arc::new(Counting::new(Arc::new(MemoryStore::new(["b"]))));
            let store: Arc<dyn Store> = counting.clone();
            write(&store, at(), lines(&account, &plan, "sh -c 'tr a-z A-Z | sort | uniq -c'")).await.unwrap();
            let counts = counting.counts();
            assert_eq!(counts.of(Operation::Put), puts);
            assert_eq!(counts.of(Operation::CreateUpload), uploads);
            let bytes = store.get_bytes(&at(), u64::MAX).await.unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            let mut read = text.lines();
            assert_eq!(read.next(), Some(joblog::header().trim_end()));
            let indexes: Vec<u64> = read.map(|line| Line::parse(line).unwrap().index).collect();
            assert_eq!(indexes, (0..partitions * CHUNKS).collect::<Vec<_>>());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_joblog_that_cannot_be_written_leaves_neither_an_object_nor_an_upload() {
        let (account, plan) = all_done(60_000);
        for operation in [Operation::CreateUpload, Operation::UploadPart, Operation::CompleteUpload] {
            let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(["b"]));
            let script = Script::new().then(operation, "", Decision::Fail(ErrorKind::Denied));
            let store: Arc<dyn Store> = Arc::new(Faulty::new(memory.clone(), script));
            let error = write(&store, at(), lines(&account, &plan, "x")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{operation:?}");
            assert_eq!(memory.list_uploads("b", "").await.unwrap(), [], "{operation:?}");
            assert!(!memory.exists(&at()).await.unwrap(), "{operation:?}");
        }
    }
}
