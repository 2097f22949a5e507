//! Lambda and S3 on this machine, for a laptop and for the tests. Knows the protocols and none of our crates.
//!
//! **The decision.** The programs that run on AWS run here unchanged, as processes of their own that speak the Runtime
//! API, and reach S3 and one another by the endpoints in their environment. So what is tested is what ships, including what is
//! usually faked: throttles, retries of asynchronous events, timeouts that kill, crashes, cold starts, payload limits,
//! conditional writes and checksums. **The price:** this is a second implementation of two services. Where it departs from
//! them is listed at the top of [`lambda`] and [`s3`]; everything else is held by conformance tests with the official SDKs
//! as callers. It needs a Unix, and measures memory only on Linux.
//!
//! | half | owes the other |
//! |---|---|
//! | [`s3`] | an endpoint; it knows nothing of functions |
//! | [`lambda`] | nothing; it passes the endpoint on to its functions |
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;

mod account;
pub mod events;
mod http_server;
pub mod lambda;
pub mod queues;
pub mod s3;
mod signature;

/// What an [`Emulator`] is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder for everything: objects in `s3`, what functions print in `logs`. Made where it is missing.
    pub data: PathBuf,
    /// The region that both halves are in.
    pub region: String,
    /// The one access key that both halves know.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Where S3 listens; port 0 takes a free one.
    pub s3_address: SocketAddr,
    /// Where Lambda's Invoke API listens; port 0 takes a free one.
    pub lambda_address: SocketAddr,
    /// The functions and their account.
    pub lambda: lambda::Settings,
}

/// Why an [`Emulator`] did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The S3 half.
    #[error("failed to start S3")]
    S3(#[source] s3::StartError),
    /// The Lambda half.
    #[error("failed to start Lambda")]
    Lambda(#[source] lambda::StartError),
}

/// A running Lambda and a running S3.
///
/// Dropped without [`Emulator::stop`], it kills every function's processes at once and closes its ports soon after.
#[derive(Debug)]
pub struct Emulator {
    lambda: lambda::Server,
    s3: s3::Server,
    environment: Vec<(String, String)>,
}

impl Emulator {
    /// Starts both halves. No function is started before it is invoked.
    ///
    /// # Errors
    /// One of the halves does not start: its folder, its address, or the settings are wrong.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let s3 = s3::Server::start(s3::Config {
            data: config.data.join("s3"),
            address: config.s3_address,
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            region: config.region.clone(),
        })
        .await
        .map_err(StartError::S3)?;
        let started = lambda::Server::start(lambda::Config {
            address: config.lambda_address,
            region: config.region.clone(),
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            s3_endpoint: Some(s3.endpoint()),
            log_folder: config.data.join("logs"),
            settings: config.lambda,
        })
        .await;
        let lambda = match started {
            Ok(lambda) => lambda,
            Err(error) => {
                s3.stop().await;
                return Err(StartError::Lambda(error));
            }
        };
        let environment = [
            ("AWS_ENDPOINT_URL_S3", s3.endpoint()),
            ("AWS_ENDPOINT_URL_LAMBDA", lambda.endpoint().to_owned()),
            ("AWS_ACCESS_KEY_ID", config.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", config.secret_access_key),
            ("AWS_REGION", config.region.clone()),
            ("AWS_DEFAULT_REGION", config.region),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Self { lambda, s3, environment })
    }

    /// The URL of S3.
    #[must_use]
    pub fn s3_endpoint(&self) -> String {
        self.s3.endpoint()
    }

    /// The URL of Lambda's Invoke API.
    #[must_use]
    pub fn lambda_endpoint(&self) -> &str {
        self.lambda.endpoint()
    }

    /// The variables with which the AWS CLI, boto3 and the SDKs use this emulator in place of AWS.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// The Lambda half, to look at environments or to wait for its events.
    #[must_use]
    pub fn lambda(&self) -> &lambda::Server {
        &self.lambda
    }

    /// The S3 half, to make buckets without a client.
    #[must_use]
    pub fn s3(&self) -> &s3::Server {
        &self.s3
    }

    /// Stops Lambda first, so that no function loses its S3 while it runs, then S3. No process is left.
    ///
    /// # Cancellation
    /// What has begun to stop goes on stopping; processes are killed all the same.
    pub async fn stop(self) {
        self.lambda.stop().await;
        self.s3.stop().await;
    }
}
