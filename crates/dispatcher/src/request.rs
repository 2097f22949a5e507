//! From an event to the runs that it asks for: which job, under which id, for what.

use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::event::{Asked, ObjectCreated, Run, Submit, Trigger};
use fanfold_flow::job::{Job, OnObjectCreated, Task};
use fanfold_flow::keys::JobId;
use fanfold_flow::occasion::Occasion;
use fanfold_flow::template::Values;
use fanfold_flow::uri::ObjectUri;
use fanfold_runtime::Error;
use serde_json::Value;

use crate::Settings;
use crate::deployed::{self, DeployedJob};

/// One run that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The job, values of the deployment filled in.
    pub(crate) job: Job,
    /// The run's id: of the same trigger the same.
    pub(crate) job_id: JobId,
    /// Whether the caller chose the id. Of any other id, the trigger alone says that two deliveries are one run, though the
    /// deployed job may have changed in between.
    pub(crate) has_token: bool,
    /// When the run counts as scheduled, in milliseconds since 1970 (UTC).
    pub(crate) scheduled_ms: Option<i64>,
    /// The object that it is for.
    pub(crate) object: Option<ObjectUri>,
    /// The task of the deployed job that is asked for.
    pub(crate) deployed_task: Option<Task>,
    /// What starts the deployed job that is asked for.
    pub(crate) trigger: Option<OnObjectCreated>,
    /// How long the caller waits for its end.
    pub(crate) wait: Option<Duration>,
}

impl Request {
    /// The run of a job that came as an event.
    pub(crate) fn of_submit(submit: Submit, settings: &Settings, request_id: &str) -> Result<Self, Error> {
        let Submit { job: Job { name, .. }, document, asked } = submit;
        let job = deployed::filled(document.clone(), &settings.deployment)?;
        Self::new(job, &name, Some(&document), asked, request_id)
    }

    /// The run of a deployed job.
    pub(crate) fn of_run(run: &Run, settings: &Settings, request_id: &str) -> Result<Self, Error> {
        let deployed = settings.deployed.named(&run.name)?;
        let job = deployed.with(run.with.as_ref(), &settings.deployment)?;
        let request = Self::new(job, &run.name, run.with.as_ref(), run.asked.clone(), request_id)?;
        Ok(request.of_deployed(deployed))
    }

    /// The run of a deployed job for an object that was created.
    pub(crate) fn of_object(deployed: &DeployedJob, created: &ObjectCreated) -> Self {
        let request = Self {
            job: deployed.job.clone(),
            job_id: created.job_id(&deployed.job.name),
            has_token: false,
            scheduled_ms: Some(created.time_ms),
            object: Some(created.object.clone()),
            deployed_task: None,
            trigger: None,
            wait: None,
        };
        request.of_deployed(deployed)
    }

    /// `own` is what the event says of the job beside its name.
    fn new(job: Job, name: &str, own: Option<&Value>, asked: Asked, request_id: &str) -> Result<Self, Error> {
        let of_trigger = || asked.trigger.as_ref().and_then(|trigger: &Trigger| trigger.job_id(name, own));
        let job_id = match &asked.token {
            Some(token) => JobId::from_token(token),
            None => of_trigger().unwrap_or_else(|| JobId::from_token(&format!("{name}-{request_id}"))),
        };
        let object = asked.object().cloned();
        if object.is_none() && job.needs_object() {
            let message = format!(
                "run {name}: it is for an object, and none is given; send beside the job \
                 \"trigger\": {{\"object\": \"s3://bucket/key\"}}"
            );
            return Err(Error::new(Code::InvalidJob, message));
        }
        Ok(Self {
            job,
            job_id,
            has_token: asked.token.is_some(),
            scheduled_ms: asked.scheduled(),
            object,
            deployed_task: None,
            trigger: None,
            wait: asked.wait,
        })
    }

    /// The same as a run of a deployed job: its task may be one that no event may bring, and its output must not start it
    /// again.
    fn of_deployed(self, deployed: &DeployedJob) -> Self {
        let Job { task, on_object_created, .. } = &deployed.job;
        Self { deployed_task: Some(task.clone()), trigger: on_object_created.clone(), ..self }
    }

    /// What a plan of `job` says of this run, if it is made now. The job is this run's, or that of an earlier delivery.
    pub(crate) fn occasion(&self, job: &Job, now_ms: i64) -> Occasion {
        Occasion {
            started_ms: now_ms,
            scheduled_ms: self.scheduled_ms,
            object: self.object.clone(),
            deployed_task: self.deployed_task.as_ref() == Some(&job.task),
        }
    }

    /// What the job's placeholders stand for on this occasion.
    pub(crate) fn values<'a>(&'a self, job: &'a Job, occasion: &'a Occasion) -> Values<'a> {
        Values { job_id: &self.job_id, name: &job.name, occasion }
    }
}
