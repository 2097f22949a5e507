//! Lambda for this machine: functions are real programs that speak the Runtime API; callers are whatever speaks the
//! Invoke API.
//!
//! # True here
//! - One invocation at a time in an environment; warm reuse, last in, first out; cold start, INIT with its limit and
//!   its repetition inside the first invocation.
//! - Deadlines, timeouts with SIGKILL to the whole process group, crashes told in Lambda's words.
//! - Account and reserved concurrency with 429 and its reasons; payload limits both ways.
//! - `Event` with a queue, retries after 1 and 2 minutes (times [`Settings::retry_clock`]), a maximum age, and the
//!   on-failure destination, a function or a queue.
//! - START, END, REPORT and the log tail; request ids that stay over retries; signatures, verified.
//!
//! # Not true here
//! - What a function's logging is configured to is told to it; START, END and REPORT are text all the same.
//! - Memory size is told to the function, and not enforced; nor are the limits on descriptors, processes and `/tmp`, which
//!   all environments share with this machine.
//! - An idle environment is not frozen: what it left running runs on until its next invocation or its end.
//! - Only `$LATEST` exists; payloads are buffered, not streamed; nothing limits the rate of requests or the growth of
//!   concurrency; recursive loops are not stopped.
//! - The event queue is in memory and first in, first out; it delivers an event twice only when a function fails, and
//!   loses none, unless it is asked to ([`Faults`]).
//! - A repeated INIT has a new environment (port, log file); on Lambda it has the old one.
//!
//! # When this process dies
//! [`Server::stop`] and dropping it kill every process group. After SIGKILL of the emulator itself nobody is left to do
//! that: a bootstrap finds its `/next` connection broken and exits by itself, and what it started is its own affair.

mod address;
mod api_error;
mod bootstrap;
mod environment;
mod event_queue;
mod exchange;
mod failure_record;
mod faults;
mod invocation;
mod invoke_api;
mod log;
mod process;
mod registry;
mod runtime_api;
mod scheduler;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::request::Parts;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http_server::{self, Answer};
use crate::signature::Credentials;
use bootstrap::Host;
use environment::Launcher;
use event_queue::EventQueue;
use invoke_api::InvokeApi;
use registry::Registry;
use scheduler::Scheduler;

pub use event_queue::NotSent;
pub use exchange::Phase;
pub use faults::{FaultCounts, Faults, FaultsHandle, Kills};
pub use log::LogLine;
pub use settings::{Function, Settings};

/// What a [`Server`] is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the Invoke API listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The region of the functions' ARNs and of signatures.
    pub region: String,
    /// The key that callers must sign with, and that functions are given.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Where functions find S3 (`AWS_ENDPOINT_URL_S3`).
    pub s3_endpoint: Option<String>,
    /// Where log files go: `<function>/<environment>.log`. Made when needed.
    pub log_folder: PathBuf,
    /// The functions and their account.
    pub settings: Settings,
}

/// Why a [`Server`] did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong, in all these ways.
    #[error("the settings are wrong: {}", .0.join("; "))]
    Settings(Vec<String>),
    /// The address cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address of the configuration.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// One environment, as a test or a status page sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentInfo {
    /// The function's name.
    pub function: String,
    /// The environment's id, as in [`LogLine::environment`].
    pub id: String,
    /// The bootstrap's process id, which is also that of its process group.
    pub pid: u32,
    /// What it is doing.
    pub phase: Phase,
}

/// Another service at Lambda's address: whatever is not Lambda's own is shown to it.
pub(crate) trait Neighbour: std::fmt::Debug + Send + Sync {
    /// Answers a request, or leaves it to Lambda. Who sent it has not been checked.
    fn answer(&self, head: &Parts, body: &Bytes) -> Option<Answer>;
}

/// The way in for what other services send.
#[derive(Debug, Clone)]
pub(crate) struct Events(EventQueue);

impl Events {
    /// Takes an asynchronous event; gives the request id that it has over all its retries.
    ///
    /// # Errors
    /// [`NotSent`]. Nothing was accepted.
    pub(crate) fn send(&self, function: &str, payload: Bytes) -> Result<Arc<str>, NotSent> {
        self.0.send(function, payload)
    }
}

/// A running Lambda.
///
/// Dropped without [`Server::stop`], it kills every process group at once, and its tasks end by themselves while the
/// runtime lives.
#[derive(Debug)]
pub struct Server {
    endpoint: String,
    api: Arc<InvokeApi>,
    scheduler: Arc<Scheduler>,
    events: EventQueue,
    faults: FaultsHandle,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// Starts the Invoke API. No function is started before it is invoked.
    ///
    /// # Errors
    /// The settings are wrong, or the address is taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let problems = config.settings.problems(&config.region);
        if !problems.is_empty() {
            return Err(StartError::Settings(problems));
        }
        let address = config.address;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let endpoint = format!("http://{}", listener.local_addr().map_err(listen)?);
        Ok(Self::serve(config, listener, endpoint))
    }

    fn serve(config: Config, listener: TcpListener, endpoint: String) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let registry = Arc::new(Registry::default());
        let settings = config.settings;
        let launcher = Launcher {
            host: Host {
                region: config.region.clone(),
                access_key_id: config.access_key_id.clone(),
                secret_access_key: config.secret_access_key.clone(),
                lambda_endpoint: endpoint.clone(),
                s3_endpoint: config.s3_endpoint,
                log_folder: config.log_folder,
            },
            log_lines: settings.log_lines.clone(),
            registry: Arc::clone(&registry),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let scheduler = Arc::new(Scheduler::new(&settings, launcher));
        let faults = FaultsHandle::default();
        let events = EventQueue::new(
            Arc::clone(&scheduler),
            tasks.clone(),
            stop.clone(),
            config.region.clone(),
            &settings,
            faults.clone(),
        );
        let api = Arc::new(InvokeApi {
            credentials: Credentials {
                access_key_id: config.access_key_id,
                secret_access_key: config.secret_access_key,
                region: config.region,
            },
            scheduler: Arc::clone(&scheduler),
            events: events.clone(),
            faults: faults.clone(),
            neighbour: OnceLock::new(),
        });
        let serving = Arc::clone(&api);
        tasks.spawn(http_server::serve(listener, stop.clone(), move |request| {
            Arc::clone(&serving).handle(request)
        }));
        tasks.spawn(faults.clone().kill_at_random(Arc::clone(&registry), stop.clone()));
        let (lifetime, stopping) = (settings.idle_lifetime, stop.clone());
        tasks.spawn(async move { registry.reclaim_idle(lifetime, stopping).await });
        Self { endpoint, api, scheduler, events, faults, tasks, stop }
    }

    /// The Invoke API's URL, for `--endpoint-url` and `AWS_ENDPOINT_URL_LAMBDA`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets another service answer at the same address. Only the first is taken.
    pub(crate) fn welcome(&self, neighbour: Arc<dyn Neighbour>) {
        if self.api.neighbour.set(neighbour).is_err() {
            tracing::error!("there is a service at Lambda's address already");
        }
    }

    /// The way in for what other services send.
    pub(crate) fn events(&self) -> Events {
        Events(self.events.clone())
    }

    /// Every environment there is, so that a test can see or kill one.
    #[must_use]
    pub fn environments(&self) -> Vec<EnvironmentInfo> {
        let environments = self.scheduler.environments();
        let info = environments.iter().map(|environment| EnvironmentInfo {
            function: environment.function.name.clone(),
            id: environment.id.clone(),
            pid: environment.pid(),
            phase: environment.phase(),
        });
        info.collect()
    }

    /// The switch of its faults, which are off.
    #[must_use]
    pub fn faults(&self) -> &FaultsHandle {
        &self.faults
    }

    /// Waits until no asynchronous event is waiting, running, or about to be tried again.
    ///
    /// # Cancellation
    /// Safe: it only looks.
    pub async fn drain(&self) {
        self.events.drained().await;
    }

    /// Stops: running invocations are broken off (their callers get a `ServiceException`), waiting events are dropped,
    /// every process group is killed and every bootstrap reaped before this returns.
    ///
    /// # Cancellation
    /// What has begun to stop goes on stopping; processes are killed all the same.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        for environment in self.scheduler.environments() {
            environment.kill_now();
        }
    }
}
