//! Feeding standard input.
//!
//! Owes the program the end of its input as soon as the input has ended, and the input's source that it is
//! not asked for more than the program wants to read. Where the input may end early, that is by the [`Pace`]; else the
//! pipe is kept full.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::{Buf, Bytes};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::input::Input;
use crate::pace::{self, Pace};

/// How feeding ended, where nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// The input ended, and all of it is in the pipe, which is closed.
    All,
    /// The program closed its end first.
    ReaderGone,
}

/// Feeding that went wrong.
#[derive(Debug)]
pub(crate) struct FeedError<I> {
    pub(crate) cause: FeedFailure<I>,
    /// The pipe, still open: were it closed before the program is killed, the program would take the part of
    /// the input that it got for the whole of it, and finish.
    pub(crate) stdin: pipe::Sender,
}

/// Why feeding went wrong.
#[derive(Debug)]
pub(crate) enum FeedFailure<I> {
    /// The input gave an error.
    Input(I),
    /// The pipe failed.
    Pipe(io::Error),
}

/// Writes `input` to the pipe and closes it, counting in `fed_bytes`. The input is asked for the next piece
/// only when the one before is in the pipe.
pub(crate) async fn feed<I: Input>(
    input: &mut I,
    stdin: pipe::Sender,
    fed_bytes: &AtomicU64,
) -> Result<Fed, FeedError<I::Error>> {
    let fed = write_all(input, &stdin, fed_bytes).await;
    fed.map_err(|cause| FeedError { cause, stdin })
}

async fn write_all<I: Input>(
    input: &mut I,
    stdin: &pipe::Sender,
    fed_bytes: &AtomicU64,
) -> Result<Fed, FeedFailure<I::Error>> {
    let pipe_bytes = fcntl_getpipe_size(stdin).map_err(|error| FeedFailure::Pipe(error.into()))?;
    let mut pace = input.may_end_early().then(|| Pace::new(pipe_bytes));
    loop {
        let asking = async {
            let room_bytes = match &mut pace {
                Some(pace) => room(pace, stdin).await.map_err(FeedFailure::Pipe)?,
                None => pipe_bytes,
            };
            input.next(room_bytes).await.transpose().map_err(FeedFailure::Input)
        };
        let piece = tokio::select! {
            piece = asking => piece?,
            // Seen at once, and not at the next write only: that may be a long download away.
            gone = stdin.ready(Interest::ERROR) => {
                gone.map_err(FeedFailure::Pipe)?;
                return Ok(Fed::ReaderGone);
            }
        };
        let Some(piece) = piece else { return Ok(Fed::All) };
        let piece_bytes = piece.len();
        if put(piece, stdin, fed_bytes).await.map_err(FeedFailure::Pipe)? == Put::ReaderGone {
            return Ok(Fed::ReaderGone);
        }
        if let Some(pace) = &mut pace {
            pace.gave(piece_bytes);
        }
        // An input that is always ready must not keep the output waiting.
        tokio::task::yield_now().await;
    }
}

/// Waits until the program has read so much that it should be given more. The system tells when a pipe is no longer full, but
/// not when little is left in it, so this looks again and again.
async fn room(pace: &mut Pace, stdin: &pipe::Sender) -> io::Result<usize> {
    let began = Instant::now();
    loop {
        let unread_bytes = ioctl_fionread(stdin)?;
        let now = Instant::now();
        if let Some(room_bytes) = pace.look(now, unread_bytes) {
            return Ok(room_bytes);
        }
        match pace::pause(now - began) {
            None => tokio::task::yield_now().await,
            Some(pause) => tokio::time::sleep(pause).await,
        }
    }
}

/// How putting a piece into the pipe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    /// All of it is in.
    All,
    /// The program closed its end first.
    ReaderGone,
}

async fn put(mut piece: Bytes, stdin: &pipe::Sender, fed_bytes: &AtomicU64) -> io::Result<Put> {
    while piece.has_remaining() {
        match stdin.try_write(&piece) {
            Ok(written) => {
                piece.advance(written);
                fed_bytes.fetch_add(written as u64, Ordering::Relaxed);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => stdin.writable().await?,
                io::ErrorKind::BrokenPipe => return Ok(Put::ReaderGone),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(Put::All)
}
