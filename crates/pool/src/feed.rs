//! Feeding standard input.
//!
//! Owes the program the end of its input as soon as the input has ended, and the input's source that it is
//! not asked for more than the program wants to read.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Buf;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::input::Input;
use crate::spawn::PIPE_BYTES;

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
    loop {
        let piece = tokio::select! {
            piece = input.next(PIPE_BYTES) => piece,
            // Seen at once, and not at the next write only: that may be a long download away.
            gone = stdin.ready(Interest::ERROR) => {
                gone.map_err(FeedFailure::Pipe)?;
                return Ok(Fed::ReaderGone);
            }
        };
        let Some(piece) = piece else { return Ok(Fed::All) };
        let mut piece = piece.map_err(FeedFailure::Input)?;
        while piece.has_remaining() {
            match stdin.try_write(&piece) {
                Ok(written) => {
                    piece.advance(written);
                    fed_bytes.fetch_add(written as u64, Ordering::Relaxed);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => stdin.writable().await.map_err(FeedFailure::Pipe)?,
                    io::ErrorKind::BrokenPipe => return Ok(Fed::ReaderGone),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(FeedFailure::Pipe(error)),
                },
            }
        }
        // An input that is always ready must not keep the output waiting.
        tokio::task::yield_now().await;
    }
}
