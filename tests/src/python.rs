//! The Python environments that `tests/run` makes.

use std::path::PathBuf;

/// The interpreter with the packages of `python/clients.txt`: boto3, awscrt, the AWS command line.
pub fn clients() -> PathBuf {
    interpreter("FANFOLD_TEST_PYTHON", "clients")
}

/// The interpreter with LocalStack's S3.
pub fn localstack() -> PathBuf {
    interpreter("FANFOLD_TEST_LOCALSTACK", "localstack")
}

fn interpreter(variable: &str, name: &str) -> PathBuf {
    let made = || {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python")).join(name).join("bin/python")
    };
    let path = std::env::var_os(variable).map_or_else(made, PathBuf::from);
    assert!(path.exists(), "{} is missing; run tests/run once, which makes it", path.display());
    path
}
