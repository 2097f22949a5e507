//! The local addresses of a job document, and where in S3 they stand for the run. Pure: nothing is looked at.
//!
//! What this module owes the rest: afterwards the document has none but s3:// addresses, so that it can be checked, planned
//! and run as any job. Each local input becomes a prefix of its own, never a bare key: then a file whose name holds `*` or
//! `?` is no glob.

use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::problem::{Problem, Problems};
use fanfold_flow::template;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use serde_json::Value;

/// The placeholder that an s3:// address stands for.
const OBJECT_URI: &str = "{object_uri}";

/// What the fields of a job, such as `source.objects.uri[1]`, are called where the user has typed them.
pub(crate) type FieldNames = fn(&str) -> String;

/// In job files they have their own names.
pub(crate) fn of_job_files(path: &str) -> String {
    path.to_owned()
}

/// A job document without local addresses, and those that it had.
#[derive(Debug)]
pub(crate) struct Places {
    /// The document, all addresses in S3.
    pub(crate) document: Value,
    /// The local inputs, in the document's order.
    pub(crate) inputs: Vec<Input>,
    /// The local output, a file as it was written, placeholders and all; `-` for standard output.
    pub(crate) output: Option<String>,
    /// Whether the job reads from an s3:// address of its own, or from the object that it is for.
    pub(crate) reads_s3: bool,
}

/// A local input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// The field that names it, such as `source.objects.uri[1]`.
    pub(crate) field: String,
    /// The file, folder or glob, as it was written.
    pub(crate) address: String,
    /// Where it is copied to.
    pub(crate) to: Destination,
}

/// Where a local input is copied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Files, by their names below the input's folder, to keys below this prefix.
    Below(ObjectUri),
    /// One file, to this object.
    Object(ObjectUri),
}

/// Replaces the local addresses of `document` by places below `prefix`.
pub(crate) fn part(mut document: Value, prefix: &ObjectUri) -> Places {
    let (mut inputs, mut reads_s3) = (Vec::new(), false);
    let below = |name: String| ObjectUri::new(&prefix.bucket, format!("{}{name}", prefix.key));
    let mut take = |field: String, value: &mut Value, one: bool| {
        let Some(address) = value.as_str() else { return };
        if !is_local(address) {
            reads_s3 |= address.starts_with("s3://") || address.starts_with(OBJECT_URI);
            return;
        }
        let folder = format!("in/{:04}/", inputs.len());
        let to = if one {
            Destination::Object(below(folder + "items"))
        } else {
            Destination::Below(below(folder))
        };
        let input = Input { field, address: address.to_owned(), to };
        *value = Value::String(input.to.uri().to_string());
        inputs.push(input);
    };
    match document.pointer_mut("/source/objects/uri") {
        Some(Value::Array(several)) => {
            for (position, value) in several.iter_mut().enumerate() {
                take(format!("source.objects.uri[{position}]"), value, false);
            }
        }
        Some(only) => take("source.objects.uri".into(), only, false),
        None => {}
    }
    if let Some(value) = document.pointer_mut("/source/items/uri") {
        take("source.items.uri".into(), value, true);
    }
    let output = document.pointer_mut("/output/uri").and_then(|value| {
        let address = value.as_str().filter(|address| is_local(address))?.to_owned();
        *value = Value::String(below("output".into()).to_string());
        Some(address)
    });
    Places { document, inputs, output, reads_s3 }
}

/// Whether an address is a path; what begins with an object's address is none. Of an empty one, or one of another scheme,
/// the job itself says what is wrong.
fn is_local(address: &str) -> bool {
    !address.is_empty() && !address.contains("://") && !address.starts_with(OBJECT_URI)
}

impl Destination {
    /// What the document says instead.
    pub(crate) fn uri(&self) -> &ObjectUri {
        match self {
            Self::Below(uri) | Self::Object(uri) => uri,
        }
    }
}

impl Places {
    /// The job, or all that is wrong with it, local placeholders included.
    ///
    /// # Errors
    /// `invalid_job`, with a line for each problem.
    pub(crate) fn job(&self, names: FieldNames) -> Result<Job, Error> {
        let with_object = self.document.get("on_object_created").is_some_and(|trigger| !trigger.is_null());
        let placeholders =
            self.output.iter().flat_map(|output| template::problems_of_output(output, with_object));
        let mut found: Vec<Problem> =
            placeholders.map(|problem| Problem { path: "output.uri".into(), ..problem }).collect();
        let read = Job::from_json(&self.document);
        match read {
            Ok(job) if found.is_empty() => return Ok(job),
            Ok(_) => {}
            Err(Problems(problems)) => found.splice(0..0, problems).for_each(drop),
        }
        Err(refusal(found, names))
    }
}

/// That a job is not right, each problem with the name that its field has for the user.
pub(crate) fn refusal(problems: Vec<Problem>, names: FieldNames) -> Error {
    let named = problems.into_iter().map(|problem| Problem { path: names(&problem.path), ..problem });
    let lines: String = named.map(|problem| format!("\n  {problem}")).collect();
    Error::new(Code::InvalidJob, format!("make sense of the job:{lines}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parted(document: Value) -> Places {
        part(document, &"s3://store/local/run/".parse().unwrap())
    }

    #[test]
    fn paths_become_places_in_s3_and_s3_addresses_stay() {
        let places = parted(json!({
            "source": { "objects": { "uri": ["a.csv", "s3://b/k", "dir/*.csv"] } }, "output": { "uri": "out/{name}.csv" }
        }));
        let expected = json!({
            "source": { "objects": { "uri": ["s3://store/local/run/in/0000/", "s3://b/k", "s3://store/local/run/in/0001/"] } },
            "output": { "uri": "s3://store/local/run/output" }
        });
        assert_eq!(places.document, expected);
        assert!(places.reads_s3);
        let fields: Vec<_> = places.inputs.iter().map(|input| (&*input.field, &*input.address)).collect();
        assert_eq!(fields, [("source.objects.uri[0]", "a.csv"), ("source.objects.uri[2]", "dir/*.csv")]);
        assert_eq!(places.output.unwrap(), "out/{name}.csv");
    }

    #[test]
    fn the_address_of_the_object_is_one_in_s3_and_its_name_may_be_part_of_a_path() {
        for source in ["objects", "items"] {
            let document = json!({
                "source": { source: { "uri": "{object_uri}" } }, "output": { "uri": "{object_uri}.done" }
            });
            let places = parted(document.clone());
            assert_eq!(places.document, document);
            assert!(places.reads_s3 && places.inputs.is_empty() && places.output.is_none());
        }
        let places = parted(json!({ "source": { "objects": { "uri": "{object_key}" } } }));
        assert!(!places.reads_s3);
        assert_eq!(places.inputs[0].address, "{object_key}");
    }

    #[test]
    fn items_are_one_object_and_not_a_prefix() {
        let places = parted(json!({ "source": { "items": { "uri": "items.jsonl" } } }));
        assert_eq!(
            places.document.pointer("/source/items/uri"),
            Some(&json!("s3://store/local/run/in/0000/items"))
        );
        assert!(matches!(places.inputs[0].to, Destination::Object(_)));
    }

    #[test]
    fn what_is_no_path_is_left_to_the_job_to_refuse() {
        for uri in [json!(""), json!("https://x/y"), json!(7), json!(null)] {
            let document = json!({ "source": { "objects": { "uri": uri } }, "output": { "uri": uri } });
            let places = parted(document.clone());
            assert_eq!(places.document, document);
            assert!(places.inputs.is_empty() && places.output.is_none());
        }
    }

    #[test]
    fn all_problems_are_told_at_once_those_of_a_local_address_too() {
        let document = json!({ "version": 1, "output": { "uri": "{nam}.csv", "formt": "csv" } });
        let problems = parted(document).job(of_job_files).unwrap_err().to_string();
        for part in ["output.uri: placeholder '{nam}'", "output.formt: is unknown", "source: is missing"] {
            assert!(problems.contains(part), "{part} in {problems}");
        }
    }
}
