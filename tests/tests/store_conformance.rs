//! The S3 adapter, held to the port's conformance suite over two S3 servers that have nothing in common; and our own
//! server, held to a stranger's client.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::python;
use fanfold_emulator::s3;
use fanfold_store::Store;
use fanfold_store::conformance;
use fanfold_store::s3::{S3Settings, S3Store};

const KEY: &str = "fanfold";
const SECRET: &str = "fanfold-secret";
const REGION: &str = "us-east-1";
const BUCKET: &str = "conformance";

async fn server(data: &Path) -> s3::Server {
    let config = s3::Config {
        data: data.to_owned(),
        address: ([127, 0, 0, 1], 0).into(),
        access_key_id: KEY.to_owned(),
        secret_access_key: SECRET.to_owned(),
        region: REGION.to_owned(),
    };
    s3::Server::start(config).await.unwrap()
}

async fn adapter(endpoint: &str, key: &str, secret: &str) -> Arc<dyn Store> {
    let settings = S3Settings {
        endpoint: Some(endpoint.to_owned()),
        region: Some(REGION.to_owned()),
        credentials: Some((key.to_owned(), secret.to_owned())),
    };
    Arc::new(S3Store::new(settings).await)
}

/// Runs a line of Python with the AWS environment of an endpoint.
fn boto3(endpoint: &str, (key, secret): (&str, &str), line: &str) -> bool {
    let mut command = Command::new(python::clients());
    command.args(["-c", &format!("import boto3; s3 = boto3.client('s3'); {line}")]);
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_DEFAULT_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
    command.stderr(Stdio::null()).status().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_adapter_conforms_over_the_embedded_s3() {
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path()).await;
    assert!(boto3(&server.endpoint(), (KEY, SECRET), &format!("s3.create_bucket(Bucket='{BUCKET}')")));
    let store = adapter(&server.endpoint(), KEY, SECRET).await;
    let tried = conformance::run(store, BUCKET, "c/").await.unwrap_or_else(|broken| panic!("{broken}"));
    assert!(tried > 20, "{tried}");
    server.stop().await;
}

/// A LocalStack that serves S3 alone; ended when dropped.
struct LocalStack {
    process: Child,
    endpoint: String,
}

impl LocalStack {
    fn start(scratch: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { process, endpoint }
    }

    /// Makes the bucket as soon as the server answers.
    fn make_bucket(&mut self) {
        let started = Instant::now();
        while !boto3(&self.endpoint, ("test", "test"), &format!("s3.create_bucket(Bucket='{BUCKET}')")) {
            assert!(self.process.try_wait().unwrap().is_none(), "LocalStack ended by itself");
            assert!(started.elapsed() < Duration::from_secs(120), "LocalStack does not answer");
        }
    }
}

impl Drop for LocalStack {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_adapter_conforms_over_a_second_s3_that_is_not_ours() {
    let scratch = tempfile::tempdir().unwrap();
    let mut second = LocalStack::start(scratch.path());
    second.make_bucket();
    let store = adapter(&second.endpoint, "test", "test").await;
    let tried = conformance::run(store, BUCKET, "c/").await.unwrap_or_else(|broken| panic!("{broken}"));
    assert!(tried > 20, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_s3_passes_every_check_of_a_strangers_client() {
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path()).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/s3_conformance.py");
    let mut command = tokio::process::Command::new(python::clients());
    command.arg(script).args([&server.endpoint(), KEY, SECRET]);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed: Vec<&str> =
        text.lines().filter(|line| line.starts_with("FAIL") || line.starts_with("ERR")).collect();
    let passed = text.lines().filter(|line| line.starts_with("PASS")).count();
    assert!(failed.is_empty() && passed >= 95, "{passed} passed; {}", failed.join("\n"));
    server.stop().await;
}
