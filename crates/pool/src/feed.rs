//! Feeding standard input.
//!
//! Owes the program the end of its input as soon as the input has ended, and the input's source that it is
//! not asked for more than the program wants to read. Where the input may end early, that is by the [`Pace`]; else the
//! pipe is kept full.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Buf;
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::input::Input;
use crate::pace::{self, Pace};

/// Pieces put into the pipe in a row before the other pipes of the same task, and other tasks, get their turn. As many as are
/// read in a row: else whoever gives small pieces would get less done in a turn than those that flood their output.
const PIECES_IN_A_ROW: u32 = 8;

/// Pieces that were put into a pipe in a row. An input that is always ready must not keep the output waiting.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pieces: u32,
}

impl Row {
    /// Counts one more, and gives others their turn where it is theirs.
    pub(crate) async fn another(&mut self) {
        self.pieces += 1;
        if self.pieces == PIECES_IN_A_ROW {
            self.pieces = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// How feeding ended, where nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// The input ended, and all of it is in the pipe, which is closed.
    All,
    /// The program closed its end first; or, of a call, told its outcome first.
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
    let mut row = Row::default();
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
        row.another().await;
    }
}

/// Waits until the program has read so much that it should be given more. The system tells when a pipe is no longer full, but
/// not when little is left in it, so this looks again and again.
pub(crate) async fn room(pace: &mut Pace, stdin: &pipe::Sender) -> io::Result<usize> {
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
pub(crate) enum Put {
    /// All of it is in.
    All,
    /// The program closed its end first.
    ReaderGone,
}

/// Puts all of `piece` into the pipe, and counts in `fed_bytes` what is in.
pub(crate) async fn put(mut piece: impl Buf, stdin: &pipe::Sender, fed_bytes: &AtomicU64) -> io::Result<Put> {
    while piece.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 2];
        let filled = piece.chunks_vectored(&mut slices);
        match stdin.try_write_vectored(&slices[..filled]) {
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
