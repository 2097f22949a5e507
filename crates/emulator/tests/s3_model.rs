//! Random operations on few keys, held against a model: a sorted map from key to bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure in a test's helper fails the test")]

mod s3_harness;

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use fanfold_emulator::s3::Server;
use proptest::prelude::*;
use s3_harness::*;

/// Few, so that operations meet; odd, so that names and folders would be mixed up.
const KEYS: [&str; 4] = ["a", "a/b", "a//b", "a b"];

#[derive(Debug, Clone, Copy)]
enum Condition {
    None,
    Absent,
    /// The ETag that the key has, or a wrong one where it has none.
    Current,
    Stale,
}

#[derive(Debug, Clone)]
enum Operation {
    Put { key: usize, body: Vec<u8>, condition: Condition },
    Upload { key: usize, body: Vec<u8>, condition: Condition },
    Copy { from: usize, to: usize },
    Delete { key: usize },
    Restart,
}

fn an_operation() -> impl Strategy<Value = Operation> {
    let key = || 0..KEYS.len();
    let body = || prop::collection::vec(any::<u8>(), 0..40);
    let condition = || {
        prop::sample::select(vec![Condition::None, Condition::Absent, Condition::Current, Condition::Stale])
    };
    prop_oneof![
        4 => (key(), body(), condition()).prop_map(|(key, body, condition)| Operation::Put { key, body, condition }),
        2 => (key(), body(), condition()).prop_map(|(key, body, condition)| Operation::Upload { key, body, condition }),
        2 => (key(), key()).prop_map(|(from, to)| Operation::Copy { from, to }),
        2 => key().prop_map(|key| Operation::Delete { key }),
        1 => Just(Operation::Restart),
    ]
}

/// The server, its client, and what it is to hold.
struct World {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
    model: BTreeMap<&'static str, Vec<u8>>,
}

/// What a conditional write answers: nothing, or an error's code.
type Answer = Result<(), String>;

impl World {
    /// The headers of a condition: `If-Match`, `If-None-Match`.
    async fn headers(&self, key: &str, condition: Condition) -> (Option<String>, Option<String>) {
        let stale = "\"00000000000000000000000000000000\"".to_owned();
        match condition {
            Condition::None => (None, None),
            Condition::Absent => (None, Some("*".into())),
            Condition::Stale => (Some(stale), None),
            Condition::Current => {
                let head = self.client.head_object().bucket(BUCKET).key(key).send().await;
                (head.map_or(Some(stale), |head| head.e_tag), None)
            }
        }
    }

    /// What the model says to a write.
    fn expected(&self, key: &str, condition: Condition) -> Answer {
        match (condition, self.model.contains_key(key)) {
            (Condition::None, _) | (Condition::Absent, false) | (Condition::Current, true) => Ok(()),
            (Condition::Absent | Condition::Stale, true) => Err("PreconditionFailed".into()),
            (Condition::Current | Condition::Stale, false) => Err("NoSuchKey".into()),
        }
    }

    async fn put(&mut self, key: &'static str, body: Vec<u8>, condition: Condition) -> (Answer, Answer) {
        let (if_match, if_none_match) = self.headers(key, condition).await;
        let put = self.client.put_object().bucket(BUCKET).key(key).body(body.clone().into());
        let answer = put.set_if_match(if_match).set_if_none_match(if_none_match).send().await;
        let expected = self.expected(key, condition);
        if expected.is_ok() {
            self.model.insert(key, body);
        }
        (answer.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned()), expected)
    }

    async fn upload(&mut self, key: &'static str, body: Vec<u8>, condition: Condition) -> (Answer, Answer) {
        let (if_match, if_none_match) = self.headers(key, condition).await;
        let upload = self.client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        let id = upload.upload_id().unwrap();
        let part = self.client.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(7);
        let etag = part.body(body.clone().into()).send().await.unwrap().e_tag;
        let part = CompletedPart::builder().part_number(7).set_e_tag(etag).build();
        let listed = CompletedMultipartUpload::builder().parts(part).build();
        let complete = self.client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
        let complete =
            complete.multipart_upload(listed).set_if_match(if_match).set_if_none_match(if_none_match);
        let answer = complete.send().await;
        let expected = self.expected(key, condition);
        if expected.is_ok() {
            self.model.insert(key, body);
        } else {
            let abort = self.client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
            abort.send().await.unwrap();
        }
        (answer.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned()), expected)
    }

    async fn copy(&mut self, from: &'static str, to: &'static str) -> (Answer, Answer) {
        let source = format!("{BUCKET}/{}", from.replace(' ', "%20"));
        let answer = self.client.copy_object().bucket(BUCKET).key(to).copy_source(source).send().await;
        let expected = match self.model.get(from).cloned() {
            None => Err("NoSuchKey".into()),
            Some(_) if from == to => Err("InvalidRequest".into()),
            Some(body) => {
                self.model.insert(to, body);
                Ok(())
            }
        };
        (answer.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned()), expected)
    }

    async fn run(mut self, operation: Operation) -> (Self, Answer, Answer) {
        let (answer, expected) = match operation {
            Operation::Put { key, body, condition } => self.put(KEYS[key], body, condition).await,
            Operation::Upload { key, body, condition } => self.upload(KEYS[key], body, condition).await,
            Operation::Copy { from, to } => self.copy(KEYS[from], KEYS[to]).await,
            Operation::Delete { key } => {
                self.client.delete_object().bucket(BUCKET).key(KEYS[key]).send().await.unwrap();
                self.model.remove(KEYS[key]);
                (Ok(()), Ok(()))
            }
            Operation::Restart => {
                self.server.stop().await;
                self.server = serve(self.folder.path()).await;
                self.client = client(&self.server.endpoint());
                (Ok(()), Ok(()))
            }
        };
        (self, answer, expected)
    }
}

async fn check(operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let (folder, server, client) = fresh().await;
    let mut world = World { folder, server, client, model: BTreeMap::new() };
    for operation in operations {
        let text = format!("{operation:?}");
        let (after, answer, expected) = world.run(operation).await;
        world = after;
        prop_assert_eq!(answer, expected, "{}", text);
        prop_assert_eq!(
            &keys(&world.client).await,
            &world.model.keys().copied().collect::<Vec<_>>(),
            "{}",
            text
        );
        for (key, expected) in &world.model {
            prop_assert_eq!(&body(&world.client, key).await, expected, "{} after {}", key, text);
        }
    }
    world.server.stop().await;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn a_store_holds_what_a_map_would(operations in prop::collection::vec(an_operation(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(operations))?;
    }
}
