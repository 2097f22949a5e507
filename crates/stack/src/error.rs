//! What can go wrong with asking AWS about a stack, sorted by what a person can do about it.

use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a stack could not be asked. The text reads after "failed to", and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// It is not known where to ask.
    #[error(
        "find the region: give --region, set AWS_REGION, or set one in the profile{}",
        in_quotes(profile)
    )]
    NoRegion {
        /// The profile that was asked for.
        profile: Option<String>,
    },
    /// There is no such stack.
    #[error(
        "find the stack {stack}: there is none of this name in {region}; check --stack, --profile and --region"
    )]
    StackMissing {
        /// Its name, as given.
        stack: String,
        /// Where it was looked for.
        region: String,
    },
    /// The stack has no pipeline, or none yet.
    #[error(
        "find a pipeline: the stack {stack} ({status}) has no output that begins with \"Fanfold dispatcher\"; is it a stack with a FanfoldPipeline, and is its deployment complete?"
    )]
    NoPipeline {
        /// The stack.
        stack: String,
        /// Its status, as CloudFormation has it.
        status: String,
    },
    /// The stack has more than one pipeline.
    #[error(
        "choose a pipeline: the stack {stack} has several pipelines: name one of {names} with --pipeline"
    )]
    SeveralPipelines {
        /// The stack.
        stack: String,
        /// The pipelines' names.
        names: String,
    },
    /// The stack has no pipeline of this name.
    #[error("find the pipeline: the stack {stack} has no pipeline '{wanted}', but {names}")]
    PipelineMissing {
        /// The stack.
        stack: String,
        /// The name that was asked for.
        wanted: String,
        /// The pipelines' names.
        names: String,
    },
    /// A log group is not there.
    #[error(
        "read the log group {group}: there is none of this name; was it deleted, or is the stack not complete?"
    )]
    LogGroupMissing {
        /// Its name.
        group: String,
    },
    /// There are no credentials, or they are not right, or no longer.
    #[error(
        "{doing}: the AWS credentials are missing, wrong or expired: {message}; sign in again (such as aws sso login), or check --profile"
    )]
    Credentials {
        /// What was being done.
        doing: String,
        /// The service's or the SDK's words.
        message: String,
    },
    /// Whoever asks has no right to.
    #[error(
        "{doing}: the credentials do not allow it: {message}; ask for the action named, or use another --profile"
    )]
    Denied {
        /// What was being done.
        doing: String,
        /// The service's words.
        message: String,
    },
    /// The service takes no more requests for now, although they were repeated at growing intervals.
    #[error("{doing}: AWS takes no more requests for now ({message}); try again in a minute")]
    Throttled {
        /// What was being done.
        doing: String,
        /// The service's words.
        message: String,
    },
    /// The service or the connection to it failed.
    #[error(
        "{doing}: the service cannot be reached or fails; check the network and the region, and try again"
    )]
    Unavailable {
        /// What was being done.
        doing: String,
        /// The cause from below.
        #[source]
        source: Cause,
    },
    /// The service refused, for a reason that is not known here.
    #[error("{doing}: refused with {code}: {message}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The service's code.
        code: String,
        /// The service's words.
        message: String,
    },
}

fn in_quotes(profile: &Option<String>) -> String {
    profile.as_ref().map(|name| format!(" '{name}'")).unwrap_or_default()
}

impl StackError {
    /// What the SDK says, after all tries.
    pub(crate) fn of<E>(doing: String, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => {
                let (code, message) = (service.err().code(), service.err().message());
                let status = service.raw().status().as_u16();
                let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default().to_owned());
                match sort(code, status) {
                    Sort::Credentials => Self::Credentials { doing, message },
                    Sort::Denied => Self::Denied { doing, message },
                    Sort::Throttled => Self::Throttled { doing, message },
                    Sort::Unavailable => Self::Unavailable { doing, source: Box::new(error) },
                    Sort::Other => Self::Refused { doing, code: code.to_owned(), message },
                }
            }
            // No request was sent, for want of something to sign it with.
            SdkError::DispatchFailure(failure) if failure.is_user() || failure.is_other() => {
                Self::Credentials { doing, message: causes(&error) }
            }
            SdkError::ConstructionFailure(_) => {
                Self::Refused { doing, code: "RequestNotMade".to_owned(), message: causes(&error) }
            }
            _ => Self::Unavailable { doing, source: Box::new(error) },
        }
    }
}

/// What is below an error, in words. The SDK's own context would add its types' insides.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Credentials,
    Denied,
    Throttled,
    Unavailable,
    Other,
}

/// The services' codes, in the one place where they become kinds of errors; by status where a code is unknown. One
/// service speaks of `AccessDenied`, the other of `AccessDeniedException`.
fn sort(code: &str, status: u16) -> Sort {
    match code.strip_suffix("Exception").unwrap_or(code) {
        "ExpiredToken"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "UnrecognizedClient"
        | "InvalidAccessKeyId"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => Sort::Credentials,
        "AccessDenied" | "UnauthorizedOperation" | "OptInRequired" => Sort::Denied,
        "Throttling" | "RequestLimitExceeded" | "TooManyRequests" => Sort::Throttled,
        _ => match status {
            429 => Sort::Throttled,
            401 | 403 => Sort::Denied,
            500..=599 => Sort::Unavailable,
            _ => Sort::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_services_codes_mean_the_same() {
        for (codes, expected) in [
            (["ExpiredToken", "ExpiredTokenException"], Sort::Credentials),
            (["AccessDenied", "AccessDeniedException"], Sort::Denied),
            (["Throttling", "ThrottlingException"], Sort::Throttled),
        ] {
            assert_eq!(codes.map(|code| sort(code, 400)), [expected; 2]);
        }
    }

    #[test]
    fn an_unknown_code_falls_back_on_the_status() {
        assert_eq!(sort("Whatever", 403), Sort::Denied);
        assert_eq!(sort("", 503), Sort::Unavailable);
        assert_eq!(sort("ValidationError", 400), Sort::Other);
    }
}
