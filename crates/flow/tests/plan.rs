//! A plan's chunks cover the input, its partitions cover the chunks, and the checker sees it when they do not.

use fanfold_flow::chunk::{Chunk, Input, ObjectVersion};
use fanfold_flow::head::Head;
use fanfold_flow::job::{self, Job};
use fanfold_flow::keys::JobId;
use fanfold_flow::limits::CHUNKS_MAX;
use fanfold_flow::literal::Literal;
use fanfold_flow::occasion::Occasion;
use fanfold_flow::partition::Partition;
use fanfold_flow::plan::{Listing, Plan, PlannedInput, Slice, Span, defects, make, problems};
use fanfold_flow::uri::ObjectUri;
use fanfold_records::{HeadRule, Rule};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[path = "plan/redrive.rs"]
mod redrive;

/// How many cores a worker has.
const CORES: u32 = 4;

fn occasion() -> Occasion {
    Occasion::at(1_795_368_600_000)
}

fn job(source: Value) -> Job {
    let task = json!({ "command": ["cat"] });
    let output = json!({ "uri": "s3://out/{name}/{job_id}.csv" });
    let job = json!({ "version": 1, "name": "orders", "source": source, "task": task, "output": output });
    Job::from_json(&job).unwrap_or_else(|problems| panic!("{problems}"))
}

fn planned(source: Value, listing: Listing) -> Plan {
    make(&job(source), &JobId::from_token("run-1"), listing, CORES, occasion())
}

fn object(key: impl Into<String>, bytes: u64) -> ObjectVersion {
    ObjectVersion { uri: ObjectUri::new("in", key), etag: "\"0123456789abcdef-12\"".to_owned(), bytes }
}

fn head(header: Vec<u8>) -> Head {
    Head { preamble: Literal::default(), header: Literal(header), rule: HeadRule::default() }
}

fn listing(rule: Rule, sizes: &[u64]) -> Listing {
    let objects =
        sizes.iter().enumerate().map(|(number, bytes)| object(format!("{number}"), *bytes).into()).collect();
    Listing::Objects { objects, rule, head: None }
}

fn objects_plan(chunk_bytes: u64, split: &str, sizes: &[u64]) -> Plan {
    let split_by = job::Split::deserialize(json!(split)).unwrap_or_else(|error| panic!("{split}: {error}"));
    let rule = split_by.rule(b',', b'\n');
    planned(
        json!({ "objects": { "uri": "s3://in/", "split": split, "chunk_bytes": chunk_bytes } }),
        listing(rule, sizes),
    )
}

fn range_plan(start: u64, end: u64, chunk: u64) -> Plan {
    planned(json!({ "range": { "start": start, "end": end, "chunk": chunk } }), Listing::Nothing)
}

fn items_plan(count: usize, chunk: u64) -> Plan {
    planned(json!({ "items": { "values": vec![0; count], "chunk": chunk } }), Listing::Nothing)
}

fn item_lines_plan(lengths: &[u64]) -> Plan {
    let ends: Vec<u64> = lengths
        .iter()
        .scan(0, |end, length| {
            *end += length;
            Some(*end)
        })
        .collect();
    let object = object("items.jsonl", ends.last().copied().unwrap_or(0));
    planned(json!({ "items": { "uri": "s3://in/items.jsonl" } }), Listing::ItemLines { object, ends })
}

fn chunks(plan: &Plan) -> Vec<Chunk> {
    (0..plan.chunks).map_while(|index| plan.chunk(index)).collect()
}

/// The numbers that the chunks cover, in order, each named.
fn numbers(plan: &Plan) -> Vec<u64> {
    let covered = chunks(plan).into_iter().flat_map(|chunk| match chunk.input {
        Input::Range { offset, limit } => offset..offset + limit,
        Input::Items { first, count } => first..first + count,
        Input::Bytes(bytes) => bytes.start..bytes.end,
    });
    covered.collect()
}

/// Sizes around multiples of the chunk, where an off-by-one shows, and any others.
fn sizes() -> impl Strategy<Value = (u64, Vec<u64>)> {
    (1_u64..40).prop_flat_map(|chunk| {
        let size = prop_oneof![
            Just(0),
            Just(1),
            Just(chunk - 1),
            Just(chunk),
            Just(chunk + 1),
            Just(2 * chunk),
            0_u64..500
        ];
        (Just(chunk), prop::collection::vec(size, 0..12))
    })
}

/// Plans of every kind of source, each with two chunks or more, so that there is something to tamper with.
fn any_plan() -> impl Strategy<Value = Plan> {
    let objects = |split: &'static str| {
        sizes()
            .prop_map(move |(chunk, sizes)| objects_plan(chunk, split, &sizes))
            .prop_filter("two chunks", |plan| plan.chunks > 1)
    };
    prop_oneof![
        3 => objects("lines"),
        1 => objects("none"),
        1 => (any::<u32>(), 2_u64..300, 1_u64..9).prop_map(|(start, chunks, chunk)| {
            range_plan(start.into(), u64::from(start) + chunks * chunk, chunk)
        }),
        1 => (2_usize..300).prop_map(|count| items_plan(count, 1)),
        1 => prop::collection::vec(1_u64..50, 2..40).prop_map(|lengths| item_lines_plan(&lengths)),
    ]
}

proptest! {
    #[test]
    fn every_byte_of_every_object_is_in_exactly_one_chunk_in_order((chunk_bytes, sizes) in sizes()) {
        let plan = objects_plan(chunk_bytes, "lines", &sizes);
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        let covered: Vec<(String, u64)> = chunks(&plan).into_iter().flat_map(|chunk| {
            let Input::Bytes(bytes) = chunk.input else { panic!("{chunk:?}") };
            assert!(bytes.end - bytes.start <= chunk_bytes);
            (bytes.start..bytes.end).map(move |byte| (bytes.object.uri.key.clone(), byte))
        }).collect();
        let expected: Vec<(String, u64)> = sizes.iter().enumerate()
            .flat_map(|(number, bytes)| (0..*bytes).map(move |byte| (number.to_string(), byte))).collect();
        prop_assert_eq!(covered, expected);
        prop_assert_eq!(plan.input_bytes(), sizes.iter().sum::<u64>());
        let last_ones = chunks(&plan).into_iter()
            .filter(|chunk| matches!(&chunk.input, Input::Bytes(bytes) if bytes.reaches_the_end()));
        prop_assert_eq!(last_ones.count(), sizes.len());
    }

    #[test]
    fn every_object_has_a_chunk_even_an_empty_one((chunk_bytes, sizes) in sizes()) {
        for split in ["lines", "none"] {
            let plan = objects_plan(chunk_bytes, split, &sizes);
            let mut keys: Vec<String> = chunks(&plan).into_iter().map(|chunk| match chunk.input {
                Input::Bytes(bytes) => bytes.object.uri.key,
                other => panic!("{other:?}"),
            }).collect();
            keys.dedup();
            prop_assert_eq!(keys, (0..sizes.len()).map(|number| number.to_string()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_object_that_may_not_be_split_is_one_chunk((chunk_bytes, sizes) in sizes()) {
        let plan = objects_plan(chunk_bytes, "none", &sizes);
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        prop_assert_eq!(plan.chunks, sizes.len() as u64);
        for (chunk, size) in chunks(&plan).into_iter().zip(sizes) {
            prop_assert_eq!(chunk.input.offset_and_limit(), (0, size));
        }
    }

    #[test]
    fn every_number_of_a_range_is_in_exactly_one_chunk(start in 0_u64..1_000, count in 0_u64..2_000, chunk in 1_u64..400) {
        let plan = range_plan(start, start + count, chunk);
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        prop_assert_eq!(numbers(&plan), (start..start + count).collect::<Vec<_>>());
    }

    #[test]
    fn a_range_may_reach_to_the_last_number_there_is(below in 0_u64..2_000, end in 0_u64..3, chunk in prop_oneof![1_u64..400, Just(u64::MAX)]) {
        let (start, end) = (u64::MAX - 3 - below, u64::MAX - end);
        let plan = range_plan(start, end, chunk);
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        prop_assert_eq!(numbers(&plan), (start..end).collect::<Vec<_>>());
    }

    #[test]
    fn every_item_is_in_exactly_one_chunk(count in 0_usize..300, chunk in 1_u64..50) {
        let plan = items_plan(count, chunk);
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        prop_assert_eq!(numbers(&plan), (0..count as u64).collect::<Vec<_>>());
    }

    #[test]
    fn every_byte_of_item_lines_is_in_exactly_one_chunk(lengths in prop::collection::vec(1_u64..50, 0..40)) {
        let plan = item_lines_plan(&lengths);
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        prop_assert_eq!(plan.chunks, lengths.len() as u64);
        prop_assert_eq!(numbers(&plan), (0..lengths.iter().sum()).collect::<Vec<_>>());
    }

    /// The rule "a chunk owns the records that begin in its range", as a model: the reader is another crate's.
    #[test]
    fn every_record_is_owned_by_exactly_one_chunk(records in prop::collection::vec("[a-z]{0,30}", 0..40), final_newline: bool, chunk_bytes in 1_u64..40) {
        let mut text = records.join("\n");
        if final_newline {
            text.push('\n');
        }
        let begins = |position: &usize| *position == 0 || text.as_bytes()[position - 1] == b'\n';
        let beginnings: Vec<usize> = (0..text.len()).filter(begins).collect();
        let mut owned = Vec::new();
        for chunk in chunks(&objects_plan(chunk_bytes, "lines", &[text.len() as u64])) {
            let (start, length) = chunk.input.offset_and_limit();
            let (start, end) = (start as usize, (start + length) as usize);
            owned.extend((start..end).filter(begins).map(|begin| {
                let length = text[begin..].find('\n').map_or(text.len() - begin, |newline| newline + 1);
                (begin, &text[begin..begin + length])
            }));
        }
        prop_assert_eq!(owned.iter().map(|(begin, _)| *begin).collect::<Vec<_>>(), beginnings);
        prop_assert_eq!(owned.iter().map(|(_, record)| *record).collect::<String>(), text);
    }

    #[test]
    fn an_index_is_in_exactly_one_partition_and_its_payload_says_the_same(plan in any_plan()) {
        let mut indices = Vec::new();
        let mut in_groups = vec![0; plan.grouping().groups() as usize];
        for number in 0..plan.partitions.len() as u64 {
            let partition = plan.partition(number, 1).unwrap();
            prop_assert_eq!(partition.total_chunks, plan.chunks);
            prop_assert_eq!(partition.grouping(), plan.grouping());
            prop_assert!(plan.grouping().members(partition.group()).contains(&partition.number));
            in_groups[partition.group() as usize] += 1;
            indices.extend(partition.chunks.iter().map(|chunk| chunk.index));
            for chunk in &partition.chunks {
                prop_assert_eq!(Some(chunk.clone()), plan.chunk(chunk.index));
            }
        }
        prop_assert_eq!(indices, (0..plan.chunks).collect::<Vec<_>>());
        for number in 0..plan.partitions.len() as u64 {
            let partition = plan.partition(number, 1).unwrap();
            let members = partition.grouping().members(partition.group());
            prop_assert_eq!(members.end - members.start, in_groups[partition.group() as usize]);
        }
        prop_assert_eq!(plan.partition(plan.partitions.len() as u64, 1), None);
        prop_assert_eq!(plan.chunk(plan.chunks), None);
    }

    #[test]
    fn a_plan_and_its_payloads_survive_json(plan in any_plan()) {
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Plan>(&json).unwrap(), &plan);
        let partition = plan.partition(0, 2).unwrap();
        let json = serde_json::to_string(&partition).unwrap();
        prop_assert_eq!(serde_json::from_str::<Partition>(&json).unwrap(), partition);
    }

    #[test]
    fn whatever_is_tampered_with_is_found(plan in any_plan(), at: prop::sample::Index) {
        for (what, tampered) in tamperings(&plan, at) {
            if tampered != plan {
                prop_assert!(!defects(&tampered).is_empty(), "{what}: {tampered:?}");
            }
        }
    }

    #[test]
    fn no_plan_makes_the_checker_or_its_readers_panic(plan in any_plan(), numbers in prop::collection::vec(prop_oneof![0_u64..4, Just(u64::MAX), any::<u64>()], 8)) {
        let mut wild = plan;
        wild.chunks = numbers[0] % 100;
        wild.group_partitions = numbers[1];
        if let Some(span) = wild.partitions.first_mut() {
            *span = Span { first: numbers[2], chunks: numbers[3] % 1_000 };
        }
        match &mut wild.input {
            PlannedInput::Objects { chunk_bytes, slices, .. } => {
                *chunk_bytes = numbers[4];
                if let Some(slice) = slices.last_mut() {
                    (slice.first, slice.chunks, slice.object.bytes) = (numbers[5], numbers[6], numbers[7]);
                }
            }
            PlannedInput::ItemLines { object, borders } => {
                object.bytes = numbers[4];
                borders[0] = numbers[5];
            }
            PlannedInput::Items { count, chunk } => (*count, *chunk) = (numbers[4], numbers[5]),
            PlannedInput::Range { start, end, chunk } => (*start, *end, *chunk) = (numbers[4], numbers[5], numbers[6]),
        }
        let _ = (defects(&wild), wild.grouping().groups());
        if let Some(partition) = wild.partition(0, 1) {
            let _ = (partition.grouping().members(partition.group()), partition.grouping().groups());
        }
    }
}

proptest! {
    // A case writes megabytes of JSON.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_payload_is_never_billed_as_several_requests(filler in prop_oneof![Just('\u{1}'), Just('"'), Just('😀'), Just('k')], count in 1_usize..600, header in prop::option::of(0_usize..60_000)) {
        let key: String = std::iter::repeat_n(filler, 1_018 / filler.len_utf8()).collect();
        let objects = (0..count).map(|number| object(format!("{key}{number}"), 0).into()).collect();
        let head = header.map(|bytes| head(vec![b'"'; bytes]));
        let source = json!({ "objects": { "uri": "s3://in/", "split": "csv", "header": header.is_some() } });
        let plan = planned(source, Listing::Objects { objects, rule: Rule::Lines(1), head });
        prop_assert_eq!(defects(&plan), Vec::<String>::new());
        for number in 0..plan.partitions.len() as u64 {
            let payload = serde_json::to_vec(&plan.partition(number, u32::MAX).unwrap()).unwrap();
            prop_assert!(payload.len() < 256 << 10, "partition {number} has {} bytes", payload.len());
        }
    }
}

/// The ways in which a plan can be wrong, each applied at one place. Some leave some plans as they were.
fn tamperings(plan: &Plan, at: prop::sample::Index) -> Vec<(&'static str, Plan)> {
    let place = at.index(plan.partitions.len());
    let Span { first, .. } = plan.partitions[place];
    let mut tampered = vec![
        ("a partition dropped", changed(plan, |plan| plan.partitions.retain(|span| span.first != first))),
        ("a partition twice", changed(plan, |plan| plan.partitions.insert(place, plan.partitions[place]))),
        ("a span shifted", changed(plan, |plan| plan.partitions[place].first += 1)),
        ("spans overlap", changed(plan, |plan| plan.partitions[place].chunks += 1)),
        ("an empty span", changed(plan, |plan| plan.partitions.insert(place, Span { first, chunks: 0 }))),
        ("partitions swapped", changed(plan, |plan| plan.partitions.swap(0, place))),
        ("too many chunks", changed(plan, |plan| plan.chunks += 1)),
        ("too few chunks", changed(plan, |plan| plan.chunks -= 1)),
        (
            "a chunk more, and a partition for it",
            changed(plan, |plan| {
                plan.partitions.push(Span { first: plan.chunks, chunks: 1 });
                plan.chunks += 1;
            }),
        ),
        ("groups of none", changed(plan, |plan| plan.group_partitions = 0)),
        ("an output without a key", changed(plan, |plan| plan.output.key.clear())),
    ];
    let inputs = tampered_inputs(&plan.input, at).into_iter();
    tampered.extend(inputs.map(|(what, input)| (what, Plan { input, ..plan.clone() })));
    tampered
}

fn tampered_inputs(input: &PlannedInput, at: prop::sample::Index) -> Vec<(&'static str, PlannedInput)> {
    match input.clone() {
        PlannedInput::Objects { slices, .. } => {
            let place = at.index(slices.len());
            let resliced = |change: &dyn Fn(&mut Vec<Slice>)| {
                let mut input = input.clone();
                if let PlannedInput::Objects { slices, .. } = &mut input {
                    change(slices);
                }
                input
            };
            vec![
                ("an object dropped", resliced(&|slices| drop(slices.remove(place)))),
                ("an object twice", resliced(&|slices| slices.insert(place, slices[place].clone()))),
                ("objects swapped", resliced(&|slices| slices.swap(0, place))),
                ("an object's first chunk shifted", resliced(&|slices| slices[place].first += 1)),
                ("an object with a chunk more", resliced(&|slices| slices[place].chunks += 1)),
                ("an object with a chunk less", resliced(&|slices| slices[place].chunks -= 1)),
            ]
        }
        PlannedInput::ItemLines { object, borders } => {
            let place = at.index(borders.len());
            let (mut dropped, mut shifted, mut empty) = (borders.clone(), borders.clone(), borders.clone());
            dropped.remove(place);
            shifted[place] = u64::MAX;
            empty[1] = 0;
            let mut begun_late = borders.clone();
            begun_late[0] = 1;
            let longer = ObjectVersion { bytes: object.bytes + 1, ..object.clone() };
            let shorter = ObjectVersion { bytes: object.bytes - 1, ..object.clone() };
            vec![
                ("a border dropped", PlannedInput::ItemLines { object: object.clone(), borders: dropped }),
                ("a border shifted", PlannedInput::ItemLines { object: object.clone(), borders: shifted }),
                ("an empty chunk", PlannedInput::ItemLines { object: object.clone(), borders: empty }),
                ("a byte lost in front", PlannedInput::ItemLines { object, borders: begun_late }),
                ("a shorter object", PlannedInput::ItemLines { object: shorter, borders: borders.clone() }),
                ("a longer object", PlannedInput::ItemLines { object: longer, borders }),
            ]
        }
        PlannedInput::Items { count, chunk } => vec![
            ("an item more", PlannedInput::Items { count: count + 1, chunk }),
            ("an item less", PlannedInput::Items { count: count - 1, chunk }),
            ("larger chunks", PlannedInput::Items { count, chunk: chunk + 1 }),
            ("chunks of nothing", PlannedInput::Items { count, chunk: 0 }),
        ],
        PlannedInput::Range { start, end, chunk } => vec![
            ("an earlier start", PlannedInput::Range { start: start.wrapping_sub(1), end, chunk }),
            ("a later end", PlannedInput::Range { start, end: end + 1, chunk }),
            ("chunks of nothing", PlannedInput::Range { start, end, chunk: 0 }),
            ("a range backwards", PlannedInput::Range { start: end, end: start, chunk }),
        ],
    }
}

fn changed(plan: &Plan, change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = plan.clone();
    change(&mut plan);
    plan
}

#[test]
fn many_small_objects_share_a_worker_and_large_ones_do_not() {
    let small = objects_plan(1 << 20, "lines", &[1 << 10; 10_000]);
    assert_eq!(small.partitions.len(), 10_000 / 250);
    let large = objects_plan(1 << 20, "lines", &[1 << 20; 12]);
    assert_eq!(large.partitions, [0, 4, 8].map(|first| Span { first, chunks: 4 }));
}

/// What the user must mend; the checker stops such a plan too, for callers who forget to ask.
fn told(plan: &Plan) -> Vec<String> {
    let told: Vec<String> = problems(plan).iter().map(ToString::to_string).collect();
    assert_eq!(defects(plan), told);
    told
}

#[test]
fn a_job_of_too_many_chunks_is_refused_at_once() {
    let plan = objects_plan(1, "lines", &[CHUNKS_MAX, 1]);
    let message =
        "source.objects.chunk_bytes: would give 1000001 chunks, more than 1000000; make chunks larger";
    assert_eq!(told(&plan), [message]);
    assert_eq!(told(&objects_plan(1, "lines", &[u64::MAX; 3])).len(), 1);
    let most = range_plan(0, CHUNKS_MAX, 1);
    assert_eq!((told(&most), most.chunks), (Vec::new(), CHUNKS_MAX));
}

#[test]
fn a_header_that_no_payload_could_carry_is_refused() {
    let head = Some(head(vec![b'h'; 600 << 10]));
    let plan = planned(
        json!({ "objects": { "uri": "s3://in/a.csv", "split": "csv", "header": true } }),
        Listing::Objects { objects: vec![object("a.csv", 1 << 20).into()], rule: Rule::Lines(1), head },
    );
    let message = "source.objects.header: takes 614404 bytes of each worker's payload, more than 524288";
    assert_eq!(told(&plan), [message]);
}

#[test]
fn an_output_whose_key_outgrows_s3_when_filled_in_is_refused() {
    let mut job = job(json!({ "range": { "end": 1, "chunk": 1 } }));
    job.output.uri = format!("s3://out/{}{{job_id}}", "x".repeat(1_000)).parse().unwrap();
    let plan = make(&job, &JobId::from_token(&"y".repeat(100)), Listing::Nothing, CORES, occasion());
    assert!(told(&plan)[0].starts_with("output.uri: has a key of 1100 bytes, not 1 to 1024: 's3://out/xxx"));
}

#[test]
fn the_output_is_named_when_the_plan_is_made() {
    assert_eq!(range_plan(0, 0, 1).output.to_string(), "s3://out/orders/run-1.csv");
}

#[test]
fn a_payload_with_groups_of_none_is_refused() {
    let mut payload = serde_json::to_value(range_plan(0, 1, 1).partition(0, 1)).unwrap();
    payload["group_partitions"] = 0.into();
    let error = serde_json::from_value::<Partition>(payload).unwrap_err().to_string();
    assert_eq!(error, "group_partitions must be 1 or more, not 0");
}
