//! The Lambda adapter, held to the port's conformance suite over the embedded Lambda, with a real function behind it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use fanfold_emulator::lambda::{self, Function};
use fanfold_invoke::aws::{LambdaInvoke, LambdaSettings};
use fanfold_invoke::conformance::{self, World};

fn function(name: &str) -> Function {
    Function::new(name, vec![env!("CARGO_BIN_EXE_e2e-function").into()])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lambda_adapter_conforms_over_the_embedded_lambda() {
    let logs = tempfile::tempdir().unwrap();
    let mut failing = function("failing");
    failing.environment.push(("FAILING".to_owned(), "1".to_owned()));
    failing.maximum_retry_attempts = 0;
    let config = lambda::Config {
        address: ([127, 0, 0, 1], 0).into(),
        region: "us-east-1".to_owned(),
        access_key_id: "fanfold".to_owned(),
        secret_access_key: "fanfold-secret".to_owned(),
        s3_endpoint: None,
        log_folder: logs.path().to_owned(),
        settings: lambda::Settings {
            functions: vec![function("echo"), failing],
            ..lambda::Settings::default()
        },
    };
    let server = lambda::Server::start(config).await.unwrap();
    let settings = LambdaSettings {
        endpoint: Some(server.endpoint().to_owned()),
        region: Some("us-east-1".to_owned()),
        credentials: Some(("fanfold".to_owned(), "fanfold-secret".to_owned())),
        profile: None,
    };
    let world = World {
        invoke: Arc::new(LambdaInvoke::new(settings).await),
        echo: "echo".to_owned(),
        failing: "failing".to_owned(),
        missing: "missing".to_owned(),
    };
    let tried = conformance::run(&world).await.unwrap_or_else(|broken| panic!("{broken}"));
    assert!(tried >= 10, "{tried}");
    server.stop().await;
}
