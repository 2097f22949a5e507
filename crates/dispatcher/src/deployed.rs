//! The jobs that were deployed with the functions: files, read once when the dispatcher starts.
//!
//! What this module owes the rest: a job that is here is right, with the values of the deployment filled in; what is wrong
//! with any of them is told at once, and then the dispatcher does not start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::problem::{Problem, Problems, nearest};
use fanfold_flow::template::Deployment;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use serde_json::Value;

use crate::merge_patch::merge;

/// The jobs that were deployed, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployed(BTreeMap<String, DeployedJob>);

/// A job that was deployed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeployedJob {
    /// As it was written.
    document: Value,
    /// With the values of the deployment.
    pub(crate) job: Job,
}

impl Deployed {
    /// Reads all files `<name of the job>.json` of a folder. Fanfold keeps its own objects below `work`.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files, each problem with its file.
    pub fn read(
        folder: &Path,
        deployment: &Deployment,
        work: Option<&ObjectUri>,
    ) -> Result<Self, Vec<Problem>> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            vec![Problem::new(path.display().to_string(), format!("cannot be read: {error}"))]
        };
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
            let path = entry.map_err(|error| failed(folder, &error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let read = fs::read(&path).map_err(|error| failed(&path, &error));
            match read.and_then(|text| serde_json::from_slice(&text).map_err(|error| failed(&path, &error))) {
                Ok(document) => files.push((name, document)),
                Err(found) => problems.extend(found),
            }
        }
        match Self::of_files(files, deployment, work) {
            Ok(deployed) if problems.is_empty() => Ok(deployed),
            Ok(_) => Err(problems),
            Err(found) => Err(problems.into_iter().chain(found).collect()),
        }
    }

    /// The jobs of these files, each with its name, `<name of the job>.json`, and its content.
    ///
    /// # Errors
    /// As [`Deployed::read`].
    pub fn of_files(
        files: impl IntoIterator<Item = (String, Value)>,
        deployment: &Deployment,
        work: Option<&ObjectUri>,
    ) -> Result<Self, Vec<Problem>> {
        let (mut jobs, mut problems) = (BTreeMap::new(), Vec::new());
        for (file, document) in files {
            let read = DeployedJob::new(document, deployment).and_then(|deployed| {
                let found = deployed.misplaced(&file, work);
                if found.is_empty() { Ok(deployed) } else { Err(Problems(found)) }
            });
            match read {
                Ok(deployed) => drop(jobs.insert(deployed.job.name.clone(), deployed)),
                Err(Problems(found)) => problems.extend(found.into_iter().map(|problem| Problem {
                    path: format!(
                        "{file}: {}",
                        if problem.path.is_empty() { "the document" } else { &problem.path }
                    ),
                    ..problem
                })),
            }
        }
        if problems.is_empty() { Ok(Self(jobs)) } else { Err(problems) }
    }

    /// The jobs in the order of their names.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values().map(|deployed| &deployed.job)
    }

    /// The job of this name.
    ///
    /// # Errors
    /// `invalid_job` when there is none, with the nearest name and all others.
    pub(crate) fn named(&self, name: &str) -> Result<&DeployedJob, Error> {
        self.0.get(name).ok_or_else(|| {
            let message = format!("no job '{name}' is deployed here; {}", self.listed());
            let meant = nearest(name, self.0.keys().map(String::as_str));
            Problems(vec![Problem::new("run", message).meaning(meant)]).into()
        })
    }

    /// The jobs that this object starts.
    pub(crate) fn started_by(&self, object: &ObjectUri) -> Vec<&DeployedJob> {
        let starts = |deployed: &&DeployedJob| {
            deployed.job.on_object_created.as_ref().is_some_and(|trigger| trigger.matches(object))
        };
        self.0.values().filter(starts).collect()
    }

    /// Which jobs there are, in words.
    fn listed(&self) -> String {
        if self.0.is_empty() {
            return "none is: jobs are deployed as files beside the functions".to_owned();
        }
        format!("there are {}", self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
    }

    /// Which objects start which jobs, in words.
    pub(crate) fn listed_by_object(&self) -> String {
        let triggers: Vec<String> = self.jobs().filter_map(what_starts).collect();
        if triggers.is_empty() {
            "no deployed job has on_object_created".to_owned()
        } else {
            triggers.join("; ")
        }
    }
}

/// The objects that start a job, in words.
fn what_starts(job: &Job) -> Option<String> {
    let trigger = job.on_object_created.as_ref()?;
    Some(format!("{} is started by s3://{}/{}*{}", job.name, trigger.bucket, trigger.prefix, trigger.suffix))
}

impl DeployedJob {
    fn new(document: Value, deployment: &Deployment) -> Result<Self, Problems> {
        let job = filled(document.clone(), deployment)?;
        Ok(Self { document, job })
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
                "reaches Fanfold's own objects below {work}, so that each run would start others; choose a prefix apart from it"
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

    fn deployed(files: &[(&str, Value)]) -> Result<Deployed, String> {
        let files = files.iter().map(|(name, document)| ((*name).to_owned(), document.clone()));
        let told = |problems: Vec<Problem>| problems.iter().map(|problem| format!("{problem}\n")).collect();
        Deployed::of_files(files, &deployment(), Some(&"s3://b/work/".parse().unwrap())).map_err(told)
    }

    #[test]
    fn everything_wrong_with_any_file_is_told_with_its_file() {
        let mut wide = job("wide");
        wide["on_object_created"] = json!({ "bucket": "b" });
        wide["output"]["uri"] = json!("s3://elsewhere/{object_name}");
        let mut unknown = job("unknown");
        unknown["output"]["uri"] = json!("s3://{deployment.buckt}/k");
        unknown["retires"] = json!(1);
        let told = deployed(&[
            ("a.json", job("b")),
            ("wide.json", wide),
            ("unknown.json", unknown),
            ("c.json", json!([])),
        ]);
        let told = told.unwrap_err();
        for part in [
            "a.json: name: is 'b', so the file must be b.json",
            "wide.json: on_object_created.prefix: reaches Fanfold's own objects below s3://b/work/",
            "unknown.json: output.uri: placeholder '{deployment.buckt}' has no value",
            "unknown.json: retires: is unknown",
            "c.json: the document: must be an object, not a list",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn a_folder_is_read_and_what_is_no_json_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one.json"), job("one").to_string()).unwrap();
        fs::write(folder.path().join(".hidden"), "x").unwrap();
        let read = || Deployed::read(folder.path(), &deployment(), None);
        assert_eq!(read().unwrap().jobs().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["one"]);
        fs::write(folder.path().join("two.json"), "{").unwrap();
        let told = read().unwrap_err();
        assert!(told[0].path.ends_with("two.json") && told[0].message.contains("cannot be read"), "{told:?}");
        assert!(Deployed::read(&folder.path().join("none"), &deployment(), None).is_err());
    }

    #[test]
    fn a_patch_changes_the_document_and_is_checked_like_one() {
        let deployed = deployed(&[("one.json", job("one"))]).unwrap();
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
    fn a_name_that_is_not_deployed_gets_the_nearest_and_all_others() {
        let deployed = deployed(&[("one.json", job("one")), ("other.json", job("other"))]).unwrap();
        let told = deployed.named("othr").unwrap_err().to_string();
        assert_eq!(told, "run: no job 'othr' is deployed here; there are one, other; did you mean 'other'?");
        assert!(Deployed::default().named("one").unwrap_err().to_string().contains("none is"));
    }

    #[test]
    fn an_object_starts_the_jobs_whose_trigger_it_matches() {
        let deployed = deployed(&[("one.json", job("one")), ("other.json", job("other"))]).unwrap();
        let started = |at: &str| deployed.started_by(&at.parse().unwrap()).len();
        assert_eq!(started("s3://b/in/x.csv"), 2);
        for at in ["s3://c/in/x.csv", "s3://b/on/x.csv", "s3://b/in/x.txt", "s3://b/in/"] {
            assert_eq!(started(at), 0, "{at}");
        }
    }
}
