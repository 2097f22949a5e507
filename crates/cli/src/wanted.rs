//! What a person wants run here: a job document, and what a deployment and a trigger would have brought with it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fanfold_flow::code::Code;
use fanfold_flow::job::Job;
use fanfold_flow::keys::JobId;
use fanfold_flow::occasion::Occasion;
use fanfold_flow::template;
use fanfold_flow::time::Moment;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::{JobArgs, MachineArgs, MapArgs, RunJobArgs};
use crate::places::{self, FieldNames};
use crate::{document, machine, map};

/// A job document, and what came with it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) document: Value,
    /// The object that it is run for.
    object: Option<ObjectUri>,
    /// When it counts as scheduled; now, where nobody says.
    scheduled: Option<Timestamp>,
    /// The commands that it may name, by name.
    pub(crate) tasks: BTreeMap<String, Vec<String>>,
    /// Where its programs run, if not in the current folder.
    pub(crate) task_directory: Option<PathBuf>,
    /// What its fields are called where they were typed.
    pub(crate) names: FieldNames,
}

impl Wanted {
    /// A job document alone.
    pub(crate) fn alone(document: Value) -> Self {
        Self {
            document,
            object: None,
            scheduled: None,
            tasks: BTreeMap::new(),
            task_directory: None,
            names: places::of_job_files,
        }
    }

    /// What the options of `map` say.
    ///
    /// # Errors
    /// Those of [`map::document`].
    pub(crate) fn of_map(args: &MapArgs) -> Result<Self, Error> {
        Ok(Self { names: map::option_of, ..Self::alone(map::document(args)?) })
    }

    /// A job file, read.
    ///
    /// # Errors
    /// Those of [`document::read`].
    pub(crate) fn of_file(args: &JobArgs, machine: &MachineArgs) -> Result<Self, Error> {
        let work = machine::work_of(&machine.place)?;
        let document = document::read(args, &work.bucket)?;
        Ok(Self { object: args.object.clone(), scheduled: args.scheduled_time, ..Self::alone(document) })
    }

    /// A job file that is to be run, with its tasks.
    ///
    /// # Errors
    /// As [`Wanted::of_file`].
    pub(crate) fn to_run(args: &RunJobArgs) -> Result<Self, Error> {
        let wanted = Self::of_file(&args.job, &args.run.machine)?;
        let tasks = args.task.iter().cloned().collect();
        Ok(Self { tasks, task_directory: args.task_directory.clone(), ..wanted })
    }

    /// What it is run for, if it is run now.
    pub(crate) fn occasion(&self) -> Occasion {
        let now = Timestamp::now();
        Occasion {
            started_ms: now.as_millisecond(),
            scheduled_ms: Some(self.scheduled.unwrap_or(now).as_millisecond()),
            object: self.object.clone(),
            deployed_task: false,
        }
    }
}

/// Refuses a job that is for an object where none is given. Its local output's address is no part of the job itself.
///
/// # Errors
/// `invalid_job`, with what to say.
pub(crate) fn has_its_object(job: &Job, output: Option<&str>, occasion: &Occasion) -> Result<(), Error> {
    let needed = job.needs_object() || output.is_some_and(template::mentions_object);
    if needed && occasion.object.is_none() {
        let message = "run the job: it is for an object; say which with --object s3://bucket/key, and with \
                       --set source.objects.uri=FILE that a file of this machine is read in its place";
        return Err(Error::new(Code::InvalidJob, message));
    }
    Ok(())
}

/// The event that asks the dispatcher for this run.
pub(crate) fn event(document: &Value, job_id: &JobId, occasion: &Occasion) -> Value {
    let mut event = document.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.insert("token".into(), json!(job_id));
        if let Some(scheduled_ms) = occasion.scheduled_ms {
            fields.insert("scheduled_time".into(), json!(Moment(scheduled_ms)));
        }
        if let Some(object) = &occasion.object {
            fields.insert("trigger".into(), json!({ "object": object }));
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use fanfold_flow::event::Event;

    use super::*;

    #[test]
    fn what_came_with_a_job_goes_on_to_the_dispatcher() {
        let document = json!({
            "version": 1, "name": "arrivals", "source": { "objects": { "uri": "{object_uri}" } }, "task": { "name": "t" },
            "output": { "uri": "s3://out/{object_name}" }, "on_object_created": { "bucket": "in" }
        });
        let job = Job::from_json(&document).unwrap();
        let mut wanted = Wanted::alone(document);
        let refusal = has_its_object(&job, None, &wanted.occasion()).unwrap_err().to_string();
        assert!(refusal.contains("--object s3://bucket/key"), "{refusal}");
        wanted.object = Some("s3://in/a b.csv".parse().unwrap());
        wanted.scheduled = Some("2026-11-22T03:00:00Z".parse().unwrap());
        let occasion = wanted.occasion();
        has_its_object(&job, Some("{object_name}"), &occasion).unwrap();
        let event = Event::recognise(&event(&wanted.document, &"run-1".parse().unwrap(), &occasion));
        let Ok(Event::Submit(submit)) = event else { panic!("{event:?}") };
        assert_eq!(
            (submit.asked.object(), submit.asked.scheduled()),
            (occasion.object.as_ref(), occasion.scheduled_ms)
        );
        assert_eq!(submit.asked.token.as_deref(), Some("run-1"));
    }
}
