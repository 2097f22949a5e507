//! How the program ends: its last words, and its exit status.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use fanfold_flow::code::Code;
use fanfold_runtime::Error;

use crate::signals::{self, Signal};
use crate::stderr::say;
use crate::stdout;

/// What failures look like.
pub(crate) const FAILURE: Style = AnsiColor::Red.on_default().bold();

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something failed, and nobody has said so yet.
    Failed(Error),
    /// The job failed, and the summary has said all about it.
    Reported(Code),
    /// Somebody stopped it, and all that it had begun was removed.
    Signalled {
        signal: Signal,
        /// What is kept, and what helps.
        kept: &'static str,
    },
    /// Nobody reads standard output any more; all that had begun was removed.
    ReaderGone,
    /// Somebody stopped the following of a job that runs elsewhere, and was told how to go on.
    Unwatched(Signal),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// Why a run ends that failed so.
    pub(crate) fn of(error: Error) -> Self {
        if stdout::has_lost_its_reader(&error) { Self::ReaderGone } else { Self::Failed(error) }
    }

    /// Says what is left to say, and gives the exit status.
    pub(crate) fn told(&self) -> ExitCode {
        match self {
            Self::Failed(error) => {
                let advice = if is_said(error) { "" } else { error.code.advice() };
                say!("{FAILURE}error{FAILURE:#} ({}): failed to {}", error.code, error.chain());
                if !advice.is_empty() {
                    say!("  {advice}");
                }
            }
            Self::Reported(_) | Self::Unwatched(_) | Self::ReaderGone => {}
            Self::Signalled { signal, kept } => {
                say!("cancelled by {}: {kept}", signal.name());
            }
        }
        ExitCode::from(self.status())
    }

    /// Says what is left to say, and ends the program: by the signal that stopped it, so that shells know, else with the exit
    /// status.
    pub(crate) fn end(self) -> ExitCode {
        let status = self.told();
        match self {
            Self::Signalled { signal, .. } | Self::Unwatched(signal) => signal.die(),
            Self::ReaderGone => signals::die_of_broken_pipe(),
            Self::Failed(_) | Self::Reported(_) => {}
        }
        status
    }

    fn status(&self) -> u8 {
        match self {
            Self::Failed(error) => error.code.exit_status(),
            Self::Reported(code) => code.exit_status(),
            Self::Signalled { signal, .. } | Self::Unwatched(signal) => signal.exit_status(),
            Self::ReaderGone => signals::BROKEN_PIPE_STATUS,
        }
    }
}

/// Whether the message itself says what to do.
fn is_said(error: &Error) -> bool {
    matches!(error.code, Code::InvalidJob | Code::Stack)
}

/// The table of exit statuses, made from [`Code::ALL`].
pub(crate) fn table() -> String {
    let mut statuses: BTreeMap<u8, Vec<(String, &str)>> = BTreeMap::new();
    let mut add = |status: u8, name: &str, meaning: &'static str| {
        statuses.entry(status).or_default().push((name.to_owned(), meaning));
    };
    add(0, "", "There is an output.");
    add(2, "", "The command line is not right.");
    for code in Code::ALL.iter().filter(|code| **code != Code::Cancelled) {
        add(code.exit_status(), code.as_str(), code.meaning());
    }
    for signal in Signal::ALL {
        add(signal.exit_status(), "", signal.meaning());
    }
    let mut table = "Exit status:\n".to_owned();
    for (status, meanings) in statuses {
        for (position, (name, meaning)) in meanings.into_iter().enumerate() {
            let number = if position == 0 { status.to_string() } else { String::new() };
            // Writing to a string cannot fail.
            let _written = writeln!(table, "  {number:>3}  {name:<20} {meaning}");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_the_table_of_the_help_with_its_status() {
        let help = crate::args::grammar().render_help().to_string();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for code in Code::ALL.iter().filter(|code| **code != Code::Cancelled) {
            assert!(words.contains(&format!("{} {}", code.as_str(), code.meaning())), "{code}\n{help}");
        }
        insta::assert_snapshot!(table());
    }

    #[test]
    fn a_failure_ends_with_the_status_of_its_code() {
        for code in Code::ALL {
            assert_eq!(Stop::Failed(Error::new(*code, "x")).status(), code.exit_status());
            assert_eq!(Stop::Reported(*code).status(), code.exit_status());
        }
        let stopped = Stop::Signalled { signal: Signal::Interrupt, kept: "" };
        assert_eq!(stopped.status(), Code::Cancelled.exit_status());
    }
}
