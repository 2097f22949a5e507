//! What can go wrong with objects, sorted by what a caller can do about it.
//!
//! Adapters map the service's codes into [`ErrorKind`] in one place each; the service's own words, its code and its
//! request id stay reachable on [`StoreError`].

use std::error::Error;
use std::fmt;

/// A cause from below, kept for the chain of sources.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// The operations of the port, for errors, fault decisions and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Reading an object's bytes, the body included.
    Get,
    /// Reading what is known of an object.
    Head,
    /// Writing an object in one request.
    Put,
    /// Deleting objects.
    Delete,
    /// Listing one page of objects.
    List,
    /// Beginning a multipart upload.
    CreateUpload,
    /// Uploading a part from memory.
    UploadPart,
    /// Having the service copy a part from another object.
    CopyPart,
    /// Turning the parts into an object.
    CompleteUpload,
    /// Dropping a multipart upload and its parts.
    AbortUpload,
    /// Listing unfinished multipart uploads.
    ListUploads,
    /// Listing the parts of an unfinished upload.
    ListParts,
}

impl Operation {
    /// All of them, in the order in which the trait has them.
    pub const ALL: [Self; 12] = [
        Self::Get,
        Self::Head,
        Self::Put,
        Self::Delete,
        Self::List,
        Self::CreateUpload,
        Self::UploadPart,
        Self::CopyPart,
        Self::CompleteUpload,
        Self::AbortUpload,
        Self::ListUploads,
        Self::ListParts,
    ];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::CreateUpload => "create an upload to",
            Self::UploadPart => "upload",
            Self::CopyPart => "copy",
            Self::CompleteUpload => "complete the upload to",
            Self::AbortUpload => "abort the upload to",
            Self::ListUploads => "list the uploads under",
            Self::ListParts => "list the parts of the upload to",
        })
    }
}

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// No such object, or no such bucket.
    NotFound,
    /// A condition did not hold: the object exists already, or its ETag is another one. Somebody else was first.
    PreconditionFailed,
    /// A conditional write raced with another one (HTTP 409). For a put, try again; for a completion, build the
    /// upload again.
    Conflict,
    /// The service asks for fewer requests.
    Throttled,
    /// The credentials do not allow this, or are missing or stale.
    Denied,
    /// The multipart upload does not exist: never begun, aborted, or completed already.
    NoSuchUpload,
    /// The bytes are not those that the checksum speaks of.
    BadDigest,
    /// A part that is not the last has less than 5 MiB.
    TooSmall,
    /// More bytes than the service, or the caller's own limit, allows.
    TooLarge,
    /// The request itself is wrong: a range outside the object, parts out of order, a key too long.
    Invalid,
    /// The object's content is not what the caller expected, for example not the JSON it was read as.
    Malformed,
    /// No answer in time. The operation may or may not have happened.
    Timeout,
    /// The service or the connection to it failed. The operation may or may not have happened.
    Unavailable,
    /// Anything that the adapter does not know; see the code and the message.
    Other,
}

impl ErrorKind {
    /// Whether the same request may succeed later, unchanged. [`Conflict`](Self::Conflict) is not among them, since
    /// what to do about it depends on the operation.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Timeout | Self::Unavailable)
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::PreconditionFailed => "the condition does not hold",
            Self::Conflict => "another write was under way",
            Self::Throttled => "throttled",
            Self::Denied => "access denied",
            Self::NoSuchUpload => "no such upload",
            Self::BadDigest => "the checksum does not match",
            Self::TooSmall => "a part is too small",
            Self::TooLarge => "too large",
            Self::Invalid => "invalid request",
            Self::Malformed => "unexpected content",
            Self::Timeout => "no answer in time",
            Self::Unavailable => "service unavailable",
            Self::Other => "failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Why an operation on objects failed. One pointer wide, so that results stay small.
///
/// The text reads after "failed to" and names operation, place, kind, code, request id and the service's words. The
/// source, when there is one, is not repeated in the text.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct StoreError(Box<Detail>);

#[derive(Debug)]
struct Detail {
    kind: ErrorKind,
    operation: Operation,
    at: String,
    message: String,
    code: Option<String>,
    request_id: Option<String>,
    source: Option<Cause>,
}

impl StoreError {
    /// An error of `operation` at `at` (an object's address, or a bucket's), with what is to be known about it. The
    /// message may be empty where the kind says all.
    pub fn new(
        kind: ErrorKind,
        operation: Operation,
        at: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self(Box::new(Detail {
            kind,
            operation,
            at: at.to_string(),
            message: message.into(),
            code: None,
            request_id: None,
            source: None,
        }))
    }

    /// Adds the service's code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Adds the service's id of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// Adds the cause from below.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Cause>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was tried.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// Where: an object's address, a bucket's, or a part of an upload.
    pub fn at(&self) -> &str {
        &self.0.at
    }

    /// The service's code, such as `SlowDown`, where it gave one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What is to be known beyond the kind: the service's words, or the adapter's. May be empty.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The service's id of the request, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// See [`ErrorKind::is_transient`].
    pub fn is_transient(&self) -> bool {
        self.0.kind.is_transient()
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.at, self.kind)?;
        let notes: Vec<String> = [("code", &self.code), ("request id", &self.request_id)]
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
            .collect();
        if !notes.is_empty() {
            write!(f, " ({})", notes.join(", "))?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl Error for Detail {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_everything_and_leaves_the_cause_to_the_chain() {
        let error =
            StoreError::new(ErrorKind::Throttled, Operation::Put, "s3://b/k", "please reduce your rate")
                .with_code("SlowDown")
                .with_request_id("R1")
                .with_source(std::io::Error::other("socket closed"));
        assert_eq!(
            error.to_string(),
            "put s3://b/k: throttled (code SlowDown, request id R1): please reduce your rate"
        );
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("socket closed"));
        assert!(error.is_transient());
    }
}
