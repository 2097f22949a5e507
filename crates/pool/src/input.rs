//! Where a program's standard input comes from.

use std::future::Future;

use bytes::Bytes;
use futures::{Stream, StreamExt};

/// Gives a program's standard input, piece by piece, in order.
///
/// Any [`Stream`] of bytes is one, if it is [`Unpin`]: it gives the pieces that it has, and does not end early.
pub trait Input: Send {
    /// Why a piece could not be had.
    type Error: Send;

    /// The next piece: as many whole records as fit into about `room_bytes`, at least one; or a part of one that is
    /// longer than what is at hand. `None` at the end. An input that has no records takes `room_bytes` for a hint.
    ///
    /// An error ends the run: the process is killed before it can take what it was given for the whole.
    ///
    /// # Cancellation
    /// Must lose nothing when the future is dropped. It is when nobody reads any more; what is then asked of the input,
    /// by whoever owns it, goes on behind the last piece that was given.
    fn next(&mut self, room_bytes: usize) -> impl Future<Output = Option<Result<Bytes, Self::Error>>> + Send;

    /// Whether the input may end before all of it is given, for example because time is running out. The program is then
    /// given little more than what it reads within a tenth of a second, so that the end comes in time. Asked once, before
    /// the first piece.
    fn may_end_early(&self) -> bool {
        false
    }
}

impl<S, E> Input for S
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Send,
{
    type Error = E;

    async fn next(&mut self, _room_bytes: usize) -> Option<Result<Bytes, E>> {
        StreamExt::next(self).await
    }
}
