//! Whole inputs, over a store in memory.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fanfold_flow::chunk::Input::{Bytes as Object, Items};
use fanfold_flow::head::Head;
use fanfold_flow::literal::Literal;
use fanfold_pool::Input as _;
use fanfold_records::{Dialect, HeadRule};
use fanfold_store::PutOptions;
use fanfold_store::faults::{Call, Decision, Faulty};
use fanfold_store::memory::{MemorySettings, MemoryStore};
use futures::FutureExt;
use model::{How, Reading, Sizes, When, csv, cuts, joined, ranges, read, rule, sizes, text};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A job over one object of these bytes.
struct World {
    store: Arc<dyn Store>,
    object: chunk::ObjectVersion,
    job: Job,
    partition: Partition,
}

impl World {
    async fn over(object: &[u8], rule: &Rule, step: usize, header: &str, body_piece_bytes: usize) -> Self {
        let body_piece_bytes = NonZeroUsize::new(body_piece_bytes).unwrap();
        let settings = MemorySettings { body_piece_bytes, ..MemorySettings::default() };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::with_settings(["b"], settings));
        let mut version = model::version(object);
        let etag =
            store.put(&version.uri, Bytes::copy_from_slice(object), PutOptions::default()).await.unwrap();
        version.etag = etag.to_string();
        let source = json!({"objects": {"uri": version.uri.to_string()}});
        Self { store, object: version, job: job(source), partition: partition(rule, Some(step), header) }
    }

    fn of_items(values: &[Value]) -> Self {
        Self {
            store: Arc::new(MemoryStore::new(["b"])),
            object: model::version(b""),
            job: job(json!({"items": {"values": values}})),
            partition: partition(&Rule::Lines(1), None, ""),
        }
    }

    fn chunk(&self, (start, end): (u64, u64)) -> Chunk {
        Chunk::whole(
            0,
            Object(chunk::Bytes { object: self.object.clone(), start, end, at_border: start == 0 }),
        )
    }

    fn input(&self, chunk: &Chunk, cut: Option<Cut>) -> Input {
        Input::new(chunk, &self.partition, &self.job, &self.store, cut)
    }

    /// Everything that a process is given of a chunk, and what is said of it afterwards.
    async fn read(&self, chunk: &Chunk, rooms: &Sizes, when: When) -> Result<(Vec<u8>, Tally), InputError> {
        let mut input = self.input(chunk, Some(cut(when)));
        let (mut rooms, mut bytes) = (rooms.in_turn(), Vec::new());
        while let Some(portion) = input.next(rooms.next().unwrap()).await {
            bytes.extend_from_slice(&portion?);
        }
        Ok((bytes, input.finish().await?))
    }

    /// As [`Self::read`], cut again and again, the rest each time as a chunk of its own.
    async fn read_in_cuts(
        &self,
        mut chunk: Chunk,
        rooms: &Sizes,
        cuts: &[When],
    ) -> Result<Vec<(Vec<u8>, Tally)>, InputError> {
        let (mut readings, mut cuts) = (Vec::new(), cuts.iter().copied());
        loop {
            let (bytes, tally) = self.read(&chunk, rooms, cuts.next().unwrap_or_default()).await?;
            let rest = tally.rest.clone();
            readings.push((bytes, tally));
            let Some(rest) = rest else { return Ok(readings) };
            chunk = chunk.rest(rest, None);
        }
    }
}

fn job(source: Value) -> Job {
    serde_json::from_value(json!({
        "version": 1, "name": "n", "source": source, "task": {"command": ["cat"]}, "output": {"uri": "s3://b/out"}
    }))
    .unwrap()
}

fn partition(rule: &Rule, step: Option<usize>, header: &str) -> Partition {
    let header = Literal::from(header.as_bytes());
    let head = (!header.is_empty()).then(|| Head {
        preamble: Literal::default(),
        header,
        rule: HeadRule::default(),
    });
    serde_json::from_value(json!({
        "version": 1, "job_id": "j", "number": 0, "attempt": 1, "started_ms": 0, "partitions": 1, "group_partitions": 1,
        "total_chunks": 1, "rule": rule, "head": head, "step": step, "chunks": []
    }))
    .unwrap()
}

fn cut(When { asked, at_most }: When) -> Cut {
    let times = AtomicUsize::new(0);
    let is_due = move || asked.is_some_and(|limit| times.fetch_add(1, Ordering::Relaxed) >= limit);
    Cut { is_due: Box::new(is_due), at_most }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
}

/// What was read of an object, without the header that each process gets.
fn reading((bytes, tally): &(Vec<u8>, Tally), header: &str) -> Reading {
    let rest = tally.rest.as_ref().map(|rest| match rest {
        Object(range) => range.start,
        other => panic!("the rest of a range of bytes is {other:?}"),
    });
    let bytes = bytes.strip_prefix(header.as_bytes()).expect("each process gets the header first").to_vec();
    Reading { bytes, records: tally.records, aligned: tally.aligned, rest }
}

/// Whether each chunk of an object gives, cut, what the pure half of its input says that it gives uncut.
fn check_against_the_model(
    object: &[u8],
    header: &str,
    how: &How<'_>,
    body_piece_bytes: usize,
    cuts: &[When],
) -> Result<(), TestCaseError> {
    run(async {
        let world = World::over(object, how.rule, how.step, header, body_piece_bytes).await;
        for range in ranges(&world.object, how.step) {
            let (uncut, _) = read(object, &range, how, When::default());
            let chunk = Chunk::whole(0, Object(range));
            let readings = world.read_in_cuts(chunk, &how.rooms, cuts).await;
            // One that guessed its beginning wrong may find a quote open that is none.
            if readings.as_ref().is_err_and(|error| error.code() == Code::RecordCut) {
                continue;
            }
            let readings = readings.map_err(|error| TestCaseError::fail(error.to_string()))?;
            let readings: Vec<_> = readings.iter().map(|found| reading(found, header)).collect();
            prop_assert_eq!(joined(&readings)?, uncut);
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_object_that_is_cut_at_any_places_gives_each_record_once_and_in_order(
        object in text(), rule in rule(), step in 1..60_usize, body_piece_bytes in 1..20_usize,
        rooms in sizes(0..12), cuts in cuts(),
    ) {
        prop_assume!(!matches!(rule, Rule::Csv(_)));
        let how = How { rule: &rule, step, pieces: Sizes::always(7), rooms };
        check_against_the_model(&object, "", &how, body_piece_bytes, &cuts)?;
    }

    #[test]
    fn a_csv_that_is_cut_gives_what_it_gives_uncut_behind_its_header_each_time(
        records in csv(true), step in 1..60_usize, body_piece_bytes in 1..20_usize,
        rooms in sizes(0..12), cuts in cuts(),
    ) {
        let how = How { rule: &Rule::Csv(Dialect::RFC_4180), step, pieces: Sizes::always(7), rooms };
        check_against_the_model(&records.concat(), "a,\"b\nc\"\n", &how, body_piece_bytes, &cuts)?;
    }

    #[test]
    fn items_that_are_cut_are_each_given_once_and_in_order(
        count in 0..12_usize, first in 0..4_usize, rooms in sizes(0..40), cuts in cuts(),
    ) {
        let values: Vec<Value> = (0..20).map(|n| json!({"n": n, "text": "two\nlines".repeat(n % 3)})).collect();
        let world = World::of_items(&values);
        let chunk = Chunk::whole(0, Items { first: first as u64, count: count as u64 });
        let readings = run(world.read_in_cuts(chunk, &rooms, &cuts)).unwrap();
        let given: Vec<u8> = readings.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
        let wanted: String = values[first..first + count].iter().map(|value| format!("{value}\n")).collect();
        prop_assert_eq!(String::from_utf8(given).unwrap(), wanted);
        let mut next = first as u64;
        for (place, (bytes, tally)) in readings.iter().enumerate() {
            prop_assert_eq!(tally.records, bytes.iter().filter(|byte| **byte == b'\n').count() as u64);
            let most = cuts.get(place).and_then(|when| when.at_most).map_or(u64::MAX, |items| items.max(1));
            prop_assert!(tally.records <= most);
            next += tally.records;
            let left = (first + count) as u64 - next;
            prop_assert_eq!(&tally.rest, &(left > 0).then_some(Items { first: next, count: left }));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn records_longer_than_what_is_looked_ahead_at_first_are_cut_between_all_the_same(
        lengths in prop::collection::vec(0..200_000_usize, 1..8), step in 50_000..300_000_usize,
        rooms in sizes(1..100_000), cuts in cuts(),
    ) {
        let record = |(number, length): (usize, &usize)| [vec![b'a' + number as u8; *length], b"\n".to_vec()].concat();
        let object = lengths.iter().enumerate().map(record).collect::<Vec<_>>().concat();
        let how = How { rule: &Rule::Separator("\n".into()), step, pieces: Sizes::always(64 << 10), rooms };
        check_against_the_model(&object, "", &how, 64 << 10, &cuts)?;
    }
}

#[test]
fn one_that_is_due_before_its_first_record_begins_nothing_and_leaves_the_chunk_as_it_was() {
    run(async {
        let world = World::over(b"1\n2\n", &Rule::Csv(Dialect::RFC_4180), 64, "id\n", 64).await;
        let chunk = world.chunk((0, 4));
        let due = When { asked: Some(0), at_most: None };
        let (bytes, tally) = world.read(&chunk, &Sizes::always(64), due).await.unwrap();
        assert_eq!(bytes, b"id\n", "a program may rely on its header");
        assert_eq!(tally, Tally { records: 0, aligned: None, rest: Some(chunk.input) });
    });
}

#[test]
fn what_a_program_does_not_want_to_read_is_no_rest_though_the_time_is_up() {
    run(async {
        let world = World::over(b"1\n2\n3\n", &lines(), 64, "", 1).await;
        for at_most in [None, Some(1)] {
            let time_is_up = Arc::new(AtomicBool::new(false));
            let asked = Arc::clone(&time_is_up);
            let cut = Cut { is_due: Box::new(move || asked.load(Ordering::Relaxed)), at_most };
            let mut input = world.input(&world.chunk((0, 6)), Some(cut));
            assert_eq!(input.next(64).await.unwrap().unwrap(), "1");
            time_is_up.store(at_most.is_none(), Ordering::Relaxed);
            assert_eq!(input.next(64).await.unwrap().unwrap(), "\n");
            let tally = input.finish().await.unwrap();
            assert_eq!((tally.records, tally.rest), (1, None));
        }
    });
}

#[test]
fn one_without_a_cut_says_that_it_does_not_end_early() {
    run(async {
        let world = World::over(b"1\n2\n", &lines(), 64, "", 64).await;
        let chunk = world.chunk((0, 4));
        assert!(!world.input(&chunk, None).may_end_early());
        assert!(world.input(&chunk, Some(cut(When::default()))).may_end_early());
    });
}

#[test]
fn one_that_waits_for_the_store_ends_when_its_time_is_up() {
    run(async {
        let mut world = World::over(b"1\n2\n", &lines(), 64, "", 64).await;
        let hangs = |_: &Call<'_>| Decision::Delay(Duration::from_secs(86_400));
        world.store = Arc::new(Faulty::new(world.store, hangs));
        let chunk = world.chunk((0, 4));
        // Not due when it is asked for records, due when it has waited for them.
        let waits = When { asked: Some(1), at_most: None };
        let (bytes, tally) = world.read(&chunk, &Sizes::always(64), waits).await.unwrap();
        assert_eq!((bytes, tally.rest), (Vec::new(), Some(chunk.input)));
    });
}

#[test]
fn what_lies_behind_bytes_that_could_not_be_read_is_not_given() {
    run(async {
        let several_requests = vec![b'\n'; 9 << 20];
        let mut world = World::over(&several_requests, &lines(), 64, "", 1 << 20).await;
        let first_fails = |call: &Call<'_>| match call.number {
            0 => Decision::Fail(ErrorKind::NotFound),
            _ => Decision::Pass,
        };
        world.store = Arc::new(Faulty::new(world.store, first_fails));
        let mut input = world.input(&world.chunk((0, 9 << 20)), None);
        assert_eq!(input.next(64).await.unwrap().unwrap_err().code(), Code::InputMissing);
        assert!(input.next(64).await.is_none());
    });
}

#[test]
fn a_portion_that_nobody_waits_for_any_more_is_not_lost() {
    run(async {
        let world = World::over(b"1\n2\n", &lines(), 64, "", 1).await;
        let mut input = world.input(&world.chunk((0, 4)), None);
        let mut bytes = Vec::new();
        let mut dropped = 0;
        loop {
            match input.next(64).now_or_never() {
                None => {
                    dropped += 1;
                    tokio::task::yield_now().await;
                }
                Some(Some(portion)) => bytes.extend_from_slice(&portion.unwrap()),
                Some(None) => break,
            }
        }
        assert!(dropped > 0, "it never had to wait");
        assert_eq!(bytes, b"1\n2\n");
    });
}

#[test]
fn a_csv_that_was_cut_is_read_on_to_where_its_last_record_ends() {
    run(async {
        let world =
            World::over(b"1,\"one\ntwo\"\n2,x\n", &Rule::Csv(Dialect::RFC_4180), 9, "id,text\n", 64).await;
        let when = When { asked: None, at_most: Some(1) };
        let mut input = world.input(&world.chunk((0, 9)), Some(cut(when)));
        assert_eq!(input.next(64).await.unwrap().unwrap(), "id,text\n");
        assert!(input.next(64).await.is_some());
        // Where a record ends: the first border, or one behind it.
        let aligned = input.prove_end().await.unwrap().unwrap();
        assert!(aligned.start == 0 && [12, 16].contains(&aligned.end), "{aligned:?}");
    });
}

#[test]
fn a_quote_that_is_never_closed_is_named() {
    run(async {
        let world = World::over(b"1,a\n2,\"b\n3,c\n", &Rule::Csv(Dialect::RFC_4180), 64, "", 2).await;
        let error = world.read(&world.chunk((0, 13)), &Sizes::always(3), When::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::RecordCut);
        assert!(error.to_string().contains("the quote at byte 6 is never closed"), "{error}");
    });
}

fn lines() -> Rule {
    Rule::Separator("\n".into())
}
