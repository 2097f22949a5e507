//! A dispatcher somewhere else: that of a deployed stack, or the one that the environment names.
//!
//! The decision: whatever is asked of a deployed job is asked of its dispatcher, by Invoke, and nothing is read from the
//! bucket. So who may run jobs needs no other right, and what is shown here is what every other caller is told. Only the
//! logs come from elsewhere, and the bytes of an output that somebody wants to be read. The price is an invocation of the
//! dispatcher for each look at a job.

pub(crate) mod cancel;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod redrive;
pub(crate) mod rows;
pub(crate) mod standing;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod verify;
pub(crate) mod watch;

use std::sync::Arc;
use std::time::Duration;

use fanfold_flow::code::Code;
use fanfold_flow::keys::JobId;
use fanfold_flow::report::redrive_advice;
use fanfold_invoke::Invoke;
use fanfold_invoke::aws::{LambdaInvoke, LambdaSettings};
use fanfold_invoke::paced::{PacedInvoke, Pacing};
use fanfold_runtime::{Error, SystemWorld, World};
use fanfold_stack::{Cloud, CloudSettings, LogGroups, StackError};
use serde_json::Value;

use crate::args::stack::{StackArgs, StackCommand};
use crate::dispatcher;
use crate::exit::Stop;
use crate::summary::Again;

/// How long a request is repeated that the service does not take: somebody is waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no dispatcher, where nothing says which one is meant.
const NONE_MEANT: &str = "find a dispatcher: name a deployed stack with --stack or FANFOLD_STACK; or start `fanfold local` and take over the environment that it prints";

/// A dispatcher somewhere else.
pub(crate) struct Deployed {
    invoke: Arc<dyn Invoke>,
    /// The dispatcher function's name or ARN.
    dispatcher: String,
    /// Where its functions log; none where that is not known.
    logs: Option<LogGroups>,
    /// Who asks for the logs, and where.
    cloud: CloudSettings,
    /// The options that lead here again, such as ` --stack Fanfold`.
    options: String,
}

/// Does what is asked of a deployed stack.
///
/// # Errors
/// Whatever keeps it from being done; for a job that was followed to its end, that it failed.
pub(crate) async fn execute(command: StackCommand) -> Result<(), Stop> {
    match command {
        StackCommand::Submit(args) => submit::submit(&args).await,
        StackCommand::Watch(args) => {
            watch::watch(&Deployed::find(&args.stack).await?, &args.job_id, args.json).await
        }
        StackCommand::Status(args) => status::show(&args).await,
        StackCommand::Logs(args) => logs::show(&args).await,
        StackCommand::Cancel(args) => cancel::cancel(&args).await,
        StackCommand::Redrive(args) => redrive::redrive(&args).await,
        StackCommand::Verify(args) => verify::verify(&args).await,
        StackCommand::Jobs(args) => jobs::show(&args).await,
    }
}

impl Deployed {
    /// Finds the dispatcher that `args` and the environment mean.
    ///
    /// # Errors
    /// `stack` when none is meant, when the stack is not there or cannot be asked, and when it has no such pipeline.
    pub(crate) async fn find(args: &StackArgs) -> Result<Self, Error> {
        Self::of(args, |name| std::env::var(name).ok().filter(|value| !value.is_empty())).await
    }

    async fn of(args: &StackArgs, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let cloud = CloudSettings { profile: args.profile.clone(), region: args.region.clone() };
        let (dispatcher, logs) = match args.stack.clone().or_else(|| variable("FANFOLD_STACK")) {
            Some(stack) => of_stack(&stack, args.pipeline.as_deref(), &cloud).await?,
            None => of_environment(args.pipeline.as_deref(), variable)?,
        };
        let settings = LambdaSettings {
            region: args.region.clone(),
            profile: args.profile.clone(),
            ..LambdaSettings::default()
        };
        let pacing = Pacing { total_time: PATIENCE, ..Pacing::default() };
        let lambda = Arc::new(LambdaInvoke::new(settings).await);
        let invoke = Arc::new(PacedInvoke::new(lambda, pacing, SystemWorld.random()));
        Ok(Self { invoke, dispatcher, logs, cloud, options: args.to_string() })
    }

    /// A dispatcher in memory.
    #[cfg(test)]
    fn in_memory(invoke: Arc<dyn Invoke>) -> Self {
        Self {
            invoke,
            dispatcher: "dispatcher".into(),
            logs: None,
            cloud: CloudSettings::default(),
            options: " --stack S".into(),
        }
    }

    /// What the dispatcher answers to an event.
    ///
    /// # Errors
    /// As [`dispatcher::ask`].
    pub(crate) async fn ask(&self, event: &Value) -> Result<Value, Error> {
        dispatcher::ask(&*self.invoke, &self.dispatcher, event).await
    }

    /// A command line for this stack, for a person to copy.
    pub(crate) fn command(&self, name: &str, what: &str) -> String {
        format!("fanfold {name} {what}{}", self.options)
    }

    /// How what is left of a run is done.
    fn again(&self, job_id: &JobId) -> Again {
        Again::By(self.command("redrive", job_id.as_str()))
    }

    /// A dispatcher's message about a run, with the command in it as it is typed for this stack.
    fn in_the_users_words(&self, message: &str, job_id: &JobId) -> String {
        let ours = format!("fanfold redrive {job_id}");
        message.replace(
            &redrive_advice(job_id),
            &redrive_advice(job_id).replace(&ours, &self.command("redrive", job_id.as_str())),
        )
    }
}

/// The dispatcher and the log groups that a stack's outputs name.
async fn of_stack(
    stack: &str,
    pipeline: Option<&str>,
    cloud: &CloudSettings,
) -> Result<(String, Option<LogGroups>), Error> {
    let pipelines = Cloud::new(cloud).await.map_err(failed)?.pipelines(stack).await.map_err(failed)?;
    let pipeline = fanfold_stack::choose(stack, pipelines, pipeline).map_err(failed)?;
    Ok((pipeline.dispatcher, pipeline.logs))
}

/// The dispatcher of the environment, and where Lambda logs for the functions that it names.
fn of_environment(
    pipeline: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(String, Option<LogGroups>), Error> {
    if pipeline.is_some() {
        return Err(Error::new(Code::Stack, "use --pipeline: it goes with --stack"));
    }
    let Some(dispatcher) = variable("FANFOLD_DISPATCHER") else {
        return Err(Error::new(Code::Stack, NONE_MEANT));
    };
    let is_set = |service: &str| variable(&format!("AWS_ENDPOINT_URL{service}")).is_some();
    // Another Lambda than AWS's, which has nothing to do with the log groups of any account.
    let has_no_logs = is_set("_LAMBDA") && !is_set("") && !is_set("_CLOUDWATCH_LOGS");
    let functions = variable("FANFOLD_WORKER").zip(variable("FANFOLD_REDUCER")).filter(|_| !has_no_logs);
    let logs = functions.map(|(worker, reducer)| LogGroups::of_functions(&dispatcher, &worker, &reducer));
    Ok((dispatcher, logs))
}

/// A stack's failure as one of ours.
fn failed(error: StackError) -> Error {
    Error::caused(Code::Stack, "use the stack", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(args: &StackArgs, variables: &[(&str, &str)]) -> String {
        let found = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Deployed::of(args, found).await.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn without_a_stack_or_a_dispatcher_one_is_told_how_to_name_one() {
        assert!(refused(&StackArgs::default(), &[]).await.contains("--stack or FANFOLD_STACK"));
        let pipeline = StackArgs { pipeline: Some("P".into()), ..StackArgs::default() };
        assert!(refused(&pipeline, &[("FANFOLD_DISPATCHER", "d")]).await.contains("goes with --stack"));
    }

    #[test]
    fn the_logs_of_a_lambda_that_is_not_that_of_aws_are_not_looked_for_in_aws() {
        let logs = |others: &'static [&'static str]| {
            let names = ["FANFOLD_DISPATCHER", "FANFOLD_WORKER", "FANFOLD_REDUCER"];
            let set = move |name: &str| names.iter().chain(others).any(|known| *known == name);
            of_environment(None, |name| set(name).then(|| name.to_lowercase())).unwrap().1
        };
        assert_eq!(logs(&[]).unwrap().worker, "/aws/lambda/fanfold_worker");
        assert_eq!(logs(&["AWS_ENDPOINT_URL_LAMBDA"]), None);
        assert!(logs(&["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"]).is_some());
    }

    #[tokio::test]
    async fn a_dispatcher_of_the_environment_needs_no_stack() {
        let args = StackArgs { region: Some("eu-central-1".into()), ..StackArgs::default() };
        let deployed = Deployed::of(&args, |name| (name == "FANFOLD_DISPATCHER").then(|| "d".into())).await;
        let deployed = deployed.ok().unwrap();
        assert_eq!((deployed.dispatcher.as_str(), &deployed.logs), ("d", &None));
        assert_eq!(deployed.command("watch", "run-1"), "fanfold watch run-1 --region eu-central-1");
    }
}
