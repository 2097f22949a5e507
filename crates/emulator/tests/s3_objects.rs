//! S3 as the real SDK sees it: copies that move nothing, completions that are right or not
//! made, and answers to clients that stop half-way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure in a test's helper fails the test")]

mod s3_harness;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use base64::Engine as _;
use s3_harness::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const MIB: usize = 1 << 20;

fn crc64nvme(bytes: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes())
}

async fn start_upload(client: &Client, key: &str) -> String {
    let upload = client.create_multipart_upload().bucket(BUCKET).key(key);
    let upload =
        upload.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).checksum_type(ChecksumType::FullObject);
    upload.send().await.unwrap().upload_id().unwrap().to_owned()
}

async fn copy_part(
    client: &Client,
    key: &str,
    upload: &str,
    number: i32,
    source: &str,
    range: &str,
) -> CompletedPart {
    let copy = client.upload_part_copy().bucket(BUCKET).key(key).upload_id(upload).part_number(number);
    let copy = copy.copy_source(format!("{BUCKET}/{source}")).copy_source_range(range);
    let result = copy.send().await.unwrap().copy_part_result.unwrap();
    CompletedPart::builder().part_number(number).set_e_tag(result.e_tag).build()
}

fn listed(parts: &[CompletedPart]) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build()
}

#[tokio::test]
async fn a_concatenation_by_copies_is_verified_and_moves_no_bytes() {
    let (folder, server, client) = fresh().await;
    let (left, right) = (bytes(6 * MIB, 1), bytes(5 * MIB + 3, 2));
    put(&client, "left", left.clone()).await;
    put(&client, "right", right.clone()).await;
    let whole = [&left[1..], &right[..]].concat();
    let upload = start_upload(&client, "whole").await;
    let parts = [
        copy_part(&client, "whole", &upload, 1, "left", &format!("bytes=1-{}", left.len() - 1)).await,
        copy_part(&client, "whole", &upload, 2, "right", &format!("bytes=0-{}", right.len() - 1)).await,
    ];
    let complete = |crc: String, size: usize| {
        let complete = client.complete_multipart_upload().bucket(BUCKET).key("whole").upload_id(&upload);
        let complete = complete.multipart_upload(listed(&parts)).mpu_object_size(size as i64);
        complete.checksum_type(ChecksumType::FullObject).checksum_crc64_nvme(crc).send()
    };

    let refused = complete(crc64nvme(b"something else"), whole.len()).await.unwrap_err();
    assert_eq!(refused.code(), Some("BadDigest"));
    let refused = complete(crc64nvme(&whole), whole.len() - 1).await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidRequest"));
    assert_eq!(keys(&client).await, ["left", "right"], "a refused completion makes no object");

    complete(crc64nvme(&whole), whole.len()).await.unwrap();
    assert_eq!(body(&client, "whole").await, whole);
    let head = client.head_object().bucket(BUCKET).key("whole").checksum_mode(ChecksumMode::Enabled).send();
    assert_eq!(head.await.unwrap().checksum_crc64_nvme(), Some(crc64nvme(&whole).as_str()));
    assert_eq!(body_files(folder.path()), [right.len() as u64, left.len() as u64]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_stays_while_something_refers_to_it_and_goes_with_the_last() {
    let (folder, server, client) = fresh().await;
    put(&client, "original", "eleven byte").await;
    let copy = client.copy_object().bucket(BUCKET).key("copy").copy_source(format!("{BUCKET}/original"));
    copy.send().await.unwrap();
    put(&client, "original", "three").await;
    until_body_files(folder.path(), &[5, 11]).await;
    assert_eq!(body(&client, "copy").await, b"eleven byte");
    let upload = start_upload(&client, "upload").await;
    copy_part(&client, "upload", &upload, 1, "copy", "bytes=2-4").await;
    client.delete_object().bucket(BUCKET).key("copy").send().await.unwrap();
    put(&client, "original", "1").await;
    until_body_files(folder.path(), &[1, 11]).await;
    client.abort_multipart_upload().bucket(BUCKET).key("upload").upload_id(upload).send().await.unwrap();
    until_body_files(folder.path(), &[1]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_reader_gets_what_it_began_to_read_although_it_is_overwritten_and_deleted() {
    let (_folder, server, client) = fresh().await;
    let first = bytes(24 * MIB, 3);
    put(&client, "key", first.clone()).await;
    let mut reading = client.get_object().bucket(BUCKET).key("key").send().await.unwrap().body;
    let mut read = reading.next().await.unwrap().unwrap().to_vec();
    put(&client, "key", "second").await;
    client.delete_object().bucket(BUCKET).key("key").send().await.unwrap();
    while let Some(piece) = reading.next().await {
        read.extend_from_slice(&piece.unwrap());
    }
    assert!(read == first);
    server.stop().await;
}

/// Sends `request` as it is, and reads until the server has answered with `end` in it, or hangs up.
async fn exchange(connection: &mut TcpStream, request: &str, end: &str) -> String {
    connection.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut buffer) = (String::new(), [0; 4096]);
    while !answer.contains(end) {
        let read = connection.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    answer
}

#[tokio::test]
async fn every_request_that_expects_100_continue_gets_it_once_and_first() {
    let (_folder, server, _client) = fresh().await;
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let empty = "PUT /tests/key HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n";
    let full = "PUT /tests/key HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    for _ in 0..2 {
        let answer = exchange(&mut connection, empty, "</Error>").await;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert_eq!(answer.matches("100 Continue").count(), 1, "{answer}");
        let line = exchange(&mut connection, full, "\r\n\r\n").await;
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n\r\n");
        let answer = exchange(&mut connection, "body", "</Error>").await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    }
    let unexpecting = "GET /tests/key HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = exchange(&mut connection, unexpecting, "</Error>").await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_large_body_that_is_refused_unread_still_gets_the_reason() {
    let (_folder, server, client) = fresh().await;
    let put = client.put_object().bucket("missing").key("key").body(bytes(8 * MIB, 1).into());
    assert_eq!(put.send().await.unwrap_err().code(), Some("NoSuchBucket"));
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_no_object_and_no_file() {
    let (folder, server, client) = fresh().await;
    let presigning =
        aws_sdk_s3::presigning::PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap();
    let request = client.put_object().bucket(BUCKET).key("key").presigned(presigning).await.unwrap();
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    let path = request.uri().split_once(&address).unwrap().1;
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", 8 * MIB);
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&bytes(3 * MIB, 1)).await.unwrap();
    // The server is at work on it: there is a file.
    while body_files(folder.path()).is_empty() {
        tokio::task::yield_now().await;
    }
    drop(connection);
    until_body_files(folder.path(), &[]).await;
    assert!(keys(&client).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn stopping_lets_a_request_under_way_finish_and_takes_no_more() {
    let (_folder, server, client) = fresh().await;
    let written = bytes(24 * MIB, 5);
    put(&client, "key", written.clone()).await;
    let mut reading = client.get_object().bucket(BUCKET).key("key").send().await.unwrap().body;
    let mut read = reading.next().await.unwrap().unwrap().to_vec();
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    let rest = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        while let Some(piece) = reading.next().await {
            read.extend_from_slice(&piece.unwrap());
        }
    };
    tokio::join!(server.stop(), rest);
    assert!(read == written);
}

#[tokio::test]
async fn a_bucket_can_be_deleted_when_it_is_empty_and_made_again() {
    let (folder, server, client) = fresh().await;
    put(&client, "key", "body").await;
    let refused = client.delete_bucket().bucket(BUCKET).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("BucketNotEmpty"));
    let upload = start_upload(&client, "upload").await;
    client.delete_object().bucket(BUCKET).key("key").send().await.unwrap();
    client.delete_bucket().bucket(BUCKET).send().await.unwrap();
    until_body_files(folder.path(), &[]).await;
    let gone = client.head_bucket().bucket(BUCKET).send().await.unwrap_err();
    assert_eq!(gone.raw_response().unwrap().status().as_u16(), 404);
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    assert!(keys(&client).await.is_empty());
    let parts = client.list_parts().bucket(BUCKET).key("upload").upload_id(upload).send().await;
    assert_eq!(parts.unwrap_err().code(), Some("NoSuchUpload"));
    server.stop().await;
}
