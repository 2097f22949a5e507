//! What the functions are: the settings that a deployment's template would hold, checked as a whole before anything starts.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::address::{Address, is_function_name};
use super::log::LogLine;
use crate::account::queue_of;
use crate::queues::Queues;

/// The most that Lambda lets an invocation take.
const TIMEOUT_LIMIT: Duration = Duration::from_secs(900);
/// The oldest that Lambda lets an asynchronous event grow.
const EVENT_AGE_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// Memory sizes that Lambda offers, in MB.
const MEMORY_MB: std::ops::RangeInclusive<u32> = 128..=10_240;
/// The most retries that Lambda makes for an asynchronous event.
const RETRY_LIMIT: u32 = 2;

/// Variables that Lambda sets itself and refuses in a function's configuration ("reserved keys" in its documents).
const RESERVED_VARIABLES: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// The functions, and the account that they share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Every function that can be invoked.
    pub functions: Vec<Function>,
    /// How many invocations may run at once over all functions; 1,000 in an account nobody has changed. It bounds the
    /// environments too, idle ones included: the longest idle makes room.
    pub account_concurrency: u32,
    /// What the waits between retries of an asynchronous event are multiplied by: 1.0 is Lambda's minutes.
    pub retry_clock: f64,
    /// How long INIT may take before it is broken off and repeated within the first invocation; 10 s on Lambda.
    pub init_limit: Duration,
    /// How long an environment may stay idle before it is killed. Lambda does not say; some minutes are usual.
    pub idle_lifetime: Duration,
    /// Where every line that a function logs is sent as well as to its file. The channel should be read: it is not
    /// bounded, so that a slow reader can never slow a function down.
    pub log_lines: Option<mpsc::UnboundedSender<LogLine>>,
    /// The queues that events which were given up can be told to, besides functions.
    pub queues: Option<Queues>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            account_concurrency: 1_000,
            retry_clock: 1.0,
            init_limit: Duration::from_secs(10),
            idle_lifetime: Duration::from_secs(300),
            log_lines: None,
            queues: None,
        }
    }
}

/// One function's configuration.
#[derive(Debug, Clone)]
pub struct Function {
    /// What callers name it by: 1 to 64 letters, digits, hyphens, underscores.
    pub name: String,
    /// The bootstrap's program and arguments. Lambda runs `bootstrap` without any.
    pub command: Vec<OsString>,
    /// The function's own variables, added to those that Lambda sets; they may replace `PATH`, `LANG`, `TZ`,
    /// `LD_LIBRARY_PATH` and the endpoints, but not what Lambda reserves.
    pub environment: Vec<(String, String)>,
    /// Where the bootstrap starts, and `LAMBDA_TASK_ROOT`. Without one: the folder that holds the program.
    pub directory: Option<PathBuf>,
    /// Memory size in MB, 128 to 10,240. The function is told, and is not held to it.
    pub memory_mb: u32,
    /// How long an invocation may run, at most 900 s.
    pub timeout: Duration,
    /// Invocations at once that are set aside for this function and are its most; none: it shares what is left over.
    pub reserved_concurrency: Option<u32>,
    /// How often a failed asynchronous event is tried again, 0 to 2.
    pub maximum_retry_attempts: u32,
    /// How long an asynchronous event may wait for its next try, at most 6 h.
    pub maximum_event_age: Duration,
    /// The function (name or ARN) or queue (ARN) that is told of an asynchronous event that was given up.
    pub on_failure: Option<String>,
    /// The log group of what it prints. Without one: `/aws/lambda/` and its name.
    pub log_group: Option<String>,
    /// Whether it is told, by `AWS_LAMBDA_LOG_FORMAT`, to log JSON.
    pub logs_json: bool,
    /// What it is told of the level that it should log at, by `AWS_LAMBDA_LOG_LEVEL`.
    pub log_level: Option<String>,
    /// Added before a cold start, which takes some milliseconds here and some hundred on Lambda.
    pub cold_start_delay: Duration,
}

impl Function {
    /// A function with what Lambda takes where a template says nothing: 128 MB, 3 s, two retries, 6 h.
    #[must_use]
    pub fn new(name: impl Into<String>, command: Vec<OsString>) -> Self {
        Self {
            name: name.into(),
            command,
            environment: Vec::new(),
            directory: None,
            memory_mb: 128,
            timeout: Duration::from_secs(3),
            reserved_concurrency: None,
            maximum_retry_attempts: RETRY_LIMIT,
            maximum_event_age: EVENT_AGE_LIMIT,
            on_failure: None,
            log_group: None,
            logs_json: false,
            log_level: None,
            cold_start_delay: Duration::ZERO,
        }
    }

    /// The log group that Lambda would write to.
    #[must_use]
    pub fn log_group_name(&self) -> String {
        self.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", self.name))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: String| {
            if !holds {
                problems.push(format!("function `{}`: {problem}", self.name));
            }
        };
        check(
            is_function_name(&self.name),
            "the name must be 1 to 64 letters, digits, hyphens, underscores".into(),
        );
        check(!self.command.is_empty(), "the command is empty".into());
        check(
            MEMORY_MB.contains(&self.memory_mb),
            format!("memory_mb {} is not within 128 to 10240", self.memory_mb),
        );
        check(
            !self.timeout.is_zero() && self.timeout <= TIMEOUT_LIMIT,
            format!("timeout {:?} is not within 0 to 900 s", self.timeout),
        );
        check(
            self.maximum_retry_attempts <= RETRY_LIMIT,
            format!("maximum_retry_attempts {} is more than 2", self.maximum_retry_attempts),
        );
        check(
            !self.maximum_event_age.is_zero() && self.maximum_event_age <= EVENT_AGE_LIMIT,
            format!("maximum_event_age {:?} is not within 0 to 6 h", self.maximum_event_age),
        );
        for (variable, value) in &self.environment {
            check(
                !RESERVED_VARIABLES.contains(&variable.as_str()),
                format!("the variable {variable} is set by Lambda and cannot be overridden"),
            );
            check(
                !variable.is_empty() && !variable.contains(['=', '\0']) && !value.contains('\0'),
                format!("the variable `{}` cannot be passed to a process", variable.escape_default()),
            );
        }
        problems
    }
}

/// Who is told of an event that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// The function of this bare name.
    Function(String),
    /// The queue of this name.
    Queue(String),
}

impl Destination {
    /// Reads a function's name or ARN, or a queue's ARN.
    pub(super) fn parse(target: &str, region: &str) -> Option<Self> {
        if let Some(queue) = queue_of(target, region) {
            return Some(Self::Queue(queue));
        }
        let address = Address::parse(target, None, region).ok()?;
        address.names_latest().then_some(Self::Function(address.name))
    }
}

impl Settings {
    /// Everything that is wrong, all at once; empty when nothing is.
    pub(super) fn problems(&self, region: &str) -> Vec<String> {
        let mut problems: Vec<String> = self.functions.iter().flat_map(Function::problems).collect();
        let mut names = BTreeSet::new();
        for function in &self.functions {
            if !names.insert(function.name.as_str()) {
                problems.push(format!("function `{}`: the name is there twice", function.name));
            }
        }
        for function in &self.functions {
            let Some(target) = &function.on_failure else { continue };
            let told = match Destination::parse(target, region) {
                Some(Destination::Function(name)) => names.contains(name.as_str()),
                Some(Destination::Queue(name)) => {
                    self.queues.as_ref().is_some_and(|queues| queues.has(&name))
                }
                None => false,
            };
            if !told {
                let function = &function.name;
                problems.push(format!(
                    "function `{function}`: on_failure `{target}` is no function or queue here"
                ));
            }
        }
        if self.account_concurrency == 0 {
            problems.push("account_concurrency is 0, so that nothing could run".into());
        }
        if self.reserved_in_all() > u64::from(self.account_concurrency) {
            problems.push(format!(
                "the functions reserve {} in all, more than account_concurrency {}",
                self.reserved_in_all(),
                self.account_concurrency
            ));
        }
        if !(0.0..=1_000.0).contains(&self.retry_clock) {
            problems.push(format!("retry_clock {} is not within 0 to 1000", self.retry_clock));
        }
        problems
    }

    /// The sum of all reserved concurrency.
    pub(super) fn reserved_in_all(&self) -> u64 {
        self.functions.iter().filter_map(|function| function.reserved_concurrency).map(u64::from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: &str = "eu-west-1";

    #[test]
    fn defaults_are_sound() {
        let settings = Settings {
            functions: vec![Function::new("worker", vec!["bootstrap".into()])],
            ..Settings::default()
        };
        assert_eq!(settings.problems(REGION), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_named_at_once_with_its_function() {
        let mut wrong = Function::new("a b", Vec::new());
        wrong.memory_mb = 64;
        wrong.timeout = Duration::from_secs(901);
        wrong.maximum_retry_attempts = 3;
        wrong.maximum_event_age = Duration::ZERO;
        wrong.environment = vec![("AWS_REGION".into(), "x".into()), ("A=B".into(), "y".into())];
        wrong.on_failure = Some("nowhere".into());
        wrong.reserved_concurrency = Some(2);
        let settings = Settings {
            functions: vec![wrong.clone(), wrong],
            account_concurrency: 3,
            retry_clock: f64::NAN,
            ..Settings::default()
        };
        let problems = settings.problems(REGION).join("\n");
        for part in [
            "`a b`: the name must",
            "command is empty",
            "memory_mb 64",
            "timeout 901s",
            "maximum_retry_attempts 3",
            "maximum_event_age 0ns",
            "AWS_REGION is set by Lambda",
            "variable `A=B`",
            "there twice",
            "on_failure `nowhere` is no function or queue",
            "reserve 4 in all",
            "retry_clock NaN",
        ] {
            assert!(problems.contains(part), "{part} in\n{problems}");
        }
    }
}
