//! The other side of the emulator's own requests, for a program that has only its address.

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::net::TcpStream;

use super::own::PREFIX;
use crate::deliveries::Fired;

/// Why an emulator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("`{0}` is no address such as http://127.0.0.1:9001")]
    Address(String),
    /// Nobody answers there, or not in HTTP.
    #[error("no emulator answers at {endpoint}")]
    Unreachable {
        /// The address.
        endpoint: String,
        /// What the connection says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, and refuses.
    #[error("{message}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// The emulator's words.
        message: String,
    },
    /// What answers there is no emulator of this version.
    #[error("what answers at {endpoint} is no emulator that knows schedules: status {status}")]
    Stranger {
        /// The address.
        endpoint: String,
        /// HTTP's status.
        status: u16,
    },
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Fires a schedule of the emulator whose Lambda is at `endpoint`, as if its time were `at` (RFC 3339), or now.
///
/// # Errors
/// [`ClientError`].
///
/// # Cancellation
/// The schedule may be fired all the same.
pub async fn fire(endpoint: &str, name: &str, at: Option<&str>) -> Result<Fired, ClientError> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let name = name.split('/').map(encode).collect::<Vec<_>>().join("/");
    let query = at.map(|at| format!("?at={}", encode(at))).unwrap_or_default();
    let (status, body) = post(endpoint, &format!("{PREFIX}schedules/{name}/fire{query}")).await?;
    if let Some(fired) = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::ACCEPTED) {
        return Ok(fired);
    }
    let status = status.as_u16();
    match serde_json::from_slice(&body) {
        Ok(Refusal { message }) => Err(ClientError::Refused { status, message }),
        Err(_) => Err(ClientError::Stranger { endpoint: endpoint.to_owned(), status }),
    }
}

async fn post(endpoint: &str, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
    let wrong = || ClientError::Address(endpoint.to_owned());
    let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
    let request =
        Request::post(path).header(http::header::HOST, authority.as_str()).body(Empty::<Bytes>::new());
    let request = request.map_err(|_| wrong())?;
    let exchange = async {
        let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answering = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            drop(sender);
            Ok::<_, hyper::Error>((status, body))
        };
        let (answered, _) = tokio::join!(answering, connection);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answered?)
    };
    exchange.await.map_err(|source| ClientError::Unreachable { endpoint: endpoint.to_owned(), source })
}
