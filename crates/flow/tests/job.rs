//! A job that is wrong is told everything that is wrong with it; a job that is right is read as it was written.

use std::path::Path;

use fanfold_flow::job::{Format, Items, Job, Processes, Source};
use fanfold_flow::problem::Problems;
use fanfold_flow::size::{ByteCount, Tolerance};
use fanfold_flow::written::AsWritten;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The job of the design document, which is what most people will begin with.
fn orders() -> Value {
    json!({
        "version": 1,
        "name": "orders-nightly",
        "source": { "objects": { "uri": "s3://in/orders/2026-11-*.csv", "split": "csv", "header": true, "chunk_bytes": "64MiB" } },
        "task": { "command": ["python3", "redact.py"] },
        "output": { "uri": "s3://out/orders/{scheduled_date}.csv", "format": "csv", "overwrite": true },
        "processes": "auto",
        "max_concurrency": 200,
        "retries": 2,
        "tolerated_failures": "0%"
    })
}

/// Jobs of every kind, which between them have every field and every variant.
fn good_jobs() -> Vec<Value> {
    let with_source = |source: Value| with(orders(), "/source", source);
    let objects = |objects: Value| with_source(json!({ "objects": objects }));
    vec![
        orders(),
        with(orders(), "/processes", json!(6)),
        with(orders(), "/memory_mb", json!(1_500)),
        with(orders(), "/tolerated_failures", json!(3)),
        with(orders(), "/tolerated_failures", json!("0.5%")),
        with(orders(), "/max_concurrency", Value::Null),
        with(
            orders(),
            "/output",
            json!({ "uri": "s3://out/{name}/{job_id}/{start_date}/{start_time}/{scheduled_time}" }),
        ),
        with(orders(), "/output/format", json!("json-array")),
        with(orders(), "/output/format", json!("lines")),
        with(orders(), "/output/format", json!("bytes")),
        with(orders(), "/output/compress", json!("none")),
        with(orders(), "/output/compress", json!("gzip")),
        with(orders(), "/output/compress", json!("zstd")),
        with(
            orders(),
            "/task",
            json!({ "name": "score", "args": ["--fast"], "environment": { "MODE": "x=y" }, "credentials": true }),
        ),
        objects(json!({ "uri": "s3://in" })),
        objects(json!({ "uri": ["s3://in/a b/한글.txt", "s3://in/b/"], "split": "none" })),
        objects(json!({ "uri": "s3://in/a", "split": "lines", "chunk_bytes": 1 })),
        objects(json!({ "uri": "s3://in/a", "split": { "separator": "\r\n--" }, "chunk_bytes": "1.5 GB" })),
        with_source(json!({ "range": { "end": 100, "chunk": 7 } })),
        with_source(json!({ "range": { "start": u64::MAX, "end": u64::MAX, "chunk": u64::MAX } })),
        with_source(json!({ "items": { "values": [1, "two", null, { "three": [3] }] } })),
        with_source(json!({ "items": { "uri": "s3://in/items.jsonl", "chunk": 50 } })),
        with(
            orders(),
            "/schedule",
            json!({ "cron": "0 3 ? * MON-FRI *", "time_zone": "Europe/Berlin", "flexible_window": "15m" }),
        ),
        with(orders(), "/schedule", json!({ "rate": "5 minutes", "enabled": false })),
        arrivals(),
    ]
}

/// A job that has placeholders wherever it may have any.
fn arrivals() -> Value {
    json!({
        "version": 1,
        "name": "arrivals",
        "source": { "objects": { "uri": ["{object_uri}", "s3://{object_bucket}/{object_key}.gz", "s3://{deployment.bucket}/{a,{scheduled_date}}/*"] } },
        "task": { "command": ["awk", "{ print \"{object_name}\" } {x}"], "environment": { "FROM": "{deployment.bucket}/{start_time}" } },
        "output": { "uri": "s3://{deployment.bucket}/out/{job_id}/{object_name}" },
        "on_object_created": { "bucket": "{deployment.bucket}", "prefix": "in/", "suffix": ".csv" },
    })
}

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (above, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(fields) = document.pointer_mut(above).and_then(Value::as_object_mut) {
        fields.insert(name.to_owned(), value);
    }
    document
}

fn without(mut document: Value, pointer: &str) -> Value {
    let (above, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(fields) = document.pointer_mut(above).and_then(Value::as_object_mut) {
        fields.remove(name);
    }
    document
}

fn problems(document: &Value) -> Problems {
    match Job::from_json(document) {
        Ok(job) => panic!("accepted: {job:?}"),
        Err(problems) => problems,
    }
}

/// The messages for each document, beside the document.
macro_rules! assert_told {
    ($name:literal, $document:expr) => {
        let document = $document;
        insta::with_settings!({ info => &document, omit_expression => true }, {
            insta::assert_snapshot!($name, problems(&document));
        });
    };
}

#[test]
fn a_misspelt_field_is_told_its_right_name_at_every_level() {
    assert_told!(
        "misspelt",
        json!({
            "version": 1,
            "nmae": "orders",
            "source": { "objects": { "url": "s3://in/a.csv", "splitt": "csv", "chunk_byte": 5, "wholly_strange": 1 } },
            "task": { "comand": ["cat"] },
            "output": { "uri": "s3://out/a.csv", "Format": "csv" },
            "proceses": 4,
        })
    );
    assert_told!("misspelt_variant", with(orders(), "/source", json!({ "object": { "uri": "s3://in/a" } })));
    assert_told!(
        "misspelt_separator",
        with(
            orders(),
            "/source",
            json!({ "objects": { "uri": "s3://in/a", "split": { "seperator": ";" } } })
        )
    );
}

#[test]
fn values_of_the_wrong_type_are_told_what_they_should_be() {
    assert_told!(
        "wrong_types",
        json!({
            "version": "1",
            "name": 7,
            "source": { "objects": { "uri": { "bucket": "in" }, "split": ["csv"], "header": "yes", "chunk_bytes": 1.5 } },
            "task": { "command": "cat -n", "environment": { "A": 1 }, "credentials": 1 },
            "output": { "uri": null, "format": 3, "overwrite": "true" },
            "processes": 1.5,
            "memory_mb": "1GB",
            "max_concurrency": "200",
            "retries": null,
            "tolerated_failures": true,
        })
    );
    assert_told!("not_a_document", json!(["version", 1]));
    assert_told!(
        "sections_of_the_wrong_type",
        json!({ "version": 1, "name": "a", "source": "s3://in/a", "task": "cat", "output": "s3://out/a" })
    );
    assert_told!(
        "items_of_the_wrong_type",
        with(orders(), "/source", json!({ "items": { "values": "a", "uri": 1, "chunk": [] } }))
    );
}

#[test]
fn numbers_out_of_bounds_are_told_the_bounds() {
    assert_told!(
        "bounds",
        json!({
            "version": 2,
            "name": "a",
            "source": { "range": { "start": -1, "end": 18_446_744_073_709_551_616_f64, "chunk": 0 } },
            "task": { "command": [] },
            "output": { "uri": "s3://out/a" },
            "processes": 0,
            "memory_mb": 0,
            "max_concurrency": 4_294_967_296_u64,
            "retries": 11,
            "tolerated_failures": -1,
        })
    );
    assert_told!(
        "too_many_chunks",
        with(orders(), "/source", json!({ "range": { "end": u64::MAX, "chunk": 1 } }))
    );
}

#[test]
fn words_that_are_none_of_the_right_ones_are_told_which_are() {
    assert_told!(
        "words",
        json!({
            "version": 1,
            "name": "orders of today",
            "source": { "objects": { "uri": ["in/a.csv", "s3:///a"], "split": "line", "chunk_bytes": "64mops" } },
            "task": { "command": ["cat"] },
            "output": { "uri": "s3://out/{schedule_date}/{x}.csv", "format": "json_array", "compress": "gz" },
            "processes": "aut",
            "tolerated_failures": "101%",
        })
    );
    assert_told!("no_bytes", with(orders(), "/source/objects/chunk_bytes", json!("0MiB")));
}

#[test]
fn what_is_missing_is_named() {
    assert_told!("nothing", json!({}));
    assert_told!(
        "empty_sections",
        json!({ "version": 1, "name": "", "source": {}, "task": {}, "output": {} })
    );
    assert_told!("empty_range", with(orders(), "/source", json!({ "range": {} })));
    assert_told!("empty_items", with(orders(), "/source", json!({ "items": {} })));
    assert_told!("no_addresses", with(orders(), "/source/objects/uri", json!([])));
    assert_told!("output_prefix", with(orders(), "/output/uri", json!("s3://out/orders/")));
    assert_told!("output_bucket", with(orders(), "/output/uri", json!("s3://out")));
    assert_told!(
        "overlapping_separator",
        with(orders(), "/source/objects/split", json!({ "separator": "\n\n" }))
    );
    assert_told!(
        "mark_of_two_lines",
        with(orders(), "/source/objects/split", json!({ "begins_with": ">\n" }))
    );
    assert_told!(
        "letters",
        with(
            orders(),
            "/source/objects/split",
            json!({ "csv": { "delimiter": "||", "quote": "", "escape": 5, "coment": "#" } })
        )
    );
    assert_told!("items_prefix", with(orders(), "/source", json!({ "items": { "uri": "s3://in/a/" } })));
}

#[test]
fn what_does_not_go_together_is_told_so() {
    assert_told!(
        "contradictions",
        json!({
            "version": 1,
            "name": "a",
            "source": {
                "objects": { "uri": "s3://in/a", "split": "none", "header": true },
                "range": { "start": 10, "end": 9, "chunk": 1 },
            },
            "task": {
                "command": ["", "a\u{0}b"], "name": "", "args": ["x"],
                "environment": { "A=B": "", "FANFOLD_JOB": "x", "C": "\u{0}" },
            },
            "output": { "uri": "s3://{name}/a" },
        })
    );
    assert_told!(
        "both_kinds_of_items",
        with(orders(), "/source", json!({ "items": { "values": [], "uri": "s3://in/a" } }))
    );
    assert_told!(
        "no_separator",
        with(orders(), "/source/objects", json!({ "uri": "s3://in/a", "split": { "separator": "" } }))
    );
}

#[test]
fn triggers_that_the_services_would_refuse_are_told_before_they_are_deployed() {
    assert_told!("schedule_of_nothing", with(orders(), "/schedule", json!({})));
    assert_told!(
        "schedule",
        with(
            orders(),
            "/schedule",
            json!({ "cron": "0 25 * * * *", "rate": "1 days", "time_zone": "+09:00", "flexible_window": "2h", "enabled": "no" })
        )
    );
    assert_told!(
        "trigger",
        with(arrivals(), "/on_object_created", json!({ "bucket": "s3://in/{name}", "prefx": "a" }))
    );
    assert_told!("schedule_without_object", with(arrivals(), "/schedule", json!({ "rate": "1 day" })));
    for (rate, right) in [
        ("1 day", true),
        ("12 hours", true),
        ("1 minute", true),
        ("0 minutes", false),
        ("1 minutes", false),
        ("2 day", false),
        ("1 week", false),
        ("day", false),
        ("01 day", false),
        ("5  minutes", false),
    ] {
        let document = with(orders(), "/schedule", json!({ "rate": rate }));
        assert_eq!(Job::from_json(&document).is_ok(), right, "{rate}");
    }
    for (window, right) in
        [("1m", true), ("1440m", true), ("1441m", false), ("0m", false), ("15", false), ("015m", false)]
    {
        let document = with(orders(), "/schedule", json!({ "rate": "1 day", "flexible_window": window }));
        assert_eq!(Job::from_json(&document).is_ok(), right, "{window}");
    }
    for (zone, right) in [
        ("UTC", true),
        ("America/Argentina/Ushuaia", true),
        ("Etc/GMT+3", true),
        ("KST", false),
        ("Europe/", false),
        ("", false),
    ] {
        let document = with(orders(), "/schedule", json!({ "rate": "1 day", "time_zone": zone }));
        assert_eq!(Job::from_json(&document).is_ok(), right, "{zone}");
    }
}

#[test]
fn placeholders_that_nobody_could_fill_are_told_wherever_they_stand() {
    assert_told!(
        "placeholders",
        json!({
            "version": 1,
            "name": "a",
            "source": { "objects": { "uri": ["s3://in/{date}/*", "s3://{name}/{a,b}*", "{object_url}", "{object_uri}"] } },
            "task": { "command": ["awk", "{ print } {date}", "{object_key}"], "environment": { "A": "{object_uri}" } },
            "output": { "uri": "s3://{deployment.}/{a,b}" },
        })
    );
}

#[test]
fn an_output_that_would_start_its_job_again_is_refused() {
    for (output, again) in [
        ("s3://{deployment.bucket}/in/{name}.csv", true),
        ("s3://{deployment.bucket}/in/{job_id}/{object_name}", true),
        ("s3://{object_bucket}/{object_key}", true),
        ("{object_uri}", true),
        ("{object_uri}.gz", false),
        ("s3://{deployment.bucket}/out/{object_key}", false),
        ("s3://elsewhere/in/a.csv", false),
    ] {
        let found = Job::from_json(&with(arrivals(), "/output/uri", json!(output)));
        assert_eq!(
            found.is_err_and(|problems| problems.to_string().contains("without end")),
            again,
            "{output}"
        );
    }
}

#[test]
fn a_separator_could_never_be_read_in_two_ways() {
    for (separator, accepted) in [
        (";", true),
        ("\r\n", true),
        ("ab", true),
        ("aba", false),
        ("\n\n", false),
        ("abcab", false),
        ("--=", true),
    ] {
        let objects = json!({ "uri": "s3://in/a", "split": { "separator": separator } });
        let document = with(orders(), "/source/objects", objects);
        assert_eq!(Job::from_json(&document).is_ok(), accepted, "{separator:?}");
    }
}

#[test]
fn a_job_of_every_kind_is_read_and_written_the_same() {
    for document in good_jobs() {
        let job = Job::from_json(&document).unwrap_or_else(|problems| panic!("{document}: {problems}"));
        let written = serde_json::to_value(&job).unwrap();
        assert_eq!(Job::from_json(&written).unwrap(), job, "{written}");
    }
}

#[test]
fn items_stay_byte_for_byte_as_they_were_written() {
    let orders = with(orders(), "/source", json!({ "items": { "values": [0] } })).to_string();
    let job_of_items = |items: &str| {
        let AsWritten(document) = serde_json::from_str(&orders.replace("[0]", items)).unwrap();
        Job::from_json(&document).unwrap()
    };
    let nested = "[".repeat(500) + &"]".repeat(500);
    let items = [
        "18446744073709551616",
        "123456789012345678901234567890",
        "-9223372036854775809",
        "-0",
        "1.10E+400",
        "{\"b\": 1,\"a\":2 ,\"b\":3}",
        "\"\\u0041\\/\\ud800 {object_uri} é\"",
        &nested,
    ];
    let job = job_of_items(&format!("[ {} ]", items.join(" ,\n")));
    let lines = |job: &Job| match &job.source {
        Source::Items(Items { values: Some(values), .. }) => {
            values.iter().map(|item| item.line().into_owned()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(lines(&job), items);
    assert!(!job.needs_object());
    let written = serde_json::to_vec(&job).unwrap();
    assert_eq!(serde_json::from_slice::<Job>(&written).unwrap(), job);
    assert_eq!(lines(&job_of_items("[ {\n \"a b\" : [ 1.0,\r\n\"x y\" ]}]")), ["{\"a b\":[1.0,\"x y\"]}"]);
}

#[test]
fn what_a_job_leaves_out_has_its_documented_default() {
    let job = Job::from_json(&json!({
        "version": 1,
        "name": "a",
        "source": { "objects": { "uri": "s3://in/a.csv", "split": "csv", "header": true } },
        "task": { "name": "t" },
        "output": { "uri": "s3://out/a" },
    }))
    .unwrap();
    let Source::Objects(objects) = &job.source else { panic!("{job:?}") };
    assert_eq!(objects.chunk_bytes, ByteCount(64 << 20));
    assert_eq!((job.retries, job.max_concurrency, job.tolerated_failures), (2, None, Tolerance::Chunks(0)));
    assert_eq!(
        (job.processes, job.processes.on(6), Processes::Exactly(3).on(6)),
        (Processes::default(), 6, 3)
    );
    assert_eq!((job.format(), job.output.overwrite, job.memory_mb), (Format::Csv, false, None));
}

#[test]
fn a_process_may_not_be_let_take_more_than_a_worker_has() {
    let job = Job::from_json(&with(orders(), "/memory_mb", json!(3_009))).unwrap();
    assert_eq!(job.memory_problem(3_009), None);
    let problem = job.memory_problem(3_008).unwrap().to_string();
    assert!(
        problem.starts_with("memory_mb: must be at most 3008") && problem.contains("not 3009"),
        "{problem}"
    );
    assert_eq!(Job { memory_mb: None, ..job }.memory_problem(1), None);
}

/// Any JSON, out of words that a job also has, so that it comes close to one now and then.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "version", "name", "source", "task", "output", "objects", "range", "items", "uri", "split", "values",
        "csv", "auto", "s3://b/k", "5%", "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()].prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The paths of all values within a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                all.push(format!("{at}/{name}"));
                pointers(field, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(entries) => {
            for (position, entry) in entries.iter().enumerate() {
                all.push(format!("{at}/{position}"));
                pointers(entry, &format!("{at}/{position}"), all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A right job in which one or two values are replaced, dropped or moved.
fn nearly_a_job() -> impl Strategy<Value = Value> {
    let change = (any::<prop::sample::Index>(), prop::option::weighted(0.8, any_json()), any::<bool>());
    (prop::sample::select(good_jobs()), prop::collection::vec(change, 1..3)).prop_map(
        |(mut document, changes)| {
            for (at, replacement, misspelt) in changes {
                let mut all = Vec::new();
                pointers(&document, "", &mut all);
                if all.is_empty() {
                    break;
                }
                let pointer = at.get(&all);
                document = match replacement {
                    Some(value) if misspelt => with(document, &format!("{pointer}s"), value),
                    Some(value) => match document.pointer_mut(pointer) {
                        Some(place) => {
                            *place = value;
                            document
                        }
                        None => document,
                    },
                    None => without(document, pointer),
                };
            }
            document
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_json_makes_the_reader_of_jobs_panic(document in any_json()) {
        let _ = Job::from_json(&document);
    }

    /// A document without problems that serde still refuses would give one late message, without a path.
    #[test]
    fn what_has_no_problems_can_be_read(document in nearly_a_job()) {
        match Job::from_json(&document) {
            Ok(job) => {
                let written = serde_json::to_value(&job).unwrap();
                prop_assert_eq!(Job::from_json(&written).unwrap(), job);
            }
            Err(Problems(problems)) => {
                prop_assert!(!problems.is_empty());
                let whole = problems.iter().filter(|problem| problem.path.is_empty());
                prop_assert_eq!(whole.count(), usize::from(!document.is_object()), "{:?} of {}", problems, document);
            }
        }
    }

    /// Shape and sense read the same document, and neither repeats the other.
    #[test]
    fn each_mistake_is_told_once(document in nearly_a_job()) {
        if let Err(Problems(problems)) = Job::from_json(&document) {
            for (position, problem) in problems.iter().enumerate() {
                prop_assert!(!problems[..position].contains(problem), "{} twice in {}", problem, document);
            }
        }
    }
}

#[test]
fn the_committed_schema_is_the_types_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("job.schema.json");
    let schema = Job::schema();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{schema:#}\n")).unwrap();
    }
    // As values, since the order of fields in the text depends on a feature that any crate of a build may switch on.
    let committed: Option<Value> =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    assert!(
        committed == Some(schema),
        "{} is not the schema of the types; renew it with: UPDATE=1 cargo test -p fanfold-flow --test job",
        path.display()
    );
}
