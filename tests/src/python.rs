//! The Python environments of tests and benchmarks.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The interpreter with the packages of `python/clients.txt`: boto3, awscrt, the AWS command line.
pub fn clients() -> PathBuf {
    interpreter("FANFOLD_TEST_PYTHON", "clients", "tests/python/clients.txt")
}

/// The interpreter with LocalStack's S3.
pub fn localstack() -> PathBuf {
    interpreter("FANFOLD_TEST_LOCALSTACK", "localstack", "tests/python/localstack.txt")
}

/// The interpreter with what the benchmarks of concatenations and of the pool are held to.
pub fn peers() -> PathBuf {
    interpreter("FANFOLD_BENCH_PYTHON", "peers", "tests/benches/peers/requirements.txt")
}

fn interpreter(variable: &str, name: &str, requirements: &str) -> PathBuf {
    let made = || {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python")).join(name).join("bin/python")
    };
    let path = std::env::var_os(variable).map_or_else(made, PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing; make it: infra/python-environment target/python/{name} {requirements}",
        path.display()
    );
    path
}

/// Runs a line of Python that has boto3's client `s3` for this endpoint, and tells whether it went well.
pub fn boto3(endpoint: &str, (key, secret): (&str, &str), line: &str) -> bool {
    let mut command = Command::new(clients());
    command.args(["-c", &format!("import boto3; s3 = boto3.client('s3'); {line}")]);
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_DEFAULT_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
