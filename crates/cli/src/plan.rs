//! `fanfold plan`: what a job would do, by the dispatcher's own planning.

use std::fmt::Write as _;
use std::sync::Arc;

use fanfold_dispatcher::list;
use fanfold_emulator::s3::{self, ETags};
use fanfold_flow::chunk::Input;
use fanfold_flow::code::Code;
use fanfold_flow::job::{Job, Task};
use fanfold_flow::keys::JobId;
use fanfold_flow::plan::{self, Plan, PlannedInput, Span};
use fanfold_flow::problem::Problems;
use fanfold_flow::template::{self, Values};
use fanfold_flow::written::AsWritten;
use fanfold_runtime::Error;
use fanfold_store::Store;
use serde_json::{Value, json};

use crate::args::{MachineArgs, PlaceArgs, PlanArgs, S3Choice};
use crate::exit::Stop;
use crate::find::{Found, find};
use crate::functions::{cores_per_worker, process_memory_mb};
use crate::machine;
use crate::measures::{bytes, count, counted};
use crate::places;
use crate::plan_store::PlanStore;
use crate::stdout;
use crate::wanted::{self, Wanted};

/// Most partitions and most objects that are shown; of more, the first and the last.
const ROWS_SHOWN: usize = 12;

/// The id that stands for the one that a run would get.
const JOB_ID: &str = "planned";

/// Longest header that is shown, in characters.
const HEADER_SHOWN: usize = 60;

/// Plans a job and shows the plan.
///
/// # Errors
/// What is wrong with the job or its input, as a run would say it.
pub(crate) async fn show(args: &PlanArgs) -> Result<(), Stop> {
    let wanted = Wanted::of_file(&args.job, &args.machine)?;
    let occasion = wanted.occasion();
    let document = wanted.document;
    let job_id: JobId =
        JOB_ID.parse().map_err(|error| Error::caused(Code::Internal, "name the plan", error))?;
    let mut local = machine::work_of(&args.machine.place)?;
    local.key.push_str("local/planned/");
    let places = places::part(document.clone(), &local);
    let job = places.job(places::of_job_files)?;
    wanted::has_its_object(&job, places.output.as_deref(), &occasion)?;
    let values = Values { job_id: &job_id, name: &job.name, occasion: &occasion };
    let mut inputs = places.inputs;
    for input in &mut inputs {
        input.address = template::fill(&input.address, &values);
    }
    let found = find(&inputs, &machine::current_directory()?)?;
    let (others, embedded) = others(&args.machine.place, places.reads_s3).await?;
    let store: Arc<dyn Store> = Arc::new(PlanStore::new(found.files.clone(), local, others));
    let planned = make(&job, &values, &args.machine, &store).await;
    drop(store);
    if let Some(embedded) = embedded {
        embedded.stop().await;
    }
    let plan = planned.map_err(|error| Error::new(error.code, found.with_local_names(&error.chain())))?;
    let output = places.output.unwrap_or_else(|| plan.output.to_string());
    if args.json {
        let mut plan = json!(plan);
        rename(&mut plan, &found);
        plan["output"] = json!(output);
        return Ok(stdout::print(&format!("{:#}\n", AsWritten(json!({ "job": document, "plan": plan }))))?);
    }
    let processes = job.processes.on(cores_per_worker(args.machine.workers));
    let workers = job.max_concurrency.map_or(args.machine.workers, |most| most.min(args.machine.workers));
    let text = text(&job, &plan, &Local { output: &output, workers, processes });
    Ok(stdout::print(&found.with_local_names(&text))?)
}

/// The store of the addresses that are not local: the embedded S3's data, if there is any, or the user's own S3.
async fn others(
    args: &PlaceArgs,
    needed: bool,
) -> Result<(Option<Arc<dyn Store>>, Option<s3::Server>), Error> {
    if !needed || (args.s3 == S3Choice::Embedded && args.data.is_none()) {
        return Ok((None, None));
    }
    let (store, embedded) = machine::store_alone(args, ETags::default()).await?;
    Ok((Some(store), embedded))
}

async fn make(
    job: &Job,
    values: &Values<'_>,
    args: &MachineArgs,
    store: &Arc<dyn Store>,
) -> Result<Plan, Error> {
    if let Some(problem) = job.memory_problem(process_memory_mb(args)) {
        return Err(Problems(vec![problem]).into());
    }
    let listing = list(job, values, store).await?;
    let plan =
        plan::make(job, values.job_id, listing, cores_per_worker(args.workers), values.occasion.clone());
    let defects = plan::defects(&plan);
    if defects.is_empty() {
        return Ok(plan);
    }
    Err(Error::new(Code::Internal, format!("make a right plan: {}", defects.join("; "))))
}

/// Gives the files in all texts of a document the names that the user knows.
fn rename(value: &mut Value, found: &Found) {
    match value {
        Value::String(text) => *text = found.with_local_names(text),
        Value::Array(entries) => entries.iter_mut().for_each(|entry| rename(entry, found)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What the plan itself does not say.
struct Local<'a> {
    output: &'a str,
    workers: u32,
    processes: u32,
}

fn text(job: &Job, plan: &Plan, local: &Local<'_>) -> String {
    let partitions = plan.partitions.len() as u64;
    let mut text = format!(
        "{}: {} in {}, {} of input\n",
        job.name,
        counted(plan.chunks, "chunk", "chunks"),
        counted(partitions, "partition", "partitions"),
        bytes(plan.input_bytes())
    );
    let mut row = |name: &str, value: &str| {
        let _written = writeln!(text, "  {name:<8} {value}");
    };
    row("runs", &command(&job.task));
    for (position, line) in input(&plan.input).iter().enumerate() {
        row(if position == 0 { "reads" } else { "" }, line);
    }
    if let PlannedInput::Objects { head: Some(head), .. } = &plan.input {
        let shown: String =
            String::from_utf8_lossy(&head.header.0).trim_end().chars().take(HEADER_SHOWN).collect();
        row("header", &shown);
    }
    row("writes", &format!("{}, as {}", local.output, kind(plan)));
    let workers = counted(u64::from(local.workers), "worker", "workers");
    let processes = counted(u64::from(local.processes), "process", "processes");
    row("with", &format!("{workers} at once, {processes} in each"));
    text.push_str(&table(plan));
    text
}

/// The output's format and compression, in the words of job files.
fn kind(plan: &Plan) -> String {
    let word =
        |value: serde_json::Result<Value>| value.unwrap_or_default().as_str().unwrap_or_default().to_owned();
    let format = word(serde_json::to_value(plan.format));
    if plan.compress.is_none() {
        return format;
    }
    format!("{format}, compressed as {}", word(serde_json::to_value(plan.compress)))
}

/// The argv as a shell would take it, or the registered task.
fn command(task: &Task) -> String {
    let named = task
        .name
        .iter()
        .map(|name| format!("the task {name}"))
        .chain(task.args.iter().map(|arg| quoted(arg)));
    let words: Vec<String> = match &task.command {
        Some(argv) => argv.iter().map(|word| quoted(word)).collect(),
        None => named.collect(),
    };
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn input(input: &PlannedInput) -> Vec<String> {
    match input {
        PlannedInput::Objects { slices, .. } => {
            let line = |position: usize| {
                let slice = &slices[position];
                let chunks = counted(slice.chunks, "chunk", "chunks");
                format!("{}, {}, {chunks}", slice.object.uri, bytes(slice.object.bytes))
            };
            shortened(slices.len(), line, |left_out| format!("... {} more objects", count(left_out as u64)))
        }
        PlannedInput::ItemLines { object, .. } => {
            vec![format!("{}, {}, a line an item", object.uri, bytes(object.bytes))]
        }
        PlannedInput::Items { count: items, chunk } => {
            vec![format!("{}, {} to a chunk", counted(*items, "item", "items"), count(*chunk))]
        }
        PlannedInput::Range { start, end, chunk } => {
            vec![format!("the numbers from {start} to below {end}, {} to a chunk", count(*chunk))]
        }
    }
}

fn table(plan: &Plan) -> String {
    if plan.partitions.is_empty() {
        return "there is nothing to process; the output will be empty\n".to_owned();
    }
    let row = |number: &str, chunks: &str, indexes: &str, bytes: &str| {
        format!("{number:>9}  {chunks:>7}  {indexes:<21}  {bytes}").trim_end().to_owned()
    };
    let line = |position: usize| {
        let span = plan.partitions[position];
        let indexes = format!("{}..{}", span.first, span.first + span.chunks.saturating_sub(1));
        row(&position.to_string(), &count(span.chunks), &indexes, &amount(plan, span))
    };
    let mut text = row("partition", "chunks", "first..last index", amount_name(plan)) + "\n";
    for line in shortened(plan.partitions.len(), line, |left_out| {
        row("...", "", &format!("{} more", count(left_out as u64)), "")
    }) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn amount_name(plan: &Plan) -> &'static str {
    match plan.input {
        PlannedInput::Objects { .. } | PlannedInput::ItemLines { .. } => "bytes",
        PlannedInput::Items { .. } => "items",
        PlannedInput::Range { .. } => "numbers",
    }
}

/// How much a partition reads: bytes, items or numbers.
fn amount(plan: &Plan, span: Span) -> String {
    let chunks = (span.first..span.first.saturating_add(span.chunks)).filter_map(|index| plan.chunk(index));
    let sum = chunks
        .map(|chunk| match chunk.input {
            Input::Bytes(bytes) => bytes.end - bytes.start,
            Input::Items { count, .. } | Input::Range { limit: count, .. } => count,
        })
        .sum();
    if amount_name(plan) == "bytes" { bytes(sum) } else { count(sum) }
}

/// A line for each of `length` things; of many, the first and the last, and in between how many were left out.
fn shortened(
    length: usize,
    line: impl Fn(usize) -> String,
    left_out: impl Fn(usize) -> String,
) -> Vec<String> {
    if length <= ROWS_SHOWN {
        return (0..length).map(line).collect();
    }
    let half = ROWS_SHOWN / 2;
    let middle = left_out(length - 2 * half);
    (0..half).map(&line).chain([middle]).chain((length - half..length).map(&line)).collect()
}

#[cfg(test)]
mod tests {
    use fanfold_flow::chunk::ObjectVersion;
    use fanfold_flow::head::Head;
    use fanfold_flow::literal::Literal;
    use fanfold_flow::occasion::Occasion;
    use fanfold_flow::plan::Listing;
    use fanfold_records::{Dialect, HeadRule, Rule};

    use super::*;

    fn shown(source: Value, listing: Listing) -> String {
        let job = Job::from_json(&json!({
            "version": 1, "name": "birdstrikes", "source": source, "processes": 2,
            "task": { "command": ["awk", "-F,", "NR==1 || $0 ~ /It's/"] }, "output": { "uri": "s3://b/out", "compress": "gzip" }
        }))
        .unwrap();
        let plan = plan::make(&job, &"run".parse().unwrap(), listing, 2, Occasion::at(0));
        assert_eq!(plan::defects(&plan), Vec::<String>::new());
        text(&job, &plan, &Local { output: "out.csv", workers: 2, processes: 2 })
    }

    #[test]
    fn a_plan_over_many_objects_is_shortened_in_the_middle() {
        let object = |number: u64| ObjectVersion {
            uri: format!("s3://b/in/{number:02}.csv").parse().unwrap(),
            etag: "e".into(),
            bytes: 100_000 + number,
        };
        let listing = Listing::Objects {
            objects: (0..20).map(|number| object(number).into()).collect(),
            rule: Rule::Csv(Dialect::RFC_4180),
            head: Some(Head {
                preamble: Literal::default(),
                header: Literal(b"Airport,Date,Damage\n".to_vec()),
                rule: HeadRule { header_records: 1, ..HeadRule::default() },
            }),
        };
        let source = json!({ "objects": { "uri": "s3://b/in/", "split": "csv", "header": true, "chunk_bytes": 65_536 } });
        insta::assert_snapshot!(shown(source, listing));
    }

    #[test]
    fn a_plan_over_numbers_shows_numbers() {
        insta::assert_snapshot!(shown(
            json!({ "range": { "start": 5, "end": 30, "chunk": 5 } }),
            Listing::Nothing
        ));
    }

    #[test]
    fn a_plan_over_nothing_says_so() {
        let text = shown(json!({ "items": { "values": [] } }), Listing::Nothing);
        assert!(text.contains("nothing to process"), "{text}");
    }

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let words = ["a b", "it's", "", "-F,", "한글"].map(quoted);
        assert_eq!(words, ["'a b'", "'it'\\''s'", "''", "-F,", "한글"]);
    }
}
