//! The adapter to Amazon S3, and to stores that speak its protocol.
//!
//! What this module owes the rest is that everything learnt the hard way about the SDK stands here once:
//!
//! - the behaviour version is pinned, so an update of the SDK does not change what we do;
//! - idle connections are dropped after 15 s, since S3 closes them at about 20 s;
//! - the time a try may take grows with the bytes that it moves; server-side copies and completions, which are silent
//!   for long, have time limits of their own and no protection against stalled streams;
//! - tries that the SDK repeats come from a token bucket of this client's own, ten times the SDK's default of 500;
//! - beginning an upload is tried once, since a try whose answer was lost leaves an upload that nobody knows of: that is for
//!   who can look for it;
//! - every body that is sent is in memory with its CRC64NVME in a header, so it can be sent again and needs no
//!   aws-chunked trailer, which many other stores refuse.

mod errors;
mod objects;
#[cfg(test)]
mod silence;
mod uploads;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;

use crate::error::StoreError;
use crate::object::{ETag, GetOptions, Got, ObjectInfo, Page, PutOptions};
use crate::store::Store;
use crate::upload::{CompleteOptions, Part, Upload};

/// S3 closes a connection that was idle for about 20 s; a request on it would fail once for nothing.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);

/// Time to reach the service; a healthy one is reached within milliseconds.
const CONNECT: Duration = Duration::from_secs(3);

/// Time for one try of a request that moves no bytes to speak of.
const SMALL_REQUEST: Duration = Duration::from_secs(30);

/// The slowest upload that is waited for, in bytes a second; it adds to [`SMALL_REQUEST`].
const SLOWEST_UPLOAD: u64 = 1 << 20;

/// Time for one try of a copy. 512 MiB, the most that we copy at once, took some seconds wherever it was measured.
const COPY: Duration = Duration::from_secs(300);

/// Time for one try of a completion: "several minutes" for large objects (S3 API reference).
const COMPLETE: Duration = Duration::from_secs(600);

/// Tries of one request in all, made by the SDK.
const ATTEMPTS: u32 = 3;

/// Tokens for repeated tries. One costs 5; the SDK's default of 500 is used up by the first gust of throttling, and
/// then every failure is final.
const RETRY_TOKENS: usize = 5_000;

/// Where the store is, and who asks.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// The address of another store than AWS's, such as `http://127.0.0.1:9000`. Objects are then addressed by path,
    /// as a bucket's name is no host name there.
    pub endpoint: Option<String>,
    /// The region. By default the one of the environment or the profile; `us-east-1` where only an endpoint is given.
    pub region: Option<String>,
    /// Key id and secret. By default whatever the SDK's chain of providers finds.
    pub credentials: Option<(String, String)>,
    /// The profile of the AWS configuration. One that is named here goes before keys in the environment. Profiles that
    /// sign in by SSO or run a program need these features of `aws-config`, which the command line is built with.
    pub profile: Option<String>,
}

impl S3Settings {
    /// What `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`, says; the rest is left to the SDK.
    pub fn from_environment() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL"));
        Self { endpoint, ..Self::default() }
    }
}

/// The way to S3. Where nothing is asked but a plain HTTP endpoint, there is no TLS: its trust takes a while to load, and a
/// machine without CA certificates would be warned of what it does not need.
fn http_client(endpoint: Option<&str>, settings: &S3Settings) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new().pool_idle_timeout(IDLE_CONNECTION);
    // Other credentials may have to be asked for, over HTTPS.
    let has_keys = settings.credentials.is_some()
        || settings.profile.is_none() && std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|id| !id.is_empty());
    if has_keys && endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return builder.build_http();
    }
    builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc)).build_https()
}

/// Objects in Amazon S3. Cheap to clone; clones share their connections. Never let one cross a fork: the children
/// would share its sockets.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
}

impl S3Store {
    /// The store that the environment speaks of: region, credentials and endpoint as for every AWS tool.
    pub async fn from_environment() -> Self {
        Self::new(S3Settings::from_environment()).await
    }

    /// The store of these settings. Nothing is asked of it yet: what is wrong with them shows in the first request.
    pub async fn new(settings: S3Settings) -> Self {
        Self { client: Client::from_conf(Self::config(settings).await.build()) }
    }

    async fn config(settings: S3Settings) -> Builder {
        let mut shared = aws_config::defaults(behaviour())
            .http_client(http_client(settings.endpoint.as_deref(), &settings))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(attempt_time(SMALL_REQUEST));
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
        let mut config = Builder::from(&shared)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_partition(
                RetryPartition::custom("fanfold-store")
                    .token_bucket(TokenBucket::builder().capacity(RETRY_TOKENS).build())
                    .build(),
            );
        if settings.endpoint.is_some() && shared.region().is_none() {
            config = config.region(Region::from_static("us-east-1"));
        }
        if let Some(endpoint) = settings.endpoint {
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        config
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for S3Store {
    async fn get(&self, at: &ObjectUri, options: GetOptions) -> Result<Got, StoreError> {
        objects::get(&self.client, at, options).await
    }

    async fn head(&self, at: &ObjectUri) -> Result<ObjectInfo, StoreError> {
        objects::head(&self.client, at).await
    }

    async fn put(&self, at: &ObjectUri, bytes: Bytes, options: PutOptions) -> Result<ETag, StoreError> {
        objects::put(&self.client, at, bytes, options).await
    }

    async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        objects::delete(&self.client, bucket, keys).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, StoreError> {
        objects::list(&self.client, bucket, prefix, after).await
    }

    async fn create_upload(&self, at: &ObjectUri, content_type: Option<&str>) -> Result<Upload, StoreError> {
        uploads::create(&self.client, at, content_type).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, bytes: Bytes) -> Result<Part, StoreError> {
        uploads::upload_part(&self.client, upload, number, bytes).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &ObjectUri,
        range: Option<Range<u64>>,
        source_etag: Option<&ETag>,
    ) -> Result<Part, StoreError> {
        uploads::copy_part(&self.client, upload, number, source, range, source_etag).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        options: CompleteOptions,
    ) -> Result<ETag, StoreError> {
        uploads::complete(&self.client, upload, parts, options).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        uploads::abort(&self.client, upload).await
    }

    async fn list_uploads(&self, bucket: &str, prefix: &str) -> Result<Vec<Upload>, StoreError> {
        uploads::list(&self.client, bucket, prefix).await
    }

    async fn list_parts(&self, upload: &Upload) -> Result<Vec<Part>, StoreError> {
        uploads::list_parts(&self.client, upload).await
    }
}

fn behaviour() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Limits for one try; how long all tries together may take is the caller's affair.
fn attempt_time(time: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(time).build()
}

/// For a request whose body has so many bytes.
fn upload_time(bytes: usize) -> Builder {
    let moving = Duration::from_secs(bytes as u64 / SLOWEST_UPLOAD);
    Builder::new().timeout_config(attempt_time(SMALL_REQUEST + moving))
}

/// For a request that is silent while the service works: by the SDK's measure its streams stall.
fn silent_time(time: Duration) -> Builder {
    Builder::new()
        .timeout_config(attempt_time(time))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// For a request that leaves something behind each time that it is done: whoever makes it must know that it was made again.
fn once() -> Builder {
    Builder::new().retry_config(RetryConfig::standard().with_max_attempts(1))
}

/// A checksum as S3 writes it: base64 of the big-endian bytes.
fn encode(crc: Crc64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

/// A checksum that S3 wrote; `None` for what cannot be one, so that nobody compares with it.
fn decode(text: &str) -> Option<Crc64> {
    let bytes = STANDARD.decode(text).ok()?;
    Some(Crc64(u64::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_written_as_s3_writes_it() {
        let crc = Crc64::of(b"123456789");
        assert_eq!(encode(crc), "rosUhgp5mIg=");
        assert_eq!(decode("rosUhgp5mIg="), Some(crc));
        assert_eq!(decode("rosUhgp5mIg=-2"), None);
        assert_eq!(decode("AAAA"), None);
    }

    #[test]
    fn the_time_of_a_try_grows_with_its_bytes() {
        let time = |bytes| upload_time(bytes).build().timeout_config().unwrap().operation_attempt_timeout();
        assert_eq!(time(1), Some(Duration::from_secs(30)));
        assert_eq!(time(64 << 20), Some(Duration::from_secs(94)));
    }
}
