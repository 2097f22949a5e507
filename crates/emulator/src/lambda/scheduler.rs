//! Who may run, and where: concurrency, warm reuse, cold starts.
//!
//! What it owes its neighbours: never more invocations at once than the account and the function's reservation allow;
//! one invocation at a time in an environment; and an invocation that was started runs to its end whether or not its
//! caller still listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::environment::{Environment, LaunchError, Launcher};
use super::exchange::{Ending, Phase};
use super::invocation::{Completed, Invocation, Start, invalid_entrypoint, run};
use super::process::describe_exit;
use super::settings::{Function, Settings};

/// How long an answer is held back at most until the runtime asks for its next event. Most do so at once, and then a
/// caller's next call finds the environment warm and its capacity free, as it does on Lambda, where the way back takes longer.
const ANSWER_GRACE: Duration = Duration::from_millis(100);

/// A function with the capacity set aside for it.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) function: Arc<Function>,
    reserved: Option<Arc<Semaphore>>,
}

/// The right to run one invocation now; given back when dropped.
#[derive(Debug)]
pub(super) struct Capacity(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Why there is no capacity now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Throttle {
    /// The account's concurrency, less what functions have reserved, is used up.
    Account,
    /// The function's own reservation is used up.
    Reserved,
}

impl Throttle {
    /// Lambda's word for it. Source: Lambda API reference, Invoke, `TooManyRequestsException`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Account => "ConcurrentInvocationLimitExceeded",
            Self::Reserved => "ReservedFunctionConcurrentInvocationLimitExceeded",
        }
    }
}

/// Why an invocation that had capacity was not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRun {
    /// The machine could not start it.
    #[error(transparent)]
    Machine(LaunchError),
    /// The emulator stops.
    #[error("the emulator is stopping")]
    Stopping,
}

/// What running an invocation comes to.
pub(super) type Ran = Result<Completed, NotRun>;

/// The account's functions and their capacity.
#[derive(Debug)]
pub(super) struct Scheduler {
    launcher: Launcher,
    functions: BTreeMap<String, Arc<Managed>>,
    unreserved: Arc<Semaphore>,
    init_limit: Duration,
    /// Idle environments are counted in: the longest idle makes room.
    environment_limit: usize,
}

impl Scheduler {
    /// Takes settings that have been checked.
    pub(super) fn new(settings: &Settings, launcher: Launcher) -> Self {
        let permits = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let functions = settings.functions.iter().map(|function| {
            let reserved =
                function.reserved_concurrency.map(|count| Arc::new(Semaphore::new(permits(count.into()))));
            (function.name.clone(), Arc::new(Managed { function: Arc::new(function.clone()), reserved }))
        });
        let account = u64::from(settings.account_concurrency);
        Self {
            launcher,
            functions: functions.collect(),
            unreserved: Arc::new(Semaphore::new(permits(account.saturating_sub(settings.reserved_in_all())))),
            init_limit: settings.init_limit,
            environment_limit: permits(account),
        }
    }

    /// The function of this bare name.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Managed>> {
        self.functions.get(name)
    }

    /// Every function, by name.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Arc<Managed>> {
        self.functions.values()
    }

    /// Capacity for one invocation, if there is any now.
    ///
    /// # Errors
    /// There is none, or those who wait for it come first.
    pub(super) fn try_capacity(&self, managed: &Managed) -> Result<Capacity, Throttle> {
        let (semaphore, throttle) = self.pool(managed);
        Arc::clone(semaphore).try_acquire_owned().map(Capacity).map_err(|_| throttle)
    }

    /// Waits for capacity; who waits longest is served first.
    ///
    /// # Cancellation
    /// Loses the place in the queue, and nothing else.
    pub(super) async fn capacity(&self, managed: &Managed) -> Capacity {
        let (semaphore, _) = self.pool(managed);
        match Arc::clone(semaphore).acquire_owned().await {
            Ok(permit) => Capacity(permit),
            // The semaphores are never closed.
            Err(_) => std::future::pending().await,
        }
    }

    fn pool<'pool>(&'pool self, managed: &'pool Managed) -> (&'pool Arc<Semaphore>, Throttle) {
        match &managed.reserved {
            Some(reserved) => (reserved, Throttle::Reserved),
            None => (&self.unreserved, Throttle::Account),
        }
    }

    /// Starts an invocation in a task of the emulator's own; the receiver gets what it comes to. The capacity is given
    /// back when the environment is free again.
    pub(super) fn start(
        self: &Arc<Self>,
        managed: &Managed,
        capacity: Capacity,
        invocation: Invocation,
    ) -> oneshot::Receiver<Ran> {
        let (caller, received) = oneshot::channel();
        let scheduler = Arc::clone(self);
        let function = Arc::clone(&managed.function);
        self.launcher.tasks.spawn(async move {
            scheduler.serve(&function, capacity, &invocation, caller).await;
        });
        received
    }

    async fn serve(
        &self,
        function: &Arc<Function>,
        capacity: Capacity,
        invocation: &Invocation,
        caller: oneshot::Sender<Ran>,
    ) {
        let (environment, start) = match self.environment(function, &invocation.request_id).await {
            Ok(found) => found,
            Err(error) => {
                drop(capacity);
                answer(caller, not_launched(error, &invocation.request_id));
                return;
            }
        };
        let deadline = Instant::now() + function.timeout;
        let ran = run(&environment, invocation, start).await.map_err(|_| NotRun::Stopping);
        let settled = tokio::time::timeout(ANSWER_GRACE, environment.exchange().settled()).await.is_ok();
        if settled {
            self.give_back(&environment, capacity).await;
            answer(caller, ran);
        } else {
            answer(caller, ran);
            if tokio::time::timeout_at(deadline, environment.exchange().settled()).await.is_err() {
                environment
                    .log
                    .note("the runtime answered, and did not ask for its next event in time".into());
            }
            self.give_back(&environment, capacity).await;
        }
    }

    async fn give_back(&self, environment: &Environment, capacity: Capacity) {
        if environment.phase() == Phase::Idle {
            self.launcher.registry.release(environment);
        } else {
            environment.kill().await;
        }
        drop(capacity);
    }

    /// A warm environment, or else a new one. A new one whose INIT fails is replaced by another, whose INIT is part of
    /// the invocation.
    async fn environment(
        &self,
        function: &Arc<Function>,
        request_id: &Arc<str>,
    ) -> Result<(Arc<Environment>, Start), LaunchError> {
        if let Some(environment) = self.launcher.registry.claim(&function.name) {
            return Ok((environment, Start::Warm));
        }
        if let Some(idle) = self.launcher.registry.claim_to_make_room(self.environment_limit) {
            idle.retire(Ending::Killed).await;
        }
        let environment = self.launcher.launch(function, None).await?;
        let failure = match environment.initialised(self.init_limit).await {
            Ok(took) => return Ok((environment, Start::Cold(took))),
            Err(failure) => failure,
        };
        environment.kill().await;
        if let Some(Ending::Stopped) = failure {
            return Err(LaunchError::Stopping);
        }
        environment.log.note(init_report(failure.as_ref(), self.init_limit));
        Ok((self.launcher.launch(function, Some(request_id)).await?, Start::Initialising))
    }

    /// Every environment there is.
    pub(super) fn environments(&self) -> Vec<Arc<Environment>> {
        self.launcher.registry.all()
    }
}

fn init_report(failure: Option<&Ending>, limit: Duration) -> String {
    let status = match failure {
        None => format!("timeout\tINIT took more than {limit:?}"),
        Some(Ending::Exited(status)) => {
            format!("error\tError Type: Runtime.ExitError\t{}", describe_exit(*status))
        }
        Some(Ending::InitFailed(document)) => format!("error\t{}", String::from_utf8_lossy(document)),
        Some(Ending::Killed | Ending::Stopped) => "error\tkilled".to_owned(),
    };
    format!("INIT_REPORT Phase: init\tStatus: {status}\tINIT is repeated within the invocation")
}

fn not_launched(error: LaunchError, request_id: &str) -> Ran {
    match error {
        LaunchError::Entrypoint { .. } => Ok(invalid_entrypoint(request_id, &error.to_string())),
        LaunchError::Machine { .. } => Err(NotRun::Machine(error)),
        LaunchError::Stopping => Err(NotRun::Stopping),
    }
}

fn answer(caller: oneshot::Sender<Ran>, ran: Ran) {
    if caller.send(ran).is_err() {
        tracing::debug!("a caller hung up before its function had ended");
    }
}
