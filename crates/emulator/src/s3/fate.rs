//! What becomes of an answer when a fault has befallen its request: it is lost, or its body breaks off.
//!
//! Decided while s3s handles the request, carried out where the answer goes onto its connection.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, Uri};
use http_body::{Body, Frame, SizeHint};
use s3s::access::S3AccessContext;

use super::faults::FaultsHandle;

/// What is to become of the answer to a request, once there is one.
#[derive(Debug)]
pub(super) enum Fate {
    AnswerLost,
    /// The body breaks off at this `place`, from 0.0 for its first byte to below 1.0 for its end.
    BodyCut {
        place: f64,
        at: Uri,
        faults: FaultsHandle,
    },
}

/// Goes with a request; what is decided about its answer is found in it afterwards.
#[derive(Debug, Clone, Default)]
pub(super) struct Decree(Arc<OnceLock<Fate>>);

/// Decides about the answer to a request.
pub(super) fn decree(about: &mut S3AccessContext<'_>, fate: Fate) {
    if let Some(decree) = about.extensions_mut().get::<Decree>() {
        // A request is decided about once.
        let _first = decree.0.set(fate);
    }
}

/// An answer that is never sent, or a body that is not sent to its end: the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(super) struct Lost;

impl Decree {
    /// The answer as it is sent.
    ///
    /// # Errors
    /// It is not sent.
    pub(super) fn carry_out(&self, response: Response<s3s::Body>) -> Result<Response<SentBody>, Lost> {
        let mut left = None;
        match self.0.get() {
            Some(Fate::AnswerLost) => return Err(Lost),
            Some(Fate::BodyCut { place, at, faults }) if response.status().is_success() => {
                if let Some(length @ 1..) = response.body().size_hint().exact() {
                    // Rounded somehow, and never up to the whole.
                    let bytes = ((length as f64 * place) as u64).min(length - 1);
                    faults.body_is_cut(at, bytes, length);
                    left = Some(bytes);
                }
            }
            Some(Fate::BodyCut { .. }) | None => {}
        }
        Ok(response.map(|body| SentBody { body, left, is_sent: false }))
    }
}

/// A body on its way out, that may break off.
#[derive(Debug)]
pub(super) struct SentBody {
    body: s3s::Body,
    /// Bytes after which it breaks off.
    left: Option<u64>,
    /// Whether what comes before the break had its chance to be sent.
    is_sent: bool,
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        if self.left == Some(0) {
            if self.is_sent {
                return Poll::Ready(Some(Err(Lost.into())));
            }
            // hyper sends what it has when there is nothing more for now.
            self.is_sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let (Some(left), Some(Ok(frame))) = (self.left, &mut frame)
            && let Some(data) = frame.data_mut()
        {
            data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            self.left = Some(left - data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && self.body.is_end_stream()
    }

    /// That of the whole body: it is announced even where it does not come.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
