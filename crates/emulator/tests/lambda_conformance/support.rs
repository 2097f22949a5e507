//! A Lambda of its own for each test, and the SDK as its caller.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fanfold_emulator::lambda::{Config, Function, LogLine, Server, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// How long anything may take before a test gives up on it; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Lambda {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) lines: mpsc::UnboundedReceiver<LogLine>,
    pub(crate) folder: TempDir,
}

pub(crate) fn function(name: &str) -> Function {
    Function::new(name, vec![env!("CARGO_BIN_EXE_emulator-test-bootstrap").into()])
}

/// The function with `TEST_INIT`, by which the bootstrap misbehaves during INIT.
pub(crate) fn function_with_init(name: &str, init: &str) -> Function {
    let mut function = function(name);
    function.environment.push(("TEST_INIT".into(), init.into()));
    function
}

pub(crate) async fn lambda(functions: Vec<Function>) -> Lambda {
    lambda_with(Settings { functions, retry_clock: 0.001, ..Settings::default() }).await
}

pub(crate) async fn lambda_with(mut settings: Settings) -> Lambda {
    let folder = tempfile::tempdir().unwrap();
    let (sender, lines) = mpsc::unbounded_channel();
    settings.log_lines = Some(sender);
    let config = Config {
        address: "127.0.0.1:0".parse().unwrap(),
        region: REGION.into(),
        access_key_id: ACCESS_KEY_ID.into(),
        secret_access_key: SECRET_ACCESS_KEY.into(),
        s3_endpoint: Some("http://127.0.0.1:9".into()),
        log_folder: folder.path().join("logs"),
        settings,
    };
    let server = Server::start(config).await.unwrap();
    let client = client(server.endpoint(), ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    Lambda { server, client, lines, folder }
}

pub(crate) fn client(endpoint: &str, access_key_id: &str, secret_access_key: &str) -> Client {
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(access_key_id, secret_access_key, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// What came back, read.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) output: InvokeOutput,
    pub(crate) json: Value,
    pub(crate) log: String,
}

impl Got {
    pub(crate) fn failed(&self) -> bool {
        self.output.function_error().is_some()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.json["headers"][name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.json))
    }

    pub(crate) fn error(&self) -> (&str, &str) {
        assert!(self.failed(), "{:?}", self.json);
        (self.json["errorType"].as_str().unwrap(), self.json["errorMessage"].as_str().unwrap())
    }
}

impl Lambda {
    /// Invokes and waits for the answer, log tail included.
    pub(crate) async fn call(&self, function: &str, event: Value) -> Got {
        let sent = self
            .client
            .invoke()
            .function_name(function)
            .log_type(LogType::Tail)
            .payload(Blob::new(event.to_string()))
            .send();
        got(sent.await.unwrap())
    }

    pub(crate) async fn send_event(&self, function: &str, event: Value) -> InvokeOutput {
        self.client
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(event.to_string()))
            .send()
            .await
            .unwrap()
    }

    /// The next logged line that `wanted` takes; others before it are thrown away.
    pub(crate) async fn line(&mut self, wanted: impl Fn(&LogLine) -> bool) -> LogLine {
        let found = async {
            loop {
                let line = self.lines.recv().await.unwrap();
                if wanted(&line) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the line was not logged")
    }
}

pub(crate) fn got(output: InvokeOutput) -> Got {
    let json = serde_json::from_slice(output.payload().unwrap().as_ref()).unwrap();
    let log = output.log_result().map(|log| String::from_utf8(STANDARD.decode(log).unwrap()).unwrap());
    Got { json, log: log.unwrap_or_default(), output }
}

/// Waits until `holds`, looking again and again.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a process runs; one that has ended and waits for a strange parent to reap it does not.
pub(crate) fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// How many files in `folder` begin with `prefix`.
pub(crate) fn count(folder: &Path, prefix: &str) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(prefix)).count()
}
