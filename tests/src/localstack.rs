//! LocalStack's S3: a second S3 server that has nothing in common with ours.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::python;

/// The access key's id and secret. It checks neither.
pub const KEY: (&str, &str) = ("test", "test");

/// The longest that it may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// A LocalStack that serves S3 alone; ended when dropped.
#[derive(Debug)]
pub struct LocalStack {
    process: Child,
    endpoint: String,
}

impl LocalStack {
    /// Starts one that keeps everything in `scratch`, and makes a bucket as soon as it answers.
    ///
    /// # Panics
    /// When it ends by itself, or does not answer.
    pub fn start(scratch: &Path, bucket: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = listener.unwrap_or_else(|error| panic!("a port: {error}")).port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(python::localstack());
        command.args(["-m", "localstack.runtime.main"]).current_dir(scratch);
        for (name, value) in [
            ("SERVICES", "s3"),
            ("EAGER_SERVICE_LOADING", "1"),
            ("DISABLE_EVENTS", "1"),
            ("SKIP_SSL_CERT_DOWNLOAD", "1"),
            ("SKIP_INFRA_DOWNLOADS", "1"),
            ("DNS_ADDRESS", "0"),
            ("GATEWAY_LISTEN", &format!("127.0.0.1:{port}")),
        ] {
            command.env(name, value);
        }
        command.env("LOCALSTACK_VOLUME_DIR", scratch).env("TMPDIR", scratch);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("LocalStack: {error}"));
        let mut started = Self { process, endpoint };
        started.make_bucket(bucket);
        started
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn make_bucket(&mut self, bucket: &str) {
        let started = Instant::now();
        while !python::boto3(&self.endpoint, KEY, &format!("s3.create_bucket(Bucket='{bucket}')")) {
            let ended = self.process.try_wait().unwrap_or_else(|error| panic!("LocalStack: {error}"));
            assert!(ended.is_none(), "LocalStack ended by itself: {ended:?}");
            assert!(started.elapsed() < UP_WITHIN, "LocalStack does not answer");
        }
    }
}

impl Drop for LocalStack {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}
