//! The events that S3 owes to whoever listens: objects that have come to be.
//!
//! The listener is called after the commit and before the client has its answer. So who has an answer can rely on its
//! event having been given away; on S3 that takes a moment longer.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::{Milliseconds, Object};

/// An object that has come to be, or has replaced another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCreated {
    /// Its bucket.
    pub bucket: String,
    /// Its key, as it is: not encoded.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// What orders the events of one key: of two, the later has the greater text.
    pub sequencer: String,
    /// What made it.
    pub by: CreatedBy,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// The operations that make objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreatedBy {
    /// `PutObject`; also a file that was imported.
    Put,
    /// `CopyObject`.
    Copy,
    /// `CompleteMultipartUpload`.
    CompleteMultipartUpload,
}

type Listener = Box<dyn Fn(&ObjectCreated) + Send + Sync>;

/// Where events are made and told.
#[derive(Default)]
pub(crate) struct Notices {
    listener: OnceLock<Listener>,
    /// The last sequencer that was given out.
    last: AtomicU64,
}

impl fmt::Debug for Notices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Notices")
            .field("heard", &self.listener.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Notices {
    /// Tells `listener` of every event from now on. False if there is a listener already.
    pub(crate) fn listen(&self, listener: Listener) -> bool {
        self.listener.set(listener).is_ok()
    }

    /// The next sequencer. Taken while the bucket is locked for a commit, it is in the order of commits. It begins with
    /// the time, so that it grows over restarts too.
    pub(crate) fn sequencer(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let step = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        last.ok().and_then(step).unwrap_or(now)
    }

    /// Tells of an object that was committed.
    pub(crate) fn created(&self, bucket: &str, key: &str, object: &Object, by: CreatedBy, sequencer: u64) {
        let Some(listener) = self.listener.get() else { return };
        let at: Milliseconds = object.modified;
        listener(&ObjectCreated {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            size: object.size,
            etag: object.etag.clone(),
            sequencer: format!("{sequencer:018X}"),
            by,
            at,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequencers_grow_whatever_the_clock_does() {
        let notices = Notices::default();
        let ahead = u64::MAX / 2;
        notices.last.store(ahead, Ordering::Relaxed);
        assert_eq!((notices.sequencer(), notices.sequencer()), (ahead + 1, ahead + 2));
        let fresh = Notices::default();
        let first = fresh.sequencer();
        assert!(fresh.sequencer() > first && first > 1_700_000_000_000_000, "{first}");
    }
}
