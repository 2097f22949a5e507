//! The two S3 servers, each a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::localstack::{self, LocalStack};
use fanfold_store::s3::{S3Settings, S3Store};

const REGION: &str = "us-east-1";

/// An S3 server with a bucket; ended when dropped.
pub(crate) struct Server {
    _process: Process,
    endpoint: String,
    key: (String, String),
    bucket: String,
}

/// Ends with its owner.
#[expect(dead_code, reason = "held for its drop")]
enum Process {
    Emulator(Emulator),
    LocalStack(LocalStack),
}

struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Server {
    /// Starts the one of this name, with its data in `scratch`.
    pub(crate) fn start(name: &str, scratch: &Path) -> Self {
        match name {
            "emulator" => Self::emulator(scratch),
            "localstack" => Self::localstack(scratch),
            _ => panic!("--stores {name}: there are emulator and localstack"),
        }
    }

    /// That of `fanfold local`.
    fn emulator(scratch: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e-fanfold"));
        command.args(["local", "--data"]).arg(scratch).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("fanfold local starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let process = Process::Emulator(Emulator(child));
        let mut variable = |name: &str| {
            let prefix = format!("export {name}=");
            let mut values = lines.by_ref().map(|line| line.expect("it says how to reach it"));
            let value = values.find_map(|line| line.strip_prefix(&prefix).map(str::to_owned));
            value.unwrap_or_else(|| panic!("fanfold local prints no {name}"))
        };
        // In the order in which it prints them.
        let endpoint = variable("AWS_ENDPOINT_URL_S3");
        let key = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        let work = variable("FANFOLD_WORK_URI");
        let bucket = work.trim_start_matches("s3://").split('/').next().unwrap_or_default().to_owned();
        Self { _process: process, endpoint, key, bucket }
    }

    fn localstack(scratch: &Path) -> Self {
        let bucket = "concat".to_owned();
        let server = LocalStack::start(scratch, &bucket);
        let (id, secret) = localstack::KEY;
        let endpoint = server.endpoint().to_owned();
        Self {
            _process: Process::LocalStack(server),
            endpoint,
            key: (id.to_owned(), secret.to_owned()),
            bucket,
        }
    }

    /// The bucket that everything is in.
    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The adapter that the reducer has.
    pub(crate) async fn store(&self) -> S3Store {
        let settings = S3Settings {
            endpoint: Some(self.endpoint.clone()),
            region: Some(REGION.to_owned()),
            credentials: Some(self.key.clone()),
            ..S3Settings::default()
        };
        S3Store::new(settings).await
    }

    /// The variables that lead others here.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 4] {
        let (id, secret) = (self.key.0.as_str(), self.key.1.as_str());
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ]
    }
}
