//! Lambda and S3 on this machine, for a laptop and for the tests. Knows the protocols and none of our crates.
//!
//! **The decision.** The programs that run on AWS run here unchanged, as processes of their own that speak the Runtime
//! API, and reach S3 and one another by the endpoints in their environment. So what is tested is what ships, including what is
//! usually faked: throttles, retries of asynchronous events, timeouts that kill, crashes, cold starts, payload limits,
//! conditional writes and checksums. **The price:** this is a second implementation of two services, and of slivers of
//! others. Where it departs from them is listed at the top of [`lambda`], [`s3`], [`events`] and [`logs`]; everything else is
//! held by conformance tests with the official SDKs as callers. It needs a Unix, and measures memory only on Linux.
//!
//! A pipeline that was synthesized for AWS can be set up from its template; then what starts functions there starts them
//! here: new objects, rules, and schedules, which are fired by hand.
//!
//! Both halves can be given bad days: [`lambda::Faults`] and [`s3::Faults`], from a seed, switched on and off while they
//! run, with [`Emulator::spare`] for who is to see none of them.
//!
//! | module | owes the others |
//! |---|---|
//! | [`s3`] | an endpoint, and word of every new object; it knows nothing of functions |
//! | [`lambda`] | a way in for asynchronous events, and what functions print; it passes S3's endpoint on to its functions |
//! | [`queues`] | a place for what was given up |
//! | [`events`] | rules and schedules, as values |
//! | `deliveries` | between the halves: who is told of what |
//! | `faults` | the switch and the dice of both halves' faults |
//! | [`logs`] | the newest lines that functions printed |
//! | [`services`] | what else answers at Lambda's address |
//! | [`template`] | all of it, read from a CloudFormation template |
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

mod account;
mod deliveries;
pub mod events;
mod faults;
mod http_server;
pub mod lambda;
pub mod logs;
pub mod queues;
pub mod s3;
pub mod services;
mod signature;
pub mod template;

pub use deliveries::{DeliveryError, FireError, Fired, Told};
pub use faults::WrongFaults;

use deliveries::Deliveries;
use logs::LogStore;
use queues::Queues;
use services::{Services, Stack};
use signature::Credentials;
use template::{Bucket, Template};

/// What an [`Emulator`] is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder for everything: objects in `s3`, what functions print in `logs`. Made where it is missing.
    pub data: PathBuf,
    /// The region that both halves are in.
    pub region: String,
    /// The one access key that both halves know.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Where S3 listens; port 0 takes a free one.
    pub s3_address: SocketAddr,
    /// Where Lambda's Invoke API listens; port 0 takes a free one.
    pub lambda_address: SocketAddr,
    /// The functions and their account.
    pub lambda: lambda::Settings,
}

/// Why an [`Emulator`] did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The S3 half.
    #[error("failed to start S3")]
    S3(#[source] s3::StartError),
    /// A bucket of the template.
    #[error("failed to set up S3")]
    Bucket(#[source] s3::BucketError),
    /// The Lambda half.
    #[error("failed to start Lambda")]
    Lambda(#[source] lambda::StartError),
}

/// A running Lambda and a running S3.
///
/// Dropped without [`Emulator::stop`], it kills every function's processes at once and closes its ports soon after.
#[derive(Debug)]
pub struct Emulator {
    lambda: lambda::Server,
    s3: s3::Server,
    environment: Vec<(String, String)>,
    deliveries: Arc<Deliveries>,
    log_lines: LogLines,
}

impl Emulator {
    /// Starts both halves. No function is started before it is invoked.
    ///
    /// # Errors
    /// One of the halves does not start: its folder, its address, or the settings are wrong.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::launch(config, None).await
    }

    /// Starts both halves with what a template describes, besides the functions that the settings have: its functions can
    /// be invoked, its buckets are there, and its rules, notifications and schedules tell its functions and queues.
    ///
    /// # Errors
    /// As [`Emulator::start`]; also when a bucket cannot be made.
    pub async fn deploy(config: Config, template: Template) -> Result<Self, StartError> {
        Self::launch(config, Some(template)).await
    }

    async fn launch(mut config: Config, template: Option<Template>) -> Result<Self, StartError> {
        let s3 = s3::Server::start(s3::Config {
            data: config.data.join("s3"),
            address: config.s3_address,
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            region: config.region.clone(),
        })
        .await
        .map_err(StartError::S3)?;
        let has_template = template.is_some();
        let mut template = template.unwrap_or_default();
        config.lambda.functions.append(&mut template.functions);
        let names = std::mem::take(&mut template.queues);
        let queues = Queues::new(config.data.join("queues"), names);
        config.lambda.queues.get_or_insert_with(|| queues.clone());
        let (logs, log_lines) = keep_logs(&mut config.lambda);
        let lambda = match Self::start_lambda(&config, &s3, &template.buckets).await {
            Ok(lambda) => lambda,
            Err(error) => {
                s3.stop().await;
                return Err(error);
            }
        };
        let stack = has_template.then(|| Stack::of(&template, &config.region));
        let buckets = template.buckets.into_iter().map(|bucket| (bucket.name.clone(), bucket));
        let deliveries = Arc::new(Deliveries {
            region: config.region.clone(),
            functions: lambda.events(),
            queues,
            buckets: buckets.collect(),
            rules: template.rules,
            schedules: template.schedules,
        });
        let told = Arc::clone(&deliveries);
        s3.on_object_created(move |created| told.object_created(created));
        let credentials = Credentials {
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            region: config.region.clone(),
        };
        let services = Services { credentials, deliveries: Arc::clone(&deliveries), logs, stack };
        lambda.welcome(Arc::new(services));
        let environment = environment(&config, &s3, &lambda);
        Ok(Self { lambda, s3, environment, deliveries, log_lines })
    }

    async fn start_lambda(
        config: &Config,
        s3: &s3::Server,
        buckets: &[Bucket],
    ) -> Result<lambda::Server, StartError> {
        for bucket in buckets {
            s3.ensure_bucket(&bucket.name).await.map_err(StartError::Bucket)?;
        }
        let started = lambda::Server::start(lambda::Config {
            address: config.lambda_address,
            region: config.region.clone(),
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            s3_endpoint: Some(s3.endpoint()),
            log_folder: config.data.join("logs"),
            settings: config.lambda.clone(),
        });
        started.await.map_err(StartError::Lambda)
    }

    /// The URL of S3.
    #[must_use]
    pub fn s3_endpoint(&self) -> String {
        self.s3.endpoint()
    }

    /// The URL of Lambda's Invoke API.
    #[must_use]
    pub fn lambda_endpoint(&self) -> &str {
        self.lambda.endpoint()
    }

    /// The variables with which the AWS CLI, boto3 and the SDKs use this emulator in place of AWS.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// The Lambda half, to look at environments or to wait for its events.
    #[must_use]
    pub fn lambda(&self) -> &lambda::Server {
        &self.lambda
    }

    /// Fires a schedule, or a rule that has a time, as if that time were `at`: by name, or by group and name.
    ///
    /// # Errors
    /// [`FireError`]: there is no such schedule, or who it tells cannot be told.
    pub fn fire(&self, schedule: &str, at: OffsetDateTime) -> Result<Fired, FireError> {
        self.deliveries.fire(schedule, at)
    }

    /// The queues, to look at what they hold.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.deliveries.queues
    }

    /// The S3 half, to make buckets without a client.
    #[must_use]
    pub fn s3(&self) -> &s3::Server {
        &self.s3
    }

    /// Lets another access key in, at both halves, whose requests are spared by all faults: a test uses it for its own.
    pub fn spare(&self, access_key_id: &str, secret_access_key: &str) {
        self.lambda.faults().spare(access_key_id, secret_access_key);
        self.s3.faults().spare(access_key_id, secret_access_key);
    }

    /// Stops Lambda first, so that no function loses its S3 while it runs, then S3. No process is left.
    ///
    /// # Cancellation
    /// What has begun to stop goes on stopping; processes are killed all the same.
    pub async fn stop(self) {
        let Self { lambda, s3, deliveries, log_lines, .. } = self;
        lambda.stop().await;
        s3.stop().await;
        // With these goes the last who could log a line, and what is still under way is passed on.
        drop(deliveries);
        log_lines.finish().await;
    }
}

/// Has every line that functions log kept, as well as passed on to who has asked for them.
fn keep_logs(settings: &mut lambda::Settings) -> (Arc<LogStore>, LogLines) {
    let groups = settings.functions.iter().map(|function| (function.name.clone(), function.log_group_name()));
    let store = Arc::new(LogStore::new(groups.collect()));
    let (sender, mut lines) = mpsc::unbounded_channel::<lambda::LogLine>();
    let mut listener = settings.log_lines.replace(sender);
    let keeper = Arc::clone(&store);
    let keeping = tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            if listener.as_ref().is_some_and(|listener| listener.send(line.clone()).is_err()) {
                listener = None;
            }
            keeper.keep(line);
        }
    });
    (store, LogLines(keeping))
}

/// The task that keeps and passes on what functions log.
#[derive(Debug)]
struct LogLines(JoinHandle<()>);

impl LogLines {
    /// Waits until all is passed on, which needs everybody who logs to be gone.
    async fn finish(mut self) {
        if let Err(error) = (&mut self.0).await {
            tracing::error!(%error, "the functions' log lines were not all kept");
        }
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn environment(config: &Config, s3: &s3::Server, lambda: &lambda::Server) -> Vec<(String, String)> {
    let elsewhere = ["LAMBDA", "EVENTBRIDGE", "CLOUDWATCH_LOGS", "CLOUDFORMATION"];
    let elsewhere =
        elsewhere.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), lambda.endpoint().to_owned()));
    let rest = [
        ("AWS_ENDPOINT_URL_S3", s3.endpoint()),
        ("AWS_ACCESS_KEY_ID", config.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", config.secret_access_key.clone()),
        ("AWS_REGION", config.region.clone()),
        ("AWS_DEFAULT_REGION", config.region.clone()),
    ];
    elsewhere.into_iter().chain(rest.map(|(name, value)| (name.to_owned(), value))).collect()
}
