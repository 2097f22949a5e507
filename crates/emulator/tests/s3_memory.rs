//! Bodies are streamed. Alone in its file, since what is measured is the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure in a test's helper fails the test")]

mod s3_harness;

use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use s3_harness::*;

const MIB: usize = 1 << 20;

/// A body that is made while it is sent: the same chunk, so many times.
struct Repeated {
    chunk: Bytes,
    left: usize,
}

impl http_body::Body for Repeated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.left * self.chunk.len()) as u64)
    }
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_goes_in_and_out_at_bounded_memory() {
    const CHUNKS: usize = 512;
    let (_folder, server, client) = fresh().await;
    let chunk = Bytes::from(bytes(MIB, 7));
    // One small object first, so that what client and server allocate once is not counted.
    put(&client, "small", "small").await;
    let before = peak_memory();

    let stream = Repeated { chunk: chunk.clone(), left: CHUNKS };
    let stream = ByteStream::new(SdkBody::from_body_1_x(stream));
    client.put_object().bucket(BUCKET).key("large").body(stream).send().await.unwrap();
    let object = client.get_object().bucket(BUCKET).key("large").send().await.unwrap();
    assert_eq!(object.content_length(), Some((CHUNKS * MIB) as i64));
    let (mut stream, mut received) = (object.body, 0);
    while let Some(piece) = stream.next().await {
        let piece = piece.unwrap();
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let at = received % MIB;
            let (now, later) = rest.split_at(rest.len().min(MIB - at));
            assert!(now == &chunk[at..at + now.len()], "a byte near {received} differs");
            received += now.len();
            rest = later;
        }
    }
    assert_eq!(received, CHUNKS * MIB);
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 96 * MIB, "512 MiB went through, and memory grew by {} MiB", grown / MIB);
    server.stop().await;
}
