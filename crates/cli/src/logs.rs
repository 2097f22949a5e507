//! The program's own log, for whoever looks for a fault in it: on standard error, quiet unless `FANFOLD_LOG` says more.

use tracing_subscriber::EnvFilter;

/// What the functions of the embedded Lambda log at least: progress is made from it.
const FUNCTIONS_AT_LEAST: &str = "info";

/// s3s logs each refusal as an error, even the 404 and 412 that are expected.
const NEVER: &str = "s3s=off";

/// Starts logging. A filter that cannot be read counts as `warn`.
pub(crate) fn start() {
    let wanted = wanted().unwrap_or_else(|| "warn".to_owned());
    let filter = EnvFilter::try_new(format!("{wanted},{NEVER}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,{NEVER}")));
    let started = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// The functions' `FANFOLD_LOG`.
pub(crate) fn of_functions() -> String {
    no_less_than_info(wanted().as_deref().unwrap_or_default())
}

/// The filter without those of its parts that would silence what progress is made from.
fn no_less_than_info(filter: &str) -> String {
    let more = filter.split(',').map(str::trim).filter(|part| part.contains('=') || says_more(part));
    [FUNCTIONS_AT_LEAST].into_iter().chain(more).collect::<Vec<_>>().join(",")
}

fn says_more(level: &str) -> bool {
    level.eq_ignore_ascii_case("debug") || level.eq_ignore_ascii_case("trace")
}

/// Whether the user looks for a fault.
pub(crate) fn is_debugging() -> bool {
    wanted().is_some_and(|wanted| wanted.contains("debug") || wanted.contains("trace"))
}

fn wanted() -> Option<String> {
    std::env::var("FANFOLD_LOG").ok().filter(|filter| !filter.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quieter_filter_does_not_silence_what_progress_is_made_from() {
        for (wanted, functions) in [
            ("", "info"),
            ("warn", "info"),
            ("off,fanfold_worker=trace", "info,fanfold_worker=trace"),
            ("debug", "info,debug"),
        ] {
            assert_eq!(no_less_than_info(wanted), functions);
        }
    }
}
