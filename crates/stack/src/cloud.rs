//! The account and region that are asked, and the question for a stack.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_sdk_cloudformation as cloudformation;
use aws_sdk_cloudformation::config::Region;
use aws_sdk_cloudformation::config::retry::RetryConfig;
use aws_sdk_cloudformation::config::timeout::TimeoutConfig;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs as logs;

use crate::error::StackError;
use crate::outputs::{self, Output, Pipeline};

/// How often a request is sent at most: some 10 s in all, with the SDK's waits. Both services bear only a few requests a
/// second in an account, and whoever asks is not alone.
const TRIES: u32 = 6;

/// Time to reach a service, and time for one answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// Who asks, and where. By default as every AWS tool finds it: environment, profile, the machine's role.
#[derive(Clone, Debug, Default)]
pub struct CloudSettings {
    /// The profile of `~/.aws/config`. One that is named here goes before keys in the environment.
    pub profile: Option<String>,
    /// The region. By default the environment's or the profile's.
    pub region: Option<String>,
}

/// The account and region that are asked. Endpoints of the environment (`AWS_ENDPOINT_URL…`) are honoured.
#[derive(Clone, Debug)]
pub struct Cloud {
    cloudformation: cloudformation::Client,
    pub(crate) logs: logs::Client,
    region: String,
    profile: Option<String>,
}

impl Cloud {
    /// The account of these settings. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When no region is known.
    pub async fn new(settings: &CloudSettings) -> Result<Self, StackError> {
        let mut shared = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build(),
            );
        if let Some(profile) = &settings.profile {
            let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
            shared = shared.profile_name(profile).credentials_provider(credentials);
        }
        if let Some(region) = &settings.region {
            shared = shared.region(Region::new(region.clone()));
        }
        let shared = shared.load().await;
        let Some(region) = shared.region().map(ToString::to_string) else {
            return Err(StackError::NoRegion { profile: settings.profile.clone() });
        };
        let (cloudformation, logs) = (cloudformation::Client::new(&shared), logs::Client::new(&shared));
        Ok(Self { cloudformation, logs, region, profile: settings.profile.clone() })
    }

    /// The pipelines of a stack, by name; at least one.
    ///
    /// # Errors
    /// When there is no such stack or no pipeline in it, and when it cannot be asked for.
    pub async fn pipelines(&self, stack: &str) -> Result<Vec<Pipeline>, StackError> {
        // Of one stack there is never a second page.
        let described = self.cloudformation.describe_stacks().stack_name(stack).send().await;
        let described = described.map_err(|error| {
            let missing = error.as_service_error().is_some_and(says_that_it_is_missing);
            if missing {
                return StackError::StackMissing { stack: stack.to_owned(), region: self.region.clone() };
            }
            StackError::of(self.doing(&format!("describe the stack {stack}")), error)
        })?;
        let Some(found) = described.stacks().first() else {
            return Err(StackError::StackMissing { stack: stack.to_owned(), region: self.region.clone() });
        };
        let outputs: Vec<Output> = found.outputs().iter().map(output).collect();
        let pipelines = outputs::pipelines(&outputs);
        if pipelines.is_empty() {
            let status = found.stack_status().map_or("no status", |status| status.as_str()).to_owned();
            return Err(StackError::NoPipeline { stack: stack.to_owned(), status });
        }
        Ok(pipelines)
    }

    /// What is being done, and by whom, for errors.
    pub(crate) fn doing(&self, what: &str) -> String {
        match &self.profile {
            Some(profile) => format!("{what} with the profile '{profile}'"),
            None => what.to_owned(),
        }
    }
}

/// CloudFormation has no code of its own for a stack that is not there; these are its words.
fn says_that_it_is_missing(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("ValidationError")
        && error.message().is_some_and(|message| message.contains("does not exist"))
}

fn output(output: &cloudformation::types::Output) -> Output {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Output {
        key: text(output.output_key()),
        value: text(output.output_value()),
        description: text(output.description()),
    }
}
