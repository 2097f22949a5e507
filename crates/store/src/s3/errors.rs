//! S3's codes, in the one place where they become kinds of errors.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::{ErrorKind, Operation, StoreError};

/// What the SDK says, as an error of the port. The service's words go into the text; a cause below the service goes
/// into the chain.
pub(super) fn failed<E>(
    operation: Operation,
    at: impl std::fmt::Display,
    error: SdkError<E, HttpResponse>,
) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let response = error.raw_response();
    let status = response.map(|response| response.status().as_u16());
    let request_id =
        response.and_then(|response| response.headers().get("x-amz-request-id")).map(str::to_owned);
    let (kind, message) = match &error {
        SdkError::ServiceError(service) => {
            (kind_of(error.code(), status), service.err().message().unwrap_or_default())
        }
        SdkError::TimeoutError(_) => (ErrorKind::Timeout, "the time for one try was over"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (ErrorKind::Timeout, "the connection timed out")
        }
        // What broke off on the way is "other" too, but then it is told of what kind that was.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            (ErrorKind::Other, "the request could not be sent; are there credentials?")
        }
        SdkError::DispatchFailure(_) => (ErrorKind::Unavailable, "the connection failed"),
        SdkError::ResponseError(_) => (ErrorKind::Unavailable, "the answer could not be read"),
        _ => (ErrorKind::Other, "the request could not be made; are region and credentials set?"),
    };
    let mut known = StoreError::new(kind, operation, at, message);
    if let Some(code) = error.code() {
        known = known.with_code(code);
    }
    if let Some(id) = request_id {
        known = known.with_request_id(id);
    }
    // The service's error is the text already; what lies below of the others is not.
    match error {
        SdkError::ServiceError(_) => known,
        below => match below.into_source() {
            Ok(source) => known.with_source(source),
            Err(_) => known,
        },
    }
}

/// An error met while a body was read.
pub(super) fn broken_body(at: &str, error: aws_sdk_s3::primitives::ByteStreamError) -> StoreError {
    // The SDK's own type for a wrong checksum is not reachable from here; its words are all there is to know it by.
    let mut cause: Option<&dyn Error> = Some(&error);
    let mut kind = ErrorKind::Unavailable;
    while let Some(current) = cause {
        if current.to_string().contains("checksum mismatch") {
            kind = ErrorKind::BadDigest;
        }
        cause = current.source();
    }
    StoreError::new(kind, Operation::Get, at, "the body broke off").with_source(error)
}

/// The kind of a failure that concerns one key of several and comes with a code alone.
pub(super) fn kind_of_key(code: &str) -> ErrorKind {
    kind_of(Some(code), None)
}

/// By code first, since S3 puts errors into answers of status 200 as well; by status where there is no code, as for
/// HEAD, whose answers have no body.
fn kind_of(code: Option<&str>, status: Option<u16>) -> ErrorKind {
    match code.unwrap_or_default() {
        "NoSuchKey" | "NoSuchBucket" | "NotFound" => ErrorKind::NotFound,
        "NoSuchUpload" => ErrorKind::NoSuchUpload,
        "PreconditionFailed" => ErrorKind::PreconditionFailed,
        "ConditionalRequestConflict" | "OperationAborted" => ErrorKind::Conflict,
        "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests" => {
            ErrorKind::Throttled
        }
        "AccessDenied"
        | "AllAccessDisabled"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed" => ErrorKind::Denied,
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            ErrorKind::BadDigest
        }
        "EntityTooSmall" => ErrorKind::TooSmall,
        "EntityTooLarge" | "MaxMessageLengthExceeded" => ErrorKind::TooLarge,
        "RequestTimeout" => ErrorKind::Timeout,
        "InternalError" | "ServiceUnavailable" => ErrorKind::Unavailable,
        _ => kind_of_status(status.unwrap_or_default()),
    }
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        404 => ErrorKind::NotFound,
        412 => ErrorKind::PreconditionFailed,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::Throttled,
        401 | 403 => ErrorKind::Denied,
        408 => ErrorKind::Timeout,
        413 => ErrorKind::TooLarge,
        400..=499 => ErrorKind::Invalid,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_inside_an_answer_of_status_200_is_known_by_its_code() {
        assert_eq!(kind_of(Some("SlowDown"), Some(200)), ErrorKind::Throttled);
        assert_eq!(kind_of(Some("InternalError"), Some(200)), ErrorKind::Unavailable);
        assert_eq!(kind_of(Some("BadDigest"), Some(200)), ErrorKind::BadDigest);
    }

    #[test]
    fn an_answer_without_a_code_is_known_by_its_status() {
        assert_eq!(kind_of(None, Some(404)), ErrorKind::NotFound);
        assert_eq!(kind_of(None, Some(412)), ErrorKind::PreconditionFailed);
        assert_eq!(kind_of(None, Some(503)), ErrorKind::Unavailable);
    }

    #[test]
    fn an_unknown_code_falls_back_on_the_status() {
        assert_eq!(kind_of(Some("InvalidPartOrder"), Some(400)), ErrorKind::Invalid);
        assert_eq!(kind_of(Some("NobodyKnows"), Some(500)), ErrorKind::Unavailable);
        assert_eq!(kind_of(Some("NobodyKnows"), None), ErrorKind::Other);
    }
}
