//! A server on a folder, and the real SDK as its client.
#![allow(dead_code, reason = "each test binary uses its own share of this")]
#![allow(clippy::unwrap_used, reason = "test code outside of a test function")]
#![allow(unreachable_pub, reason = "a module that each test binary includes")]

use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use fanfold_emulator::s3::{Config, Server};

pub const BUCKET: &str = "tests";

pub fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        address: ([127, 0, 0, 1], 0).into(),
        access_key_id: "key".into(),
        secret_access_key: "secret".into(),
        region: "eu-central-1".into(),
    }
}

pub async fn serve(data: &Path) -> Server {
    Server::start(config(data)).await.unwrap()
}

/// A client that tries once, so that the first answer is seen.
pub fn client(endpoint: &str) -> Client {
    client_with(endpoint, "key", "secret")
}

/// The same, with another key.
pub fn client_with(endpoint: &str, access_key_id: &str, secret_access_key: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(access_key_id, secret_access_key, None, None, "tests"))
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// A folder, a server on it, and a client of it, with a bucket made.
pub async fn fresh() -> (tempfile::TempDir, Server, Client) {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    let client = client(&server.endpoint());
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    (folder, server, client)
}

pub async fn put(client: &Client, key: &str, body: impl Into<Vec<u8>>) {
    client.put_object().bucket(BUCKET).key(key).body(body.into().into()).send().await.unwrap();
}

pub async fn body(client: &Client, key: &str) -> Vec<u8> {
    let object = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    object.body.collect().await.unwrap().to_vec()
}

/// All keys, over all pages.
pub async fn keys(client: &Client) -> Vec<String> {
    let mut pages = client.list_objects_v2().bucket(BUCKET).max_keys(100).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    keys
}

/// Lengths of the body files in a data folder, sorted.
pub fn body_files(data: &Path) -> Vec<u64> {
    let shards = std::fs::read_dir(data.join("blobs")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    // A file may go between being listed and being looked at.
    let mut lengths: Vec<u64> = files.filter_map(|file| Some(file.unwrap().metadata().ok()?.len())).collect();
    lengths.sort_unstable();
    lengths
}

/// Waits until the data folder holds just these body files.
pub async fn until_body_files(data: &Path, lengths: &[u64]) {
    let wait = async {
        while body_files(data) != lengths {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "body files {:?}, expected {lengths:?}", body_files(data));
}

/// Bytes whose period is a prime, so that an offset that is off by one shows.
pub fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ seed).collect()
}
