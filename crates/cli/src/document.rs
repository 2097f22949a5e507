//! A job file, and what `--set` and `--value` change in it. What a job's fields mean is `fanfold_flow`'s affair.

use std::path::Path;

use fanfold_flow::code::Code;
use fanfold_flow::problem::Problem;
use fanfold_flow::template::Deployment;
use fanfold_flow::written::{self, AsWritten};
use fanfold_runtime::Error;
use serde_json::{Map, Value};

use crate::args::JobArgs;

/// Reads a job file, changes it as the command line says, and fills in what a deployment would. Its own objects are in
/// `bucket`.
///
/// # Errors
/// When the file cannot be read or is no JSON, when a change does not fit into it, and when a value is missing or not right.
pub(crate) fn read(args: &JobArgs, bucket: &str) -> Result<Value, Error> {
    let mut document = of_file(&args.file)?;
    change(&mut document, "--set", &args.set)?;
    let mut deployment = Deployment::default();
    let bucket = ("bucket".to_owned(), bucket.to_owned());
    for (name, value) in std::iter::once(&bucket).chain(&args.value) {
        deployment
            .insert(name, value)
            .map_err(|error| Error::caused(Code::InvalidJob, format!("use --value {name}={value}"), error))?;
    }
    let missing = deployment.fill(&mut document);
    if missing.is_empty() {
        return Ok(document);
    }
    let lines: String = missing.iter().map(|problem| format!("\n  {problem}")).collect();
    Err(Error::new(Code::InvalidJob, format!("fill in the deployment's values (--value NAME=TEXT):{lines}")))
}

/// Reads a job file as it is; `-` is standard input.
///
/// # Errors
/// When it cannot be read or is no JSON.
pub(crate) fn of_file(file: &Path) -> Result<Value, Error> {
    let text = text(file)?;
    // Some editors of Windows put a byte order mark before everything.
    let json = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    let AsWritten(document) = serde_json::from_slice(json).map_err(|error| {
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let hint = if is_yaml { "; job files are JSON, not YAML" } else { "" };
        Error::new(Code::InvalidJob, format!("read {} as JSON: {error}{hint}", file.display()))
    })?;
    Ok(document)
}

/// Applies the changes `path=value` that `option` brought.
///
/// # Errors
/// The first that does not fit into the document.
pub(crate) fn change(document: &mut Value, option: &str, changes: &[String]) -> Result<(), Error> {
    changes.iter().try_for_each(|change| {
        set(document, change)
            .map_err(|problem| Error::new(Code::InvalidJob, format!("apply {option} {change}: {problem}")))
    })
}

fn text(file: &Path) -> Result<Vec<u8>, Error> {
    let read = if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| {
        Error::caused(Code::InvalidJob, format!("read the job file {}", file.display()), error)
    })
}

/// Sets the field at a path such as `source.objects.chunk_bytes` or `task.command.2`. Objects on the way are made; the
/// value is JSON where it can be read as such, else text.
fn set(document: &mut Value, change: &str) -> Result<(), Problem> {
    let Some((path, text)) = change.split_once('=') else {
        return Err(Problem::new("", "write it as path=value, such as source.objects.chunk_bytes=8MiB"));
    };
    let value = written::read_at(path, text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut place = document;
    let mut walked = String::new();
    for name in path.split('.') {
        if name.is_empty() {
            return Err(Problem::new(path, "has an empty name in its path"));
        }
        place = step(place, name, &walked)?;
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(name);
    }
    *place = value;
    Ok(())
}

/// What is called `name` within `place`.
fn step<'v>(place: &'v mut Value, name: &str, walked: &str) -> Result<&'v mut Value, Problem> {
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    match place {
        list if written::is_list(list) => Err(Problem::new(
            walked,
            "is set as a whole, such as source.items.values=[1,2], so that its items stay as they are written",
        )),
        Value::Object(fields) => Ok(fields.entry(name).or_insert(Value::Null)),
        Value::Array(entries) => {
            let length = entries.len();
            let entry = name.parse::<usize>().ok().and_then(|position| entries.get_mut(position));
            entry.ok_or_else(|| {
                let message =
                    format!("is a list of {length}, of which '{name}' is no position; the first is 0");
                Problem::new(walked, message)
            })
        }
        other => Err(Problem::new(walked, format!("is {other}, which has no fields to set"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(mut document: Value, change: &str) -> Result<Value, String> {
        set(&mut document, change).map_err(|problem| problem.to_string())?;
        Ok(document)
    }

    #[test]
    fn a_value_is_json_where_it_can_be_and_text_where_not() {
        for (text, value) in [
            ("8MiB", json!("8MiB")),
            ("3", json!(3)),
            ("true", json!(true)),
            ("\"3\"", json!("3")),
            ("[\"a\"]", json!(["a"])),
            ("a=b", json!("a=b")),
            ("", json!("")),
        ] {
            assert_eq!(changed(json!({}), &format!("x={text}")).unwrap(), json!({ "x": value }), "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_job_file() {
        let folder = tempfile::tempdir().unwrap();
        let (json, yaml) = (folder.path().join("job.json"), folder.path().join("job.yaml"));
        std::fs::write(&json, "\u{feff}{\"version\": 1}").unwrap();
        assert_eq!(of_file(&json).unwrap(), json!({ "version": 1 }));
        std::fs::write(&yaml, "version: 1").unwrap();
        assert!(of_file(&yaml).unwrap_err().to_string().ends_with("; job files are JSON, not YAML"));
    }

    #[test]
    fn only_the_named_field_changes_and_what_is_missing_on_the_way_is_made() {
        let job = json!({ "source": { "objects": { "uri": "a", "header": true } }, "task": { "command": ["x", "y"] } });
        let changed_job = changed(job.clone(), "source.objects.chunk_bytes=1KiB").unwrap();
        assert_eq!(changed_job.pointer("/source/objects/chunk_bytes"), Some(&json!("1KiB")));
        assert_eq!(changed_job.pointer("/source/objects/uri"), Some(&json!("a")));
        assert_eq!(
            changed(job.clone(), "task.command.1=z").unwrap().pointer("/task/command"),
            Some(&json!(["x", "z"]))
        );
        assert_eq!(changed(json!({}), "a.b.c=1").unwrap(), json!({ "a": { "b": { "c": 1 } } }));
    }

    #[test]
    fn items_that_are_set_stay_as_they_are_written() {
        let items = "[ 18446744073709551616, {\"b\":1.0,\"a\":2} ]";
        for change in
            [format!("source.items.values={items}"), format!("source={{\"items\":{{\"values\":{items}}}}}")]
        {
            let changed = changed(json!({}), &change).unwrap();
            assert_eq!(
                AsWritten(&changed).to_string(),
                format!("{{\"source\":{{\"items\":{{\"values\":{items}}}}}}}")
            );
            let problem = self::changed(changed, "source.items.values.0=1").unwrap_err();
            assert!(problem.starts_with("source.items.values: is set as a whole"), "{problem}");
        }
    }

    #[test]
    fn a_change_that_does_not_fit_is_refused_with_its_place() {
        let job = json!({ "name": "n", "list": [1] });
        for (change, part) in [
            ("name", "path=value"),
            ("name.x=1", "name: is \"n\""),
            ("list.1=2", "list: is a list of 1, of which '1'"),
            ("a..b=1", "empty name"),
        ] {
            let problem = changed(job.clone(), change).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn an_unknown_path_gets_the_jobs_own_answer() {
        let mut job = json!({
            "version": 1, "name": "n", "source": { "range": { "end": 3, "chunk": 1 } },
            "task": { "command": ["true"] }, "output": { "uri": "s3://b/k" }
        });
        set(&mut job, "source.range.chunks=2").unwrap();
        let problems = fanfold_flow::job::Job::from_json(&job).unwrap_err().to_string();
        assert!(problems.contains("source.range.chunks") && problems.contains("'chunk'"), "{problems}");
    }
}
