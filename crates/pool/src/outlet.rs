//! Reading what a process writes: standard output and standard error.
//!
//! Owes the run that no pipe starves the others in the same task, that the buffers stay within their bound,
//! and that a pipe which nobody seems to hold any more is not waited for.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::pipe::fcntl_getpipe_size;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use crate::fork::FrameError;
use crate::output::Output;

/// Reads in a row before the other pipes of the same task get their turn. A program that floods one pipe
/// always has more to read, so without a limit its input and its other pipe would wait for ever.
const READS_IN_A_ROW: u32 = 8;

/// So many pipes full are read when patience is over: what is in the pipe then, and its end. Whoever still floods it is not
/// listened to for ever.
const LAST_PIPES: usize = 2;

/// Bytes that are read at once of what is left in a pipe in the end.
const LAST_READ_BYTES: usize = 16 << 10;

/// Whether a pipe that is empty is still worth waiting for.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    ended: AtomicBool,
    over: Notify,
}

impl Patience {
    /// From now on only what is in the pipe is read.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        // Remembered, should nobody be waiting at the moment.
        self.over.notify_one();
    }

    /// Whether patience is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until patience is over. Tells it once.
    pub(crate) async fn is_over(&self) {
        self.over.notified().await;
    }
}

/// The reading end of a pipe that a process writes to.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    receiver: &'a pipe::Receiver,
    patience: &'a Patience,
    /// Once the end of patience was noticed: how much more is read at most.
    last_bytes: Option<usize>,
    reads_in_a_row: u32,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Bytes were added to the buffer.
    Bytes,
    /// All writers have closed the pipe, and everything was read.
    End,
    /// Patience is over, the pipe is empty, and somebody still holds it open.
    Held,
}

impl<'a> Outlet<'a> {
    pub(crate) fn new(receiver: &'a pipe::Receiver, patience: &'a Patience) -> Outlet<'a> {
        Outlet { receiver, patience, last_bytes: None, reads_in_a_row: 0 }
    }

    /// Adds what can be read to `buffer`, as much as fits into its capacity.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<Read> {
        if self.reads_in_a_row == READS_IN_A_ROW {
            self.reads_in_a_row = 0;
            tokio::task::yield_now().await;
        }
        loop {
            if let Some(last_bytes) = self.last_bytes {
                return self.read_what_is_there(buffer, last_bytes);
            }
            match self.receiver.try_read_buf(buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(_) => {
                    self.reads_in_a_row += 1;
                    return Ok(Read::Bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.reads_in_a_row = 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            tokio::select! {
                ready = self.receiver.readable() => ready?,
                () = self.patience.is_over() => {
                    self.last_bytes = Some(fcntl_getpipe_size(self.receiver)? * LAST_PIPES);
                }
            }
        }
    }

    /// Asks the system itself: the runtime may not have heard yet of what was written in the last moment.
    fn read_what_is_there(&mut self, buffer: &mut BytesMut, last_bytes: usize) -> io::Result<Read> {
        if last_bytes == 0 {
            return Ok(Read::Held);
        }
        let before = buffer.len();
        buffer.resize(before + LAST_READ_BYTES, 0);
        let read = rustix::io::retry_on_intr(|| rustix::io::read(self.receiver, &mut buffer[before..]));
        buffer.truncate(before + read.unwrap_or(0));
        self.last_bytes = Some(last_bytes.saturating_sub(read.unwrap_or(0)));
        match read {
            Ok(0) => Ok(Read::End),
            Ok(_) => Ok(Read::Bytes),
            Err(Errno::AGAIN) => Ok(Read::Held),
            Err(error) => Err(error.into()),
        }
    }
}

/// How draining went wrong.
#[derive(Debug)]
pub(crate) enum DrainError<O> {
    /// The consumer refused a piece.
    Output(O),
    /// The pipe failed.
    Pipe(io::Error),
    /// The pipe was held open beyond all patience.
    Held,
    /// A forked process wrote what is no frame.
    Frame(FrameError),
}

/// Hands everything that the process writes to `output`, in pieces of at most `piece_bytes`, and counts in
/// `taken_bytes` what was taken.
pub(crate) async fn drain<O: Output>(
    mut outlet: Outlet<'_>,
    output: &mut O,
    piece_bytes: usize,
    taken_bytes: &AtomicU64,
) -> Result<(), DrainError<O::Error>> {
    let mut buffer = BytesMut::new();
    loop {
        // What is left of the allocation serves small pieces; the whole of it comes back once all of them are dropped.
        if buffer.capacity() < piece_bytes.div_ceil(4) {
            buffer.reserve(piece_bytes);
        }
        match outlet.read(&mut buffer).await.map_err(DrainError::Pipe)? {
            Read::Bytes => {}
            Read::End => return Ok(()),
            Read::Held => return Err(DrainError::Held),
        }
        let piece = buffer.split().freeze();
        let piece_length = piece.len() as u64;
        output.write(piece).await.map_err(DrainError::Output)?;
        taken_bytes.fetch_add(piece_length, Ordering::Relaxed);
    }
}
