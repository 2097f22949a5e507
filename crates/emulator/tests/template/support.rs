//! A folder as `cdk synth` leaves it, and the stack in it, deployed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use fanfold_emulator::lambda::{LogLine, Settings};
use fanfold_emulator::template::Template;
use fanfold_emulator::{Config, Emulator};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// How long anything may take before a test gives up on it; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

const TEMPLATE: &str = include_str!("fixtures/Orders.template.json");
const ASSETS: &str = include_str!("fixtures/Orders.assets.json");

/// Writes `cdk.out` with the template as `change` leaves it; gives the template's path.
pub(crate) fn synthesized(folder: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let out = folder.join("cdk.out");
    let code = out.join("asset.00d1");
    std::fs::create_dir_all(&code).unwrap();
    std::fs::create_dir_all(out.join("asset.00f3")).unwrap();
    std::fs::write(out.join("asset.00f2.zip"), "PK").unwrap();
    let bootstrap = code.join("bootstrap");
    if !bootstrap.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_emulator-test-bootstrap"), &bootstrap).unwrap();
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut template: Value = serde_json::from_str(TEMPLATE).unwrap();
    change(&mut template);
    let path = out.join("Orders.template.json");
    std::fs::write(&path, template.to_string()).unwrap();
    std::fs::write(out.join("Orders.assets.json"), ASSETS).unwrap();
    path
}

/// The fixture's stack, running.
pub(crate) struct Stack {
    pub(crate) emulator: Emulator,
    pub(crate) template: Template,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) folder: TempDir,
    lines: mpsc::UnboundedReceiver<LogLine>,
}

impl Stack {
    pub(crate) async fn deploy() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let template = Template::read(&synthesized(folder.path(), |_| {}), REGION).unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        let config = Config {
            data: folder.path().join("data"),
            region: REGION.into(),
            access_key_id: ACCESS_KEY_ID.into(),
            secret_access_key: SECRET_ACCESS_KEY.into(),
            s3_address: "127.0.0.1:0".parse().unwrap(),
            lambda_address: "127.0.0.1:0".parse().unwrap(),
            lambda: Settings { retry_clock: 0.001, log_lines: Some(sender), ..Settings::default() },
        };
        let emulator = Emulator::deploy(config, template.clone()).await.unwrap();
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(emulator.s3_endpoint())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "test"))
            .force_path_style(true);
        let s3 = aws_sdk_s3::Client::from_conf(s3.build());
        Self { emulator, template, s3, folder, lines }
    }

    /// The name of the bucket that has none in the template.
    pub(crate) fn work_bucket(&self) -> &str {
        let named = |it: &&fanfold_emulator::template::Bucket| it.name.starts_with("orders-orderswork");
        &self.template.buckets.iter().find(named).unwrap().name
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str) {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"hello");
        self.s3.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
    }

    /// The events that functions were given, once none waits or runs.
    pub(crate) async fn events(&mut self) -> Vec<Value> {
        let done = async {
            self.emulator.lambda().drain().await;
            // Whatever was logged before this line has come when this line has.
            let mark = self.emulator.fire("every-hour", time::OffsetDateTime::UNIX_EPOCH).unwrap();
            let mark = mark.told[0].request_id.clone();
            let mut events = Vec::new();
            loop {
                let line = self.lines.recv().await.unwrap();
                let Some(event) = line.line.strip_prefix("event ") else { continue };
                if line.request_id == mark {
                    return events;
                }
                events.push(serde_json::from_str(event).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("the events did not come")
    }
}
