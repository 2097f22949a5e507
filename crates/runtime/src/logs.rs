//! Logs: a JSON object a line on standard output, which Lambda takes as it is.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::variables::Variables;

/// The filter that the environment asks for.
pub(crate) fn read_level(variables: &mut Variables<'_>) -> Option<String> {
    let ours = variables.optional("FANFOLD_LOG", "what is logged, such as info or fanfold_worker=debug");
    let of_lambda =
        variables.optional("AWS_LAMBDA_LOG_LEVEL", "what is logged where FANFOLD_LOG does not say");
    ours.or(of_lambda)
}

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
