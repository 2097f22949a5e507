//! Whole files in and out without HTTP are objects like any other, and what comes out is what went in.
#![allow(clippy::unwrap_used, reason = "a failure in a test's helper fails the test")]

mod s3_harness;

use std::error::Error as _;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};

use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use fanfold_emulator::s3::{ExportError, ImportError};
use s3_harness::*;

const MIB: usize = 1 << 20;
/// Not a multiple of anything that copying might go in steps of.
const LARGE: usize = 33 * MIB + 17;

fn crc(bytes: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Nvme, bytes)
}

/// A file open for reading and writing.
fn target(folder: &tempfile::TempDir, name: &str) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true).open(folder.path().join(name)).unwrap()
}

#[tokio::test]
async fn an_imported_file_is_an_object_with_its_bytes_its_length_and_its_checksum() {
    let (folder, server, client) = fresh().await;
    for length in [0, 1, MIB, LARGE] {
        let (path, content) = (folder.path().join("input"), bytes(length, 3));
        fs::write(&path, &content).unwrap();
        let mut moved = 0;
        let imported = server.import(BUCKET, "a b/\u{d55c}", &path, |bytes| moved += bytes).await.unwrap();
        assert_eq!(
            (imported.bytes, imported.crc64nvme, moved),
            (length as u64, crc(&content), length as u64)
        );
        let get = client.get_object().bucket(BUCKET).key("a b/\u{d55c}");
        let got = get.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(got.e_tag(), Some(&*format!("\"{}\"", imported.etag)));
        let expected = base64::engine::general_purpose::STANDARD.encode(crc(&content).to_be_bytes());
        assert_eq!(got.checksum_crc64_nvme(), Some(&*expected));
        assert!(got.body.collect().await.unwrap().to_vec() == content);
    }
    let expected = [LARGE as u64];
    until_body_files(folder.path(), &expected).await;
    server.stop().await;
}

#[tokio::test]
async fn an_import_keeps_its_bytes_when_the_file_changes_and_over_a_restart() {
    let (folder, server, _client) = fresh().await;
    let path = folder.path().join("input");
    fs::write(&path, bytes(LARGE, 1)).unwrap();
    let imported = server.import(BUCKET, "key", &path, |_| {}).await.unwrap();
    let mut file = File::options().write(true).open(&path).unwrap();
    file.write_all(b"something else").unwrap();
    file.set_len(20).unwrap();
    server.stop().await;

    let server = serve(folder.path()).await;
    let client = client(&server.endpoint());
    assert!(body(&client, "key").await == bytes(LARGE, 1));
    let head = client.head_object().bucket(BUCKET).key("key").send().await.unwrap();
    assert_eq!(head.e_tag(), Some(&*format!("\"{}\"", imported.etag)));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_imported_is_named_and_changes_nothing() {
    let (folder, server, client) = fresh().await;
    put(&client, "key", "kept").await;
    for path in [folder.path().join("missing"), folder.path().to_owned(), "/dev/zero".into()] {
        let error = server.import(BUCKET, "key", &path, |_| {}).await.unwrap_err();
        assert!(matches!(&error, ImportError::Read { path: named, .. } if *named == path), "{error}");
    }
    let path = folder.path().join("input");
    fs::write(&path, "new").unwrap();
    let long = "x".repeat(1_025);
    for (bucket, key) in [("nowhere", "key"), (BUCKET, ""), (BUCKET, &*long)] {
        let error = server.import(bucket, key, &path, |_| {}).await.unwrap_err();
        assert!(matches!(&error, ImportError::Store { bucket: named, .. } if named == bucket), "{error}");
        assert!(error.source().is_some());
    }
    assert_eq!(body(&client, "key").await, b"kept");
    assert_eq!(keys(&client).await, ["key"]);
    until_body_files(folder.path(), &[4]).await;
    server.stop().await;
}

#[tokio::test]
async fn an_import_that_is_given_up_leaves_nothing_when_the_server_has_stopped() {
    let (folder, server, _client) = fresh().await;
    let path = folder.path().join("input");
    fs::write(&path, bytes(8 * LARGE, 1)).unwrap();
    let (first, mut copied) = tokio::sync::mpsc::unbounded_channel();
    tokio::select! {
        imported = server.import(BUCKET, "key", &path, |bytes| first.send(bytes).unwrap()) => {
            panic!("it was to be given up after its first bytes, not {imported:?}");
        }
        bytes = copied.recv() => assert!(bytes.is_some()),
    }
    server.stop().await;
    until_body_files(folder.path(), &[]).await;
    let server = serve(folder.path()).await;
    assert_eq!(keys(&client(&server.endpoint())).await, Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn an_export_writes_all_parts_in_order_from_where_the_file_stands() {
    let (folder, server, client) = fresh().await;
    let path = folder.path().join("input");
    fs::write(&path, bytes(LARGE, 5)).unwrap();
    server.import(BUCKET, "source", &path, |_| {}).await.unwrap();
    let create = client.create_multipart_upload().bucket(BUCKET).key("joined").send().await.unwrap();
    let upload = create.upload_id().unwrap();
    let mut parts = Vec::new();
    for (number, range) in (1..).zip([7..20 * MIB, 0..6 * MIB + 1, 3..LARGE]) {
        let copy =
            client.upload_part_copy().bucket(BUCKET).key("joined").upload_id(upload).part_number(number);
        let copy = copy.copy_source(format!("{BUCKET}/source"));
        let copied = copy.copy_source_range(format!("bytes={}-{}", range.start, range.end - 1));
        let etag = copied.send().await.unwrap().copy_part_result.unwrap().e_tag;
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(etag).build());
    }
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("joined").upload_id(upload);
    let listed = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    complete.multipart_upload(listed).send().await.unwrap();

    let source = bytes(LARGE, 5);
    let expected = [&source[7..20 * MIB], &source[..6 * MIB + 1], &source[3..]].concat();
    let mut file = target(&folder, "output");
    file.write_all(b"before").unwrap();
    let mut moved = 0;
    let exported = server.export(BUCKET, "joined", file, |bytes| moved += bytes).await.unwrap();
    assert_eq!((exported.bytes, exported.crc64nvme), (expected.len() as u64, crc(&expected)));
    assert_eq!(moved, exported.bytes);
    assert!(fs::read(folder.path().join("output")).unwrap() == [b"before", &*expected].concat());
    server.stop().await;
}

#[tokio::test]
async fn an_empty_object_is_exported_as_no_bytes_and_a_missing_one_is_named() {
    let (folder, server, client) = fresh().await;
    put(&client, "empty", "").await;
    let exported = server.export(BUCKET, "empty", target(&folder, "output"), |_| {}).await.unwrap();
    assert_eq!((exported.bytes, exported.crc64nvme), (0, crc(b"")));
    for (bucket, key) in [(BUCKET, "missing"), ("nowhere", "empty")] {
        let error = server.export(bucket, key, target(&folder, "output"), |_| {}).await.unwrap_err();
        assert!(matches!(&error, ExportError::Store { key: named, .. } if named == key), "{error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_file_does_not_take_is_an_error_and_the_checksum_is_of_what_it_holds() {
    let (folder, server, client) = fresh().await;
    put(&client, "key", "body").await;
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let error = server.export(BUCKET, "key", full, |_| {}).await.unwrap_err();
    assert!(matches!(error, ExportError::Write { .. }), "{error}");

    // A file that only appends puts the bytes elsewhere than where it stands: what is there is measured.
    fs::write(folder.path().join("output"), "other").unwrap();
    let mut appending = File::options().read(true).append(true).open(folder.path().join("output")).unwrap();
    appending.seek(SeekFrom::Start(0)).unwrap();
    let exported = server.export(BUCKET, "key", appending, |_| {}).await;
    assert!(exported.is_err() || exported.unwrap().crc64nvme != crc(b"body"));
    server.stop().await;
}
