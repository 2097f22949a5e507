//! Waiting for a job's end, for a caller that wants its report.

use std::time::Duration;

use fanfold_flow::keys::JobKeys;
use fanfold_flow::report::Report;
use fanfold_runtime::{Budget, Deps, Error};
use fanfold_store::{ErrorKind, StoreExt};
use tokio::time::{Instant, sleep};

/// What is kept of an invocation's time for its answer.
const MARGIN: Duration = Duration::from_secs(2);

/// The first pause between two looks; each further one is half as long again, up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The report of a job, if it ends within `wait`, or before this invocation must.
///
/// # Errors
/// When the store fails.
pub(crate) async fn for_report(
    deps: &Deps,
    keys: &JobKeys,
    wait: Duration,
    budget: Budget,
) -> Result<Option<Report>, Error> {
    let wait = wait.min(budget.remaining(deps.world.as_ref()).saturating_sub(MARGIN));
    let until = Instant::now() + wait;
    let mut pause = PAUSE_MIN;
    loop {
        match deps.store.get_json(&keys.result()).await {
            Ok(report) => return Ok(Some(report)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}
