//! A wrapper that counts what goes through it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::InvokeError;
use crate::invoke::{Answer, Invoke, RequestId};

/// What went through a [`Counting`] port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Events handed over, failed ones included.
    pub sends: u64,
    /// Calls and events that failed, by whatever reason.
    pub failures: u64,
    /// Those among them that were throttled.
    pub throttled: u64,
    /// Bytes of payload handed over.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
}

/// Counts calls, events and bytes.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn Invoke>,
    counts: Mutex<Counts>,
}

impl Counting {
    /// Counts what goes to `inner`.
    pub fn new(inner: Arc<dyn Invoke>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn note<T>(&self, result: Result<T, InvokeError>) -> Result<T, InvokeError> {
        if let Err(error) = &result {
            let mut counts = self.lock();
            counts.failures += 1;
            counts.throttled += u64::from(matches!(error, InvokeError::Throttled { .. }));
        }
        result
    }

    // Counting cannot panic half way, so what a poisoned lock protects is still right.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Invoke for Counting {
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError> {
        {
            let mut counts = self.lock();
            counts.calls += 1;
            counts.bytes_sent += payload.len() as u64;
        }
        let answer = self.note(self.inner.call(function, payload).await)?;
        self.lock().bytes_received += answer.payload.len() as u64;
        Ok(answer)
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        {
            let mut counts = self.lock();
            counts.sends += 1;
            counts.bytes_sent += payload.len() as u64;
        }
        self.note(self.inner.send(function, payload).await)
    }
}
