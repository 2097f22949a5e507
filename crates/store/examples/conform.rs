//! Holds a server that speaks the S3 protocol to what Fanfold stands on:
//!
//! ```text
//! cargo run -p fanfold-store --example conform -- http://127.0.0.1:9000 KEY SECRET BUCKET
//! ```
//!
//! The bucket must exist. Exits with 1 and a list when a property does not hold.

use std::process::ExitCode;
use std::sync::Arc;

use fanfold_store::conformance;
use fanfold_store::s3::{S3Settings, S3Store};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, key, secret, bucket] = arguments.as_slice() else {
        eprintln!("usage: conform ENDPOINT KEY SECRET BUCKET");
        return ExitCode::from(2);
    };
    let settings = S3Settings {
        endpoint: Some(endpoint.clone()),
        region: Some("us-east-1".to_owned()),
        credentials: Some((key.clone(), secret.clone())),
        ..S3Settings::default()
    };
    let store = Arc::new(S3Store::new(settings).await);
    match conformance::run(store, bucket, &format!("conform-{}/", std::process::id())).await {
        Ok(properties) => {
            println!("all {properties} properties hold");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            eprint!("{broken}");
            ExitCode::FAILURE
        }
    }
}
