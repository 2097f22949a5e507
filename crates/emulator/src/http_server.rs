//! HTTP/1.1 for both APIs: an accept loop that owns its connections, bodies read under a limit, answers built in one place.
//!
//! What it owes its neighbours: a body past its limit is still read to its end, because a peer that is cut off while
//! it sends sees a broken pipe and never the 413 that tells it why.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What both APIs answer with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// An extension of an [`Answer`] that is never sent: the connection is closed in its place.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(crate) struct Lost;

/// How long connections may take to write their last answer once the server stops, before they are cut.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// How long to wait when the kernel refuses a connection for want of descriptors: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `listener` until `stop` is cancelled, then lets open connections finish their current answer for at most
/// [`CLOSING_GRACE`].
///
/// # Cancellation
/// Dropping the future closes the listener and every connection at once.
pub(crate) async fn serve<Handler, Handled>(listener: TcpListener, stop: CancellationToken, handler: Handler)
where
    Handler: Fn(Request<Incoming>) -> Handled + Clone + Send + 'static,
    Handled: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, stop.clone(), handler.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let closing = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING_GRACE, closing).await.is_err() {
        tracing::debug!(open = connections.len(), "connections cut while stopping");
    }
}

async fn converse<Handler, Handled>(stream: TcpStream, stop: CancellationToken, handler: Handler)
where
    Handler: Fn(Request<Incoming>) -> Handled,
    Handled: Future<Output = Answer>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let handled = handler(request);
        async move {
            let answer = handled.await;
            answer.extensions().get::<Lost>().map_or(Ok(()), |lost| Err(*lost))?;
            Ok::<_, Lost>(answer)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        // A peer that hangs up in the middle is ordinary: a killed bootstrap, a caller that gave up.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A request body as far as it was kept.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it, and its trailers.
    Whole(Bytes, HeaderMap),
    /// It was longer than the limit; all `size` bytes were read and thrown away.
    TooLarge { size: u64 },
}

/// Reads `body` to its end, keeping at most `limit` bytes.
///
/// # Errors
/// The peer hung up before the end that it had announced.
pub(crate) async fn read_body(mut body: Incoming, limit: usize) -> Result<Body, hyper::Error> {
    let mut kept = BytesMut::new();
    let mut size = 0_u64;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                size = size.saturating_add(data.len() as u64);
                if size > limit as u64 {
                    kept.clear();
                } else {
                    kept.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    if size > limit as u64 { Ok(Body::TooLarge { size }) } else { Ok(Body::Whole(kept.freeze(), trailers)) }
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    bytes(status, Bytes::from(body.to_string()))
}

/// An answer whose body is JSON already.
pub(crate) fn bytes(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// The text of a header, where it is there and is text.
pub(crate) fn header_text<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
