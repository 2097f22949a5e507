//! A wrapper that makes invocations fail on purpose, in all the ways in which the service does.
//!
//! What happens to an invocation is somebody else's decision ([`Decide`]): any closure, hence a script, a seed, or a
//! simulation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{InvokeError, ThrottleReason};
use crate::invoke::{Answer, Invoke, Mode, RequestId};

/// An invocation about which is decided.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// How the function is invoked.
    pub mode: Mode,
    /// Which function.
    pub function: &'a str,
    /// With what.
    pub payload: &'a Bytes,
    /// How often this function was invoked this way before, so that a decision need not depend on how others interleave.
    pub nth: u64,
    /// How many invocations there were before, of any kind.
    pub number: u64,
}

/// Ways to fail without the function being run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The account's concurrency is used up.
    Throttled,
    /// The function is being updated.
    Conflict,
    /// The service or the connection failed.
    Unavailable,
    /// The credentials do not allow it.
    Denied,
    /// There is no such function.
    NotFound,
}

/// What becomes of an invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It goes through.
    #[default]
    Pass,
    /// It fails in this way, and nothing is run.
    Fail(Fault),
    /// It goes through this much later.
    Delay(Duration),
    /// It goes through, and the caller is told `Unavailable` all the same.
    LoseAnswer,
    /// It goes through twice; the caller learns of the second. So Lambda treats an event now and then.
    Double,
    /// The caller is told that all is well, and nothing is ever run, as when an event outlives its age in the queue. On
    /// a call, which has an answer to wait for, the same as `Fail(Unavailable)`.
    Drop,
}

/// Decides what becomes of each invocation. Closures over [`Call`] are deciders.
pub trait Decide: Send + Sync + 'static {
    /// What becomes of this invocation.
    fn decide(&self, call: &Call<'_>) -> Decision;
}

impl<F: Fn(&Call<'_>) -> Decision + Send + Sync + 'static> Decide for F {
    fn decide(&self, call: &Call<'_>) -> Decision {
        self(call)
    }
}

/// Makes invocations fail as it is told. See the [module](self).
pub struct Faulty {
    inner: Arc<dyn Invoke>,
    decide: Box<dyn Decide>,
    tried: Mutex<BTreeMap<(Mode, String), u64>>,
    invocations: AtomicU64,
}

impl Faulty {
    /// Puts faults before `inner`.
    pub fn new(inner: Arc<dyn Invoke>, decide: impl Decide) -> Self {
        Self { inner, decide: Box::new(decide), tried: Mutex::default(), invocations: AtomicU64::new(0) }
    }

    fn decide(&self, mode: Mode, function: &str, payload: &Bytes) -> Decision {
        let nth = {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            let count = tried.entry((mode, function.to_owned())).or_default();
            *count += 1;
            *count - 1
        };
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        self.decide.decide(&Call { mode, function, payload, nth, number })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Invoke for Faulty {
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError> {
        match self.decide(Mode::Call, function, &payload) {
            Decision::Pass => {}
            Decision::Fail(fault) => return Err(fault.error(function)),
            Decision::Drop => return Err(Fault::Unavailable.error(function)),
            Decision::Delay(delay) => tokio::time::sleep(delay).await,
            Decision::LoseAnswer => {
                self.inner.call(function, payload).await?;
                return Err(lost(function));
            }
            Decision::Double => {
                self.inner.call(function, payload.clone()).await?;
            }
        }
        self.inner.call(function, payload).await
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        match self.decide(Mode::Send, function, &payload) {
            Decision::Pass => {}
            Decision::Fail(fault) => return Err(fault.error(function)),
            Decision::Drop => return Ok(RequestId::new("dropped-on-purpose")),
            Decision::Delay(delay) => tokio::time::sleep(delay).await,
            Decision::LoseAnswer => {
                self.inner.send(function, payload).await?;
                return Err(lost(function));
            }
            Decision::Double => {
                self.inner.send(function, payload.clone()).await?;
            }
        }
        self.inner.send(function, payload).await
    }
}

impl Fault {
    fn error(self, function: &str) -> InvokeError {
        let function = function.to_owned();
        let message = "a fault made on purpose, and nothing was run".to_owned();
        match self {
            Self::Throttled => {
                let reason = ThrottleReason::AccountConcurrency;
                InvokeError::Throttled { function, reason, retry_after: None }
            }
            Self::Conflict => InvokeError::Conflict { function, message },
            Self::Unavailable => InvokeError::Unavailable { function, message, source: None },
            Self::Denied => InvokeError::Denied { function, message },
            Self::NotFound => InvokeError::NotFound { function, message },
        }
    }
}

fn lost(function: &str) -> InvokeError {
    InvokeError::Unavailable {
        function: function.to_owned(),
        message: "a fault made on purpose, and the answer was lost".to_owned(),
        source: None,
    }
}
