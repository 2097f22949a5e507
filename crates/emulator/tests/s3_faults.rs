//! Each fault on demand does what it is called, is counted, spares whom it should, and is over when it is switched off.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use fanfold_emulator::WrongFaults;
use fanfold_emulator::s3::{FaultCounts, Faults, Rates, Server};

use crate::s3_harness::*;

mod s3_harness;

/// A client whose key is spared: what it sees is what is really there.
fn spared(server: &Server) -> Client {
    server.faults().spare("spared", "a secret of its own");
    client_with(&server.endpoint(), "spared", "a secret of its own")
}

fn set(server: &Server, rates: Rates) {
    server.faults().set(Faults { rates, ..Faults::default() }).unwrap();
}

#[tokio::test]
async fn a_refused_request_has_done_nothing() {
    let (_folder, server, client) = fresh().await;
    let spared = spared(&server);
    let slow_down = Rates { slow_down: 1.0, ..Rates::default() };
    let internal_error = Rates { internal_error: 1.0, ..Rates::default() };
    for (rates, status, code) in [(slow_down, 503, "SlowDown"), (internal_error, 500, "InternalError")] {
        set(&server, rates);
        // Longer than what a socket holds: the body is read all the same, and the connection is used again.
        let body = ByteStream::from(bytes(4 << 20, 0));
        let error = client.put_object().bucket(BUCKET).key("key").body(body).send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), status);
        assert_eq!(error.code(), Some(code));
        let error = client.list_objects_v2().bucket(BUCKET).send().await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(keys(&spared).await, Vec::<String>::new());
    }
    let counts = FaultCounts { slow_down: 2, internal_error: 2, ..FaultCounts::default() };
    assert_eq!(server.faults().counts(), counts);
    server.faults().clear();
    put(&client, "key", "body").await;
    server.stop().await;
}

#[tokio::test]
async fn an_error_may_come_inside_of_a_200_where_s3_begins_to_answer_early() {
    let (_folder, server, client) = fresh().await;
    put(&client, "key", "body").await;
    set(&server, Rates { internal_error: 1.0, ..Rates::default() });
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let copy = client.copy_object().bucket(BUCKET).key("copy").copy_source(format!("{BUCKET}/key"));
        let error = copy.send().await.unwrap_err();
        assert_eq!(error.code(), Some("InternalError"));
        statuses.push(error.raw_response().unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 500]);
    server.faults().clear();
    assert_eq!(keys(&client).await, ["key"]);
    server.stop().await;
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_was_carried_out() {
    let (_folder, server, client) = fresh().await;
    let spared = spared(&server);
    let upload = client.create_multipart_upload().bucket(BUCKET).key("large").send().await.unwrap();
    let part = client.upload_part().bucket(BUCKET).key("large").upload_id(upload.upload_id().unwrap());
    let part = part.part_number(1).body(bytes(100, 1).into()).send().await.unwrap();
    set(&server, Rates { answer_lost: 1.0, ..Rates::default() });

    let put = client.put_object().bucket(BUCKET).key("small").if_none_match("*").body(bytes(100, 2).into());
    let error = put.send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(body(&spared, "small").await, bytes(100, 2));

    let part = CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("large").multipart_upload(parts);
    let error = complete.upload_id(upload.upload_id().unwrap()).send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert_eq!(body(&spared, "large").await, bytes(100, 1));

    // A refusal is lost as well.
    let put = client.put_object().bucket(BUCKET).key("small").if_none_match("*").body(bytes(100, 3).into());
    assert!(matches!(put.send().await.unwrap_err(), SdkError::DispatchFailure(_)));
    assert_eq!(body(&spared, "small").await, bytes(100, 2));
    assert_eq!(server.faults().counts(), FaultCounts { answer_lost: 3, ..FaultCounts::default() });
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_cut_is_announced_whole_and_breaks_off_at_any_place() {
    let (_folder, server, client) = fresh().await;
    // Several of the batches in which it is read.
    let length = 5 << 20;
    put(&client, "key", bytes(length, 4)).await;
    put(&client, "empty", "").await;
    set(&server, Rates { body_cut: 1.0, ..Rates::default() });
    let mut lengths = Vec::new();
    for _ in 0..20 {
        let mut object = client.get_object().bucket(BUCKET).key("key").send().await.unwrap();
        assert_eq!(object.content_length(), Some(i64::try_from(length).unwrap()));
        let mut read = Vec::new();
        let error = loop {
            match object.body.next().await.unwrap() {
                Ok(piece) => read.extend_from_slice(&piece),
                Err(error) => break error,
            }
        };
        assert!(read.len() < length && read == bytes(length, 4)[..read.len()], "{error}");
        lengths.push(read.len());
    }
    assert!(lengths.iter().any(|cut| *cut < length / 3), "{lengths:?}");
    assert!(lengths.iter().any(|cut| *cut > length / 3), "{lengths:?}");
    // What has no body, or is no object's, comes whole.
    assert_eq!(body(&client, "empty").await, b"");
    assert_eq!(keys(&client).await, ["empty", "key"]);
    let missing = client.get_object().bucket(BUCKET).key("missing").send().await.unwrap_err();
    assert!(missing.into_service_error().is_no_such_key());
    assert_eq!(server.faults().counts(), FaultCounts { body_cut: 20, ..FaultCounts::default() });
    server.faults().clear();
    assert_eq!(body(&client, "key").await, bytes(length, 4));
    server.stop().await;
}

#[tokio::test]
async fn a_late_request_is_carried_out_after_its_delay() {
    let (_folder, server, client) = fresh().await;
    set(&server, Rates { late: 1.0, delay_max: Duration::from_millis(400), ..Rates::default() });
    let began = Instant::now();
    for _ in 0..8 {
        put(&client, "key", "body").await;
    }
    // Half of the longest on the average.
    assert!(began.elapsed() > Duration::from_millis(800), "{:?}", began.elapsed());
    assert_eq!(server.faults().counts(), FaultCounts { late: 8, ..FaultCounts::default() });
    server.stop().await;
}

#[tokio::test]
async fn an_operation_may_have_rates_of_its_own() {
    let (_folder, server, client) = fresh().await;
    let always = Rates { slow_down: 1.0, ..Rates::default() };
    let operations =
        [("PutObject".to_owned(), Rates::default()), ("HeadObject".to_owned(), Rates::default())];
    let faults = Faults { seed: 0, rates: always, operations: operations.into() };
    server.faults().set(faults).unwrap();
    put(&client, "key", "body").await;
    client.head_object().bucket(BUCKET).key("key").send().await.unwrap();
    assert!(client.get_object().bucket(BUCKET).key("key").send().await.is_err());
    assert!(client.delete_object().bucket(BUCKET).key("key").send().await.is_err());
    assert_eq!(server.faults().counts(), FaultCounts { slow_down: 2, ..FaultCounts::default() });
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_is_spared_is_let_in_by_its_own_secret_alone() {
    let (_folder, server, client) = fresh().await;
    put(&client, "key", "body").await;
    let endpoint = server.endpoint();
    assert!(client_with(&endpoint, "spared", "a secret of its own").list_buckets().send().await.is_err());
    let spared = spared(&server);
    for rates in [
        Rates { slow_down: 0.5, internal_error: 0.5, ..Rates::default() },
        Rates { answer_lost: 0.5, body_cut: 0.5, ..Rates::default() },
        Rates { late: 1.0, delay_max: Duration::MAX, ..Rates::default() },
    ] {
        set(&server, rates);
        assert_eq!(body(&spared, "key").await, b"body");
    }
    assert!(client_with(&endpoint, "spared", "secret").list_buckets().send().await.is_err());
    assert_eq!(server.faults().counts(), FaultCounts::default());
    server.stop().await;
}

#[tokio::test]
async fn a_seed_makes_the_same_faults_each_time_it_is_set_and_another_seed_others() {
    let (_folder, server, client) = fresh().await;
    let rates = Rates { slow_down: 0.3, internal_error: 0.3, ..Rates::default() };
    let mut rounds = Vec::new();
    for seed in [1, 1, 2] {
        server.faults().set(Faults { seed, rates, ..Faults::default() }).unwrap();
        let mut codes = Vec::new();
        for _ in 0..30 {
            let put = client.put_object().bucket(BUCKET).key("key").body(bytes(10, 0).into()).send().await;
            codes.push(put.err().map(|error| error.code().unwrap().to_owned()));
            // Another operation in between changes nothing.
            if rounds.is_empty() {
                let _any = client.list_objects_v2().bucket(BUCKET).send().await;
            }
        }
        rounds.push(codes);
    }
    assert_eq!(rounds[0], rounds[1]);
    assert_ne!(rounds[0], rounds[2]);
    server.stop().await;
}

#[tokio::test]
async fn faults_that_cannot_be_made_are_refused_by_name() {
    let (_folder, server, client) = fresh().await;
    let operations = [("GetObjects".to_owned(), Rates { late: 2.0, ..Rates::default() })];
    let WrongFaults(problems) =
        server.faults().set(Faults { operations: operations.into(), ..Faults::default() }).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    put(&client, "key", "body").await;
    server.stop().await;
}
