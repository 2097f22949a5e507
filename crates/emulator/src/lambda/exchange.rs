//! The state machine between an environment's runtime, which comes by HTTP, and the invocation that it serves.
//!
//! ```text
//! Initialising --next--> Idle --assign--> Running --response|error--> Answered --next--> Idle
//!      any state --the process ended, or was given up--> Ended
//! ```
//!
//! What it owes its neighbours: an event is answered at most once, by the runtime that has it, under its own request id;
//! and a wait ends, at the latest when the process does.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::{oneshot, watch};

/// What a runtime is given by `/next`.
#[derive(Debug)]
pub(super) struct Event {
    /// The request id, the same over all tries of an asynchronous event.
    pub(super) request_id: Arc<str>,
    /// One delivery of it. Newer runtimes echo it, so that an answer to an earlier delivery can be told.
    pub(super) invocation_id: String,
    pub(super) payload: Bytes,
    /// The ARN as the caller wrote it, qualifier included.
    pub(super) function_arn: String,
    pub(super) trace_id: HeaderValue,
    pub(super) client_context: Option<HeaderValue>,
    pub(super) deadline: SystemTime,
}

/// What a runtime says to an event.
#[derive(Debug)]
pub(super) enum Reply {
    /// The function's result.
    Response(Bytes),
    /// The function's own error document, verbatim.
    Error(Bytes),
    /// A result of `size` bytes, more than Lambda carries.
    TooLarge { size: u64 },
}

/// Why an environment will never serve again.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// The bootstrap ended by itself or by a signal.
    Exited(ExitStatus),
    /// The runtime reported at `/runtime/init/error`; the document is verbatim.
    InitFailed(Bytes),
    /// Killed by the emulator: a timeout, or idle for too long.
    Killed,
    /// The emulator stops.
    Stopped,
}

/// A call that does not fit the state, in the words of the Runtime API's error documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misuse {
    /// 400: no event with this id is being served.
    InvalidRequestId,
    /// 403: the event was answered already, or INIT is over.
    InvalidStateTransition,
    /// 410: the answer belongs to an earlier delivery.
    Gone,
}

/// The states, for those who look from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Started; the runtime has not asked for its first event.
    Initialising,
    /// Waiting for an event.
    Idle,
    /// Serving one.
    Running,
    /// It has answered, and has not asked for the next event yet.
    Answered,
    /// Ended, or about to.
    Ended,
}

#[derive(Debug)]
enum State {
    Initialising,
    Idle,
    Running { event: Arc<Event>, reply: oneshot::Sender<Reply> },
    Answered { request_id: Arc<str> },
    Ended(Ending),
}

/// One environment's state.
#[derive(Debug)]
pub(super) struct Exchange {
    state: watch::Sender<State>,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self { state: watch::Sender::new(State::Initialising) }
    }

    pub(super) fn phase(&self) -> Phase {
        match &*self.state.borrow() {
            State::Initialising => Phase::Initialising,
            State::Idle => Phase::Idle,
            State::Running { .. } => Phase::Running,
            State::Answered { .. } => Phase::Answered,
            State::Ended(_) => Phase::Ended,
        }
    }

    /// The runtime asks for its next event: waits for one. An event that it has and has not answered is given again.
    pub(super) async fn next(&self) -> Arc<Event> {
        self.state.send_if_modified(|state| match state {
            State::Initialising | State::Answered { .. } => {
                *state = State::Idle;
                true
            }
            State::Idle | State::Running { .. } | State::Ended(_) => false,
        });
        let mut changes = self.state.subscribe();
        loop {
            if let State::Running { event, .. } = &*changes.borrow_and_update() {
                return Arc::clone(event);
            }
            // `self` holds the sender, so this cannot fail. An ended environment waits here until it is gone.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The runtime answers the event `request_id`.
    pub(super) fn answer(
        &self,
        request_id: &str,
        invocation_id: Option<&str>,
        reply: Reply,
    ) -> Result<(), Misuse> {
        let mut result = Err(Misuse::InvalidRequestId);
        self.state.send_if_modified(|state| match state {
            State::Running { event, .. } if &*event.request_id == request_id => {
                if invocation_id.is_some_and(|given| given != event.invocation_id) {
                    result = Err(Misuse::Gone);
                    return false;
                }
                let answered = State::Answered { request_id: Arc::clone(&event.request_id) };
                if let State::Running { reply: waiting, .. } = std::mem::replace(state, answered)
                    && waiting.send(reply).is_err()
                {
                    tracing::debug!(request_id, "an answer came when nobody waited for it any more");
                }
                result = Ok(());
                true
            }
            State::Answered { request_id: answered } if &**answered == request_id => {
                result = Err(Misuse::InvalidStateTransition);
                false
            }
            _ => false,
        });
        result
    }

    /// The runtime reports that it cannot start.
    pub(super) fn init_error(&self, document: Bytes) -> Result<(), Misuse> {
        let accepted = self.state.send_if_modified(|state| match state {
            State::Initialising => {
                *state = State::Ended(Ending::InitFailed(document));
                true
            }
            _ => false,
        });
        if accepted { Ok(()) } else { Err(Misuse::InvalidStateTransition) }
    }

    /// Gives an idle environment an event; nothing, if it is not idle. The receiver fails when the environment ends
    /// before it answers.
    pub(super) fn assign(&self, event: Event) -> Option<oneshot::Receiver<Reply>> {
        let (reply, received) = oneshot::channel();
        let assigned = self.state.send_if_modified(|state| {
            let idle = matches!(state, State::Idle);
            if idle {
                *state = State::Running { event: Arc::new(event), reply };
            }
            idle
        });
        assigned.then_some(received)
    }

    /// No event will be served any more. The first reason stays.
    pub(super) fn end(&self, ending: Ending) {
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Ended(_));
            if first {
                *state = State::Ended(ending);
            }
            first
        });
    }

    /// Waits until the environment takes events, or never will.
    pub(super) async fn settled(&self) -> Result<(), Ending> {
        let mut changes = self.state.subscribe();
        loop {
            match &*changes.borrow_and_update() {
                State::Idle => return Ok(()),
                State::Ended(ending) => return Err(ending.clone()),
                State::Initialising | State::Running { .. } | State::Answered { .. } => {}
            }
            if changes.changed().await.is_err() {
                return Err(Ending::Killed);
            }
        }
    }

    /// Waits for the end and tells its reason.
    pub(super) async fn ended(&self) -> Ending {
        let mut changes = self.state.subscribe();
        loop {
            if let State::Ended(ending) = &*changes.borrow_and_update() {
                return ending.clone();
            }
            if changes.changed().await.is_err() {
                return Ending::Killed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn event(request_id: &str) -> Event {
        Event {
            request_id: request_id.into(),
            invocation_id: format!("delivery of {request_id}"),
            payload: Bytes::from_static(b"{}"),
            function_arn: "arn".into(),
            trace_id: HeaderValue::from_static("Root=1"),
            client_context: None,
            deadline: SystemTime::UNIX_EPOCH,
        }
    }

    fn response() -> Reply {
        Reply::Response(Bytes::from_static(b"1"))
    }

    fn idle() -> Exchange {
        let exchange = Exchange::new();
        assert!(exchange.next().now_or_never().is_none());
        exchange
    }

    #[test]
    fn the_first_next_ends_init_and_waits() {
        let exchange = Exchange::new();
        assert_eq!(exchange.phase(), Phase::Initialising);
        assert!(exchange.settled().now_or_never().is_none());
        assert!(exchange.next().now_or_never().is_none());
        assert_eq!(exchange.phase(), Phase::Idle);
        assert!(matches!(exchange.settled().now_or_never(), Some(Ok(()))));
    }

    #[test]
    fn next_without_an_answer_gives_the_same_event_again() {
        let exchange = idle();
        let _reply = exchange.assign(event("a")).unwrap();
        let first = exchange.next().now_or_never().unwrap();
        let second = exchange.next().now_or_never().unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn an_event_is_answered_once_and_under_its_own_id() {
        let exchange = idle();
        assert_eq!(exchange.answer("a", None, response()), Err(Misuse::InvalidRequestId));
        let mut reply = exchange.assign(event("a")).unwrap();
        assert_eq!(exchange.answer("b", None, response()), Err(Misuse::InvalidRequestId));
        assert_eq!(exchange.answer("a", Some("another delivery"), response()), Err(Misuse::Gone));
        assert!(reply.try_recv().is_err());
        assert_eq!(exchange.answer("a", Some("delivery of a"), response()), Ok(()));
        assert!(matches!(reply.try_recv(), Ok(Reply::Response(_))));
        assert_eq!(exchange.answer("a", None, response()), Err(Misuse::InvalidStateTransition));
        assert!(exchange.next().now_or_never().is_none());
        assert_eq!(
            exchange.answer("a", None, response()),
            Err(Misuse::InvalidRequestId),
            "it is an old id now"
        );
    }

    #[test]
    fn only_an_idle_environment_takes_an_event() {
        let exchange = Exchange::new();
        assert!(exchange.assign(event("a")).is_none(), "initialising");
        assert!(exchange.next().now_or_never().is_none());
        let _reply = exchange.assign(event("a")).unwrap();
        assert!(exchange.assign(event("b")).is_none(), "running");
        exchange.answer("a", None, response()).unwrap();
        assert!(exchange.assign(event("b")).is_none(), "answered, and not asked for more");
    }

    #[test]
    fn an_end_wakes_whoever_waits_and_keeps_its_first_reason() {
        let exchange = idle();
        let mut reply = exchange.assign(event("a")).unwrap();
        exchange.end(Ending::Stopped);
        exchange.end(Ending::Killed);
        assert!(matches!(reply.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert!(matches!(exchange.ended().now_or_never(), Some(Ending::Stopped)));
        assert!(matches!(exchange.settled().now_or_never(), Some(Err(Ending::Stopped))));
        assert!(exchange.next().now_or_never().is_none(), "an ended runtime is kept waiting, not answered");
    }

    #[test]
    fn an_init_error_is_only_heard_during_init() {
        let exchange = Exchange::new();
        exchange.init_error(Bytes::from_static(b"why")).unwrap();
        assert!(matches!(exchange.ended().now_or_never(), Some(Ending::InitFailed(why)) if why == "why"));
        assert_eq!(idle().init_error(Bytes::new()), Err(Misuse::InvalidStateTransition));
    }
}
