//! What a store holds is there again after a stop, and after a kill at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure in a test's helper fails the test")]

mod s3_harness;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Tag};
use fanfold_emulator::s3::Server;
use s3_harness::*;

const MIB: usize = 1 << 20;
const ODD_KEYS: [&str; 8] =
    ["a", "a/b", "a//b", "trailing/", "space ", "../../etc/x", "\u{d55c}\u{ae00}", "\u{1F600}\r\n\"&<%2f+"];

async fn upload_part(client: &Client, upload: &str, number: i32, body: Vec<u8>) -> CompletedPart {
    let part = client.upload_part().bucket(BUCKET).key("upload").upload_id(upload).part_number(number);
    let etag = part.body(body.into()).send().await.unwrap().e_tag;
    CompletedPart::builder().part_number(number).set_e_tag(etag).build()
}

#[tokio::test]
async fn objects_attributes_and_unfinished_uploads_are_there_after_a_restart() {
    let (folder, server, client) = fresh().await;
    for key in ODD_KEYS {
        put(&client, key, key).await;
    }
    let put = client.put_object().bucket(BUCKET).key("described").body(b"x".to_vec().into());
    let put =
        put.content_type("text/x").cache_control("no-store").metadata("who", "me").tagging("a=1&b=2%20c");
    put.send().await.unwrap();
    let upload = client.create_multipart_upload().bucket(BUCKET).key("upload").send().await.unwrap();
    let upload = upload.upload_id().unwrap();
    let first = upload_part(&client, upload, 1, bytes(5 * MIB, 1)).await;
    let before = client.head_object().bucket(BUCKET).key("described").send().await.unwrap();
    server.stop().await;

    let server = serve(folder.path()).await;
    let client = client_of(&server);
    for key in ODD_KEYS {
        assert_eq!(body(&client, key).await, key.as_bytes(), "{key:?}");
    }
    let after = client.head_object().bucket(BUCKET).key("described").send().await.unwrap();
    assert_eq!(after.content_type(), Some("text/x"));
    assert_eq!(after.cache_control(), Some("no-store"));
    assert_eq!(after.metadata(), before.metadata());
    assert_eq!(after.last_modified(), before.last_modified());
    assert_eq!(after.e_tag(), before.e_tag());
    let tags = client.get_object_tagging().bucket(BUCKET).key("described").send().await.unwrap();
    let tag = |key, value| Tag::builder().key(key).value(value).build().unwrap();
    assert_eq!(tags.tag_set(), [tag("a", "1"), tag("b", "2 c")]);
    let second = upload_part(&client, upload, 2, b"end".to_vec()).await;
    let listed = CompletedMultipartUpload::builder().parts(first).parts(second).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("upload").upload_id(upload);
    complete.multipart_upload(listed).send().await.unwrap();
    assert!(body(&client, "upload").await == [bytes(5 * MIB, 1), b"end".to_vec()].concat());
    server.stop().await;
}

fn client_of(server: &Server) -> Client {
    client(&server.endpoint())
}

/// Every way in which work in progress lies about after a kill.
fn litter(data: &Path) {
    let stray = "ab".repeat(16);
    fs::create_dir_all(data.join("blobs/ab")).unwrap();
    fs::write(data.join("blobs/ab").join(stray), "a body that nothing names").unwrap();
    let bucket = data.join("buckets").join(BUCKET);
    let journal = bucket.join("journal");
    let mut bytes = fs::read(&journal).unwrap();
    let half_of_a_line = bytes.len() / 2;
    bytes.extend_from_within(..half_of_a_line.min(bytes.iter().position(|byte| *byte == b'\n').unwrap()));
    fs::write(&journal, bytes).unwrap();
    fs::write(bucket.join("journal.new"), "half of a rewrit").unwrap();
    fs::create_dir(data.join("buckets/never-made")).unwrap();
    fs::create_dir_all(data.join("trash/deleted")).unwrap();
}

#[tokio::test]
async fn what_a_kill_leaves_lying_about_is_cleared_and_changes_nothing() {
    let (folder, server, client) = fresh().await;
    put(&client, "kept", "kept").await;
    server.stop().await;
    litter(folder.path());

    let server = serve(folder.path()).await;
    let client = client_of(&server);
    assert_eq!(keys(&client).await, ["kept"]);
    assert_eq!(body(&client, "kept").await, b"kept");
    put(&client, "more", "more!").await;
    assert_eq!(body_files(folder.path()), [4, 5]);
    let buckets = client.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().len(), 1, "a bucket whose creation was cut off never was");
    server.stop().await;

    let server = serve(folder.path()).await;
    assert_eq!(keys(&client_of(&server)).await, ["kept", "more"]);
    server.stop().await;
}

async fn refusal(data: &Path) -> String {
    let error = Server::start(config(data)).await.unwrap_err();
    format!("{error}: {}", error.source().unwrap())
}

#[tokio::test]
async fn what_a_kill_can_not_explain_is_reported_with_its_place_and_not_served() {
    let (folder, server, client) = fresh().await;
    put(&client, "key", "body").await;
    server.stop().await;
    let journal = folder.path().join("buckets").join(BUCKET).join("journal");
    let right = fs::read(&journal).unwrap();
    let mut wrong = right.clone();
    wrong[12] ^= 1;
    fs::write(&journal, wrong).unwrap();
    let refused = refusal(folder.path()).await;
    assert!(refused.contains("damaged at byte 0"), "{refused}");

    fs::write(&journal, right).unwrap();
    let files = fs::read_dir(folder.path().join("blobs")).unwrap();
    let mut files = files.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let path = files.next().unwrap().unwrap().path();
    fs::write(&path, "bod").unwrap();
    let refused = refusal(folder.path()).await;
    assert!(refused.contains("the body of `key` in bucket `tests` is torn"), "{refused}");
    fs::write(&path, "body").unwrap();
    let server = serve(folder.path()).await;
    assert_eq!(body(&client_of(&server), "key").await, b"body", "a refused start deletes nothing");

    let refused = refusal(folder.path()).await;
    assert!(refused.contains("in use by another server"), "{refused}");
    server.stop().await;
}

/// What a process of this test serves instead of running the test, when it is set.
const SERVE: &str = "FANFOLD_TEST_SERVE_S3";

/// A server in a process of its own, which is killed when this is dropped.
struct Victim {
    process: Child,
    endpoint: String,
}

impl Victim {
    fn start(data: &Path, test: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env(SERVE, data).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.find(|line| line.as_ref().unwrap().contains("http://")).unwrap().unwrap();
        let endpoint = line[line.find("http://").unwrap()..].trim().to_owned();
        Self { process, endpoint }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // SIGKILL: the process gets no chance to tidy up.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn serve_until_killed(data: OsString) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = serve(Path::new(&data)).await;
        println!("{}", server.endpoint());
        std::future::pending::<()>().await;
    });
}

const WRITERS: usize = 6;
const KEYS_EACH: usize = 3;

/// What a key is known to hold: what was answered with success, and what was asked for since.
#[derive(Default)]
struct Known {
    answered: Option<usize>,
    asked: Option<usize>,
}

/// What version `version` of a key holds; the lengths go through none, one batch and several.
fn version_body(key: &str, version: usize) -> Vec<u8> {
    let length = [0, 10, 70_000, 1_100_000][version % 4];
    let name = format!("{key} {version} ");
    name.bytes().cycle().take(length).collect()
}

/// Puts ever new versions until the server is gone.
async fn write_on(client: Client, writer: usize, from: usize, known: Arc<Mutex<BTreeMap<String, Known>>>) {
    for version in from.. {
        let key = format!("{writer}/{}", version % KEYS_EACH);
        known.lock().unwrap().entry(key.clone()).or_default().asked = Some(version);
        let put = client.put_object().bucket(BUCKET).key(&key).body(version_body(&key, version).into());
        if put.send().await.is_err() {
            return;
        }
        known.lock().unwrap().get_mut(&key).unwrap().answered = Some(version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_lost_nothing_that_it_answered_and_has_nothing_torn() {
    if let Some(data) = std::env::var_os(SERVE) {
        return tokio::task::spawn_blocking(|| serve_until_killed(data)).await.unwrap();
    }
    let (folder, server, _client) = fresh().await;
    server.stop().await;
    let known = Arc::new(Mutex::new(BTreeMap::<String, Known>::new()));
    for round in 0..4 {
        let victim = Victim::start(
            folder.path(),
            "a_killed_server_has_lost_nothing_that_it_answered_and_has_nothing_torn",
        );
        let client = client(&victim.endpoint);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write_on(client.clone(), writer, round * 1_000, Arc::clone(&known)));
        }
        // Until each writer is well under way, and then in the middle of whatever they do.
        let enough = round * 1_000 + 9 + round;
        while known.lock().unwrap().values().filter(|known| known.answered >= Some(enough)).count() < 2 {
            tokio::task::yield_now().await;
        }
        drop(victim);
        writers.join_all().await;

        let server = serve(folder.path()).await;
        let client = client_of(&server);
        let mut bodies = 0;
        for key in keys(&client).await {
            let body = body(&client, &key).await;
            bodies += usize::from(!body.is_empty());
            let mut known = known.lock().unwrap();
            let known = known.get_mut(&key).unwrap();
            let found = [known.asked, known.answered].into_iter().flatten();
            let mut found = found.filter(|version| version_body(&key, *version) == body);
            known.answered = Some(found.next().expect("what is there was asked for last, or answered last"));
        }
        assert_eq!(body_files(folder.path()).len(), bodies, "every file belongs to an object");
        let answered = known.lock().unwrap().values().filter(|known| known.answered.is_some()).count();
        assert_eq!(keys(&client).await.len(), answered, "all that was answered is there");
        server.stop().await;
    }
}
