//! Logs: a JSON object a line on standard output, which Lambda takes as it is.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging for this process. `level` is a tracing filter such as `info` or `fanfold_worker=debug`; one that cannot
/// be read counts as `info`. A second call changes nothing.
pub(crate) fn start(level: Option<String>) {
    let filter =
        level.and_then(|level| EnvFilter::try_new(level).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_span_events(FmtSpan::NONE)
        .with_env_filter(filter)
        .with_ansi(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
