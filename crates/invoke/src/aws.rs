//! The adapter to AWS Lambda, and to what speaks its Invoke protocol.
//!
//! It tries once: the SDK's own retries draw on one bucket per service and region, which a throttled fan-out empties
//! at once, so [`PacedInvoke`](crate::paced::PacedInvoke) does them. The behaviour version is pinned, so that an
//! update of the SDK does not change what we do.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::SharedHttpClient;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{Builder, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::operation::invoke::{InvokeError as Refusal, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType, ThrottleReason as Reason};
use aws_smithy_http_client::tls;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::error::{FunctionError, InvokeError, ThrottleReason};
use crate::invoke::{Answer, Invoke, Mode, RequestId};

/// Connections that were idle for longer are not used again: the service may have closed them.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// Time to reach the service; a healthy one is reached within milliseconds.
const CONNECT: Duration = Duration::from_secs(3);

/// Time for handing over an event, which the service only puts into a queue.
const SEND: Duration = Duration::from_secs(15);

/// Time for a call: the longest that a function may run, 900 s, and a margin for its start.
const CALL: Duration = Duration::from_secs(930);

/// Where the functions are, and who asks.
#[derive(Clone, Debug, Default)]
pub struct LambdaSettings {
    /// The address of another service than AWS's, such as `http://127.0.0.1:9001`.
    pub endpoint: Option<String>,
    /// The region. By default the one of the environment or the profile; `us-east-1` where only an endpoint is given.
    pub region: Option<String>,
    /// Key id and secret. By default whatever the SDK's chain of providers finds.
    pub credentials: Option<(String, String)>,
    /// The profile of the AWS configuration. One that is named here goes before keys in the environment. Profiles that
    /// sign in by SSO or run a program need these features of `aws-config`, which the command line is built with.
    pub profile: Option<String>,
}

/// The endpoint that the SDK takes from the environment.
fn endpoint_of_environment() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|ignored| ignored.eq_ignore_ascii_case("true"))
    {
        return None;
    }
    set("AWS_ENDPOINT_URL_LAMBDA").or_else(|| set("AWS_ENDPOINT_URL"))
}

/// The way to Lambda. Where nothing is asked but a plain HTTP endpoint, there is no TLS: its trust takes a while to load, and a
/// machine without CA certificates would be warned of what it does not need.
fn http_client(endpoint: Option<&str>, settings: &LambdaSettings) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new().pool_idle_timeout(IDLE_CONNECTION);
    // Other credentials may have to be asked for, over HTTPS.
    let has_keys = settings.credentials.is_some()
        || settings.profile.is_none() && std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|id| !id.is_empty());
    if has_keys && endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return builder.build_http();
    }
    builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc)).build_https()
}

/// Functions in AWS Lambda. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct LambdaInvoke {
    client: Client,
}

impl LambdaInvoke {
    /// The service that the environment speaks of: region, credentials and endpoint as for every AWS tool.
    pub async fn from_environment() -> Self {
        Self::new(LambdaSettings::default()).await
    }

    /// The service of these settings. Nothing is asked of it yet: what is wrong with them shows in the first request.
    pub async fn new(settings: LambdaSettings) -> Self {
        let endpoint = settings.endpoint.clone().or_else(endpoint_of_environment);
        let mut shared = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client(endpoint.as_deref(), &settings))
            .retry_config(RetryConfig::disabled())
            .timeout_config(attempt_time(SEND));
        if let Some(profile) = settings.profile {
            let credentials = ProfileFileCredentialsProvider::builder().profile_name(&profile).build();
            shared = shared.profile_name(profile).credentials_provider(credentials);
        }
        if let Some((id, secret)) = settings.credentials {
            shared = shared.credentials_provider(Credentials::new(id, secret, None, None, "settings"));
        }
        if let Some(region) = &settings.region {
            // Here already, or the SDK would look for one, as far as the metadata service of a machine in EC2.
            shared = shared.region(Region::new(region.clone()));
        }
        let shared = shared.load().await;
        let mut config = Builder::from(&shared);
        if settings.endpoint.is_some() && shared.region().is_none() {
            config = config.region(Region::from_static("us-east-1"));
        }
        if let Some(endpoint) = settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(config.build()) }
    }

    async fn invoke(&self, mode: Mode, function: &str, payload: Bytes) -> Result<InvokeOutput, InvokeError> {
        mode.check_payload(function, &payload)?;
        let bytes = payload.len();
        let request = self.client.invoke().function_name(function).payload(Blob::new(payload));
        let (request, time) = match mode {
            Mode::Call => {
                (request.invocation_type(InvocationType::RequestResponse).log_type(LogType::Tail), CALL)
            }
            Mode::Send => (request.invocation_type(InvocationType::Event), SEND),
        };
        // A function that works is silent, which is no stall.
        let patience = Builder::new()
            .timeout_config(attempt_time(time))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let sent = request.customize().config_override(patience).send().await;
        sent.map_err(|error| refused(function, mode, bytes, error))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Invoke for LambdaInvoke {
    async fn call(&self, function: &str, payload: Bytes) -> Result<Answer, InvokeError> {
        let output = self.invoke(Mode::Call, function, payload).await?;
        let request_id = id_of(&output);
        let payload = Bytes::from(output.payload.map(Blob::into_inner).unwrap_or_default());
        // The header alone says that it failed; what stands in it ("Handled", "Unhandled") is no guide.
        if output.function_error.is_some() {
            let error = Box::new(FunctionError::from_payload(payload, request_id));
            return Err(InvokeError::Function { function: function.to_owned(), error });
        }
        let log_tail = output.log_result.and_then(|text| STANDARD.decode(text).ok());
        let log_tail = log_tail.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Answer { request_id, payload, log_tail })
    }

    async fn send(&self, function: &str, payload: Bytes) -> Result<RequestId, InvokeError> {
        Ok(id_of(&self.invoke(Mode::Send, function, payload).await?))
    }
}

fn attempt_time(time: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(time).build()
}

fn id_of(output: &InvokeOutput) -> RequestId {
    RequestId::new(output.request_id().unwrap_or_default())
}

/// What the SDK says, as an error of the port.
fn refused(function: &str, mode: Mode, bytes: usize, error: SdkError<Refusal, HttpResponse>) -> InvokeError {
    let function = function.to_owned();
    let message = match &error {
        SdkError::ServiceError(service) => {
            return refused_by_service(function, mode, bytes, service.err(), service.raw());
        }
        SdkError::TimeoutError(_) => "no answer in time",
        // What broke off on the way is "other" too, but then it is told of what kind that was.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            return not_sent(function, "RequestNotSent", error);
        }
        SdkError::DispatchFailure(_) => "the connection failed",
        SdkError::ResponseError(_) => "the answer could not be read",
        _ => return not_sent(function, "RequestNotMade", error),
    };
    InvokeError::Unavailable { function, message: message.to_owned(), source: error.into_source().ok() }
}

/// A request that never left, for want of credentials or a region, say. The chain of causes goes into the text, since
/// this kind of error has no source.
fn not_sent(function: String, code: &str, error: SdkError<Refusal, HttpResponse>) -> InvokeError {
    let message = DisplayErrorContext(&error).to_string();
    InvokeError::Invalid { function, code: code.to_owned(), message }
}

fn refused_by_service(
    function: String,
    mode: Mode,
    bytes: usize,
    error: &Refusal,
    response: &HttpResponse,
) -> InvokeError {
    if let Refusal::TooManyRequestsException(throttled) = error {
        let reason = throttled.reason().map(Reason::as_str).unwrap_or_default();
        let seconds = throttled.retry_after_seconds().and_then(|text| text.trim().parse().ok());
        return InvokeError::Throttled {
            function,
            reason: ThrottleReason::from_service(reason),
            retry_after: seconds.map(Duration::from_secs),
        };
    }
    let (code, status) = (error.code().unwrap_or_default(), response.status().as_u16());
    let message = error.message().unwrap_or_default().to_owned();
    match sort(code, status) {
        Sort::Throttled => {
            let reason = ThrottleReason::Other(code.to_owned());
            InvokeError::Throttled { function, reason, retry_after: None }
        }
        Sort::NotFound => InvokeError::NotFound { function, message },
        Sort::TooLarge => InvokeError::TooLarge { function, bytes, limit: mode.payload_bytes_max() },
        Sort::Denied => InvokeError::Denied { function, message },
        Sort::Conflict => InvokeError::Conflict { function, message },
        Sort::Unavailable => {
            let message = format!("{code} (status {status}): {message}");
            InvokeError::Unavailable { function, message, source: None }
        }
        Sort::Invalid => InvokeError::Invalid { function, code: code.to_owned(), message },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Throttled,
    NotFound,
    TooLarge,
    Denied,
    Conflict,
    Unavailable,
    Invalid,
}

/// The service's codes, in the one place where they become kinds of errors; by status where a code is unknown.
fn sort(code: &str, status: u16) -> Sort {
    match code {
        "TooManyRequestsException" | "EC2ThrottledException" | "ThrottlingException" => Sort::Throttled,
        "ResourceNotFoundException" => Sort::NotFound,
        // The second is not in the service's model, and is what it really answers.
        "RequestTooLargeException" | "RequestEntityTooLargeException" => Sort::TooLarge,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException" => Sort::Denied,
        "ResourceConflictException" | "ResourceNotReadyException" => Sort::Conflict,
        "ServiceException" => Sort::Unavailable,
        _ => match status {
            429 => Sort::Throttled,
            404 => Sort::NotFound,
            413 => Sort::TooLarge,
            401 | 403 => Sort::Denied,
            409 => Sort::Conflict,
            500..=599 => Sort::Unavailable,
            _ => Sort::Invalid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_outside_the_model_is_still_known() {
        assert_eq!(sort("RequestEntityTooLargeException", 413), Sort::TooLarge);
        assert_eq!(sort("ResourceNotReadyException", 502), Sort::Conflict);
        assert_eq!(sort("EC2ThrottledException", 502), Sort::Throttled);
    }

    #[test]
    fn an_unknown_code_falls_back_on_the_status() {
        assert_eq!(sort("", 403), Sort::Denied);
        assert_eq!(sort("ENILimitReachedException", 502), Sort::Unavailable);
        assert_eq!(sort("InvalidRequestContentException", 400), Sort::Invalid);
    }
}
