//! Why a request is refused, and the code with which S3 says so: the one place where our reasons become S3's.

use std::io;
use std::path::{Path, PathBuf};

use s3s::{S3Error, S3ErrorCode};

/// What stands between a request and its answer. Messages name the thing: key, upload, part, byte.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("bucket `{0}` does not exist")]
    NoSuchBucket(String),
    #[error("bucket `{0}` exists already and is yours")]
    BucketExists(String),
    #[error("bucket `{bucket}` is not empty: it holds `{key}`")]
    BucketNotEmpty { bucket: String, key: String },
    #[error("key `{0}` does not exist")]
    NoSuchKey(String),
    #[error("upload `{0}` does not exist; it may have been completed or aborted")]
    NoSuchUpload(String),
    #[error("precondition on `{key}` does not hold: {reason}")]
    Precondition { key: String, reason: String },
    #[error("`{key}` is unchanged")]
    NotModified { key: String, etag: String },
    #[error("part {number}: {reason}")]
    InvalidPart { number: i32, reason: String },
    #[error("part {number} is listed after part {before}; parts are listed in ascending order, each once")]
    PartOrder { before: i32, number: i32 },
    #[error("part {number} has {size} bytes; every part but the last needs at least {least}")]
    PartTooSmall { number: u16, size: u64, least: u64 },
    #[error("part {number} is not one of the {count} parts of `{key}`")]
    NoSuchPart { key: String, number: i32, count: usize },
    #[error("the {what} given is {given}, what arrived has {found}")]
    Digest { what: &'static str, given: String, found: String },
    #[error("the body ended after {received} of {announced} bytes")]
    Incomplete { received: u64, announced: u64 },
    #[error("the body broke off after {received} bytes: {reason}")]
    BrokenBody { received: u64, reason: String },
    #[error("the body's hash is not the one that was signed")]
    SignedHash,
    #[error("trailer `{0}` was announced and did not come")]
    MissingTrailer(&'static str),
    #[error("range {range} lies outside of `{key}`, which has {size} bytes")]
    Range { key: String, range: String, size: u64 },
    #[error("user metadata has {0} bytes; 2,048 is the most")]
    MetadataTooLarge(usize),
    #[error("{0}")]
    Tag(String),
    #[error("no lifecycle configuration is set on bucket `{0}`")]
    NoLifecycle(String),
    #[error("{0}")]
    Request(String),
    #[error("{0}")]
    Argument(String),
    #[error("{0}")]
    Xml(&'static str),
    #[error("{0} is not offered by this store")]
    NotOffered(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the task that worked on the request was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

/// The file system said no.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} {}", path.display())]
pub(crate) struct FileError {
    pub(crate) doing: &'static str,
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

impl FileError {
    /// For `map_err`: says what was being done to which path.
    pub(crate) fn when(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }
}

impl Error {
    fn code(&self) -> S3ErrorCode {
        match self {
            Self::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
            Self::BucketExists(_) => S3ErrorCode::BucketAlreadyOwnedByYou,
            Self::BucketNotEmpty { .. } => S3ErrorCode::BucketNotEmpty,
            Self::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
            Self::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
            Self::Precondition { .. } => S3ErrorCode::PreconditionFailed,
            Self::NotModified { .. } => S3ErrorCode::NotModified,
            Self::InvalidPart { .. } => S3ErrorCode::InvalidPart,
            Self::PartOrder { .. } => S3ErrorCode::InvalidPartOrder,
            Self::PartTooSmall { .. } => S3ErrorCode::EntityTooSmall,
            Self::NoSuchPart { .. } => S3ErrorCode::Custom("InvalidPartNumber".into()),
            Self::Digest { .. } => S3ErrorCode::BadDigest,
            Self::Incomplete { .. } | Self::BrokenBody { .. } => S3ErrorCode::IncompleteBody,
            Self::SignedHash => S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            Self::MissingTrailer(_) => S3ErrorCode::Custom("MalformedTrailerError".into()),
            Self::Range { .. } => S3ErrorCode::InvalidRange,
            Self::MetadataTooLarge(_) => S3ErrorCode::MetadataTooLarge,
            Self::Tag(_) => S3ErrorCode::InvalidTag,
            Self::NoLifecycle(_) => S3ErrorCode::NoSuchLifecycleConfiguration,
            Self::Request(_) => S3ErrorCode::InvalidRequest,
            Self::Argument(_) => S3ErrorCode::InvalidArgument,
            Self::Xml(_) => S3ErrorCode::MalformedXML,
            Self::NotOffered(_) => S3ErrorCode::NotImplemented,
            Self::File(_) | Self::Stopped(_) => S3ErrorCode::InternalError,
        }
    }

    /// The status for codes that s3s has no status for.
    fn status(&self) -> Option<http::StatusCode> {
        match self {
            Self::NoSuchPart { .. } => Some(http::StatusCode::RANGE_NOT_SATISFIABLE),
            Self::SignedHash | Self::MissingTrailer(_) => Some(http::StatusCode::BAD_REQUEST),
            _ => None,
        }
    }
}

impl From<Error> for S3Error {
    fn from(error: Error) -> Self {
        let mut answer = Self::with_message(error.code(), with_causes(&error));
        if let Some(status) = error.status() {
            answer.set_status_code(status);
        }
        if let Error::NotModified { etag, .. } = &error
            && let Ok(value) = http::HeaderValue::try_from(format!("\"{etag}\""))
        {
            answer.set_headers(http::HeaderMap::from_iter([(http::header::ETAG, value)]));
        }
        answer
    }
}

/// The error and its causes in one line: the client sees nothing but this text.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(reason) = cause {
        text.push_str(": ");
        text.push_str(&reason.to_string());
        cause = reason.source();
    }
    text
}
