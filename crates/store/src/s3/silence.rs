//! How long the adapter bears a service that says nothing: minutes where it is known to be busy, seconds elsewhere.
//!
//! Over real sockets, in a time that stands still but for sleeping: the service's silence, the SDK's time limits and its
//! protection against stalled streams all run by the same clock, and cost the test none of it.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_smithy_async::time::TimeSource;
use fanfold_flow::uri::ObjectUri;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{S3Settings, S3Store};
use crate::error::{ErrorKind, StoreError};
use crate::ext::StoreExt;
use crate::object::ETag;
use crate::store::Store;
use crate::upload::{CompleteOptions, Part, Upload};

/// Tokio's time, as the SDK wants it.
#[derive(Debug)]
struct Clock(SystemTime, Instant);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.0 + self.1.elapsed()
    }
}

/// How a service is slow.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// Nothing comes before the whole answer, this much later.
    BeforeAll(Duration),
    /// The head comes at once and the body this much later, with a blank each ten seconds where S3 sends them to keep the
    /// connection open.
    BeforeTheBody { time: Duration, with_blanks: bool },
}

/// A service that gives each request this answer, slowly.
async fn service(body: &'static str, silence: Silence) -> (S3Store, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that has given up closes its end, and takes another connection.
            let _closed = answer(stream, body, silence).await;
        }
    });
    let settings = S3Settings {
        endpoint: Some(endpoint),
        region: Some("us-east-1".into()),
        credentials: Some(("key".into(), "secret".into())),
        ..S3Settings::default()
    };
    let clock = Clock(SystemTime::now(), Instant::now());
    let config = S3Store::config(settings).await.time_source(clock).build();
    (S3Store { client: Client::from_conf(config) }, served)
}

async fn answer(mut stream: TcpStream, body: &str, silence: Silence) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).await?;
        if let Some(said) = line.to_lowercase().strip_prefix("content-length: ") {
            length = said.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).await?;
    let (blanks, time) = match silence {
        Silence::BeforeAll(time) => {
            sleep(time).await;
            (0, Duration::ZERO)
        }
        Silence::BeforeTheBody { time, with_blanks: true } => (time.as_secs() / 10, time),
        Silence::BeforeTheBody { time, with_blanks: false } => (0, time),
    };
    let length = blanks + body.len() as u64;
    let head =
        format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..blanks {
        sleep(Duration::from_secs(10)).await;
        stream.write_all(b" ").await?;
    }
    if blanks == 0 {
        sleep(time).await;
    }
    stream.write_all(body.as_bytes()).await
}

const COPIED: &str = "<CopyPartResult><ETag>\"e\"</ETag></CopyPartResult>";
const COMPLETED: &str = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";

fn object() -> ObjectUri {
    ObjectUri::new("bucket", "key")
}

async fn copy(store: &S3Store) -> Result<ETag, StoreError> {
    let upload = Upload { at: object(), id: "u".into() };
    store.copy_part(&upload, 1, &object(), Some(0..10), None).await.map(|part| part.etag)
}

async fn complete(store: &S3Store) -> Result<ETag, StoreError> {
    let upload = Upload { at: object(), id: "u".into() };
    let part = Part { number: 1, etag: ETag::new("e"), size: 10, crc: None };
    store.complete_upload(&upload, &[part], CompleteOptions::default()).await
}

/// A service that is silent for so long, in each of its ways.
fn all(time: Duration) -> [Silence; 3] {
    [
        Silence::BeforeAll(time),
        Silence::BeforeTheBody { time, with_blanks: true },
        Silence::BeforeTheBody { time, with_blanks: false },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_copy_may_be_silent_for_minutes() {
    for silence in all(Duration::from_secs(290)) {
        let (store, served) = service(COPIED, silence).await;
        let began = Instant::now();
        assert_eq!(copy(&store).await.unwrap(), ETag::new("e"), "{silence:?}");
        let took = began.elapsed().as_secs();
        assert!((290..300).contains(&took), "{silence:?} took {took} s");
        served.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_completion_may_be_silent_for_minutes() {
    for silence in all(Duration::from_secs(590)) {
        let (store, served) = service(COMPLETED, silence).await;
        let began = Instant::now();
        assert_eq!(complete(&store).await.unwrap(), ETag::new("e"), "{silence:?}");
        let took = began.elapsed().as_secs();
        assert!((590..600).contains(&took), "{silence:?} took {took} s");
        served.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_or_a_completion_that_is_never_answered_ends_as_a_timeout() {
    let (store, served) = service(COPIED, Silence::BeforeAll(Duration::from_secs(100_000))).await;
    let began = Instant::now();
    assert_eq!(copy(&store).await.unwrap_err().kind(), ErrorKind::Timeout);
    let took = began.elapsed().as_secs();
    assert!((900..960).contains(&took), "three tries of five minutes took {took} s");
    assert_eq!(complete(&store).await.unwrap_err().kind(), ErrorKind::Timeout);
    let took = began.elapsed().as_secs() - took;
    assert!((1_800..1_860).contains(&took), "three tries of ten minutes took {took} s");
    served.abort();
}

/// That these tests would show it: what is not known to be silent for long is ended for being so.
#[tokio::test(start_paused = true)]
async fn what_is_not_known_to_be_silent_is_ended_by_the_seconds() {
    let stalled = Silence::BeforeTheBody { time: Duration::from_secs(290), with_blanks: false };
    let (store, served) = service("0123456789", stalled).await;
    let began = Instant::now();
    store.get_bytes(&object(), 100).await.unwrap_err();
    let took = began.elapsed().as_secs();
    assert!(took < 5 * 120, "five tries of two minutes at most took {took} s");
    let (store, slow) = service(COPIED, Silence::BeforeAll(Duration::from_secs(290))).await;
    let failed = store.head(&object()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Timeout);
    served.abort();
    slow.abort();
}
