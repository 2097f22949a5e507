//! The adapter to S3 against answers that no test server gives: errors inside a success, bodies that end early.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::s3::{S3Settings, S3Store};
use fanfold_store::{
    CompleteOptions, Condition, ETag, ErrorKind, GetOptions, Part, PutOptions, Store, StoreExt, Upload,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A service that gives these answers, one a request, and then is gone; the handle gives the requests' heads.
async fn service(answers: Vec<String>) -> (S3Store, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            heads.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    let settings = S3Settings {
        endpoint: Some(endpoint),
        region: Some("us-east-1".into()),
        credentials: Some(("key".into(), "secret".into())),
        ..S3Settings::default()
    };
    (S3Store::new(settings).await, served)
}

/// The request's head in lower case; its body is read, and left.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).await.unwrap() > 0, "the request ends in its head: {head}");
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.trim().parse().unwrap()];
    reader.read_exact(&mut body).await.unwrap();
    head
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn error(code: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>said so</Message><RequestId>r</RequestId></Error>"
    );
    answer("200 OK", "x-amz-request-id: id-1\r\nContent-Type: application/xml\r\n", &body)
}

fn object() -> ObjectUri {
    ObjectUri::new("bucket", "key")
}

fn upload() -> (Upload, Part) {
    let part = Part { number: 1, etag: ETag::new("e"), size: 10, crc: None };
    (Upload { at: object(), id: "u".into() }, part)
}

#[tokio::test]
async fn an_error_inside_a_successful_completion_is_tried_again_and_then_told() {
    let (store, served) = service(vec![error("SlowDown"); 3]).await;
    let (upload, part) = upload();
    let failed = store.complete_upload(&upload, &[part], CompleteOptions::default()).await.unwrap_err();
    assert_eq!((failed.kind(), failed.code()), (ErrorKind::Throttled, Some("SlowDown")));
    assert_eq!((failed.request_id(), failed.message()), (Some("id-1"), "said so"));
    assert_eq!(served.await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_error_inside_a_successful_copy_is_told() {
    let (store, _served) = service(vec![error("InternalError"); 3]).await;
    let (upload, _) = upload();
    let failed = store.copy_part(&upload, 1, &object(), Some(0..10), None).await.unwrap_err();
    assert_eq!((failed.kind(), failed.code()), (ErrorKind::Unavailable, Some("InternalError")));
}

#[tokio::test]
async fn a_completion_carries_size_checksum_and_condition() {
    let body = "<CompleteMultipartUploadResult><ETag>\"done-1\"</ETag></CompleteMultipartUploadResult>";
    let (store, served) = service(vec![answer("200 OK", "", body)]).await;
    let (upload, part) = upload();
    let options = CompleteOptions {
        condition: Condition::IfAbsent,
        crc: Some(Crc64::of(b"123456789")),
        bytes: Some(10),
    };
    let etag = store.complete_upload(&upload, &[part], options).await.unwrap();
    assert_eq!(etag, ETag::new("done-1"));
    let head = &served.await.unwrap()[0];
    for header in [
        "if-none-match: *",
        "x-amz-mp-object-size: 10",
        "x-amz-checksum-type: full_object",
        "x-amz-checksum-crc64nvme: rosuhgp5mig=",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
}

#[tokio::test]
async fn a_put_sends_its_bytes_plainly_with_their_checksum() {
    let (store, served) = service(vec![answer("200 OK", "ETag: \"e\"\r\n", "")]).await;
    let options = PutOptions::if_matches(ETag::new("old"));
    store.put(&object(), Bytes::from_static(b"123456789"), options).await.unwrap();
    let head = &served.await.unwrap()[0];
    assert!(head.starts_with("put /bucket/key"), "the bucket is not in the path: {head}");
    for header in ["x-amz-checksum-crc64nvme: rosuhgp5mig=", "if-match: \"old\"", "content-length: 9"] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    for header in ["aws-chunked", "x-amz-trailer", "crc32"] {
        assert!(!head.contains(header), "{header} is in {head}");
    }
}

#[tokio::test]
async fn a_lost_connection_and_a_short_body_are_resumed_at_their_byte() {
    let headers = "ETag: \"e\"\r\nContent-Length: 10\r\nConnection: close\r\n";
    let short = format!("HTTP/1.1 200 OK\r\n{headers}\r\n0123");
    let rest = answer("206 Partial Content", "ETag: \"e\"\r\nContent-Range: bytes 4-9/10\r\n", "456789");
    let (store, served) = service(vec![short, rest]).await;
    let bytes = store.get_bytes(&object(), 100).await.unwrap();
    assert_eq!(bytes, "0123456789");
    let second = &served.await.unwrap()[1];
    assert!(second.contains("range: bytes=4-9") && second.contains("if-match: \"e\""), "{second}");
}

#[tokio::test]
async fn bytes_of_another_checksum_are_never_given_for_good() {
    let headers =
        "ETag: \"e\"\r\nx-amz-checksum-type: FULL_OBJECT\r\nx-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n";
    let (store, _served) = service(vec![answer("200 OK", headers, "123456780")]).await;
    let failed = store.get_bytes(&object(), 100).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::BadDigest, "{failed}");
}

#[tokio::test]
async fn a_resumed_body_is_held_to_the_checksum_of_the_whole() {
    let checksum = "x-amz-checksum-type: FULL_OBJECT\r\nx-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n";
    let read = async |rest: &str| {
        let headers = format!("ETag: \"e\"\r\n{checksum}Content-Length: 9\r\nConnection: close\r\n");
        let short = format!("HTTP/1.1 200 OK\r\n{headers}\r\n1234");
        let rest = answer("206 Partial Content", "ETag: \"e\"\r\nContent-Range: bytes 4-8/9\r\n", rest);
        let (store, _served) = service(vec![short, rest]).await;
        store.get_bytes(&object(), 100).await
    };
    assert_eq!(read("56789").await.unwrap(), "123456789");
    assert_eq!(read("56780").await.unwrap_err().kind(), ErrorKind::BadDigest);
}

#[tokio::test]
async fn an_answer_without_the_range_asked_for_is_refused() {
    let (store, _served) = service(vec![answer("200 OK", "ETag: \"e\"\r\n", "0123456789")]).await;
    let options = GetOptions { range: Some(2..4), if_match: None };
    let failed = store.get(&object(), options).await.unwrap_err();
    assert!(failed.message().contains("range"), "{failed}");
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_is_known_by_its_status() {
    let (store, _served) = service(vec![answer("404 Not Found", "x-amz-request-id: id-2\r\n", "")]).await;
    let failed = store.head(&object()).await.unwrap_err();
    assert_eq!((failed.kind(), failed.request_id()), (ErrorKind::NotFound, Some("id-2")));
    assert!(failed.to_string().starts_with("head s3://bucket/key: not found"), "{failed}");
}
