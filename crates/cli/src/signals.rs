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
}

impl Signal {
    pub(crate) const ALL: [Self; 3] = [Self::HangUp, Self::Interrupt, Self::Terminate];

    /// 128 and the signal's number, as shells have it.
    pub(crate) fn exit_status(self) -> u8 {
        128 + match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HangUp => "SIGHUP",
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
        }
    }

    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::HangUp => "The terminal was closed; nothing is left behind, but deployed jobs go on.",
            Self::Interrupt => "Stopped by Ctrl-C; nothing is left behind, but deployed jobs go on.",
            Self::Terminate => "Stopped by SIGTERM; nothing is left behind, but deployed jobs go on.",
        }
    }
}

/// Listens for the signals from the moment it is made, so that none that comes later ends the program unasked.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
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
        }
    }
}
