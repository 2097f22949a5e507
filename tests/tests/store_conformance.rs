//! The S3 adapter, held to the port's conformance suite over two S3 servers that have nothing in common; and our own
//! server, held to a stranger's client.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use e2e::localstack::{self, LocalStack};
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
        ..S3Settings::default()
    };
    Arc::new(S3Store::new(settings).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_adapter_conforms_over_the_embedded_s3() {
    let data = tempfile::tempdir().unwrap();
    let server = server(data.path()).await;
    assert!(python::boto3(
        &server.endpoint(),
        (KEY, SECRET),
        &format!("s3.create_bucket(Bucket='{BUCKET}')")
    ));
    let store = adapter(&server.endpoint(), KEY, SECRET).await;
    let tried = conformance::run(store, BUCKET, "c/").await.unwrap_or_else(|broken| panic!("{broken}"));
    assert!(tried > 20, "{tried}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_adapter_conforms_over_a_second_s3_that_is_not_ours() {
    let scratch = tempfile::tempdir().unwrap();
    let second = LocalStack::start(scratch.path(), BUCKET);
    let (key, secret) = localstack::KEY;
    let store = adapter(second.endpoint(), key, secret).await;
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
