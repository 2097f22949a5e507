//! One call, from the choice of a process until its outcome is known and the process rests or is gone.
//!
//! As a run of a command does, it serves all pipes at once in the task of the caller; but what ends it is a frame, and not the
//! end of the process, which may take another call.

use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures::future::FusedFuture;
use futures::{FutureExt, TryFutureExt};

use crate::admission::Watched;
use crate::error::{RunError, StandardStream};
use crate::feed::Fed;
use crate::fork::ForkedTask;
use crate::fork::feed::feed_call;
use crate::fork::forked::{Hold, Process};
use crate::fork::frame::{Decoder, FAILED, Outcome, Written};
use crate::input::Input;
use crate::log::{self, Log};
use crate::outlet::{DrainError, Outlet, Patience, Read};
use crate::output::Output;
use crate::processes::Processes;
use crate::run::{Ended, Exit, InputEnd, drain_error, feed_error, pipe_error};

/// Calls the task.
pub(crate) async fn call<I, O, L>(
    processes: &Processes,
    task: &ForkedTask,
    message: &[u8],
    input: &mut I,
    output: &mut O,
    log: &mut L,
) -> Result<Ended, RunError<I::Error, O::Error>>
where
    I: Input,
    O: Output,
    L: Log,
{
    let began = Instant::now();
    let mut process = task.process(processes).await?;
    let begin = process.begin(message)?;
    let (pid, before, grace) = (process.hold.pid(), process.before, processes.grace);
    let (fed_bytes, taken_bytes, logged_bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (input_patience, output_patience, log_patience) =
        (Patience::default(), Patience::default(), Patience::default());
    let (outcome, fed, end, is_gone, memory_exceeded) = {
        let Process {
            hold, watched, stdin, stdin_bytes, stdout, stderr, unread, decoder, calls_left, ..
        } = &mut process;
        let draining = drain(
            Outlet::new(stdout, &output_patience),
            Taken { unread, decoder, piece_bytes: processes.piece_bytes, taken_bytes: &taken_bytes },
            output,
        );
        let draining = draining.map_err(|error| drain_error(error, pid, grace));
        let logging = log::drain(Outlet::new(stderr, &log_patience), log, &logged_bytes)
            .map_err(|error| pipe_error(StandardStream::Error, pid, error));
        let feeding = feed_call(input, begin, (stdin, *stdin_bytes), &input_patience, &fed_bytes)
            .map_err(|error| feed_error(error, pid));
        let (mut feeding, draining, mut logging) =
            (pin!(feeding.fuse()), pin!(draining.fuse()), pin!(logging.fuse()));
        let mut over = Over { hold, watched, fed: None, end: None, is_gone: false, memory_exceeded: None };
        let outcome = over.told(feeding.as_mut(), draining, logging.as_mut(), &output_patience).await?;
        input_patience.end();
        let goes_on = *calls_left > 0 && over.is_well(outcome.as_ref());
        over.settle(feeding.as_mut(), logging.as_mut(), goes_on, grace).await?;
        log_patience.end();
        if !logging.is_terminated() {
            logging.await?;
        }
        (outcome, over.fed, over.end, over.is_gone, over.memory_exceeded)
    };
    let (exit, words) = exit_of(outcome, end, process.hold.has_lost_its_server());
    // It may have told the outcome a moment before.
    let memory_exceeded = memory_exceeded.filter(|_| !exit.success());
    let out_of_memory = memory_exceeded.is_none() && processes.ran_out_of_memory(exit, before);
    if !is_gone {
        task.rest(process);
    }
    let bytes_in = fed_bytes.into_inner();
    Ok(Ended {
        pid,
        exit,
        words,
        out_of_memory,
        memory_exceeded,
        input: match fed {
            Some(Fed::All) => InputEnd::AllFed,
            Some(Fed::ReaderGone) | None => InputEnd::StoppedReading { fed_bytes: bytes_in },
        },
        bytes_in,
        bytes_out: taken_bytes.into_inner(),
        bytes_err: logged_bytes.into_inner(),
        wall: began.elapsed(),
        leftovers: Vec::new(),
    })
}

/// What a call comes to, and in whose words. A process that ends within a call has not done it, whatever it ends with.
fn exit_of(
    outcome: Option<Outcome>,
    end: Option<ExitStatus>,
    has_lost_its_server: bool,
) -> (Exit, Option<String>) {
    match (outcome, end.map(Exit::from)) {
        (Some(told), _) => {
            let exit = Exit::Code(told.exit_code());
            let words = match told {
                Outcome::Done => None,
                Outcome::Failed(words) => Some(format!("failed: {words}")),
                Outcome::Panicked(words) => Some(format!("panicked: {words}")),
            };
            (exit, words)
        }
        (None, Some(exit @ Exit::Signal(_))) => {
            let words = "was killed, since its fork server had ended, which is most often for lack of memory";
            (exit, has_lost_its_server.then(|| words.to_owned()))
        }
        (None, Some(Exit::Code(code))) => {
            let words = format!("ended its process, with exit code {code}, before the call was over");
            (Exit::Code(if code == 0 { FAILED } else { code }), Some(words))
        }
        // Not reached: what told nothing has ended.
        (None, None) => (Exit::Code(FAILED), None),
    }
}

/// A call that comes to its end.
struct Over<'a> {
    hold: &'a mut Hold,
    watched: &'a Watched,
    /// How its input ended.
    fed: Option<Fed>,
    /// How its process ended, if it did.
    end: Option<ExitStatus>,
    /// Whether its process has ended, or was killed.
    is_gone: bool,
    /// How much memory it took where that was too much, for which it was killed.
    memory_exceeded: Option<u64>,
}

impl Over<'_> {
    /// Serves all pipes until the outcome is told, or cannot be told any more.
    async fn told<I, O>(
        &mut self,
        mut feeding: Pin<&mut impl FusedFuture<Output = Result<Fed, RunError<I, O>>>>,
        mut draining: Pin<&mut impl FusedFuture<Output = Result<Option<Outcome>, RunError<I, O>>>>,
        mut logging: Pin<&mut impl FusedFuture<Output = Result<(), RunError<I, O>>>>,
        output_patience: &Patience,
    ) -> Result<Option<Outcome>, RunError<I, O>> {
        while !(self.is_gone && draining.is_terminated()) {
            tokio::select! {
                outcome = &mut draining, if !draining.is_terminated() => {
                    if let Some(outcome) = outcome? {
                        return Ok(Some(outcome));
                    }
                }
                status = self.hold.wait(), if !self.is_gone => {
                    self.ended(status);
                    // All that it has written is in the pipe.
                    output_patience.end();
                }
                taken_bytes = self.watched.over_limit(), if self.memory_exceeded.is_none() => {
                    self.memory_exceeded = Some(taken_bytes);
                    self.hold.put_down();
                }
                fed = &mut feeding, if !feeding.is_terminated() => self.fed = Some(fed?),
                logged = &mut logging, if !logging.is_terminated() => logged?,
            }
        }
        Ok(None)
    }

    /// Waits until the process can take the next call, or is gone.
    async fn settle<I, O>(
        &mut self,
        mut feeding: Pin<&mut impl FusedFuture<Output = Result<Fed, RunError<I, O>>>>,
        mut logging: Pin<&mut impl FusedFuture<Output = Result<(), RunError<I, O>>>>,
        goes_on: bool,
        grace: Duration,
    ) -> Result<(), RunError<I, O>> {
        let mut grace = pin!(tokio::time::sleep(grace));
        while !(self.is_gone || goes_on && self.fed.is_some()) {
            tokio::select! {
                status = self.hold.wait() => self.ended(status),
                fed = &mut feeding, if !feeding.is_terminated() => self.fed = Some(fed?),
                logged = &mut logging, if !logging.is_terminated() => logged?,
                () = &mut grace => {
                    tracing::warn!(pid = self.hold.pid(), "killed a process that did not end after its last call");
                    self.hold.put_down();
                    self.is_gone = true;
                }
            }
        }
        Ok(())
    }

    /// Whether the process may take another call, after this outcome.
    fn is_well(&self, outcome: Option<&Outcome>) -> bool {
        outcome == Some(&Outcome::Done) && self.memory_exceeded.is_none()
    }

    fn ended(&mut self, status: ExitStatus) {
        self.end = Some(status);
        self.is_gone = true;
    }
}

/// What is kept of a process's output from one call to the next, and the bounds of reading it.
struct Taken<'a> {
    unread: &'a mut BytesMut,
    decoder: &'a mut Decoder,
    piece_bytes: usize,
    taken_bytes: &'a AtomicU64,
}

/// Hands the call's result to `output`, and gives its outcome; none if the pipe ended before.
async fn drain<O: Output>(
    mut outlet: Outlet<'_>,
    taken: Taken<'_>,
    output: &mut O,
) -> Result<Option<Outcome>, DrainError<O::Error>> {
    let Taken { unread, decoder, piece_bytes, taken_bytes } = taken;
    loop {
        while let Some(written) = decoder.next(unread).map_err(DrainError::Frame)? {
            match written {
                Written::Done(outcome) => return Ok(Some(outcome)),
                Written::Data(piece) => {
                    let piece_length = piece.len() as u64;
                    output.write(piece).await.map_err(DrainError::Output)?;
                    taken_bytes.fetch_add(piece_length, Ordering::Relaxed);
                }
            }
        }
        // As where a command's output is drained.
        if unread.capacity() - unread.len() < piece_bytes.div_ceil(4) {
            unread.reserve(piece_bytes);
        }
        match outlet.read(unread).await.map_err(DrainError::Pipe)? {
            Read::Bytes => {}
            Read::End | Read::Held => return Ok(None),
        }
    }
}
