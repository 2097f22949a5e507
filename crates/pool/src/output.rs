//! Where a program's standard output goes.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;

/// Takes a program's standard output, piece by piece, in order.
pub trait Output: Send {
    /// Why a piece was not taken.
    type Error: Send;

    /// Takes the next piece, never empty and of any size up to the process's part of
    /// [`Settings::bytes_in_flight`](crate::Settings). Until the returned future is ready no more is read,
    /// so a slow consumer slows the program down, and nothing piles up.
    ///
    /// A kept piece keeps its whole buffer alive; copy what is to be kept for long.
    ///
    /// # Errors
    /// An error ends the run: the process is killed.
    ///
    /// # Cancellation
    /// The future is dropped when the run is, or when it fails elsewhere.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Collects the whole output in memory: for results that are known to be small.
impl Output for Vec<u8> {
    type Error = Infallible;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}
