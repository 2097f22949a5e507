//! One execution environment: a bootstrap, its Runtime API, its log, and the task that looks after the three.
//!
//! What it owes its neighbours: an environment that was launched is in the registry until its process group is killed
//! and reaped, and leaves it by itself.

use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bootstrap::{self, Host};
use super::exchange::{Ending, Exchange, Phase};
use super::log::{self, Log, LogLine, Origin};
use super::process::Process;
use super::registry::Registry;
use super::runtime_api::RuntimeApi;
use super::settings::Function;
use crate::http_server;

/// How long a runtime with a registered extension has between SIGTERM and SIGKILL; Lambda's figure for an internal one.
const TERMINATION_GRACE: Duration = Duration::from_millis(500);

/// A launched environment.
#[derive(Debug)]
pub(super) struct Environment {
    /// Unique; the last part of its log stream's name and of its log file's.
    pub(super) id: String,
    pub(super) function: Arc<Function>,
    pub(super) log: Log,
    api: Arc<RuntimeApi>,
    process: Process,
    /// When INIT began.
    pub(super) launched: Instant,
}

/// What environments are launched with: the surroundings, and who looks after their tasks.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) host: Host,
    pub(super) log_lines: Option<tokio::sync::mpsc::UnboundedSender<LogLine>>,
    pub(super) registry: Arc<Registry>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Why an environment could not be launched.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    /// The function's own fault: there is no such program, or it is none.
    #[error("fork/exec {program}: {}", describe(.source))]
    Entrypoint { program: String, source: io::Error },
    /// The machine's fault.
    #[error("failed to {action}")]
    Machine {
        action: String,
        #[source]
        source: io::Error,
    },
    /// The emulator stops.
    #[error("the emulator is stopping")]
    Stopping,
}

/// The system's words in the way that Lambda's agent prints them: `no such file or directory`, without a number.
fn describe(error: &io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn machine(action: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchError {
    let action = action.into();
    move |source| LaunchError::Machine { action, source }
}

impl Launcher {
    /// Starts a bootstrap and registers its environment as claimed by the caller. INIT is still to come; where it is
    /// to be part of an invocation, `begin` is that invocation's request id, and START is written first.
    ///
    /// # Errors
    /// The program cannot be started, or the machine lacks what an environment needs.
    pub(super) async fn launch(
        &self,
        function: &Arc<Function>,
        begin: Option<&Arc<str>>,
    ) -> Result<Arc<Environment>, LaunchError> {
        if !function.cold_start_delay.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(function.cold_start_delay) => {}
                () = self.stop.cancelled() => return Err(LaunchError::Stopping),
            }
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(machine("open a port for the Runtime API"))?;
        let runtime_api = listener.local_addr().map_err(machine("read the Runtime API's port"))?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let stream = log_stream(OffsetDateTime::now_utc(), &id);
        let (log, output) = self.open_log(function, &id, &stream)?;
        if let Some(request_id) = begin {
            log.begin(Arc::clone(request_id)).await;
        }
        let mut command = bootstrap::command(function, &self.host, runtime_api, &stream)
            .ok_or_else(|| machine("find a command")(io::ErrorKind::InvalidInput.into()))?;
        let errors = output.try_clone().map_err(machine("share a pipe"))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let launched = Instant::now();
        let process = Process::spawn(&mut command).map_err(|source| LaunchError::Entrypoint {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let api = Arc::new(RuntimeApi {
            function_name: function.name.clone(),
            exchange: Exchange::new(),
            has_extension: AtomicBool::new(false),
        });
        let environment =
            Arc::new(Environment { id, function: Arc::clone(function), log, api, process, launched });
        self.registry.add_claimed(Arc::clone(&environment));
        let looked_after =
            look_after(Arc::clone(&environment), listener, Arc::clone(&self.registry), self.stop.clone());
        self.tasks.spawn(looked_after);
        Ok(environment)
    }

    fn open_log(
        &self,
        function: &Function,
        id: &str,
        stream: &str,
    ) -> Result<(Log, io::PipeWriter), LaunchError> {
        let folder = self.host.log_folder.join(&function.name);
        std::fs::create_dir_all(&folder)
            .map_err(machine(format!("create the log folder {}", folder.display())))?;
        let (pipe, output) = io::pipe().map_err(machine("make a pipe"))?;
        let file = folder.join(format!("{id}.log"));
        let origin = Origin {
            function: function.name.clone(),
            environment: id.to_owned(),
            log_stream: stream.to_owned(),
            listener: self.log_lines.clone(),
        };
        let (log, pump) = log::open(pipe.into(), &file, origin)
            .map_err(machine(format!("open the log {}", file.display())))?;
        self.tasks.spawn(pump);
        Ok((log, output))
    }
}

/// The name that CloudWatch would give the environment's log stream.
fn log_stream(now: OffsetDateTime, id: &str) -> String {
    format!("{}/{:02}/{:02}/[$LATEST]{id}", now.year(), u8::from(now.month()), now.day())
}

async fn look_after(
    environment: Arc<Environment>,
    listener: TcpListener,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    let gone = CancellationToken::new();
    let api = Arc::clone(&environment.api);
    let serving = http_server::serve(listener, gone.clone(), move |request| Arc::clone(&api).handle(request));
    let living = async {
        tokio::select! {
            () = environment.exited() => {}
            () = stop.cancelled() => environment.retire(Ending::Stopped).await,
        }
        registry.remove(&environment.id);
        gone.cancel();
    };
    tokio::join!(serving, living);
}

impl Environment {
    /// The bootstrap's process id, which is also its group's.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it is doing.
    pub(super) fn phase(&self) -> Phase {
        self.exchange().phase()
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.api.exchange
    }

    /// The most memory the bootstrap has had, in MB, while it lives.
    pub(super) fn peak_memory_mb(&self) -> Option<u64> {
        self.process.peak_memory_mb()
    }

    /// Whether it can be given an event right now. A process that was killed while idle is noticed here even before
    /// the system has told of it.
    pub(super) fn is_usable(&self) -> bool {
        self.phase() == Phase::Idle && matches!(self.process.has_ended(), Ok(false))
    }

    /// Waits for INIT to end: the time it took since the launch, or how it failed. Running out of `limit` is a failure
    /// too, told as nothing.
    pub(super) async fn initialised(&self, limit: Duration) -> Result<Duration, Option<Ending>> {
        match tokio::time::timeout_at(self.launched + limit, self.exchange().settled()).await {
            Ok(Ok(())) => Ok(self.launched.elapsed()),
            Ok(Err(ending)) => Err(Some(ending)),
            Err(_) => Err(None),
        }
    }

    /// Kills the whole group at once and waits until the leader is reaped.
    pub(super) async fn kill(&self) {
        self.exchange().end(Ending::Killed);
        self.process.signal(Signal::KILL);
        self.exited().await;
    }

    /// Ends an environment that serves nothing, as Lambda does: SIGTERM first if an extension asked to be told.
    pub(super) async fn retire(&self, ending: Ending) {
        self.exchange().end(ending);
        if self.api.has_extension.load(Ordering::Relaxed) {
            self.process.signal(Signal::TERM);
            if tokio::time::timeout(TERMINATION_GRACE, self.exited()).await.is_ok() {
                return;
            }
        }
        self.kill().await;
    }

    /// Kills the group without waiting, for when nobody can wait.
    pub(super) fn kill_now(&self) {
        self.exchange().end(Ending::Stopped);
        self.process.signal(Signal::KILL);
    }

    /// Kills the group as somebody outside of Lambda would, and tells nobody: the end is noticed like any other.
    pub(super) fn kill_from_outside(&self) {
        self.process.signal(Signal::KILL);
    }

    async fn exited(&self) {
        match self.process.ended().await {
            Ok(status) => self.exchange().end(Ending::Exited(status)),
            Err(error) => {
                tracing::error!(%error, pid = self.pid(), "failed to wait for a bootstrap, which is given up");
                self.exchange().end(Ending::Killed);
            }
        }
    }
}
