//! Both halves together, by the environment that they advertise.

use std::collections::BTreeMap;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use fanfold_emulator::lambda::{self, Settings};
use fanfold_emulator::{Config, Emulator, StartError};

use super::support::*;

fn config(folder: &tempfile::TempDir, lambda: Settings) -> Config {
    Config {
        data: folder.path().to_owned(),
        region: REGION.into(),
        access_key_id: ACCESS_KEY_ID.into(),
        secret_access_key: SECRET_ACCESS_KEY.into(),
        s3_address: "127.0.0.1:0".parse().unwrap(),
        lambda_address: "127.0.0.1:0".parse().unwrap(),
        lambda,
    }
}

/// An S3 client as a function would make it from its variables, session token included.
fn s3_client(variables: &BTreeMap<String, String>) -> aws_sdk_s3::Client {
    let (key, secret) = (&variables["AWS_ACCESS_KEY_ID"], &variables["AWS_SECRET_ACCESS_KEY"]);
    let token = variables.get("AWS_SESSION_TOKEN").cloned();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&variables["AWS_ENDPOINT_URL_S3"])
        .region(Region::new(variables["AWS_REGION"].clone()))
        .credentials_provider(Credentials::new(key, secret, token, None, "test"))
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

#[tokio::test]
async fn the_advertised_environment_and_a_functions_own_both_reach_both_halves() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { functions: vec![function("f")], ..Settings::default() };
    let emulator = Emulator::start(config(&folder, settings)).await.unwrap();
    let advertised: BTreeMap<String, String> = emulator.environment().into_iter().collect();
    let client = client(
        &advertised["AWS_ENDPOINT_URL_LAMBDA"],
        &advertised["AWS_ACCESS_KEY_ID"],
        &advertised["AWS_SECRET_ACCESS_KEY"],
    );
    let output = got(client.invoke().function_name("f").send().await.unwrap());
    let seen: BTreeMap<String, String> = serde_json::from_value(output.json["environment"].clone()).unwrap();
    assert_eq!(seen["AWS_ENDPOINT_URL_LAMBDA"], emulator.lambda_endpoint());

    let outside = s3_client(&advertised);
    outside.create_bucket().bucket("bucket").send().await.unwrap();
    let put = outside.put_object().bucket("bucket").key("key").body(ByteStream::from_static(b"body"));
    put.send().await.unwrap();
    let inside = s3_client(&seen);
    let read = inside.get_object().bucket("bucket").key("key").send().await.unwrap();
    assert_eq!(read.body.collect().await.unwrap().into_bytes().as_ref(), b"body");
    emulator.stop().await;
}

#[tokio::test]
async fn wrong_settings_are_all_named_and_leave_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = function("f");
    wrong.memory_mb = 1;
    wrong.on_failure = Some("nowhere".into());
    let error =
        Emulator::start(config(&folder, Settings { functions: vec![wrong], ..Settings::default() })).await;
    let Err(StartError::Lambda(lambda::StartError::Settings(problems))) = error else { panic!("{error:?}") };
    assert_eq!(problems.len(), 2, "{problems:?}");
    // The folder was given back: another emulator starts in it.
    Emulator::start(config(&folder, Settings::default())).await.unwrap().stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Emulator::start(Config { lambda_address: address, ..config(&folder, Settings::default()) });
    let Err(StartError::Lambda(error)) = error.await else { panic!("it started") };
    assert_eq!(error.to_string(), format!("failed to listen on {address}"));
}
