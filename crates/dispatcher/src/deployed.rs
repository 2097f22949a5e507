//! The jobs that were deployed with the functions: files, read once when the dispatcher starts.
//!
//! What this module owes the rest: a job that can be had here is right, with the values of the deployment filled in. A file
//! that is not right keeps none of the others back: everything wrong with it is kept under its name, for whoever asks for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fanfold_flow::code::Code;
use fanfold_flow::job::{Job, OnObjectCreated};
use fanfold_flow::problem::{Problem, Problems, nearest};
use fanfold_flow::template::Deployment;
use fanfold_flow::uri::ObjectUri;
use fanfold_flow::written::AsWritten;
use fanfold_runtime::Error;
use serde::Deserialize;
use serde_json::Value;

use crate::merge_patch::merge;

/// The jobs that were deployed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployed {
    /// Those that can run, by name.
    jobs: BTreeMap<String, DeployedJob>,
    /// Those that cannot, by the name that their files give them.
    refused: BTreeMap<String, RefusedJob>,
}

/// A job that was deployed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeployedJob {
    /// As it was written.
    document: Value,
    /// With the values of the deployment.
    pub(crate) job: Job,
}

/// A job that was deployed and cannot run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RefusedJob {
    /// Everything that is wrong with it.
    pub(crate) problems: Problems,
    /// Which objects are meant to start it, where that much can be read.
    trigger: Option<OnObjectCreated>,
}

impl Deployed {
    /// Reads all files `<name of the job>.json` of a folder. Fanfold keeps its own objects below `work`.
    ///
    /// # Errors
    /// Why the folder cannot be read. What is wrong with a file is kept under its name.
    pub fn read(folder: &Path, deployment: &Deployment, work: Option<&ObjectUri>) -> Result<Self, Problem> {
        let unreadable = |error| Problem::new(folder.display().to_string(), cannot_be_read(&error));
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                files.push((name, document_at(&path)));
            }
        }
        Ok(Self::of_contents(files, deployment, work))
    }

    /// The jobs of these files, each with its name, `<name of the job>.json`, and its content.
    pub fn of_files(
        files: impl IntoIterator<Item = (String, Value)>,
        deployment: &Deployment,
        work: Option<&ObjectUri>,
    ) -> Self {
        Self::of_contents(files.into_iter().map(|(name, document)| (name, Ok(document))), deployment, work)
    }

    fn of_contents(
        files: impl IntoIterator<Item = (String, Result<Value, Problem>)>,
        deployment: &Deployment,
        work: Option<&ObjectUri>,
    ) -> Self {
        let mut deployed = Self::default();
        for (file, content) in files {
            let name = file.strip_suffix(".json").unwrap_or(&file).to_owned();
            let read = match content {
                Ok(document) => DeployedJob::new(document, &file, deployment, work),
                Err(problem) => Err(RefusedJob { problems: Problems(vec![problem]), trigger: None }),
            };
            match read {
                Ok(job) => drop(deployed.jobs.insert(name, job)),
                Err(refused) => drop(deployed.refused.insert(name, refused)),
            }
        }
        deployed
    }

    /// The jobs that can run, in the order of their names.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().map(|deployed| &deployed.job)
    }

    /// The jobs that cannot run, with their names, in the order of these.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&str, &RefusedJob)> {
        self.refused.iter().map(|(name, refused)| (name.as_str(), refused))
    }

    /// The job of this name.
    ///
    /// # Errors
    /// `invalid_job` when it cannot run, with all that is wrong with it; and when there is none, with the nearest name and
    /// all others.
    pub(crate) fn named(&self, name: &str) -> Result<&DeployedJob, Error> {
        if let Some(deployed) = self.jobs.get(name) {
            return Ok(deployed);
        }
        if let Some(refused) = self.refused.get(name) {
            return Err(refused.error(&format!("run {name}")));
        }
        let message = format!("no job '{name}' is deployed here; {}", self.listed());
        let meant = nearest(name, self.jobs.keys().chain(self.refused.keys()).map(String::as_str));
        Err(Problems(vec![Problem::new("run", message).meaning(meant)]).into())
    }

    /// The jobs that this object starts.
    pub(crate) fn started_by(&self, object: &ObjectUri) -> Vec<&DeployedJob> {
        let starts = |deployed: &&DeployedJob| {
            deployed.job.on_object_created.as_ref().is_some_and(|trigger| trigger.matches(object))
        };
        self.jobs.values().filter(starts).collect()
    }

    /// For each job that this object would start if the job could run, why it cannot.
    pub(crate) fn not_started_by(&self, object: &ObjectUri) -> Vec<Error> {
        let meant =
            |refused: &RefusedJob| refused.trigger.as_ref().is_some_and(|trigger| trigger.matches(object));
        let refused = self.refused().filter(|(_, refused)| meant(refused));
        refused.map(|(name, refused)| refused.error(&format!("run {name} for {object}"))).collect()
    }

    /// Which jobs there are, in words.
    fn listed(&self) -> String {
        if self.jobs.is_empty() && self.refused.is_empty() {
            return "none is: jobs are deployed as files beside the functions".to_owned();
        }
        let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let jobs = names(self.jobs.keys().map(String::as_str).collect());
        format!("there are {jobs}{}", self.those_that_cannot_run())
    }

    /// Which objects start which jobs, in words.
    pub(crate) fn listed_by_object(&self) -> String {
        let triggers: Vec<String> = self.jobs().filter_map(what_starts).collect();
        let triggers = if triggers.is_empty() {
            "no deployed job has on_object_created".to_owned()
        } else {
            triggers.join("; ")
        };
        triggers + &self.those_that_cannot_run()
    }

    /// The end of a sentence about jobs.
    fn those_that_cannot_run(&self) -> String {
        let names: Vec<&str> = self.refused.keys().map(String::as_str).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("; not right, so they cannot run: {}", names.join(", "))
        }
    }
}

fn cannot_be_read(error: &dyn std::fmt::Display) -> String {
    format!("cannot be read: {error}")
}

/// What is in a job's file.
fn document_at(path: &Path) -> Result<Value, Problem> {
    let text = fs::read(path).map_err(|error| Problem::new("", cannot_be_read(&error)))?;
    let read = serde_json::from_slice(&text).map_err(|error| Problem::new("", cannot_be_read(&error)));
    read.map(|AsWritten(document)| document)
}

/// The objects that start a job, in words.
fn what_starts(job: &Job) -> Option<String> {
    let trigger = job.on_object_created.as_ref()?;
    Some(format!("{} is started by s3://{}/{}*{}", job.name, trigger.bucket, trigger.prefix, trigger.suffix))
}

impl RefusedJob {
    fn error(&self, what: &str) -> Error {
        let message = format!("{what}: the job was deployed, but its file is not right:\n{}", self.problems);
        Error::new(Code::InvalidJob, message)
    }
}

/// As much of a document that is no job as tells its trigger.
fn trigger_of(mut document: Value, deployment: &Deployment) -> Option<OnObjectCreated> {
    // What cannot be filled is among the problems of the document already.
    let _told = deployment.fill(&mut document);
    OnObjectCreated::deserialize(document.get("on_object_created")?).ok()
}

impl DeployedJob {
    fn new(
        document: Value,
        file: &str,
        deployment: &Deployment,
        work: Option<&ObjectUri>,
    ) -> Result<Self, RefusedJob> {
        let problems = match filled(document.clone(), deployment) {
            Ok(job) => {
                let deployed = Self { document: document.clone(), job };
                let problems = deployed.misplaced(file, work);
                if problems.is_empty() {
                    return Ok(deployed);
                }
                Problems(problems)
            }
            Err(problems) => problems,
        };
        Err(RefusedJob { problems, trigger: trigger_of(document, deployment) })
    }

    /// The job with what `patch` changes in its document.
    ///
    /// # Errors
    /// `invalid_job`: everything that is wrong with what comes out.
    pub(crate) fn with(&self, patch: Option<&Value>, deployment: &Deployment) -> Result<Job, Error> {
        let Some(patch) = patch else { return Ok(self.job.clone()) };
        let mut document = self.document.clone();
        merge(&mut document, patch);
        filled(document, deployment).map_err(|problems| {
            let message = format!("run {} with these changes:\n{problems}", self.job.name);
            Error::new(Code::InvalidJob, message)
        })
    }

    /// What is wrong with a job in this place, though it is right in itself.
    fn misplaced(&self, file: &str, work: Option<&ObjectUri>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let name = &self.job.name;
        if file.strip_suffix(".json") != Some(name) {
            problems.push(Problem::new("name", format!("is '{name}', so the file must be {name}.json")));
        }
        if let (Some(trigger), Some(work)) = (&self.job.on_object_created, work)
            && trigger.reaches(work)
        {
            let message = format!(
                "reaches Fanfold's own objects below {work}, so that each run would start others; choose a prefix apart from it, or \
                 a suffix that none of them has, such as \".csv\""
            );
            problems.push(Problem::new("on_object_created.prefix", message));
        }
        problems
    }
}

/// A job's document with the values of the deployment, read; all problems of both at once.
pub(crate) fn filled(mut document: Value, deployment: &Deployment) -> Result<Job, Problems> {
    let mut problems = deployment.fill(&mut document);
    match Job::from_json(&document) {
        Ok(job) if problems.is_empty() => return Ok(job),
        Ok(_) => {}
        Err(Problems(found)) => problems.extend(found),
    }
    Err(Problems(problems))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str) -> Value {
        json!({
            "version": 1, "name": name, "source": { "objects": { "uri": "{object_uri}" } },
            "task": { "name": "t", "args": ["a", "b"] }, "output": { "uri": "s3://{deployment.bucket}/{object_name}" },
            "on_object_created": { "bucket": "{deployment.bucket}", "prefix": "in/", "suffix": ".csv" }
        })
    }

    fn deployment() -> Deployment {
        r#"{ "bucket": "b" }"#.parse().unwrap()
    }

    fn deployed(files: &[(&str, Value)]) -> Deployed {
        let files = files.iter().map(|(name, document)| ((*name).to_owned(), document.clone()));
        Deployed::of_files(files, &deployment(), Some(&"s3://b/work/".parse().unwrap()))
    }

    #[test]
    fn everything_wrong_with_a_file_is_told_under_its_name_and_keeps_no_other_back() {
        let mut wide = job("wide");
        wide["on_object_created"] = json!({ "bucket": "b" });
        wide["output"]["uri"] = json!("s3://elsewhere/{object_name}");
        let mut unknown = job("unknown");
        unknown["output"]["uri"] = json!("s3://{deployment.buckt}/k");
        unknown["retires"] = json!(1);
        let deployed = deployed(&[
            ("a.json", job("b")),
            ("wide.json", wide),
            ("unknown.json", unknown),
            ("c.json", json!([])),
            ("right.json", job("right")),
        ]);
        for (name, part) in [
            ("a", "name: is 'b', so the file must be b.json"),
            ("wide", "on_object_created.prefix: reaches Fanfold's own objects below s3://b/work/"),
            ("unknown", "output.uri: placeholder '{deployment.buckt}' has no value"),
            ("unknown", "retires: is unknown"),
            ("c", "the document: must be an object, not a list"),
            (
                "rigt",
                "there are right; not right, so they cannot run: a, c, unknown, wide; did you mean 'right'?",
            ),
        ] {
            let told = deployed.named(name).unwrap_err();
            assert_eq!(told.code, Code::InvalidJob);
            assert!(told.message.contains(part), "{part} in {told}");
        }
        assert_eq!(deployed.named("right").unwrap().job.name, "right");
    }

    #[test]
    fn a_folder_is_read_and_what_is_no_json_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one.json"), job("one").to_string()).unwrap();
        fs::write(folder.path().join(".hidden"), "x").unwrap();
        fs::write(folder.path().join("two.json"), "{").unwrap();
        let deployed = Deployed::read(folder.path(), &deployment(), None).unwrap();
        assert_eq!(deployed.jobs().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["one"]);
        let told = deployed.named("two").unwrap_err().to_string();
        assert!(told.contains("the document: cannot be read"), "{told}");
        assert!(Deployed::read(&folder.path().join("none"), &deployment(), None).is_err());
    }

    #[test]
    fn a_trigger_reaches_the_work_prefix_only_where_artefacts_may_have_its_suffix() {
        for (suffix, right) in
            [(".csv", true), ("", false), (".json", false), ("csv", false), (".001", false)]
        {
            let mut wide = job("wide");
            wide["on_object_created"] = json!({ "bucket": "b", "suffix": suffix });
            wide["output"]["uri"] = json!("s3://elsewhere/{object_name}");
            assert_eq!(deployed(&[("wide.json", wide)]).named("wide").is_ok(), right, "{suffix}");
        }
    }

    #[test]
    fn a_patch_changes_the_document_and_is_checked_like_one() {
        let deployed = deployed(&[("one.json", job("one"))]);
        let one = deployed.named("one").unwrap();
        let patch = json!({ "task": { "args": ["c"] }, "retries": 0, "output": { "uri": "s3://{deployment.bucket}/x" } });
        let changed = one.with(Some(&patch), &deployment()).unwrap();
        assert_eq!(
            (&*changed.task.args, changed.retries, changed.output.uri.to_string()),
            (&["c".to_owned()][..], 0, "s3://b/x".to_owned())
        );
        assert_eq!(one.with(None, &deployment()).unwrap(), one.job);
        let told =
            one.with(Some(&json!({ "retires": 1, "task": null })), &deployment()).unwrap_err().to_string();
        assert!(
            told.contains("run one with these changes")
                && told.contains("retires")
                && told.contains("task: is missing"),
            "{told}"
        );
    }

    #[test]
    fn items_of_a_patch_replace_the_deployed_ones_as_written() {
        let document = |items: &str| {
            let mut document = job("one");
            document["source"] = json!({ "items": { "values": [0] } });
            let text = document.to_string().replace("[0]", items);
            serde_json::from_str::<AsWritten<Value>>(&text).unwrap().0
        };
        let deployed = deployed(&[("one.json", document("[1.00]"))]);
        let patch = json!({ "source": document("[ -0, 1e400 ]")["source"] });
        let changed = deployed.named("one").unwrap().with(Some(&patch), &deployment()).unwrap();
        let expected = Job::from_json(&document("[ -0, 1e400 ]")).unwrap();
        assert_eq!(changed.source, expected.source);
        assert_ne!(changed.source, deployed.named("one").unwrap().job.source);
    }

    #[test]
    fn a_name_that_is_not_deployed_gets_the_nearest_and_all_others() {
        let deployed = deployed(&[("one.json", job("one")), ("other.json", job("other"))]);
        let told = deployed.named("othr").unwrap_err().to_string();
        assert_eq!(
            told,
            "make sense of the job: run: no job 'othr' is deployed here; there are one, other; did you mean 'other'?"
        );
        assert!(Deployed::default().named("one").unwrap_err().to_string().contains("none is"));
    }

    #[test]
    fn an_object_starts_the_jobs_whose_trigger_it_matches() {
        let deployed = deployed(&[("one.json", job("one")), ("other.json", job("other"))]);
        let started = |at: &str| deployed.started_by(&at.parse().unwrap()).len();
        assert_eq!(started("s3://b/in/x.csv"), 2);
        for at in ["s3://c/in/x.csv", "s3://b/on/x.csv", "s3://b/in/x.txt", "s3://b/in/"] {
            assert_eq!(started(at), 0, "{at}");
        }
    }
}
