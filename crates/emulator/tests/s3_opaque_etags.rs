//! With opaque ETags the server keeps every rule about ETags and checksums; only what an ETag is made of differs.
#![allow(clippy::unwrap_used, reason = "a failure in a test's helper fails the test")]

mod s3_harness;

use std::ops::Range;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use fanfold_emulator::s3::{ETags, Server};
use s3_harness::*;

const MIB: usize = 1 << 20;
/// MD5 of `body`, as an ETag.
const MD5_OF_BODY: &str = "\"841a2d689ad86bd1611447453c22c6fc\"";

async fn serve_opaque(data: &Path) -> (Server, Client) {
    let server = Server::start_with(config(data), ETags::Opaque).await.unwrap();
    server.ensure_bucket(BUCKET).await.unwrap();
    let client = client(&server.endpoint());
    (server, client)
}

async fn put_for_etag(client: &Client, key: &str, body: &[u8]) -> String {
    let put = client.put_object().bucket(BUCKET).key(key).body(body.to_vec().into()).send().await.unwrap();
    put.e_tag.unwrap()
}

async fn etag(client: &Client, key: &str) -> String {
    client.head_object().bucket(BUCKET).key(key).send().await.unwrap().e_tag.unwrap()
}

/// An upload under way, with a checksum of the full object.
struct Upload<'a> {
    client: &'a Client,
    key: &'a str,
    id: String,
    parts: Vec<CompletedPart>,
}

impl<'a> Upload<'a> {
    async fn start(client: &'a Client, key: &'a str, algorithm: ChecksumAlgorithm) -> Self {
        let create = client.create_multipart_upload().bucket(BUCKET).key(key);
        let create = create.checksum_algorithm(algorithm).checksum_type(ChecksumType::FullObject);
        let id = create.send().await.unwrap().upload_id.unwrap();
        Self { client, key, id, parts: Vec::new() }
    }

    fn next(&self) -> i32 {
        i32::try_from(self.parts.len()).unwrap() + 1
    }

    fn add(&mut self, etag: Option<String>) {
        self.parts.push(CompletedPart::builder().part_number(self.next()).set_e_tag(etag).build());
    }

    async fn upload(&mut self, algorithm: ChecksumAlgorithm, body: Vec<u8>) {
        let part = self.client.upload_part().bucket(BUCKET).key(self.key).upload_id(&self.id);
        let part = part.part_number(self.next()).checksum_algorithm(algorithm).body(body.into());
        let etag = part.send().await.unwrap().e_tag;
        self.add(etag);
    }

    async fn copy(&mut self, source: &str, range: Option<Range<usize>>) {
        let part = self.client.upload_part_copy().bucket(BUCKET).key(self.key).upload_id(&self.id);
        let part = part.part_number(self.next()).copy_source(format!("{BUCKET}/{source}"));
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let copied = part.set_copy_source_range(range).send().await.unwrap();
        self.add(copied.copy_part_result.unwrap().e_tag);
    }

    fn completion(self) -> CompleteMultipartUploadFluentBuilder {
        let listed = CompletedMultipartUpload::builder().set_parts(Some(self.parts)).build();
        let complete =
            self.client.complete_multipart_upload().bucket(BUCKET).key(self.key).upload_id(self.id);
        complete.multipart_upload(listed)
    }

    async fn complete(self) -> String {
        self.completion().send().await.unwrap().e_tag.unwrap()
    }
}

#[tokio::test]
async fn an_etag_is_new_with_every_put_though_the_bytes_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = serve_opaque(folder.path()).await;
    let first = put_for_etag(&client, "key", b"body").await;
    assert_eq!(etag(&client, "key").await, first);
    let second = put_for_etag(&client, "key", b"body").await;
    assert_ne!(first, second);
    for etag in [&first, &second] {
        assert_ne!(etag, MD5_OF_BODY);
        assert_eq!(etag.len(), MD5_OF_BODY.len());
    }
    server.stop().await;
}

#[tokio::test]
async fn writes_and_copies_on_condition_of_an_opaque_etag_have_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = serve_opaque(folder.path()).await;
    let first = put_for_etag(&client, "key", b"body").await;
    let replace =
        || client.put_object().bucket(BUCKET).key("key").if_match(&first).body(b"new".to_vec().into());
    let (one, other) = tokio::join!(replace().send(), replace().send());
    let won: Vec<String> = [one, other].into_iter().filter_map(|put| put.ok()?.e_tag).collect();
    assert_eq!(won.len(), 1, "of two writers with the same If-Match one wins");
    assert_eq!(etag(&client, "key").await, won[0]);
    let lost = replace().send().await.unwrap_err();
    assert_eq!(lost.code(), Some("PreconditionFailed"));

    let copy = |etag| {
        let copy = client.copy_object().bucket(BUCKET).key("copy").copy_source(format!("{BUCKET}/key"));
        copy.copy_source_if_match(etag).send()
    };
    assert_eq!(copy(&first).await.unwrap_err().code(), Some("PreconditionFailed"));
    copy(&won[0]).await.unwrap();
    assert_eq!(body(&client, "copy").await, b"new");
    server.stop().await;
}

#[tokio::test]
async fn a_content_md5_is_verified_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = serve_opaque(folder.path()).await;
    let put = |md5: &str| {
        client.put_object().bucket(BUCKET).key("key").content_md5(md5).body(b"body".to_vec().into())
    };
    let wrong = put("1B2M2Y8AsgTpgAmY7PhCfg==").send().await.unwrap_err();
    assert_eq!(wrong.code(), Some("BadDigest"));
    let right = put("hBotaJrYa9FhFEdFPCLG/A==").send().await.unwrap();
    assert_ne!(right.e_tag(), Some(MD5_OF_BODY), "it is verified, and is not the ETag");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_begun_before_a_restart_completes_with_the_etags_it_gave() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = serve_opaque(folder.path()).await;
    let kept = put_for_etag(&client, "kept", b"body").await;
    let mut upload = Upload::start(&client, "joined", ChecksumAlgorithm::Crc64Nvme).await;
    upload.upload(ChecksumAlgorithm::Crc64Nvme, bytes(5 * MIB, 1)).await;
    let Upload { id, parts, .. } = upload;
    server.stop().await;

    let (server, client) = serve_opaque(folder.path()).await;
    assert_eq!(etag(&client, "kept").await, kept);
    let mut upload = Upload { client: &client, key: "joined", id, parts };
    upload.upload(ChecksumAlgorithm::Crc64Nvme, b"end".to_vec()).await;
    let given = upload.complete().await;
    assert!(given.ends_with("-2\""), "{given}");
    assert_eq!(etag(&client, "joined").await, given);
    assert!(body(&client, "joined").await == [bytes(5 * MIB, 1), b"end".to_vec()].concat());
    server.stop().await;
}

/// Whole objects, ranges that take some parts whole and cut others, and ranges within one part.
#[tokio::test]
async fn the_checksum_of_copied_ranges_is_that_of_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = serve_opaque(folder.path()).await;
    let crc64 = (ChecksumAlgorithm::Crc64Nvme, CrcAlgorithm::Crc64Nvme);
    let crc32c = (ChecksumAlgorithm::Crc32C, CrcAlgorithm::Crc32Iscsi);
    // The parts' checksums are by CRC64NVME: a copy by CRC32C has to read them all.
    let mut upload = Upload::start(&client, "parts", ChecksumAlgorithm::Crc64Nvme).await;
    for (length, seed) in [(5 * MIB + 3, 1), (6 * MIB, 2), (5 * MIB, 3), (11, 4)] {
        upload.upload(ChecksumAlgorithm::Crc64Nvme, bytes(length, seed)).await;
    }
    upload.complete().await;
    let copy = client.copy_object().bucket(BUCKET).key("one part").copy_source(format!("{BUCKET}/parts"));
    copy.send().await.unwrap();
    let source = body(&client, "parts").await;
    for (algorithm, reference) in [crc64, crc32c] {
        for from in ["parts", "one part"] {
            let mut upload = Upload::start(&client, "joined", algorithm.clone()).await;
            upload.copy(from, None).await;
            let mut expected = source.clone();
            for range in
                [0..5 * MIB + 3, 1..12 * MIB, 5 * MIB + 3..source.len(), 7..6 * MIB, 16 * MIB..16 * MIB + 14]
            {
                upload.copy(from, Some(range.clone())).await;
                expected.extend_from_slice(&source[range]);
            }
            let crc = crc_fast::checksum(reference, &expected).to_be_bytes();
            let (crc64, crc32c) = (BASE64.encode(crc), BASE64.encode(&crc[4..]));
            let complete = upload.completion();
            let complete = match algorithm {
                ChecksumAlgorithm::Crc64Nvme => complete.checksum_crc64_nvme(crc64),
                _ => complete.checksum_crc32_c(crc32c),
            };
            complete.send().await.unwrap();
            assert!(body(&client, "joined").await == expected, "{algorithm} from {from}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_opaque_etag_never_passes_for_an_md5_when_the_folder_is_served_with_md5s_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = serve_opaque(folder.path()).await;
    let opaque = put_for_etag(&client, "source", b"body").await;
    server.stop().await;

    let server = serve(folder.path()).await;
    let client = s3_harness::client(&server.endpoint());
    assert_eq!(etag(&client, "source").await, opaque, "what was given once stays");
    client
        .copy_object()
        .bucket(BUCKET)
        .key("copy")
        .copy_source(format!("{BUCKET}/source"))
        .send()
        .await
        .unwrap();
    assert_eq!(etag(&client, "copy").await, MD5_OF_BODY);
    server.stop().await;
}
