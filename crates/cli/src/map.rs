//! From the one-liner to the job document that says the same. Pure.

use std::path::Path;

use fanfold_flow::job::{Compress, Format};
use fanfold_flow::template;
use fanfold_runtime::Error;
use serde_json::{Map, Value, json};

use crate::args::MapArgs;
use crate::split;

/// Longest name that is made from an input's.
const NAME_BYTES_MAX: usize = 40;

/// The job that the command line describes.
///
/// # Errors
/// When a flag has a value that is none, or goes with another split.
pub(crate) fn document(args: &MapArgs) -> Result<Value, Error> {
    let mut objects = Map::new();
    let uri = match literal(args.inputs()).as_slice() {
        [only] => json!(only),
        several => json!(several),
    };
    objects.insert("uri".into(), uri);
    split::add_to(&mut objects, &args.records)?;
    if let Some(bytes) = args.chunk_bytes {
        objects.insert("chunk_bytes".into(), json!(bytes));
    }
    let mut output = Map::new();
    output.insert("uri".into(), json!(args.output));
    output.insert("overwrite".into(), json!(!args.no_overwrite));
    if let Some(format) = args.format {
        output.insert("format".into(), json!(Format::from(format)));
    }
    if let Some(compress) = args.compress {
        output.insert("compress".into(), json!(Compress::from(compress)));
    }
    let mut job = Map::new();
    job.insert("version".into(), json!(1));
    job.insert("name".into(), json!(args.name.clone().unwrap_or_else(|| name_of(args.inputs()))));
    job.insert("source".into(), json!({ "objects": objects }));
    job.insert("task".into(), task(args));
    job.insert("output".into(), Value::Object(output));
    if let Some(processes) = args.processes {
        job.insert("processes".into(), json!(processes));
    }
    if let Some(memory_mb) = args.memory_mb {
        job.insert("memory_mb".into(), json!(memory_mb));
    }
    if args.no_cut {
        job.insert("cut".into(), json!(false));
    }
    job.insert("retries".into(), json!(args.retries));
    job.insert("tolerated_failures".into(), json!(args.tolerated_failures));
    Ok(Value::Object(job))
}

/// The option that stands for a field of the job: what messages name.
pub(crate) fn option_of(path: &str) -> String {
    const OPTIONS: [(&str, &str); 14] = [
        ("source.objects.uri", "--input"),
        ("source.objects.split", "--split"),
        ("source.objects.header", "--header"),
        ("source.objects.chunk_bytes", "--chunk-bytes"),
        ("output.uri", "--output"),
        ("output.format", "--format"),
        ("output.compress", "--compress"),
        ("task.command", "PROGRAM"),
        ("task.ok_status", "--ok-status"),
        ("name", "--name"),
        ("processes", "--processes"),
        ("memory_mb", "--memory-mb"),
        ("retries", "--retries"),
        ("tolerated_failures", "--tolerated-failures"),
    ];
    let option = OPTIONS.iter().find(|(field, _)| path.starts_with(field));
    option.map_or_else(|| path.to_owned(), |(_, option)| (*option).to_owned())
}

/// The program, whose words stand for themselves, letter by letter.
fn task(args: &MapArgs) -> Value {
    let words: Vec<String> = args.program.iter().map(|word| template::escape(word)).collect();
    let mut task = json!({ "command": words });
    if !args.ok_status.is_empty() {
        task["ok_status"] = json!(args.ok_status);
    }
    task
}

/// The inputs as addresses of a job file, in which they stand for themselves, letter by letter.
fn literal(inputs: &[String]) -> Vec<String> {
    let escaped = |input: &String| match input.starts_with("s3://") {
        true => template::escape_address(input),
        false => template::escape(input),
    };
    inputs.iter().map(escaped).collect()
}

/// A job's name after its first input: `birdstrikes` for `data/birdstrikes.csv`.
fn name_of(inputs: &[String]) -> String {
    let stem =
        inputs.first().and_then(|input| Path::new(input).file_stem()).map(|stem| stem.to_string_lossy());
    let plain: String = stem
        .unwrap_or_default()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' })
        .take(NAME_BYTES_MAX)
        .collect();
    let name = plain.trim_matches(['-', '.']);
    if name.is_empty() { "map".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use fanfold_flow::job::Job;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        map: MapArgs,
    }

    fn job(line: &[&str]) -> Value {
        let Line { map } = Line::try_parse_from([&["map"], line].concat()).unwrap();
        document(&map).unwrap()
    }

    #[test]
    fn the_one_liner_says_the_same_as_its_job_file() {
        let line = [
            "--input",
            "a.csv",
            "--input",
            "b.csv",
            "--output",
            "out.csv",
            "--split",
            "csv",
            "--header",
            "--chunk-bytes",
            "64KiB",
            "--processes",
            "3",
            "--memory-mb",
            "500",
            "--format",
            "json-array",
            "--compress",
            "zstd",
            "--retries",
            "1",
            "--tolerated-failures",
            "5%",
            "--no-overwrite",
            "--no-cut",
            "--name",
            "n",
            "--ok-status",
            "0,1",
            "--",
            "awk",
            "-F,",
            "1",
        ];
        let expected = json!({
            "version": 1,
            "name": "n",
            "source": { "objects": {
                "uri": ["a.csv", "b.csv"], "split": "csv", "header": true, "chunk_bytes": 65_536
            } },
            "task": { "command": ["awk", "-F,", "1"], "ok_status": [0, 1] },
            "output": { "uri": "out.csv", "overwrite": false, "format": "json-array", "compress": "zstd" },
            "processes": 3,
            "memory_mb": 500,
            "cut": false,
            "retries": 1,
            "tolerated_failures": "5%"
        });
        assert_eq!(job(&line), expected);
    }

    #[test]
    fn what_is_not_said_is_left_to_the_jobs_own_defaults() {
        let job = job(&["-i", "s3://b/한글 파일.csv", "-o", "s3://b/out", "--", "cat"]);
        assert_eq!(job.pointer("/name"), Some(&json!("map")));
        assert_eq!(job.pointer("/output/overwrite"), Some(&json!(true)));
        assert_eq!(job.pointer("/source/objects/chunk_bytes"), None);
        assert_eq!(job.pointer("/processes"), None);
        assert_eq!(job.pointer("/memory_mb"), None);
        assert_eq!(job.pointer("/cut"), None);
        Job::from_json(&job).unwrap();
    }

    #[test]
    fn braces_of_inputs_and_arguments_are_no_placeholders() {
        let inputs = ["-i", "{name}.txt", "-i", "s3://b/{x}/{a,b}*"];
        let line = [&inputs[..], &["-o", "out-{name}", "--", "sed", "s/{name}/Bob/; a\\{3\\}"]].concat();
        let job = job(&line);
        let expected = json!(["\\{name}.txt", "s3://b/\\{x}/{a,b}*"]);
        assert_eq!(job.pointer("/source/objects/uri"), Some(&expected));
        assert_eq!(job.pointer("/task/command/1"), Some(&json!("s/\\{name}/Bob/; a\\{3\\}")));
        assert_eq!(job.pointer("/output/uri"), Some(&json!("out-{name}")));
    }

    #[test]
    fn a_name_is_made_from_any_input() {
        for (input, name) in [
            ("data/birdstrikes.csv", "birdstrikes"),
            ("/tmp/my file.txt", "my-file"),
            ("logs/*", "map"),
            ("", "map"),
        ] {
            assert_eq!(name_of(&[input.to_owned()]), name);
        }
    }
}
