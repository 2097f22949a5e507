//! The signals that ask the program to end.

use fanfold_flow::code::Code;
use fanfold_runtime::Error;
use tokio::signal::unix::{self, SignalKind};

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`.
    Terminate,
    /// The terminal was closed.
    HangUp,
    /// Ctrl-\\.
    Quit,
}

impl Signal {
    pub(crate) const ALL: [Self; 4] = [Self::HangUp, Self::Interrupt, Self::Quit, Self::Terminate];

    /// The signal's number.
    fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }

    /// 128 and the signal's number, as shells have it.
    pub(crate) fn exit_status(self) -> u8 {
        128 + self.number()
    }

    /// Ends the program by this signal, as if it had no handler: so a shell's loop stops at Ctrl-C. Returns only if the
    /// system refuses.
    pub(crate) fn die(self) {
        die_by(self.number().into());
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HangUp => "SIGHUP",
            Self::Interrupt => "Ctrl-C",
            Self::Quit => "SIGQUIT",
            Self::Terminate => "SIGTERM",
        }
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::HangUp => "The terminal was closed; nothing is left behind, but deployed jobs go on.",
            Self::Interrupt => "Stopped by Ctrl-C; nothing is left behind, but deployed jobs go on.",
            Self::Quit => "Stopped by SIGQUIT (Ctrl-\\); nothing is left behind, but deployed jobs go on.",
            Self::Terminate => "Stopped by SIGTERM; nothing is left behind, but deployed jobs go on.",
        }
    }
}

/// SIGPIPE.
const BROKEN_PIPE: i32 = 13;

/// The status of a program that ended since nobody reads its output.
pub(crate) const BROKEN_PIPE_STATUS: u8 = 128 + 13;

/// Ends the program as one that writes to a pipe that nobody reads. Returns only if the system refuses.
pub(crate) fn die_of_broken_pipe() {
    die_by(BROKEN_PIPE);
}

fn die_by(signal: i32) {
    if let Err(error) = signal_hook::low_level::emulate_default_handler(signal) {
        tracing::debug!(%error, signal, "failed to end by a signal");
    }
}

/// Listens for the signals from the moment it is made, so that none that comes later ends the program unasked.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
    quit: unix::Signal,
}

impl Signals {
    /// # Errors
    /// When the system does not let us listen.
    pub(crate) fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            unix::signal(kind).map_err(|error| Error::caused(Code::Internal, "listen for signals", error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
        })
    }

    /// Waits for the next one.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hang_up.recv() => Signal::HangUp,
            _ = self.quit.recv() => Signal::Quit,
        }
    }
}
