//! Feeding a call: its message, its input, and the end of it, in frames.
//!
//! Owes the process whole frames, whenever the feeding is to stop, and few writes: small frames go together, unless what comes
//! next is not there yet.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::{Buf, Bytes};
use futures::poll;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::feed::{Fed, FeedFailure, Put, Row, put, room};
use crate::fork::frame::{Header, Kind};
use crate::input::Input;
use crate::outlet::Patience;
use crate::pace::Pace;

/// Writes into a pipe of this size what `begin` has, the input, and its end. Ends the input where it is when patience is over, which is when the
/// process has told the outcome.
pub(crate) async fn feed_call<I: Input>(
    input: &mut I,
    begin: Vec<u8>,
    (stdin, pipe_bytes): (&pipe::Sender, usize),
    patience: &Patience,
    fed_bytes: &AtomicU64,
) -> Result<Fed, FeedFailure<I::Error>> {
    let mut pace = input.may_end_early().then(|| Pace::new(pipe_bytes));
    let mut feeder = Feeder { stdin, gathered: begin };
    let mut is_all = false;
    let mut row = Row::default();
    // Looked at each time: an input that is always ready is never waited for.
    while !patience.has_ended() {
        let room_bytes = match &mut pace {
            None => pipe_bytes,
            Some(pace) => {
                if feeder.put_gathered().await.map_err(FeedFailure::Pipe)? == Put::ReaderGone {
                    return Ok(Fed::ReaderGone);
                }
                tokio::select! {
                    room_bytes = room(pace, stdin) => room_bytes.map_err(FeedFailure::Pipe)?,
                    () = patience.is_over() => break,
                    gone = stdin.ready(Interest::ERROR) => {
                        gone.map_err(FeedFailure::Pipe)?;
                        return Ok(Fed::ReaderGone);
                    }
                }
            }
        };
        let mut next = pin!(input.next(room_bytes));
        let piece = match poll!(next.as_mut()) {
            Poll::Ready(piece) => piece,
            Poll::Pending => {
                if feeder.put_gathered().await.map_err(FeedFailure::Pipe)? == Put::ReaderGone {
                    return Ok(Fed::ReaderGone);
                }
                tokio::select! {
                    piece = next => piece,
                    () = patience.is_over() => break,
                    gone = stdin.ready(Interest::ERROR) => {
                        gone.map_err(FeedFailure::Pipe)?;
                        return Ok(Fed::ReaderGone);
                    }
                }
            }
        };
        let Some(piece) = piece.transpose().map_err(FeedFailure::Input)? else {
            is_all = true;
            break;
        };
        let piece_bytes = piece.len();
        if feeder.put(piece).await.map_err(FeedFailure::Pipe)? == Put::ReaderGone {
            return Ok(Fed::ReaderGone);
        }
        fed_bytes.fetch_add(piece_bytes as u64, Ordering::Relaxed);
        if let Some(pace) = &mut pace {
            pace.gave(piece_bytes);
        }
        row.another().await;
    }
    feeder.gather(Kind::End, 0);
    let put = feeder.put_gathered().await.map_err(FeedFailure::Pipe)?;
    Ok(if is_all && put == Put::All { Fed::All } else { Fed::ReaderGone })
}

/// Pieces so small are copied, to go together with their header.
const GATHERED_BYTES_MAX: usize = 4 << 10;

struct Feeder<'a> {
    stdin: &'a pipe::Sender,
    /// Frames that wait for more to go with them.
    gathered: Vec<u8>,
}

impl Feeder<'_> {
    fn gather(&mut self, kind: Kind, length: usize) {
        self.gathered.extend_from_slice(&Header { kind, length }.bytes());
    }

    async fn put(&mut self, mut piece: Bytes) -> std::io::Result<Put> {
        while piece.has_remaining() {
            // No frame is longer than its header can say.
            let part = piece.split_to(piece.len().min(u32::MAX as usize));
            self.gather(Kind::Data, part.len());
            if part.len() <= GATHERED_BYTES_MAX {
                self.gathered.extend_from_slice(&part);
                continue;
            }
            let frames = std::mem::take(&mut self.gathered);
            if put(frames.as_slice().chain(part), self.stdin, &AtomicU64::new(0)).await? == Put::ReaderGone {
                return Ok(Put::ReaderGone);
            }
        }
        if self.gathered.len() > GATHERED_BYTES_MAX { self.put_gathered().await } else { Ok(Put::All) }
    }

    async fn put_gathered(&mut self) -> std::io::Result<Put> {
        let frames = std::mem::take(&mut self.gathered);
        put(frames.as_slice(), self.stdin, &AtomicU64::new(0)).await
    }
}
