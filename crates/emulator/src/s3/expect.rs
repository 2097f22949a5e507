//! `100 Continue` for every request that asks for it.
//!
//! hyper answers `Expect: 100-continue` when the body is read, and rightly by RFC 9110 not at all when there is none.
//! Amazon S3 always does, and botocore counts on it: an empty PUT that is answered at once leaves the connection in a
//! state in which the next PUT hangs. So for a request without a body the service asks this wrapper around the socket
//! to write the line itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Asks a connection for a `100 Continue` in front of the next answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owed(Arc<AtomicBool>);

impl Owed {
    pub(crate) fn request(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    owed: Owed,
    /// Whether hyper has written all of the answers so far: only then may a line go between.
    between_answers: bool,
    /// What is left to write of the line.
    unwritten: &'static [u8],
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, owed: Owed) -> Self {
        Self { stream, owed, between_answers: true, unwritten: &[] }
    }

    /// Writes the line if it is owed, before anything else is written.
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Owed in the middle of an answer, which takes a client that does not wait for answers, it is left out: that
        // client does not wait for the line either.
        if self.owed.0.swap(false, Ordering::AcqRel) && self.between_answers {
            self.unwritten = CONTINUE;
        }
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.unwritten))?;
            self.unwritten = self.unwritten.get(written..).unwrap_or_default();
        }
        self.between_answers = false;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_line(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_line(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has handed all it has to write to the socket.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.between_answers = true;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
