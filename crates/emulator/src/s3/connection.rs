//! Connections: accepted, served by hyper, ended in good order.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use s3s::service::S3Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::expect::{Owed, Socket};
use super::fate::{Decree, Lost, SentBody};

/// How long requests that are under way may take after the stop; then their connections are cut.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait after a failure to accept: usually there are too many open files, and that passes.
const PAUSE: Duration = Duration::from_millis(50);
/// How much of a body is read after the request was refused. A client that sends on while the connection closes may
/// never see why; one that has more to send than this will have to do without.
const DRAINED_BYTES: usize = 64 << 20;

/// Serves connections until `stop`, then lets them finish.
///
/// # Cancellation
/// All connections are cut.
pub(crate) async fn serve(listener: TcpListener, service: S3Service, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, service.clone(), stop.clone()))),
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        tracing::warn!(cut = connections.len(), "connections were still busy when the server stopped");
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, service: S3Service, stop: CancellationToken) {
    // Without it a small answer waits some 40 ms for the client's acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is served with delays");
    }
    let owed = Owed::default();
    let socket = TokioIo::new(Socket::new(stream, owed.clone()));
    let answer = hyper::service::service_fn(move |request| answer(request, service.clone(), owed.clone()));
    let mut connection =
        std::pin::pin!(hyper::server::conn::http1::Builder::new().serve_connection(socket, answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    owed: Owed,
) -> Result<Response<SentBody>, Lost> {
    let (mut head, incoming) = request.into_parts();
    let decree = Decree::default();
    head.extensions.insert(decree.clone());
    if incoming.is_end_stream() {
        if expects_continue(&head.headers) {
            // One round of hyper's loop, so that nothing of an earlier answer is left to be written.
            tokio::task::yield_now().await;
            owed.request();
        }
        return decree.carry_out(call(&service, Request::from_parts(head, s3s::Body::empty())).await);
    }
    let body = SharedBody(Arc::new(Mutex::new(incoming)));
    let response = call(&service, Request::from_parts(head, s3s::Body::http_body(body.clone()))).await;
    body.drain().await;
    decree.carry_out(response)
}

async fn call(service: &S3Service, request: Request<s3s::Body>) -> Response<s3s::Body> {
    service.call(request).await.unwrap_or_else(|error| {
        // s3s could not even write its error down.
        tracing::error!(?error, "a request was left without an answer of its own");
        let mut response = Response::new(s3s::Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A request's body, of which we keep hold while s3s reads it, to read what it leaves.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Incoming>>);

impl SharedBody {
    fn with<T>(&self, look: impl FnOnce(Pin<&mut Incoming>) -> T) -> T {
        look(Pin::new(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads what is left, up to a limit.
    async fn drain(mut self) {
        let mut drained = 0;
        while drained < DRAINED_BYTES
            && let Some(Ok(frame)) = self.frame().await
        {
            drained += frame.data_ref().map_or(0, Bytes::len);
        }
    }
}

impl http_body::Body for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.with(|body| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
