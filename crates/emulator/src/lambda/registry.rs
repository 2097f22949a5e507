//! The environments there are, and who may use them: each is claimed by one invocation, or idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::exchange::Ending;

/// All environments, in the order in which they were last released or added.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: Mutex<Vec<Entry>>,
    released: Notify,
}

#[derive(Debug)]
struct Entry {
    environment: Arc<Environment>,
    /// Since when nobody uses it; nothing while an invocation has claimed it.
    idle_since: Option<Instant>,
}

impl Registry {
    /// Adds an environment that the caller is going to use.
    pub(super) fn add_claimed(&self, environment: Arc<Environment>) {
        self.entries().push(Entry { environment, idle_since: None });
    }

    /// Claims the idle environment of `function` that was released last.
    pub(super) fn claim(&self, function: &str) -> Option<Arc<Environment>> {
        let mut entries = self.entries();
        let entry = entries.iter_mut().rev().find(|entry| {
            entry.idle_since.is_some()
                && entry.environment.function.name == function
                && entry.environment.is_usable()
        })?;
        entry.idle_since = None;
        Some(Arc::clone(&entry.environment))
    }

    /// Gives a claimed environment back. One that has ended meanwhile is gone already, and stays gone.
    pub(super) fn release(&self, environment: &Environment) {
        let mut entries = self.entries();
        if let Some(position) = entries.iter().position(|entry| entry.environment.id == environment.id) {
            let mut entry = entries.remove(position);
            entry.idle_since = Some(Instant::now());
            entries.push(entry);
            self.released.notify_one();
        }
    }

    /// Forgets an environment that has ended.
    pub(super) fn remove(&self, id: &str) {
        self.entries().retain(|entry| entry.environment.id != id);
    }

    /// Every environment there is.
    pub(super) fn all(&self) -> Vec<Arc<Environment>> {
        self.entries().iter().map(|entry| Arc::clone(&entry.environment)).collect()
    }

    /// Claims the environment that has been idle longest, if there are `limit` environments or more.
    pub(super) fn claim_to_make_room(&self, limit: usize) -> Option<Arc<Environment>> {
        let mut entries = self.entries();
        if entries.len() < limit {
            return None;
        }
        let entry = entries.iter_mut().find(|entry| entry.idle_since.is_some())?;
        entry.idle_since = None;
        Some(Arc::clone(&entry.environment))
    }

    fn claim_expired(&self, lifetime: Duration) -> Vec<Arc<Environment>> {
        let mut expired = Vec::new();
        for entry in self.entries().iter_mut() {
            if entry.idle_since.is_some_and(|since| since.elapsed() >= lifetime) {
                entry.idle_since = None;
                expired.push(Arc::clone(&entry.environment));
            }
        }
        expired
    }

    fn longest_idle_since(&self) -> Option<Instant> {
        self.entries().iter().filter_map(|entry| entry.idle_since).min()
    }

    /// Ends environments that have been idle for `lifetime`, until `stop`.
    pub(super) async fn reclaim_idle(&self, lifetime: Duration, stop: CancellationToken) {
        loop {
            let wait = async {
                match self.longest_idle_since() {
                    Some(since) => tokio::time::sleep_until(since + lifetime).await,
                    None => self.released.notified().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wait => {}
            }
            let retiring = self.claim_expired(lifetime);
            futures::future::join_all(retiring.iter().map(|environment| environment.retire(Ending::Killed)))
                .await;
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
