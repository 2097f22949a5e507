//! Whether a job is to stop: nobody tells the workers, so they look.

use std::convert::Infallible;
use std::time::Duration;

use fanfold_flow::keys::JobKeys;
use fanfold_gather::is_cancelled;
use fanfold_runtime::Deps;
use tokio::sync::watch;

/// How long between two looks. A look is a HEAD request: at 450 of them in 15 minutes, some hundredth of what the worker
/// itself costs in that time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks whether the job is cancelled, and tells it once. A look that fails is no sign of that.
///
/// # Cancellation
/// It has no other end; whoever waits may be dropped with it.
pub(crate) async fn look(deps: &Deps, keys: &JobKeys, cancelled: watch::Sender<bool>) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match is_cancelled(deps, keys).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(job = %keys.job_id(), "the job is cancelled: stopping its programs");
                cancelled.send_replace(true);
                std::future::pending::<()>().await;
            }
            Err(error) => {
                tracing::warn!(job = %keys.job_id(), "failed to look whether the job is cancelled: {}", error.chain());
            }
        }
    }
}

/// What looking has shown.
#[derive(Clone, Debug)]
pub(crate) struct Cancelled(pub(crate) watch::Receiver<bool>);

impl Cancelled {
    /// Whether it is, as far as looking has shown.
    pub(crate) fn is_so(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the job is cancelled; without end, if it is not.
    pub(crate) async fn wait(&self) {
        let mut shown = self.0.clone();
        if shown.wait_for(|cancelled| *cancelled).await.is_err() {
            // Nobody looks any more, since the partition is at its end.
            std::future::pending::<()>().await;
        }
    }
}
